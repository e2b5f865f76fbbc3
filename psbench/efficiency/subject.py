"""The model that is measured, made anew for each size and score threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psbench import zoo
from psbench.zoo import ZooModel
from psbench.zoo.weights import file_digest, load_weights, read_info, weights_path
from psbench_data import InputError
from psbench_data.published_counts import published_counts

_SEED = 0
"""Of fresh weights, so that the same ones are measured again."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model of the zoo with its weights.

    Attributes:
        name: in the zoo.
        num_identities: K, of its training.
        options: with which it is made, as `zoo.create` takes them.
        changes: of these, what was asked for.
        state: its weights and buffers.
        digest: SHA-256 of the file of the weights; None for fresh ones.
    """

    name: str
    num_identities: int
    options: dict[str, Any]
    changes: dict[str, Any]
    state: dict[str, Tensor]
    digest: str | None

    @classmethod
    def of(cls, name: str, *, weights: str | Path | None, options: Mapping[str, Any], data: str) -> Subject:
        """A model with the weights of a file, or with fresh ones and as many identities as a dataset has.

        Raises:
            InputError: the name or an option is unknown, or the weights are not of this model and these options.
        """
        changes = dict(options)
        if weights is None:
            identities = _identities(data)
            fresh = _made(name, identities, changes)
            return cls(name, identities, changes, changes, fresh.state_dict(), None)
        path = weights_path(weights)
        info = read_info(path)
        state = load_weights(path, model=name).state_dict()
        subject = cls(name, info.num_identities, info.options | changes, changes, state, file_digest(path))
        own = {
            key: value.shape for key, value in _made(name, info.num_identities, subject.options).state_dict().items()
        }
        if own != {key: value.shape for key, value in state.items()}:
            raise InputError(f"{path}: the weights are of another network than {name} with {changes}. Leave these out.")
        return subject

    def model(self, **changes: Any) -> ZooModel:
        """The model in evaluation mode on the CPU, with some more options changed that its state does not depend on."""
        made = _made(self.name, self.num_identities, self.options | changes)
        made.load_state_dict(self.state)
        return made.eval()


def fresh_model(name: str, data: str) -> ZooModel:
    """A model with fresh weights and its own options, for as many identities as a dataset has."""
    return _made(name, _identities(data), {}).eval()


def _identities(data: str) -> int:
    return {count.part: count.count for count in published_counts(data) if count.what == "identities"}["train"]


def _made(name: str, num_identities: int, options: Mapping[str, Any]) -> ZooModel:
    # The caller's random numbers are none of this module's business.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return zoo.create(name, num_identities=num_identities, **options)
