"""A target: one kind of file from outside, how to write a valid one, and how a user's call reads it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Target:
    """One reader of files from outside.

    Attributes:
        name: as printed: ".mat (v5) annotations of CUHK-SYSU".
        make: writes one valid input (a file tree) into an empty folder; called once.
        damaged: which of its files are damaged, by glob relative to the folder.
        read: reads it as a user's call would, in that folder or a copy of it; InputError is the only error allowed. It
            leaves the folder as it was: what it writes, it writes elsewhere.
        special: a mutation that knows the grammar, beside the general ones: from the damaged files' contents, by their
            paths relative to the folder ("a/b.json"), those contents that it changed.
        drawn: files of the damaged ones' paths as hypothesis draws them, where structure matters more than bytes do.
        memory: MiB that reading may take above what reading the valid input takes.
    """

    name: str
    make: Callable[[Path], None]
    damaged: tuple[str, ...]
    read: Callable[[Path], object]
    special: Callable[[Random, dict[str, bytes]], dict[str, bytes]] | None = None
    drawn: Callable[[], SearchStrategy[dict[str, bytes]]] | None = None
    memory: int = 512


def modules() -> list[str]:
    """The modules `of_*` beside this file, which have targets."""
    package = __name__.rpartition(".")[0]
    found = pkgutil.iter_modules(import_module(package).__path__)
    return [f"{package}.{module.name}" for module in found if module.name.startswith("of_")]


def targets() -> dict[str, tuple[str, Target]]:
    """All targets by name, each with its module, in whose `TARGETS` it is."""
    found: dict[str, tuple[str, Target]] = {}
    for module in modules():
        for target in import_module(module).TARGETS:
            if target.name in found:
                raise ValueError(f"two targets are named {target.name!r}")
            found[target.name] = (module, target)
    return found


def target_of(module: str, name: str) -> Target:
    """A target of a module."""
    return next(target for target in import_module(module).TARGETS if target.name == name)
