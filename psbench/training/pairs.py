"""Pairs of a query and a scene, for networks that look at a scene with one query in mind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch.utils.data import Dataset

from psbench.training.batches import Draw, landscape, mirrored
from psbench.zoo.images import image_tensor
from psbench.zoo.layers.patches import Padding, query_patch
from psbench_data import UNLABELED, InputError, Scenes

Kind = Literal["cross-scene", "self-scene", "negative"]
"""Of a pair: the query is cut out of another scene with the same person, out of the searched scene itself, or is
somebody who is not in the scene."""
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Pair:
    """What is drawn for a scene that is searched.

    Attributes:
        kind: of the pair.
        box: which of the split's boxes the query is.
        scene: position of the scene that it is cut from.
        person_id: who it is, never without identity.
    """

    kind: Kind
    box: int
    scene: int
    person_id: int


class TrainingPairs(Dataset[dict[str, Any]]):
    """Each scene as one that is searched, with a query drawn for it anew in every epoch.

    The kind is drawn first, in the proportions of the mixture, among those that the scene allows: a scene without
    labelled people can only be the scene of a negative pair, and one whose people are in no other scene cannot be that
    of a cross-scene pair. Then the person: one of the scene's at random (cross-scene: of those who are in other scenes,
    too), or for a negative pair one of all identities that are not in the scene. Then, at random, one of the person's
    boxes that fit the kind. All of this follows from seed, epoch and index alone.

    Raises:
        InputError: the mixture is not three shares, or no scene allows any kind of it.
    """

    def __init__(
        self,
        scenes: Scenes,
        *,
        seed: int,
        mixture: Sequence[float],
        patch: tuple[int, int],
        padding: Padding = "zeros",
    ) -> None:
        """Find out which pairs there are.

        Args:
            scenes: of the training split.
            seed: of everything drawn.
            mixture: shares of cross-scene, self-scene and negative pairs, in proportion.
            patch: height and width of query patches, pixels.
            padding: what brings a query to the patch's shape, see `query_patch`.
        """
        self._scenes, self._seed, self._patch, self._padding = scenes, seed, patch, padding
        self._shares = np.asarray(mixture, np.float64)
        if self._shares.shape != (3,) or not np.isfinite(self._shares).all() or (self._shares < 0).any():
            raise InputError(f"the mixture of pairs is {mixture!r}, expected three shares ({', '.join(KINDS)}) from 0.")
        self._people = _People(scenes)
        self._usable = np.flatnonzero((self._people.allowed & (self._shares > 0)).any(axis=1))
        if not len(self._usable):
            wanted = ", ".join(kind for kind, share in zip(KINDS, self._shares, strict=True) if share > 0)
            raise InputError(
                f"{scenes.root}: no training scene allows a pair of the kinds asked for ({wanted or 'none'}). "
                "Check the identities of the training annotations, or the mixture of pairs."
            )

    def __len__(self) -> int:
        return len(self._usable)

    def pair(self, index: int, epoch: int) -> Pair:
        """Which query the scene at an index is searched for in an epoch."""
        random = np.random.default_rng((self._seed, epoch, index))
        scene = int(self._usable[index])
        shares = self._shares * self._people.allowed[scene]
        kind = KINDS[random.choice(3, p=shares / shares.sum())]
        box = self._people.draw(random, kind, scene)
        return Pair(kind, box, int(self._people.scene_of[box]), int(self._scenes.person_ids[box]))

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        """A searched scene and its query.

        Returns:
            `images` (3, H, W) uint8, mirrored as drawn; `targets`: its `boxes` (n, 4) and `person_ids` (n,), and of the
            query, never mirrored, `query_patch` (3, h, w) uint8 and `query_id` () int64; `names`: the scene's. Or
            `fault`, where a picture does not decode.
        """
        pair = self.pair(draw.index, draw.epoch)
        scene = self._scenes[int(self._usable[draw.index])]
        origin = self._scenes[pair.scene]
        try:
            image = image_tensor(scene)
            elsewhere = image if pair.scene == self._usable[draw.index] else image_tensor(origin)
        except InputError as error:
            # As a value: what is raised in a worker reaches the main process wrapped in a traceback.
            return {"fault": str(error)}
        patch = query_patch(elsewhere, torch.tensor(self._scenes.boxes[pair.box]), self._patch, self._padding)
        boxes = torch.tensor(scene.boxes)
        if draw.mirrored:
            image, boxes = mirrored(image, boxes)
        target = {
            "boxes": boxes,
            "person_ids": torch.tensor(scene.person_ids),
            "query_patch": patch,
            "query_id": torch.tensor(pair.person_id),
        }
        return {"images": image, "targets": target, "names": scene.name}

    def landscape(self) -> np.ndarray:
        """(N,) bool: which searched scenes are at least as wide as high."""
        return landscape(self._scenes.select(self._usable))


class _People:
    """Where the labelled people are.

    Attributes:
        scene_of: (N,) int64, the scene of each box of the split.
        allowed: (S, 3) bool, which kinds of pairs each scene can be searched in.
    """

    def __init__(self, scenes: Scenes) -> None:
        ids, count = scenes.person_ids, len(scenes)
        self.scene_of = np.repeat(np.arange(count), np.diff(scenes.offsets))
        self._ids, self._offsets = ids, scenes.offsets
        labelled = np.flatnonzero(ids != UNLABELED)
        # The boxes, person after person.
        self._boxes = labelled[np.argsort(ids[labelled], kind="stable")]
        self._starts = np.searchsorted(ids[self._boxes], np.arange(ids.max(initial=-1) + 2))
        self._known = np.unique(ids[labelled])
        # Somebody may have several boxes in a scene.
        person, scene = np.unique(np.stack([ids[labelled], self.scene_of[labelled]]), axis=1)
        self._scenes_of = np.bincount(person)
        of_scene = [np.bincount(scene[chosen], minlength=count) for chosen in (self._scenes_of[person] > 1, ...)]
        self.allowed = np.stack([of_scene[0] > 0, of_scene[1] > 0, of_scene[1] < len(self._known)], axis=1)

    def draw(self, random: np.random.Generator, kind: Kind, scene: int) -> int:
        """A query of a kind that the scene allows, as the number of its box."""
        here = np.unique(self._ids[self._offsets[scene] : self._offsets[scene + 1]])
        people = here[here != UNLABELED]
        if kind == "negative":
            people = np.setdiff1d(self._known, people)
        elif kind == "cross-scene":
            people = people[self._scenes_of[people] > 1]
        person = random.choice(people)
        boxes = self._boxes[self._starts[person] : self._starts[person + 1]]
        return int(random.choice(boxes[(self.scene_of[boxes] == scene) == (kind == "self-scene")]))
