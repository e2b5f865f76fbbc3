"""Datasets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from psbench_data.dataset import PersonSearchDataset, Source
from psbench_data.errors import InputError, near_names


def _cuhk_sysu(root: Path) -> Source:
    from psbench_data.sources.cuhk_sysu import CuhkSysu

    return CuhkSysu(root)


_SOURCES: dict[str, Callable[[Path], Source]] = {"cuhk_sysu": _cuhk_sysu}


def available() -> tuple[str, ...]:
    """The names that `load` takes."""
    return tuple(_SOURCES)


def load(name: str, *, root: str | Path) -> PersonSearchDataset:
    """Open a dataset in the form in which its authors ship it.

    Args:
        name: one of `available()`.
        root: the dataset's top folder.

    Returns:
        The dataset. Annotations are parsed on the first open and cached; images are only read when asked for.

    Raises:
        InputError: the name is unknown, or the folder is missing, is another dataset or has faulty files.

    Example:
        >>> import psbench_data
        >>> psbench_data.available()
        ('cuhk_sysu',)
    """
    if name not in _SOURCES:
        raise InputError(f"no dataset is called {name!r}. {near_names(name, _SOURCES)}")
    return PersonSearchDataset(_SOURCES[name](Path(root).expanduser()))
