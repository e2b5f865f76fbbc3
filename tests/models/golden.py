"""What an original implementation computed from deterministic weights; see tests/goldens/README.md."""

import json
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from psbench import zoo
from psbench.zoo.official_names import OFFICIAL
from tests.conftest import GOLDENS
from tests.goldens.models.fill import fill

REFERENCE_UNLABELED = 5555


class Golden:
    """A golden case by the name of its folder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = GOLDENS / "models" / name
        self.case: dict = json.loads((self.folder / "case.json").read_text())
        with np.load(self.folder / "case.npz") as stored:
            self.arrays: dict[str, np.ndarray] = dict(stored)

    @cached_property
    def state_dict(self) -> dict[str, np.ndarray]:
        """The weights under their official names."""
        case = self.case
        state = fill(json.loads((self.folder / "manifest.json").read_text()), salt=case["salt"], gain=case["gain"])
        for name, change in case["state_overrides"].items():
            if "multiply" in change:
                state[name] = state[name] * change["multiply"]
            elif "add" in change:
                state[name] = state[name] + np.float32(change["add"])
            else:
                state[name] = np.full_like(state[name], change["set"])
        for left, right in case.get("aliases", {}).items():
            for key in state:
                if key.startswith(left):
                    state[key] = state[right + key.removeprefix(left)]
        return state

    def model(self, **options: object) -> zoo.ZooModel:
        """With these weights, in evaluation mode and float32."""
        overrides = {name: value for name, value in self.case["config_overrides"].items() if name != "flip"}
        return zoo.load_official(self.zoo_name, self.state_dict, **overrides | options)

    @property
    def zoo_name(self) -> str:
        return {"oim": "oim_caffe", "pcnet_dagger": "pcnet_multianchor"}.get(self.name, self.name)

    def ours(self, official: str) -> str:
        """Our name of a weight."""
        return OFFICIAL[self.zoo_name].ours(official)

    def image(self, i: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.from_numpy(self.arrays[f"image_{i}"]).permute(2, 0, 1).to(dtype) / 255

    def boxes(self, i: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.from_numpy(self.arrays[f"boxes_{i}"]).to(dtype)

    def target(self, i: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """In our convention: identities from 0, -1 for people without one."""
        labels = torch.from_numpy(self.arrays[f"ids_{i}" if f"ids_{i}" in self.arrays else f"labels_{i}"]).long()
        if self.name.startswith("pcnet"):
            labels = labels.clamp(min=-1)
        elif self.name != "oim":
            labels = torch.where(labels == REFERENCE_UNLABELED, -1, labels - 1)
        return {"boxes": self.boxes(i, dtype), "person_ids": labels}
