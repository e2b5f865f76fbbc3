"""Made-up methods on a small synthetic tree: their predictions and their cards."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from psbench import PairwisePredictions, Predictions
from psbench.leaderboard import Card
from psbench.leaderboard.card import TEMPLATE
from psbench_data import PersonSearchDataset, Protocol, Scenes
from psbench_data.synthetic.formats import write
from tests.conftest import SMALL_WORLD

SPEC = dataclasses.replace(SMALL_WORLD, train_scenes=6, test_scenes=52, train_identities=3)


def tree(root: Path, name: str = "cuhk_sysu", *, images: bool = False, **changes: object) -> Path:
    """A synthetic tree in an official format, annotations alone unless images are asked for."""
    write(name, dataclasses.replace(SPEC, **changes), root, images=images)
    return root


def honest(dataset: PersonSearchDataset, seed: int = 0, *, noise: float = 1.0, **changes: object) -> Predictions:
    """What a fair detector and a fair re-ID network find: most people, near their boxes, and some who are not there."""
    rng, test = np.random.default_rng(seed), dataset.split("test")
    boxes, ids, counts = _detected(rng, test)
    scenes, asked, people = _queries(dataset)
    values = {
        "counts": counts,
        "boxes": boxes,
        "scores": rng.uniform(0.4, 1, len(boxes)),
        "embeddings": _embedded(rng, ids, noise),
        "query_embeddings": _embedded(rng, people, noise),
        "query_scenes": scenes,
        "query_boxes": asked,
        "method": "made up",
        "dataset": dataset.name,
        "fingerprint": test.fingerprint,
        "synthetic": dataset.synthetic,
        "unit_length": True,
    }
    return Predictions.from_arrays(test.names, **(values | changes))


def pairwise(dataset: PersonSearchDataset, protocols: Sequence[str], seed: int = 0) -> PairwisePredictions:
    """The same people, found with each query in mind in the galleries of some protocols."""
    rng, test = np.random.default_rng(seed), dataset.split("test")
    boxes, ids, counts = _detected(rng, test)
    starts = np.cumsum(counts) - counts
    scenes, asked, people = _queries(dataset)
    row = {(scene, box.tobytes()): i for i, (scene, box) in enumerate(zip(scenes, asked, strict=True))}
    pairs: set[tuple[int, int]] = set()
    for protocol in map(dataset.protocol, protocols):
        for i, query in enumerate(protocol.queries):
            pairs |= {(row[query.scene, query.box.tobytes()], int(scene)) for scene in protocol.gallery(i)}
    ordered = sorted(pairs)
    chosen = [np.arange(starts[s], starts[s] + counts[s]) for _, s in ordered]
    right = np.concatenate([ids[c] == people[q] for c, (q, _) in zip(chosen, ordered, strict=True)])
    found = np.concatenate(chosen)
    return PairwisePredictions.from_arrays(
        test.names,
        queries=[q for q, _ in ordered],
        scenes=[s for _, s in ordered],
        counts=[len(c) for c in chosen],
        boxes=boxes[found],
        similarities=right + rng.normal(0, 0.6, len(found)),
        query_scenes=scenes,
        query_boxes=asked,
        dataset=dataset.name,
        fingerprint=test.fingerprint,
        synthetic=True,
    )


def card(**changes: object) -> Card:
    """A card; `changes` are of the method, but for seeds and rules."""
    values = {
        "method": {
            "name": "Made up",
            "family": "other",
            "supervision": "full",
            "backbone": "none",
            "training_data": "none",
            "input_size": "any",
        },
        "training": {"seeds": changes.pop("seeds", (1,))},
        "rules": changes.pop("rules", {}),
        "submitter": {"name": "A test"},
    }
    values["method"] |= changes
    return Card.model_validate(values)


def filled(name: str = "Made up", seeds: str = "[1]") -> str:
    """The template with a name, seeds, and something for everything else that has to be filled in."""
    text = TEMPLATE.replace('name = "My method"', f'name = "{name}"').replace("seeds = [1]", f"seeds = {seeds}")
    return re.sub(r'= "My .*"$', '= "something"', text, flags=re.MULTILINE)


def card_file(path: Path, name: str = "Made up", seeds: str = "[1]") -> Path:
    """A file of `filled`."""
    path.write_text(filled(name, seeds), encoding="utf-8")
    return path


def _detected(rng: np.random.Generator, test: Scenes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 4) boxes inside their images, (N,) whom they are of (-1: nobody), and (S,) how many each scene has."""
    boxes, ids = [], []
    for scene in test:
        seen = rng.random(len(scene.boxes)) < 0.9
        near = scene.boxes[seen] + rng.normal(0, 1.5, (seen.sum(), 4))
        corner = rng.uniform(0, 40, (rng.integers(0, 2), 2))
        found = np.concatenate([near, np.concatenate([corner, corner + 20], axis=1)])
        height, width = scene.size or (96, 128)
        boxes.append(np.clip(found, 0, [width, height, width, height]))
        ids.append(np.concatenate([scene.person_ids[seen], np.full(len(corner), -1)]))
    return np.concatenate(boxes), np.concatenate(ids), np.array([len(b) for b in boxes])


def _queries(dataset: PersonSearchDataset) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Scenes, boxes and people of the queries of all protocols, each once."""
    every: dict[tuple[str, bytes], tuple[np.ndarray, int]] = {}
    protocol: Protocol
    for protocol in map(dataset.protocol, dataset.protocols):
        for query in protocol.queries:
            every[query.scene, query.box.tobytes()] = query.box, query.person_id
    boxes, people = zip(*every.values(), strict=True)
    return [scene for scene, _ in every], np.stack(boxes), np.array(people)


def _embedded(rng: np.random.Generator, ids: np.ndarray, noise: float, dim: int = 12) -> np.ndarray:
    """(N, D) of unit length, alike for one person, and any for whom has no identity."""
    known = np.random.default_rng(7).standard_normal((100, dim))
    vectors = np.where(ids[:, None] >= 0, known[ids], 0) + noise * rng.standard_normal((len(ids), dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
