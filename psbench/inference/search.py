"""`search` and `search_into`: a query-guided model over the queries and galleries of protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from psbench.inference.pairing import Keep, Pairing, Piece, Turn
from psbench.inference.pictures import Pictures, of_queries, over_pictures
from psbench.inference.rescoring import Rescoring, RescoringRecord
from psbench.inference.search_cost import Stopwatch
from psbench.inference.search_pieces import SceneFound, faults, finish, write_piece
from psbench.inference.sharing import (
    SEARCHED,
    Job,
    Record,
    at_work,
    begin,
    carry_out,
    clear,
    model_digest,
    require_methods,
    temporary_folder,
)
from psbench.pairwise import PairwisePredictions
from psbench.processes import main_process_first, placed, this_process
from psbench.shards import MANIFEST
from psbench.zoo import Found
from psbench.zoo.interface import inference
from psbench_data import PersonSearchDataset, Scenes
from psbench_data.names import given_path


def search(
    model: Any,
    dataset: PersonSearchDataset,
    *,
    protocol: str | Sequence[str],
    reid: Any = None,
    keep: Keep = None,
    queries_at_once: int = 8,
    batch_size: int | None = None,
    workers: int | None = None,
    method: str = "",
    progress: bool = True,
) -> PairwisePredictions:
    """Search the galleries of protocols for their queries, by way of a temporary folder that all processes must see.

    Args:
        model, dataset, protocol, reid, keep, queries_at_once, batch_size, workers, method, progress: as in
            `search_into`.

    Raises:
        InputError: as in `search_into`.
    """
    with temporary_folder() as folder:
        written = search_into(
            model,
            dataset,
            folder / "predictions",
            protocol=protocol,
            reid=reid,
            keep=keep,
            queries_at_once=queries_at_once,
            batch_size=batch_size,
            workers=workers,
            method=method,
            progress=progress,
        )
        return PairwisePredictions.load(written)


def search_into(
    model: Any,
    dataset: PersonSearchDataset,
    folder: str | Path,
    *,
    protocol: str | Sequence[str],
    reid: Any = None,
    keep: Keep = None,
    queries_at_once: int = 8,
    batch_size: int | None = None,
    workers: int | None = None,
    method: str = "",
    progress: bool = True,
) -> Path:
    """Search the galleries of protocols for their queries, and write that as a folder of pairwise predictions.

    Each query is encoded once, each scene once for all queries that are searched in it, and a pair that several
    protocols ask for is searched once: the folder serves them all. A query's own scene is searched only where a
    gallery names it. The folder fills piece by piece, may be continued after an interruption, and is shared by
    processes, as with `predict_into`.

    In memory are, a process: 4 bytes a pair (some 40 while they are listed); the kernels of at most 3,072 queries (of
    IGPN with ICCL 0.1 MB each, with VCCL 2.3 MB); the maps of `batch_size` scenes and the heads of `queries_at_once`
    pairs; a piece of 4,096 pairs with its proposals. On disk are the proposals of all pairs, of a piece and query at
    most `keep` a protocol. With `keep`, the main process puts the best together in the end, and holds 16 bytes a pair,
    the best, and up to as many again, or eight million.

    Args:
        model: a torch module that encodes queries and scenes and searches what is encoded, as `psbench.zoo.igpn.IGPN`
            does; moved to the process's device.
        dataset: its test split is searched.
        folder: to make, or to continue.
        protocol: a name of `dataset.protocols`, or several, in any order.
        reid: a torch module with the method `embed` of `PersonSearcher`: it embeds the queries and all proposals that
            are kept, and the cosine of both becomes their similarity; the model's own stays beside it, as
            `proposal_similarities`. None leaves it at the model's own.
        keep: how many proposals of each query are kept over its whole gallery, those that the model finds most similar;
            None for all. Of several protocols it is so many of each one's gallery, or by name as many as are given.
            Of a search with more, `evaluate` and `rescore_into` keep what a search with fewer does.
        queries_at_once: that are searched in a scene together; results change by rounding alone.
        batch_size: scenes that are encoded at once, of those that have one size; likewise. By default 8 on a GPU, else
            1.
        workers: threads that decode images, see `predict_into`.
        method: a name to keep with the predictions.
        progress: whether to show a progress bar, over what the main process does.

    Returns:
        The folder. Beside the predictions, cost.json says what they took (`SearchCost`).

    Raises:
        InputError: a protocol is unknown, images are missing or do not decode, the folder holds something else, or
            pieces are missing in the end; the model's numbers cannot be right.
        ConnectionAbortedError: another process has ended.
    """
    folder = given_path(folder)
    found = folder / SEARCHED

    def plan() -> _Search:
        pairing = Pairing.of(dataset, protocol, keep=keep, method=method)
        return _Search(model, pairing, queries_at_once, batch_size, workers)

    def plan_ranking() -> Rescoring:
        proposals = PairwisePredictions.load(found)
        return Rescoring(reid, dataset.split("test"), found, proposals, ranking, workers, "")

    remedy = "Give a query-guided model, such as igpn; others are for `predict`."
    require_methods(model, ["encode_queries", "encode_scenes", "search_encoded"], remedy)
    if reid is None:
        return carry_out(plan, folder, progress=progress)
    require_methods(reid, ["embed"], "Give a re-ID network, such as reid_pcb.")
    with main_process_first():
        job = plan()
        ranking = RescoringRecord.of(reid, job.record().digest)
        if this_process().is_main_process:
            job.scenes.require_images()
            with at_work(folder):
                begin(folder, ranking)
    if (folder / MANIFEST).is_file():
        # What was ranked may be gone already.
        if this_process().is_main_process:
            clear(folder)
        return folder
    if not (found / MANIFEST).is_file():
        carry_out(lambda: job, found, progress=progress)
    return carry_out(plan_ranking, folder, progress=progress)


@dataclass(frozen=True, eq=False)
class _Search(Job[Piece]):
    model: Any
    pairing: Pairing
    queries_at_once: int
    batch_size: int | None
    workers: int | None
    unit = "pair"

    @property
    def scenes(self) -> Scenes:
        return self.pairing.scenes

    def record(self) -> Record:
        return self.pairing.record(model_digest(self.model))

    def pieces(self) -> list[Piece]:
        return self.pairing.pieces()

    def size(self, piece: Piece) -> int:
        return self.pairing.size(piece)

    def faults(self, piece: Piece, folder: Path) -> list[str]:
        return faults(self.pairing, piece, folder)

    def make(self, pieces: Sequence[Piece], folder: Path, bar: tqdm) -> None:
        model = placed(self.model, this_process().device)
        for _, of_turn in groupby(sorted(pieces), key=lambda piece: piece.turn):
            _search_turn(model, self, list(of_turn), folder, bar)

    def finish(self, folder: Path) -> None:
        finish(self.pairing, folder)


@inference
def _search_turn(model: Any, search: _Search, pieces: Sequence[Piece], folder: Path, bar: tqdm) -> None:
    pairing, watch = search.pairing, Stopwatch()
    turn = pairing.turns[pieces[0].turn]
    bar.set_description("encoding queries")
    queries = _encode_queries(model, search, turn, watch)
    once = watch.take()
    bar.set_description("searching")

    def run(pictures: Pictures) -> list[SceneFound]:
        with watch("scenes"):
            scenes = model.encode_scenes(pictures.images)
        found = []
        for row, scene in zip(pictures.rows, scenes, strict=True):
            asked = turn.queries_of(pieces[pictures.piece].start + row) - turn.queries.start
            rows = torch.from_numpy(asked).to(pictures.images[0].device)
            with watch("pairs"):
                parts = (queries.select(some) for some in rows.split(search.queries_at_once))
                found.append(_collected([one for part in parts for one in model.search_encoded(part, scene)]))
            bar.update(len(asked))
        return found

    def write(number: int, found: list[SceneFound]) -> None:
        write_piece(pairing, pieces[number], found, once | watch.take(), folder)

    positions = [pairing.positions(piece) for piece in pieces]
    over_pictures(pairing.scenes, positions, run, write, batch_size=search.batch_size, workers=search.workers)


def _encode_queries(model: Any, search: _Search, turn: Turn, watch: Stopwatch) -> Any:
    """The queries of a turn, in their order."""
    own = slice(turn.queries.start, turn.queries.stop)
    scenes, boxes = search.pairing.query_scenes[own], search.pairing.query_boxes[own]

    def run(image: Tensor, of_image: Tensor) -> Any:
        with watch("query"):
            return model.encode_queries([image], [of_image])

    parts, places = of_queries(search.scenes, scenes, boxes, run, workers=search.workers)
    return parts[0].cat(parts).select(places)


def _collected(found: Sequence[Found]) -> SceneFound:
    """What was found of some queries, brought here in one go."""
    return SceneFound(
        np.array([len(one.boxes) for one in found]),
        torch.cat([one.boxes for one in found]).float().cpu().numpy(),
        torch.cat([one.similarities for one in found]).float().cpu().numpy(),
    )
