"""`predict`, `predict_into` and `detect_into`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from psbench.inference.pictures import Pictures, over_pictures
from psbench.inference.pieces import Found, faults, finish, found_length, query_length, write_piece
from psbench.inference.sharing import Job, Record, carry_out, require_context, require_methods, temporary_folder
from psbench.inference.work import Piece, Work
from psbench.predictions import Predictions
from psbench.processes import placed, this_process
from psbench.zoo import Detections
from psbench.zoo.answers import detected, embedded, require_comparable
from psbench.zoo.images import image_tensor
from psbench.zoo.interface import inference
from psbench_data import InputError, PersonSearchDataset, Scenes

_REMEDIES = {
    "detect": "A re-ID network needs a detector before it (psbench.zoo.two_step), somebody's detections (detections), "
    "or the annotated boxes (ground_truth_boxes); a query-guided model searches (psbench.inference.search).",
    "embed": "It says who is in known boxes, as queries are: embed(images, boxes). Give the class this method, or put "
    "a re-ID network after it (psbench.zoo.two_step).",
}
"""Where a model has no method of this name."""


def predict(
    model: Any,
    dataset: PersonSearchDataset,
    *,
    protocols: Sequence[str] | None = None,
    split: str = "test",
    ground_truth_boxes: bool = False,
    detections: str | Path | Predictions | None = None,
    context: bool = False,
    batch_size: int | None = None,
    workers: int | None = None,
    method: str = "",
    progress: bool = True,
) -> Predictions:
    """Detect and embed the people of every test scene, and embed the queries; or the people of the training scenes.

    Works in a temporary folder, which the processes must share if there are several; each gets all predictions. The
    model comes back in the mode it was in, on its process's device, and no random number is drawn, so that this can
    also be called in the middle of a training.

    Args:
        model, dataset, protocols, split, ground_truth_boxes, detections, context: as in `predict_into`.
        batch_size, workers, method, progress: likewise.

    Returns:
        Predictions that fit each of the protocols.

    Raises:
        InputError: as in `predict_into`.
    """
    with temporary_folder() as folder:
        written = predict_into(
            model,
            dataset,
            folder / "predictions",
            protocols=protocols,
            split=split,
            ground_truth_boxes=ground_truth_boxes,
            detections=detections,
            context=context,
            batch_size=batch_size,
            workers=workers,
            method=method,
            progress=progress,
        )
        return Predictions.load(written)


def predict_into(
    model: Any,
    dataset: PersonSearchDataset,
    folder: str | Path,
    *,
    protocols: Sequence[str] | None = None,
    split: str = "test",
    ground_truth_boxes: bool = False,
    detections: str | Path | Predictions | None = None,
    context: bool = False,
    batch_size: int | None = None,
    workers: int | None = None,
    method: str = "",
    progress: bool = True,
) -> Path:
    """Detect and embed the people of every test scene, and the queries, and write that as a predictions folder.

    The folder fills piece by piece and becomes a predictions folder at the end. Called again after an interruption, it
    keeps the finished pieces; the number of processes, `batch_size` and `workers` may be others. Memory is needed for
    one piece, however many scenes there are. Processes that were started together (`accelerate launch`, torchrun) share
    the work; all call this, and must see the folder.

    Args:
        model: a `PersonSearcher` that is a torch module; moved to the process's device.
        dataset: whose scenes are predicted.
        folder: to make, or to continue.
        protocols: whose queries to embed; all by default. A query that several share is embedded once.
        split: `test`, or `train`: its scenes alone, as there are no queries. A re-ID network learns from such boxes.
        ground_truth_boxes: embed the annotated boxes, as queries are, with score 1, instead of detecting: what the
            embeddings would reach with a perfect detector.
        detections: somebody else's, or the folder of their predictions: embed these boxes, which keep their scores,
            instead of detecting. Their embeddings are not looked at.
        context: detect the people around each query, too, as CBGM needs it.
        batch_size: images at once, by default 8 on a GPU, else 1. Only images of equal size are, so that results change
            by rounding alone. Fewer where memory does not suffice.
        workers: threads that decode images, for each process that predicts; 0 decodes where it predicts. By default 4
            beside a GPU, else 0.
        method: a name to keep with the predictions.
        progress: whether to show a progress bar, over what the main process does.

    Returns:
        The folder.

    Raises:
        InputError: a protocol or the split is unknown, images are missing or do not decode, the folder holds something
            else, or pieces are missing in the end; the model does not detect.
        ConnectionAbortedError: another process has ended.
    """

    def plan() -> _Prediction:
        if detections is not None and (ground_truth_boxes or context):
            raise InputError("detections are embedded as they are. Leave ground_truth_boxes and context out.")
        known = (ground_truth_boxes and not context) or detections is not None
        _require_methods(model, ["embed"] if known else ["detect", "embed"])
        if context:
            require_context(model)
        given = detections if isinstance(detections, Predictions | None) else Predictions.load(detections)
        work = Work.of(
            dataset, protocols, split=split, ground_truth_boxes=ground_truth_boxes, context=context, given=given
        )
        return _Prediction(model, work, dataset.name, dataset.synthetic, batch_size, workers, method)

    return carry_out(plan, folder, progress=progress)


def detect_into(
    model: Any,
    scenes: Scenes,
    folder: str | Path,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    method: str = "",
    progress: bool = True,
) -> Path:
    """Detect and embed the people of scenes that are of no dataset, and write that as a predictions folder.

    Args:
        model, folder, batch_size, workers, method, progress: as in `predict_into`, in all of which this is like it.
        scenes: at least one.

    Returns:
        The folder, without queries.

    Raises:
        InputError, ConnectionAbortedError: as in `predict_into`.
    """

    def plan() -> _Prediction:
        _require_methods(model, ["detect"])
        return _Prediction(model, Work.of_scenes(scenes), "", False, batch_size, workers, method)

    return carry_out(plan, folder, progress=progress)


@dataclass(frozen=True, eq=False)
class _Prediction(Job[Piece]):
    model: Any
    work: Work
    dataset: str
    synthetic: bool
    batch_size: int | None
    workers: int | None
    method: str
    unit = "image"

    @property
    def scenes(self) -> Scenes:
        return self.work.scenes

    def record(self) -> Record:
        return self.work.record(self.model)

    def try_out(self) -> None:
        if self.work.query_scenes:
            _try_out(placed(self.model, this_process().device), self.work)

    def pieces(self) -> list[Piece]:
        return self.work.pieces()

    def size(self, piece: Piece) -> int:
        return piece.stop - piece.start

    def faults(self, piece: Piece, folder: Path) -> list[str]:
        return faults(self.work, piece, folder)

    def make(self, pieces: Sequence[Piece], folder: Path, bar: tqdm) -> None:
        scenes_first = sorted(pieces, key=lambda piece: (piece.kind == "queries", piece.number))
        model = placed(self.model, this_process().device)
        _predict_pieces(model, self.work, scenes_first, folder, self.batch_size, self.workers, bar)

    def finish(self, folder: Path) -> None:
        # Nobody may have been found when it was tried out.
        if of_queries := query_length(self.work, folder):
            require_comparable(type(self.model).__name__, of_queries, found_length(self.work, folder))
        finish(self.work, folder, dataset=self.dataset, synthetic=self.synthetic, method=self.method)


def _require_methods(model: Any, names: Sequence[str]) -> None:
    lacking = [name for name in names if not hasattr(model, name)]
    require_methods(model, names, " ".join(_REMEDIES[name] for name in lacking))


@inference
def _try_out(model: Any, work: Work) -> None:
    """Ask for one query and its scene all that will be asked, without which hours might pass before a wrong answer."""
    position = work.query_scenes[0]
    try:
        image_tensor(work.scenes[position])
    except InputError:
        # It is told with all others that do not decode.
        return

    def run(pictures: Pictures) -> list[None]:
        [of_query] = _run_queries(model, work, [0], pictures.images)
        [of_scene] = _run_scenes(model, work, [position], pictures.images)
        assert of_query.embedding is not None
        for found in (of_query.detections, of_scene.detections):
            # Where nobody is found, there may be embeddings of any length.
            if found is not None and len(found.embeddings):
                require_comparable(type(model).__name__, len(of_query.embedding), found.embeddings.shape[1])
        return [None]

    over_pictures(work.scenes, [[position]], run, lambda *_: None, batch_size=1, workers=0)


@inference
def _predict_pieces(
    model: Any,
    work: Work,
    pieces: Sequence[Piece],
    folder: Path,
    batch_size: int | None,
    workers: int | None,
    bar: tqdm,
) -> None:
    def run(pictures: Pictures) -> list[Found]:
        piece = pieces[pictures.piece]
        bar.set_description(_doing(work, piece))
        run_kind = _run_scenes if piece.kind == "scenes" else _run_queries
        found = run_kind(model, work, [piece.start + row for row in pictures.rows], pictures.images)
        bar.update(len(found))
        return found

    def write(number: int, found: list[Found]) -> None:
        write_piece(work, pieces[number], found, folder)

    positions = [work.positions(piece) for piece in pieces]
    over_pictures(work.scenes, positions, run, write, batch_size=batch_size, workers=workers)


def _doing(work: Work, piece: Piece) -> str:
    if piece.kind == "scenes":
        what = "true" if work.ground_truth_boxes else "given"
        return f"embedding {what} boxes" if work.boxes_are_known else "detecting"
    return "embedding queries" + (", detecting around" if work.context else "")


def _run_scenes(model: Any, work: Work, rows: list[int], images: list[Tensor]) -> list[Found]:
    if not work.boxes_are_known:
        return [Found(detections) for detections in detected(model, images)]
    known = [[torch.tensor(column) for column in work.known(row)] for row in rows]
    embeddings = embedded(model, images, [boxes.to(images[0].device) for boxes, _ in known])
    return [
        Found(Detections(boxes=boxes, scores=scores, embeddings=of_image))
        for (boxes, scores), of_image in zip(known, embeddings, strict=True)
    ]


def _run_queries(model: Any, work: Work, rows: list[int], images: list[Tensor]) -> list[Found]:
    boxes = list(torch.tensor(work.query_boxes[rows], device=images[0].device)[:, None])
    embeddings = [of_one[0] for of_one in embedded(model, images, boxes)]
    if not work.context:
        return [Found(None, embedding) for embedding in embeddings]
    around = detected(model, images, include=boxes)
    return [Found(detections, embedding) for detections, embedding in zip(around, embeddings, strict=True)]
