"""`rescore_into`: the proposals of a query-guided model, ranked by a re-ID network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from psbench.inference.pairing import cut, searched_by
from psbench.inference.pictures import Pictures, of_queries, over_pictures
from psbench.inference.search_cost import COST, Part, Stopwatch, read_cost, write_cost
from psbench.inference.search_pieces import seconds_of, untimed, write_timed
from psbench.inference.sharing import Job, Record, carry_out, missing, model_digest, require_methods
from psbench.pairwise import PairwisePredictions
from psbench.pairwise_folder import write_frame, write_pairs
from psbench.processes import placed, this_process
from psbench.shards import MANIFEST, floats
from psbench.zoo.interface import inference
from psbench_data import InputError, PersonSearchDataset, Scenes

PIECE_CROPS = 8192
"""Proposals of a piece, about: some seconds of a GPU's work."""
_CROPS_AT_ONCE = 64
_SCHEMA = pa.schema({"row": pa.int64(), "similarity": pa.float32()})
"""Of a piece."""


def rescore_into(
    reid: Any,
    dataset: PersonSearchDataset,
    folder: str | Path,
    *,
    proposals: str | Path,
    protocol: str | None = None,
    keep: int | None = None,
    workers: int | None = None,
    method: str = "",
    progress: bool = True,
) -> Path:
    """Rank the proposals of a search by a re-ID network, and write that as a folder of pairwise predictions.

    One search serves several networks. The folder fills piece by piece, may be continued after an interruption, and is
    shared by processes, as with `predict_into`. In memory are, a process: the pairs, the proposals (both as in
    `PairwisePredictions`), and the embeddings of the queries.

    Args:
        reid: a torch module with the method `embed` of `PersonSearcher`; moved to the process's device.
        dataset: whose test scenes were searched.
        folder: to make, or to continue.
        proposals: the folder of the search.
        protocol: whose galleries are ranked, where the search was of more; None for all that was searched.
        keep: how many proposals of each query are ranked, and kept, over its whole gallery; None for all there are.
        workers: threads that decode images, see `predict_into`.
        method: what the network is called; it is kept after the method of the search.
        progress: whether to show a progress bar, over what the main process does.

    Returns:
        The folder. Its `similarities` are cosines of embeddings, its `proposal_similarities` those of the search.

    Raises:
        InputError: the proposals are not of this data and protocol, or do not say of which queries they are; images are
            missing or do not decode, the folder holds something else, or pieces are missing in the end; embeddings are
            not finite.
        ConnectionAbortedError: another process has ended.
    """

    def plan() -> Rescoring:
        found = PairwisePredictions.load(source := Path(proposals))
        task = None if protocol is None else dataset.protocol(protocol)
        if task is not None:
            found = searched_by(task, found, source)
        found = found if keep is None else found.keep(keep)
        digest = hashlib.sha256((source / MANIFEST).read_bytes()).hexdigest()
        record = RescoringRecord.of(reid, digest, keep, task.digest if task else None)
        return Rescoring(reid, dataset.split("test"), source, found, record, workers, method)

    require_methods(reid, ["embed"], "Give a re-ID network, such as reid_pcb.")
    return carry_out(plan, folder, progress=progress)


class RescoringRecord(Record):
    """Of a ranking: `model` is the re-ID network, `proposals` says of what."""

    proposals: str
    protocol: str | None = None
    keep: int | None
    piece_crops: int

    @classmethod
    def of(cls, reid: Any, proposals: str, keep: int | None = None, protocol: str | None = None) -> RescoringRecord:
        """The record of a network and of proposals with some digest, or those of a protocol with some digest."""
        model = model_digest(reid)
        return cls(model=model, proposals=proposals, protocol=protocol, keep=keep, piece_crops=PIECE_CROPS)


class Piece(NamedTuple):
    """Scenes whose proposals are embedded and written together: from which to which of those that have any."""

    number: int
    start: int
    stop: int


class _ByScene(NamedTuple):
    """Proposals in the order of the scenes.

    Attributes:
        rows: (N,) which proposal each is.
        scenes: (s,) positions of the scenes that have any.
        offsets: (s + 1,) where those of each begin and end.
    """

    rows: np.ndarray
    scenes: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True, eq=False)
class Rescoring(Job[Piece]):
    """The proposals of a search, to be ranked by a re-ID network.

    Attributes:
        model: that embeds.
        test: the test scenes.
        source: the folder of the search.
        proposals: of it, those that are ranked.
        known_by: the record.
        workers, method: as in `rescore_into`.
    """

    model: Any
    test: Scenes
    source: Path
    proposals: PairwisePredictions
    known_by: RescoringRecord
    workers: int | None
    method: str
    unit = "crop"

    def __post_init__(self) -> None:
        """Refuse proposals of other data."""
        known, found = self.scenes.positions, self.proposals
        remedy = "Give a search in the test scenes of this dataset."
        if found.fingerprint not in ("", self.scenes.fingerprint) or not set(found.scene_names) <= known.keys():
            raise InputError(f"{self.source}: proposals in other scenes than those of {self.scenes.root}. {remedy}")
        if found.query_scenes is None or not set(found.query_scenes) <= known.keys():
            raise InputError(
                f"{self.source}: does not say which boxes of the scenes of {self.scenes.root} its queries are. {remedy}"
            )

    @property
    def scenes(self) -> Scenes:
        return self.test

    def record(self) -> Record:
        return self.known_by

    def pieces(self) -> list[Piece]:
        stretches = cut(self.by_scene.offsets, self.known_by.piece_crops)
        return [Piece(number, int(of[0]), int(of[-1]) + 1) for number, of in enumerate(stretches)]

    def size(self, piece: Piece) -> int:
        return len(self._rows(piece))

    def faults(self, piece: Piece, folder: Path) -> list[str]:
        path = _path(folder, piece)
        return missing(path, pa.table({"row": self._rows(piece)}), lambda _: _SCHEMA) or untimed(path)

    def make(self, pieces: Sequence[Piece], folder: Path, bar: tqdm) -> None:
        if pieces:
            _rescore(placed(self.model, this_process().device), self, pieces, folder, bar)

    def write(self, piece: Piece, found: Sequence[np.ndarray], seconds: dict[Part, float], folder: Path) -> None:
        """Write the similarities of the scenes of a piece, and what they took."""
        similarities = np.concatenate(found)
        if not np.isfinite(similarities).all():
            row = self._rows(piece)[np.flatnonzero(~np.isfinite(similarities))[0]]
            pair = np.searchsorted(self.proposals.offsets, row, side="right") - 1
            name = self.proposals.scene_names[self.proposals.pair_scenes[pair]]
            raise InputError(
                f"scene {name!r}: the re-ID network gives an embedding that is not finite for the box "
                f"{self.proposals.boxes[row].tolist()}, or for its query. Look at the network's weights."
            )
        write_timed(pa.table({"row": self._rows(piece), "similarity": similarities}), seconds, _path(folder, piece))

    def finish(self, folder: Path) -> None:
        found, paths = self.proposals, [_path(folder, piece) for piece in self.pieces()]
        similarities = np.zeros(len(found.boxes), np.float32)
        tables = [pq.read_table(path, columns=["similarity"]).combine_chunks() for path in paths]
        similarities[self.by_scene.rows] = floats(tables, "similarity")
        of_search = found.similarities if found.proposal_similarities is None else found.proposal_similarities
        ranked = replace(
            found,
            similarities=similarities,
            proposal_similarities=of_search,
            method=" + ".join(filter(None, [found.method, self.method])),
        )
        shards = write_pairs(ranked, folder)
        if (self.source / COST).is_file():
            cost = read_cost(self.source)
            seconds = cost.seconds | {"reid": _seconds(paths)}
            write_cost(cost.model_copy(update={"crops": len(found.boxes), "seconds": seconds}), folder)
        write_frame(ranked, folder, shards)

    @cached_property
    def by_scene(self) -> _ByScene:
        """The proposals, scene after scene."""
        found = self.proposals
        positions = np.array([self.scenes.positions[name] for name in found.scene_names], np.int64)
        scene = np.repeat(positions[found.pair_scenes], found.counts)
        rows = np.argsort(scene, kind="stable")
        scenes, starts = np.unique(scene[rows], return_index=True)
        return _ByScene(rows, scenes, np.append(starts, len(rows)))

    @cached_property
    def query_of(self) -> np.ndarray:
        """(N,) int32: the query of each proposal."""
        return np.repeat(self.proposals.pair_queries, self.proposals.counts)

    def _rows(self, piece: Piece) -> np.ndarray:
        order = self.by_scene
        return order.rows[order.offsets[piece.start] : order.offsets[piece.stop]]


@inference
def _rescore(model: Any, job: Rescoring, pieces: Sequence[Piece], folder: Path, bar: tqdm) -> None:
    watch, order = Stopwatch(), job.by_scene
    bar.set_description("embedding queries")
    queries = _embedded_queries(model, job, watch)
    once = watch.take()
    bar.set_description("re-ID")

    def run(pictures: Pictures) -> list[np.ndarray]:
        found = []
        for row, image in zip(pictures.rows, pictures.images, strict=True):
            place = pieces[pictures.piece].start + row
            rows = order.rows[order.offsets[place] : order.offsets[place + 1]]
            with watch("reid"):
                wanted = torch.from_numpy(job.query_of[rows]).to(image.device)
                boxes = torch.from_numpy(job.proposals.boxes[rows]).to(image.device)
                found.append(_cosines(model, image, boxes, queries, wanted))
            bar.update(len(rows))
        return found

    def write(number: int, found: list[np.ndarray]) -> None:
        job.write(pieces[number], found, once | watch.take(), folder)

    positions = [order.scenes[piece.start : piece.stop].tolist() for piece in pieces]
    over_pictures(job.scenes, positions, run, write, batch_size=1, workers=job.workers)


def _embedded_queries(model: Any, job: Rescoring, watch: Stopwatch) -> Tensor:
    """(Q, D), of length one."""
    names, boxes = job.proposals.query_scenes, job.proposals.query_boxes
    assert names is not None
    assert boxes is not None

    def run(image: Tensor, of_image: Tensor) -> Tensor:
        with watch("query"):
            return _embed(model, image, of_image)

    scenes = np.array([job.scenes.positions[name] for name in names])
    parts, places = of_queries(job.scenes, scenes, boxes, run, workers=job.workers)
    return torch.cat(parts)[places]


def _cosines(model: Any, image: Tensor, boxes: Tensor, queries: Tensor, wanted: Tensor) -> np.ndarray:
    """(n,) of the embeddings of boxes (n, 4) and of those among the queries (Q, D) that are wanted (n,)."""
    parts = [
        (_embed(model, image, some) * queries[of]).sum(dim=1)
        for some, of in zip(boxes.split(_CROPS_AT_ONCE), wanted.split(_CROPS_AT_ONCE), strict=True)
    ]
    return torch.cat(parts).cpu().numpy()


def _embed(model: Any, image: Tensor, boxes: Tensor) -> Tensor:
    return F.normalize(model.embed([image], [boxes])[0].float(), dim=1)


def _seconds(paths: Sequence[Path]) -> float:
    """Of all pieces; of the queries, which every process embeds for itself, the mean."""
    of_pieces = [seconds_of(path) for path in paths]
    reid, queries = (sum(of.get(part, 0) for of in of_pieces) for part in ("reid", "query"))
    return reid + queries / max(len(of_pieces), 1)


def _path(folder: Path, piece: Piece) -> Path:
    return folder / f"similarities-{piece.number:05d}.parquet"
