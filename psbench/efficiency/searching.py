"""Pairwise models: how long one query's search through many scenes takes, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from psbench.efficiency.computing import PeakMemory
from psbench.efficiency.pictures import Pictures
from psbench.efficiency.result import Pairs, Search
from psbench.efficiency.settings import Settings
from psbench.efficiency.timing import Stopwatch
from psbench.zoo import Found
from psbench.zoo.cost import Cost
from psbench.zoo.images import to_float

REID = "reid_resnet50"
"""Ranks the proposals. Which network the paper's runtimes are of, it does not say."""


class Searching:
    """A pairwise model and a re-ID network with scenes and queries."""

    def __init__(self, model: Any, reid: Any, pictures: Pictures, settings: Settings, *, progress: bool) -> None:
        """Take an `IGPN` and a `ReIDNetwork`, both on the settings' device."""
        self._model, self._reid, self._pictures, self._settings = model, reid, pictures, settings
        self._clock = Stopwatch(settings.device)
        self._progress = progress
        self._images = [self._load(number) for number in range(len(pictures.jpeg))]

    def measure(self, counted: Cost, *, height: int, width: int) -> Search:
        """All that is known of a size; `counted` is of one image of it."""
        scenes = [number for (number,) in self._pictures.batches(1, self._settings.scenes)][: self._settings.scenes]
        self._warm_up(scenes)
        with PeakMemory(self._settings.device) as memory:
            decoding = sum(self._clock.seconds(self._load, number)[0] for number in scenes)
            encoded = [self._clock.seconds(self._model.encode_scenes, [self._images[n]]) for n in self._shown(scenes)]
            of_scenes = [scene for _, (scene,) in encoded]
            parts, proposals, crops = zip(
                *(self._search(query, scenes, of_scenes) for query in range(self._settings.queries)), strict=True
            )
            pairs = tuple(self._pairs(number, of_scenes) for number in self._settings.batches)
        query, correlation, head, ranking = np.median(parts, axis=0).tolist()
        return Search(
            height=height,
            width=width,
            scene_gmac=counted.per("image"),
            query_gmac=counted.per("query"),
            pair_gmac=counted.per("pair") + counted.rois * counted.per("RoI"),
            scenes=len(scenes),
            queries=len(parts),
            proposals=float(np.mean(proposals)),
            reid=REID,
            crops=max(crops),
            decoding=decoding,
            encoding=sum(seconds for seconds, _ in encoded),
            query=query,
            correlation=correlation,
            head=head,
            ranking=ranking,
            pairs=pairs,
            memory=memory.bytes,
        )

    def _search(self, number: int, scenes: Sequence[int], encoded: Sequence[Any]) -> tuple[list[float], int, int]:
        """Seconds of query, correlation, head and ranking, and how many proposals and crops there were."""
        image, box = self._query(number)
        of_query, query = self._clock.seconds(self._model.encode_queries, [image], [box])
        correlation, head, found = 0.0, 0.0, list[Found]()
        for scene in self._shown(encoded):
            taken, proposals = self._clock.seconds(self._model.propose, query, scene)
            correlation += taken
            taken, of_scene = self._clock.seconds(self._judge, query, scene, proposals)
            head += taken
            found += of_scene
        ranking, crops = self._clock.seconds(self._rank, image, box, scenes, found)
        return [of_query, correlation, head, ranking], sum(len(one.boxes) for one in found), crops

    def _judge(self, query: Any, scene: Any, proposals: list[Tensor]) -> list[Found]:
        found = self._model.judge(query, scene, proposals)
        return [Found(one.boxes.float().cpu(), one.similarities.float().cpu()) for one in found]

    def _rank(self, image: Tensor, box: Tensor, scenes: Sequence[int], found: list[Found]) -> int:
        """Embed the query and its best proposals; how many crops that are."""
        boxes, similarities = (torch.cat([getattr(one, name) for one in found]) for name in ("boxes", "similarities"))
        scene = torch.arange(len(found)).repeat_interleave(torch.tensor([len(one.boxes) for one in found]))
        best = similarities.argsort(descending=True)[: len(scenes)]
        kept = {int(number): boxes[best[scene[best] == number]] for number in scene[best].unique()}
        images = [image, *(self._images[scenes[number]] for number in kept)]
        wanted, *others = self._reid.embed(images, [box, *(of_scene.to(box.device) for of_scene in kept.values())])
        return 1 + sum(len((of_scene @ wanted[0]).float().cpu()) for of_scene in others)

    def _pairs(self, number: int, encoded: Sequence[Any]) -> Pairs:
        """Search for so many queries at once."""
        images, boxes = zip(*(self._query(query) for query in range(number)), strict=True)
        queries = self._model.encode_queries(list(images), list(boxes))

        def search(scene: Any) -> None:
            self._judge(queries, scene, self._model.propose(queries, scene))

        search(encoded[0])
        seconds = sum(self._clock.seconds(search, scene)[0] for scene in self._shown(encoded))
        return Pairs(queries=number, pairs_per_second=number * len(encoded) / seconds)

    def _warm_up(self, scenes: Sequence[int]) -> None:
        for number in scenes[: self._settings.warm_up]:
            (scene,) = self._model.encode_scenes([self._images[number]])
            self._search(0, [number], [scene])

    def _query(self, number: int) -> tuple[Tensor, Tensor]:
        """The first person of a picture: the picture, and the box, (1, 4)."""
        number %= len(self._images)
        return self._images[number], torch.tensor(self._pictures.boxes[number][:1], device=self._settings.device)

    def _load(self, number: int) -> Tensor:
        return to_float(self._pictures.decoded(number).to(self._settings.device))

    def _shown(self, scenes: Sequence[Any]) -> Any:
        return tqdm(scenes, desc="searching", unit="scene", leave=False, disable=not self._progress)
