"""A query-guided model and a re-ID network that go by the pixels alone, and what tests of search share."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor, nn

import psbench_data
from psbench import PairwisePredictions
from psbench.zoo import Found
from psbench.zoo.images import image_tensor, to_float
from psbench.zoo.layers.patches import query_patch
from psbench_data import PersonSearchDataset

CELL = 16
PATCH = (28, 12)
PERSON = torch.tensor([22.0, 50.0])


@dataclass(frozen=True)
class Colours:
    """Of n queries."""

    values: Tensor

    def select(self, rows: Tensor) -> Colours:
        return Colours(self.values[rows])

    @staticmethod
    def cat(parts: list[Colours]) -> Colours:
        return Colours(torch.cat([part.values for part in parts]))


class Guided(nn.Module):
    """Finds cells of a grid that have about the colour of the query; in some scenes none. Counts what it is asked."""

    def __init__(self, dies_after: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.dies_after = dies_after
        self.similar_from = 0.7
        self.asked = {"queries": 0, "scenes": 0, "pairs": 0}
        self.most_at_once = 0
        self.at_hand = self.most_at_hand = 0

    def encode_queries(self, images: list[Tensor], boxes: list[Tensor]) -> Colours:
        assert not self.training
        patches = [query_patch(image, box, PATCH) for image, of in zip(images, boxes, strict=True) for box in of]
        self.asked["queries"] += len(patches)
        self.at_hand += len(patches)
        self.most_at_hand = max(self.most_at_hand, self.at_hand)
        return Colours(torch.stack([patch.mean(dim=(1, 2)) for patch in patches]) * self.weight)

    def encode_scenes(self, images: list[Tensor]) -> list[Tensor]:
        assert not torch.is_autocast_enabled("cpu")
        self.asked["scenes"] += len(images)
        return [nn.functional.avg_pool2d(image * self.weight[:, None, None], CELL) for image in images]

    def search_encoded(self, queries: Colours, scene: Tensor) -> list[Found]:
        self.asked["pairs"] += len(queries.values)
        self.at_hand = 0
        self.most_at_once = max(self.most_at_once, len(queries.values))
        if self.dies_after is not None and self.asked["pairs"] > self.dies_after:
            raise RuntimeError("out of memory")
        return [self._look(colour, scene) for colour in queries.values]

    def _look(self, colour: Tensor, scene: Tensor) -> Found:
        far = (scene - colour[:, None, None]).norm(dim=0)
        # In steps, so that many are equal; and nothing is found where the scene's mean is too far off.
        similar = ((1 - far) * 50).round() / 50
        near = ~(similar < self.similar_from) & ~(far.mean() > 0.35)
        rows, columns = near.nonzero(as_tuple=True)
        centres = (torch.stack([columns, rows], dim=1) + 0.5) * CELL
        similarities = similar[rows, columns]
        order = similarities.argsort(descending=True, stable=True)[:8]
        boxes = torch.cat([centres - PERSON / 2, centres + PERSON / 2], dim=1)
        return Found(boxes[order], similarities[order], torch.tensor(0.5))


class Crops(nn.Module):
    """Embeds boxes by their colours; counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -1.0, 0.5]))
        self.asked = 0

    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        assert not self.training
        self.asked += sum(map(len, boxes))
        return [
            torch.stack([query_patch(image, box, PATCH).mean(dim=(1, 2)) for box in of]) * self.weight - 0.1
            for image, of in zip(images, boxes, strict=True)
        ]


class Proposal(NamedTuple):
    """One box that a query has in a scene."""

    scene: int
    box: tuple[float, ...]
    similarity: float


def one_by_one(model: Any, dataset: PersonSearchDataset, protocol: str) -> list[list[Proposal]]:
    """For each query of a protocol what is found in its gallery: every pair by itself, in the order of the scenes."""
    model, task, test = model.eval(), dataset.protocol(protocol), dataset.split("test")

    @functools.cache
    def picture(scene: int) -> Tensor:
        return to_float(image_tensor(test[scene]))

    found = []
    for q, query in enumerate(task.queries):
        proposals = []
        for scene in np.flatnonzero(task.searched(q)).tolist():
            with torch.no_grad():
                encoded = model.encode_queries([picture(test.positions[query.scene])], [torch.tensor(query.box)[None]])
                (pair,) = model.search_encoded(encoded, model.encode_scenes([picture(scene)])[0])
            proposals += [
                Proposal(scene, tuple(box), similarity)
                for box, similarity in zip(pair.boxes.tolist(), pair.similarities.tolist(), strict=True)
            ]
        found.append(proposals)
    return found


def best(proposals: list[Proposal], n: int) -> list[Proposal]:
    """The n most similar of a gallery, of equals the first, in the order of the scenes."""
    ranked = sorted(range(len(proposals)), key=lambda i: -proposals[i].similarity)
    return [proposals[i] for i in sorted(ranked[:n])]


def proposals_of(predictions: PairwisePredictions, query: int, dataset: PersonSearchDataset) -> list[Proposal]:
    """The boxes of a query, as they stand in the predictions."""
    positions = dataset.split("test").positions
    return [
        Proposal(
            positions[predictions.scene_names[predictions.pair_scenes[pair]]],
            tuple(predictions.boxes[row].tolist()),
            float(predictions.similarities[row]),
        )
        for pair in range(*predictions.query_offsets[query : query + 2])
        for row in range(*predictions.offsets[pair : pair + 2])
    ]


def assert_same(found: PairwisePredictions, expected: PairwisePredictions, atol: float = 0) -> None:
    """But for what is said of the method; by default to the bit."""
    assert found.scene_names == expected.scene_names
    assert found.query_scenes == expected.query_scenes
    for name in ("pair_queries", "pair_scenes", "offsets", "query_boxes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert (found.proposal_similarities is None) == (expected.proposal_similarities is None)
    for name in ("boxes", "similarities", "proposal_similarities"):
        if getattr(expected, name) is not None:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=atol, rtol=0, err_msg=name)


ANNA = {"image_id": 1, "bbox": [4, 24, 18, 43], "person_id": "anna"}


def own_data(world: PersonSearchDataset, folder: Path, queries: list[dict], *, margin: int = 0) -> PersonSearchDataset:
    """One's own data: eight scenes of the world; anna is in 1 and 7, the others in one each. With black around 7."""
    scenes = world.split("test")[:8]
    folder.mkdir()
    annotations = []
    for i, scene in enumerate(scenes):
        ImageOps.expand(scene.image(), margin if i == 7 else 0).save(folder / f"{i}.png")
        for box, person in zip(scene.boxes.tolist(), scene.person_ids.tolist(), strict=True):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            name = f"{i}-{len(annotations)}" if person < 0 else "anna"
            annotations.append({"id": len(annotations), "image_id": i, "bbox": sides, "person_id": name})
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(8)]
    document = {"images": images, "annotations": annotations, "queries": queries}
    (folder / "test.json").write_text(json.dumps(document))
    return psbench_data.load("coco", root=folder)
