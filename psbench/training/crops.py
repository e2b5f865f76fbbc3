"""Crops of labelled people, for re-ID networks: annotated boxes, and what a detector found of the same people."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.ops import box_iou

from psbench.predictions import Predictions
from psbench.training.batches import Draw
from psbench.zoo.images import image_tensor
from psbench.zoo.layers.patches import crop
from psbench_data import UNLABELED, InputError, Scenes


class TrainingCrops(Dataset[dict[str, Any]]):
    """Every annotated box of a labelled person, and every detected box that overlaps one, cut out and stretched.

    A detected box belongs to whom it overlaps most; it is left out if that is nobody with an identity, or the overlap
    is less than asked for.

    Attributes:
        scene_of: (N,) int64, position of the scene that each crop is cut from, in order.
        boxes: (N, 4) float32, xyxy, pixels; of each scene the annotated ones first.
        person_ids: (N,) int64.

    Raises:
        InputError: nobody is labelled.
    """

    def __init__(
        self, scenes: Scenes, *, detections: Predictions | None, size: tuple[int, int], iou: float = 0.7
    ) -> None:
        """Find out which crops there are.

        Args:
            scenes: of the training split.
            detections: found in these scenes; None takes the annotated boxes alone.
            size: height and width of a crop.
            iou: least overlap of a detected box with the person's annotated one.
        """
        self._scenes, self._size = scenes, size
        scene_of = np.repeat(np.arange(len(scenes)), np.diff(scenes.offsets))
        parts = [(scene_of, scenes.boxes, scenes.person_ids)]
        if detections is not None:
            parts.append(_matched(scenes, detections, iou))
        scene_of, boxes, ids = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        labelled = np.flatnonzero(ids != UNLABELED)
        if not len(labelled):
            raise InputError(f"{scenes.root}: no training scene has a labelled person. Check the training annotations.")
        order = labelled[np.argsort(scene_of[labelled], kind="stable")]
        self.scene_of, self.boxes, self.person_ids = scene_of[order], boxes[order], ids[order]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        """A crop.

        Returns:
            `images` (3, h, w) uint8, mirrored as drawn; `targets`: its `person_ids` (1,) int64; `names`: the scene's.
            Or `fault`, where the picture does not decode.
        """
        scene = self._scenes[int(self.scene_of[draw.index])]
        try:
            image = image_tensor(scene)
        except InputError as error:
            # As a value: what is raised in a worker reaches the main process wrapped in a traceback.
            return {"fault": str(error)}
        cut = crop(image, torch.tensor(self.boxes[draw.index]), self._size)
        target = {"person_ids": torch.tensor(self.person_ids[draw.index : draw.index + 1])}
        return {"images": cut.flip(-1) if draw.mirrored else cut, "targets": target, "names": scene.name}

    def landscape(self) -> np.ndarray:
        """(N,) bool: all are of one size."""
        return np.full(len(self), self._size[1] >= self._size[0])


def require_detections(predictions: Predictions, scenes: Scenes, test: Scenes, where: str) -> None:
    """Check that predictions are of some training scenes.

    Args:
        predictions: to check.
        scenes, test: of both splits.
        where: where the predictions are from, for the message.

    Raises:
        InputError: they are of the test scenes, or of other data.
    """
    remedy = "Give what `psbench predict --split train` writes for this dataset."
    if predictions.fingerprint == test.fingerprint != scenes.fingerprint:
        raise InputError(f"{where}: these are detections of the test scenes, expected the training scenes. {remedy}")
    if predictions.fingerprint not in ("", scenes.fingerprint):
        raise InputError(
            f"{where}: detections on another {predictions.dataset or 'dataset'} (fingerprint "
            f"{predictions.fingerprint[:12]}) than these training scenes (fingerprint {scenes.fingerprint[:12]}). "
            f"{remedy}"
        )
    if unknown := [name for name in predictions.scene_names if name not in scenes.positions]:
        raise InputError(f"{where}: {unknown[0]!r}, and {len(unknown) - 1} more, are no training scenes. {remedy}")


def detections_digest(predictions: Predictions, scenes: Scenes) -> str:
    """SHA-256 of the boxes detected in training scenes, whatever the order of the scenes in the predictions."""
    scene_of, rows = _in_order(scenes, predictions)
    sha = hashlib.sha256(scene_of.tobytes())
    sha.update(predictions.boxes[rows].tobytes())
    return sha.hexdigest()


def _matched(scenes: Scenes, detections: Predictions, iou: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each detected box: its scene, itself, and who it is; UNLABELED if nobody with an identity."""
    scene_of, rows = _in_order(scenes, detections)
    boxes = detections.boxes[rows]
    ids = np.full(len(boxes), UNLABELED)
    starts = np.searchsorted(scene_of, np.arange(len(scenes) + 1))
    for i in np.unique(scene_of):
        found, people = slice(*starts[i : i + 2]), scenes[int(i)]
        if len(people.boxes):
            overlap, who = box_iou(torch.tensor(boxes[found]), torch.tensor(people.boxes)).max(dim=1)
            ids[found] = np.where(overlap.numpy() >= iou, people.person_ids[who.numpy()], UNLABELED)
    return scene_of, boxes, ids


def _in_order(scenes: Scenes, detections: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """The detections' rows, scene after scene as the scenes are, and the scene of each."""
    positions = np.array([scenes.positions[name] for name in detections.scene_names], np.int64)
    scene_of = np.repeat(positions, detections.counts)
    rows = np.argsort(scene_of, kind="stable")
    return scene_of[rows], rows
