"""A datasets.Dataset that does not go to the Hub, because the terms of its data forbid it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import datasets

from psbench_data.errors import InputError

_MAKING = (
    "add_column",
    "add_item",
    "align_labels_with_mapping",
    "batch",
    "cast",
    "class_encode_column",
    "filter",
    "flatten_indices",
    "map",
    "repeat",
    "select",
    "shard",
    "shuffle",
    "skip",
    "sort",
    "take",
    "train_test_split",
)
"""The methods whose results `datasets` makes anew; those of the others are copies and keep their class."""


class RestrictedDataset(datasets.Dataset):
    """A dataset that may not be passed on, and what its own methods make of it.

    Out of reach are `datasets.concatenate_datasets`, `to_iterable_dataset`, and files written to disk and read again:
    the terms hold for them all the same, see `psbench_data.terms`.
    """

    def push_to_hub(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse.

        Raises:
            InputError: always.
        """
        raise InputError(
            "push_to_hub: this dataset's terms forbid passing it on, so it is not uploaded. "
            "See `psbench-data terms`; others get it from its authors."
        )

    # What DatasetDict.push_to_hub calls for each of its splits.
    _push_parquet_shards_to_hub = push_to_hub


def restrict(data: Any) -> Any:
    """Make a dataset, or every split of a dictionary of them, a `RestrictedDataset`; leave anything else as it is."""
    if isinstance(data, datasets.DatasetDict):
        for split in data.values():
            restrict(split)
    elif isinstance(data, datasets.Dataset):
        data.__class__ = RestrictedDataset
    return data


def _keeping(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapped(self: RestrictedDataset, *args: Any, **kwargs: Any) -> Any:
        return restrict(method(self, *args, **kwargs))

    return wrapped


for _name in _MAKING:
    setattr(RestrictedDataset, _name, _keeping(getattr(datasets.Dataset, _name)))
