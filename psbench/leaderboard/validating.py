"""Faults of a predictions folder, in itself and beside its dataset: all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from psbench.evaluation.borders import image_sizes, resized_text, sticking_out
from psbench.evaluation.fitting import length_faults, origin_faults
from psbench.evaluation.gallery import (
    foreign_faults,
    foreign_query_faults,
    missing_query,
    missing_scene,
    named_rows,
    query_rows,
    unknown_faults,
)
from psbench.evaluation.pairs import coverage_faults
from psbench.evaluation.rules import Rules
from psbench.folders import take
from psbench.intake import At, Intake
from psbench.leaderboard.entry import board_of
from psbench.leaderboard.wholeness import counts_of, part_faults
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench.shards import MANIFEST, Taken
from psbench_data import InputError, PersonSearchDataset, Protocol, Scenes
from psbench_data.names import given_path


def validate(
    folder: str | Path,
    dataset: PersonSearchDataset | None = None,
    *,
    protocols: Sequence[str] | None = None,
    submitted: bool = False,
    progress: bool = False,
) -> list[str]:
    """Check a predictions folder: its files and every value in them and, with its dataset, whether it is complete.

    With a dataset, detections must be of all its test scenes, and pairs of the galleries of all its protocols; every
    query must be there; and boxes must lie in their images, as far as the annotation or the image files tell sizes.

    Args:
        folder: of detections or of pairwise predictions.
        dataset: that was predicted on.
        protocols: those that it must serve; all by default.
        submitted: whether it is a fault that the fingerprint is left empty, which otherwise is told.
        progress: whether to show a bar while sizes are read from image files.

    Returns:
        What could not be checked, and what a leaderboard would refuse, a sentence each.

    Raises:
        InputError: listing all faults, each with its file and row; more than fifty of a kind as one, with their number.
    """
    folder = given_path(folder)
    intake, remarks = Intake(str(folder)), []
    taken = take(folder, intake)
    if dataset is not None:
        chosen = [dataset.protocol(name) for name in protocols or dataset.protocols]
        remarks = _beside(folder, taken, intake, dataset, chosen, progress)
        board = board_of(dataset.name, dataset.options, synthetic=dataset.synthetic)
        remarks += part_faults(dataset.name, board, counts_of(dataset, chosen), synthetic=dataset.synthetic)
        if not taken.predictions.fingerprint:
            nameless = (
                f"{folder / MANIFEST}: fingerprint is empty, and an entry needs it, to say which data it is of. Those "
                f"test scenes have {dataset.split('test').fingerprint}."
            )
            if submitted:
                intake.add_all([nameless], 1)
            else:
                remarks.append(nameless)
    intake.raise_faults()
    return remarks


def _beside(
    folder: Path,
    taken: Taken,
    intake: Intake,
    dataset: PersonSearchDataset,
    protocols: Sequence[Protocol],
    progress: bool,
) -> list[str]:
    """Note what does not fit the dataset, and give what could not be compared."""
    predictions, test = taken.predictions, dataset.split("test")
    intact = not len(intake)
    origin = origin_faults(
        predictions, dataset.name, test.fingerprint, str(folder / MANIFEST), synthetic=dataset.synthetic
    )
    intake.add_all(origin, len(origin))
    names = predictions.scene_names or []
    if foreign := foreign_faults(names, test, dataset.name, where=str(folder)):
        intake.add_all(foreign, 1)
        return []
    unknown = unknown_faults(names, test, taken.at_scene)
    intake.add_all(unknown, len(unknown))
    rows = _note_queries(folder, taken, intake, protocols) if taken.queries_taken else {}
    if taken.scenes_taken and isinstance(predictions, Predictions):
        listed = set(names)
        missing = [f"{folder}: {missing_scene(name)}" for name in test.names if name not in listed]
        intake.add_all(missing, len(missing))
    if taken.scenes_taken and isinstance(predictions, PairwisePredictions) and _in_range(predictions):
        ordered = predictions.by_query()
        for protocol in protocols:
            if protocol.name in rows:
                lacking = coverage_faults(ordered, protocol, Rules(), rows[protocol.name], where=str(folder))
                intake.add_all(lacking, len(lacking))
    if intact and isinstance(predictions, Predictions):
        intake.add_all(length_faults(predictions, str(folder)), 1)
    return _note_boxes(taken, intake, test, progress)


def _note_queries(folder: Path, taken: Taken, intake: Intake, protocols: Sequence[Protocol]) -> dict[str, np.ndarray]:
    """Note what is missing, and give for each protocol which row each of its queries is, -1 for none."""
    predictions, file, rows = taken.predictions, folder / "queries.parquet", {}
    if predictions.query_scenes is None:
        faults = []
        for protocol in protocols:
            try:
                rows[protocol.name] = query_rows(predictions, protocol)
            except InputError as error:
                faults += [f"{file}{fault.removeprefix('predictions')}" for fault in error.faults]
        intake.add_all(faults, len(faults))
        if (context := getattr(predictions, "context", None)) is not None and not len(intake):
            context.find_strangers(intake, protocols[0].queries.boxes, taken.at_query)
        return rows
    scenes, boxes = predictions.query_scenes, predictions.query_boxes
    if foreign := foreign_query_faults(scenes, protocols[0], str(file)):
        intake.add_all(foreign, 1)
        return rows
    unknown = unknown_faults(scenes, protocols[0].scenes, taken.at_query)
    intake.add_all(unknown, len(unknown))
    missing: dict[tuple[int, bytes], str] = {}
    for protocol in protocols:
        rows[protocol.name] = named_rows(scenes, boxes, protocol)
        for query in np.flatnonzero(rows[protocol.name] < 0).tolist():
            # Said once, although most protocols ask for it.
            key = int(protocol.queries.scenes[query]), protocol.queries.boxes[query].tobytes()
            missing.setdefault(key, f"{file}: {missing_query(protocol, query)}")
    intake.add_all(missing.values(), len(missing))
    return rows


def _in_range(predictions: PairwisePredictions) -> bool:
    """Whether the pairs name queries and scenes that there are."""
    if predictions.scene_names is None or predictions.num_queries is None:
        return False
    queries, scenes = predictions.pair_queries, predictions.pair_scenes
    return bool(
        ((queries >= 0) & (queries < predictions.num_queries)).all()
        and ((scenes >= 0) & (scenes < len(predictions.scene_names))).all()
    )


def _note_boxes(taken: Taken, intake: Intake, test: Scenes, progress: bool) -> list[str]:
    """Note the boxes that stick out of their images, and say which images are not known."""
    predictions = taken.predictions
    position = np.array([test.positions.get(name, -1) for name in predictions.scene_names or []], np.int64)
    if taken.at_pair is None:
        parts = [(predictions.boxes, position, predictions.offsets, taken.at_scene, "detection")]
    elif _in_range(predictions):
        parts = [(predictions.boxes, position[predictions.pair_scenes], predictions.offsets, taken.at_pair, "proposal")]
    else:
        parts = []
    context = getattr(predictions, "context", None)
    if context is not None and len(predictions.query_scenes or []) == len(context.offsets) - 1:
        asked = np.array([test.positions.get(name, -1) for name in predictions.query_scenes], np.int64)
        parts.append((context.boxes, asked, context.offsets, taken.at_query, "context's detection"))
    used = np.unique(np.concatenate([np.zeros(0, np.int64), *(owners for _, owners, _, _, _ in parts)]))
    used = used[used >= 0]
    sizes = image_sizes(test, used, progress=progress)
    for boxes, owners, offsets, at, what in parts:
        _note_outside(intake, boxes, owners, offsets, test, sizes, _at_row(at, offsets, what))
    unknown = int((sizes[used, 0] == 0).sum())
    if not unknown:
        return []
    return [
        f"boxes of {unknown} of {len(used)} scenes were compared with the left and upper border alone: "
        "neither annotation nor image files tell their sizes."
    ]


def _at_row(at_owner: At, offsets: np.ndarray, what: str) -> At:
    def at(row: int) -> str:
        owner = int(np.searchsorted(offsets, row, side="right")) - 1
        return f"{at_owner(owner)}: the box of {what} {row - offsets[owner]}"

    return at


def _note_outside(
    intake: Intake,
    boxes: np.ndarray,
    owners: np.ndarray,
    offsets: np.ndarray,
    test: Scenes,
    sizes: np.ndarray,
    at: Callable[[int], str],
) -> None:
    """Boxes (N, 4), of owners (O,) that are test scenes or -1, N of them by (O + 1,) offsets; sizes (S, 2)."""
    scene = np.repeat(owners, np.diff(offsets))
    rows, over = sticking_out(boxes, scene, test, sizes)

    def fault(row: int) -> str:
        height, width = sizes[scene[row]].tolist()
        image = f"its image of {width} x {height} pixels (width x height)" if width else "its image, left or above,"
        return (
            f"{at(row)} is {boxes[row].tolist()}, which sticks out of {image} by {over[row]:g}. Give x1, y1, x2, y2 in "
            "pixels of the original image, not of a resized one, clipped to it."
        )

    intake.add_all(map(fault, rows.tolist()), len(rows), resized_text(len(rows), len(boxes)))
