"""`predict` and `predict_into`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from psbench.inference.pictures import picture_batches
from psbench.inference.pieces import Found, begin, finish, write_piece
from psbench.inference.work import Piece, Work
from psbench.predictions import Predictions
from psbench.processes import from_main, main_process_first, this_process, wait_for_others
from psbench.shards import WORK
from psbench.zoo import Detections
from psbench.zoo.images import to_float
from psbench.zoo.interface import inference
from psbench_data import InputError, PersonSearchDataset
from psbench_data.names import given_path


def predict(
    model: Any,
    dataset: PersonSearchDataset,
    *,
    protocols: Sequence[str] | None = None,
    ground_truth_boxes: bool = False,
    context: bool = False,
    batch_size: int = 1,
    workers: int = 0,
    method: str = "",
    progress: bool = True,
) -> Predictions:
    """Detect and embed the people of every test scene, and embed the queries.

    Works in a temporary folder, which the processes must share if there are several; each gets all predictions. The
    model comes back in the mode it was in, on its process's device, and no random number is drawn, so that this can
    also be called in the middle of a training.

    Args:
        model, dataset, protocols, ground_truth_boxes, context, batch_size, workers, method, progress: as in
            `predict_into`.

    Returns:
        Predictions that fit each of the protocols.

    Raises:
        InputError: as in `predict_into`.
    """
    main = this_process().is_main_process
    folder = Path(from_main(tempfile.mkdtemp(prefix="psbench-") if main else ""))
    try:
        written = predict_into(
            model,
            dataset,
            folder / "predictions",
            protocols=protocols,
            ground_truth_boxes=ground_truth_boxes,
            context=context,
            batch_size=batch_size,
            workers=workers,
            method=method,
            progress=progress,
        )
        predictions = Predictions.load(written)
        wait_for_others()
    finally:
        if main:
            shutil.rmtree(folder, ignore_errors=True)
    return predictions


def predict_into(
    model: Any,
    dataset: PersonSearchDataset,
    folder: str | Path,
    *,
    protocols: Sequence[str] | None = None,
    ground_truth_boxes: bool = False,
    context: bool = False,
    batch_size: int = 1,
    workers: int = 0,
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
        dataset: its `test` split is predicted.
        folder: to make, or to continue.
        protocols: whose queries to embed; all by default. A query that several share is embedded once.
        ground_truth_boxes: embed the annotated boxes, as queries are, with score 1, instead of detecting: what the
            embeddings would reach with a perfect detector.
        context: detect the people around each query, too, as CBGM needs it.
        batch_size: images at once. Only images of equal size are, so that results change by rounding alone.
        workers: processes that decode images, for each process that predicts; 0 decodes where it predicts.
        method: a name to keep with the predictions.
        progress: whether to show a progress bar, over what the main process does.

    Returns:
        The folder.

    Raises:
        InputError: a protocol is unknown, images are missing or do not decode, the folder holds something else, or
            pieces are missing in the end.
        ConnectionAbortedError: another process has ended.
    """
    folder, state = given_path(folder), this_process()
    todo: list[Piece] = []
    with main_process_first():
        work = Work.of(dataset, protocols, ground_truth_boxes=ground_truth_boxes, context=context)
        if state.is_main_process:
            work.scenes.require_images()
            todo = begin(work, work.record(model), folder)
        elif not (folder / WORK).is_file():
            raise InputError(f"{folder}: this machine does not see the folder. Give one that all machines share.")
    todo = from_main(todo)
    model = model.to(state.device)
    shown = progress and state.is_main_process
    if shown and (kept := len(work.pieces()) - len(todo)):
        tqdm.write(f"{folder}: {kept} of {len(work.pieces())} pieces are there, {len(todo)} to do", file=sys.stderr)
    with state.split_between_processes(todo) as own:
        images = sum(piece.stop - piece.start for piece in own)
        with tqdm(total=images, unit="image", disable=not shown) as bar:
            scenes_first = sorted(own, key=lambda piece: (piece.kind == "queries", piece.number))
            _predict_pieces(model, work, scenes_first, folder, batch_size, workers, bar)
    wait_for_others()
    if state.is_main_process:
        finish(work, folder, dataset=dataset, method=method)
    wait_for_others()
    return folder


@inference
def _predict_pieces(
    model: Any, work: Work, pieces: Sequence[Piece], folder: Path, batch_size: int, workers: int, bar: tqdm
) -> None:
    device = this_process().device
    batches = picture_batches(work, pieces, batch_size=batch_size, workers=workers, pinned=device.type == "cuda")
    # Not with the rounding of a training that this may be called from.
    with torch.autocast(device.type, enabled=False):
        for number, of_piece in groupby(batches, key=lambda batch: batch["piece"]):
            piece, found, faults = pieces[number], dict[int, Found](), list[str]()
            bar.set_description(_doing(work, piece))
            for batch in of_piece:
                faults += batch["faults"]
                if not faults:
                    images = [to_float(image.to(device, non_blocking=True)) for image in batch["images"]]
                    run = _run_scenes if piece.kind == "scenes" else _run_queries
                    rows = [piece.start + row for row in batch["rows"]]
                    found |= zip(batch["rows"], run(model, work, rows, images), strict=True)
                bar.update(len(batch["rows"]))
            if faults:
                raise InputError(faults)
            write_piece(work, piece, [found[row] for row in range(len(found))], folder)


def _doing(work: Work, piece: Piece) -> str:
    if piece.kind == "scenes":
        return "embedding true boxes" if work.ground_truth_boxes else "detecting"
    return "embedding queries" + (", detecting around" if work.context else "")


def _run_scenes(model: Any, work: Work, rows: list[int], images: list[Tensor]) -> list[Found]:
    if not work.ground_truth_boxes:
        return [Found(_on_cpu(detections)) for detections in model.detect(images)]
    boxes = [torch.tensor(work.scenes[row].boxes, device=images[0].device) for row in rows]
    return [
        Found(_on_cpu(Detections(boxes=own, scores=own.new_ones(len(own)), embeddings=embeddings)))
        for own, embeddings in zip(boxes, model.embed(images, boxes), strict=True)
    ]


def _run_queries(model: Any, work: Work, rows: list[int], images: list[Tensor]) -> list[Found]:
    boxes = list(torch.tensor(work.query_boxes[rows], device=images[0].device)[:, None])
    embeddings = [of_one[0].float().cpu() for of_one in model.embed(images, boxes)]
    if not work.context:
        return [Found(None, embedding) for embedding in embeddings]
    around = map(_on_cpu, model.detect(images, include=boxes))
    return [Found(detections, embedding) for detections, embedding in zip(around, embeddings, strict=True)]


def _on_cpu(detections: Detections) -> Detections:
    return Detections(
        boxes=detections.boxes.float().cpu(),
        scores=detections.scores.float().cpu(),
        embeddings=detections.embeddings.float().cpu(),
    )
