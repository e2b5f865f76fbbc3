"""Datasets by name."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from psbench_data.dataset import PersonSearchDataset
from psbench_data.errors import InputError, near_names
from psbench_data.faults import told_as_input_error
from psbench_data.names import given_path
from psbench_data.sources.source import Source

_READERS = {
    "cuhk_sysu": "cuhk_sysu:CuhkSysu",
    "prw": "prw:Prw",
    "lsps": "lsps:Lsps",
    "movienet_cs": "movienet_cs:MovieNetCs",
    "coco": "coco:Coco",
}
"""Per dataset: the module of `psbench_data.sources` and its class, imported when it is asked for."""


def available() -> tuple[str, ...]:
    """The names that `load` takes."""
    return (*_READERS, "synthetic")


def load(name: str, *, root: str | Path, **options: Any) -> PersonSearchDataset:
    """Open a dataset in the form in which its authors ship it.

    Args:
        name: one of `available()`.
        root: the dataset's top folder.
        options: `movienet_cs` takes `train_subset` (10, 30, 50, 70 or 100: at most how many appearances an identity
            has in training; default 10). `coco` takes `seed` (of the queries and galleries that it draws; default 0),
            `train`, `test` and `images` (the names of its files and of the folder of its images), and `person_id` (the
            key of its annotations that says who it is).
            `synthetic` takes `format` and the fields of `WorldSpec`, and draws the dataset if root is not there yet.

    Returns:
        The dataset. Annotations are parsed on the first open and cached; images are only read when asked for.

    Raises:
        InputError: the name or an option is unknown, or the folder is missing, is another dataset or has faulty files.

    Example:
        >>> import psbench_data
        >>> psbench_data.available()
        ('cuhk_sysu', 'prw', 'lsps', 'movienet_cs', 'coco', 'synthetic')
    """
    if name not in available():
        raise InputError(f"no dataset is called {name!r}. {near_names(name, available())}")
    root = given_path(root)
    with told_as_input_error(root):
        if name == "synthetic":
            from psbench_data.synthetic.opening import open_or_draw

            name, options = open_or_draw(root, options), {}
        return PersonSearchDataset(open_source(name, root, **options))


def known_version(name: str, protocol: str) -> int | None:
    """The version that a protocol has in every copy of a dataset, without any at hand.

    Args:
        name: a dataset's, but `coco` and `synthetic`, of which each tree has protocols of its own.
        protocol: its name, for example `gallery-100`.

    Returns:
        The version; None if the dataset can have no such protocol.
    """
    return _reader(name).versioned([protocol]).get(protocol)


def open_source(name: str, root: Path, **options: Any) -> Source:
    """The reader of a tree.

    Raises:
        InputError: the name or an option is unknown, or root is not such a tree.
    """
    reader = _reader(name)
    known = [p.name for p in inspect.signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := [option for option in options if option not in known]:
        raise InputError(
            f"{name} has no option {option!r}. {near_names(option, known) if known else 'It has none.'}"
            for option in unknown
        )
    return reader(root, **options)


def _reader(name: str) -> type[Source]:
    module, cls = _READERS[name].split(":")
    return getattr(import_module(f"psbench_data.sources.{module}"), cls)
