"""Small random test sets for the evaluator: scenes, protocols with irregular lists, predictions with ties."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from psbench import Predictions
from psbench_data import UNLABELED, Protocol, Scenes
from psbench_data.galleries import QueryList, by_rule, protocol_table
from psbench_data.scenes import scenes_table

SCORES = np.array([0, 0.15, 0.2, 0.25, 0.3, 0.5, 0.75, 1])
"""Among them every threshold of a published evaluator."""

Embedder = Callable[[np.random.Generator, int, int], np.ndarray]
"""Generator, n and D -> (n, D)."""


def coarse(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Of whole numbers from -1 to 1: many equal similarities, some vectors are zero."""
    return rng.integers(-1, 2, (n, dim))


def continuous(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """No two similarities are equal."""
    return rng.standard_normal((n, dim))


def duplicated(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Continuous, and most are there several times."""
    return rng.standard_normal((n // 3 + 1, dim))[rng.integers(0, n // 3 + 1, n)]


def alike(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """All nearly the same: a float32 matrix product cannot tell their similarities apart."""
    base = np.random.default_rng(dim).standard_normal(dim).astype(np.float32)
    return base * (1 + rng.integers(-2, 3, (n, dim)) * np.float32(2.0**-23))


def scenes(rng: np.random.Generator, size: int = 12, people: int = 4, identities: int = 5) -> Scenes:
    """Scenes of three cameras, some empty; a person may be there twice or have no identity."""
    boxes, ids = [], []
    for _ in range(size):
        corner, side = rng.integers(0, 60, (rng.integers(0, people + 1), 2)), rng.integers(7, 40, (people + 1, 2))
        boxes.append(np.concatenate([corner, corner + side[: len(corner)]], axis=1))
        ids.append(rng.integers(UNLABELED, identities, len(corner)))
    table = scenes_table(
        [f"{i}.jpg" for i in range(size)],
        [f"{i}.jpg" for i in range(size)],
        boxes,
        ids,
        rng.integers(0, 3, size).tolist(),
        annotated_boxes=[b + rng.integers(0, 4, b.shape) / 4 for b in boxes],
    )
    return Scenes(table, Path(), [f"p{i}" for i in range(identities)])


def queries(rng: np.random.Generator, test: Scenes, most: int = 6) -> QueryList:
    """Some of the labelled people, each box once."""
    labelled = np.flatnonzero(test.person_ids != UNLABELED)
    scene_of = np.repeat(np.arange(len(test)), np.diff(test.offsets))
    _, first = np.unique(np.column_stack([scene_of, test.boxes])[labelled], axis=0, return_index=True)
    chosen = rng.permutation(labelled[first])[:most]
    return QueryList(scene_of[chosen], test.boxes[chosen], test.person_ids[chosen])


def protocol(rng: np.random.Generator, test: Scenes, asked: QueryList | None = None) -> Protocol:
    """Galleries by rule, or lists that name scenes twice, the query's own, or nothing at all, with any rest and pool.

    A true box in a list may be that of another person, as in the published lists.
    """
    asked = queries(rng, test) if asked is None else asked
    rest = str(rng.choice(["none", "all", "other-cameras", "same-camera"]))
    if rest != "none" and rng.random() < 0.4:
        table = by_rule(test, asked, rest)  # type: ignore[arg-type]
    else:
        scene_of = np.repeat(np.arange(len(test)), np.diff(test.offsets))
        listed, entries, boxes = [], [], []
        for own, person in zip(asked.scenes, asked.person_ids, strict=True):
            likely = np.concatenate([scene_of[test.person_ids == person], [own], np.arange(len(test))])
            listed.append(rng.choice(likely, rng.integers(0, 12)))
            true = [e for e, scene in enumerate(listed[-1]) if len(test[int(scene)].boxes) and rng.random() < 0.6]
            entries.append(np.array(true, np.int64))
            inside = [test[int(listed[-1][e])] for e in true]
            hers = [scene.boxes[np.argmax((scene.person_ids == person) + rng.random() / 2)] for scene in inside]
            boxes.append(np.array(hers).reshape(-1, 4))
        pool = None if rng.random() < 0.5 else np.flatnonzero(rng.random(len(test)) < 0.7)
        table = protocol_table(*asked, listed, entries, boxes, rest=rest, pool=pool)  # type: ignore[arg-type]
    return Protocol("drawn", table, test, dataset="world", synthetic=True, version=1)


def predictions(
    rng: np.random.Generator,
    test: Scenes,
    asked: Protocol,
    embedder: Embedder,
    dim: int,
    *,
    far: int = 2,
    context: bool = False,
) -> Predictions:
    """Detections near the people, up to twice each, and up to `far` elsewhere; a fifth of the scenes has none."""
    boxes = []
    for scene in test:
        near = np.repeat(scene.boxes, rng.integers(0, 3, len(scene.boxes)), axis=0)
        near = near + rng.integers(-3, 4, near.shape) * (rng.random((len(near), 1)) < 0.7)
        corner = rng.integers(0, 80, (rng.integers(0, far + 1), 2))
        elsewhere = np.concatenate([corner, corner + rng.integers(5, 40, corner.shape)], axis=1)
        found = np.concatenate([near, elsewhere])
        boxes.append(found[: 0 if rng.random() < 0.2 else None])
    counts = [len(found) for found in boxes]
    embeddings = embedder(rng, sum(counts) + len(asked.queries), dim).astype(np.float32)
    query_embeddings = embeddings[sum(counts) :]
    return Predictions.from_arrays(
        test.names,
        counts=counts,
        boxes=np.concatenate(boxes),
        scores=rng.choice(SCORES, sum(counts)),
        embeddings=embeddings[: sum(counts)],
        query_embeddings=query_embeddings,
        query_scenes=asked.queries.scene_names,
        query_boxes=asked.queries.boxes,
        context=_context(rng, asked, query_embeddings, embedder) if context else None,
    )


def _context(rng: np.random.Generator, asked: Protocol, own: np.ndarray, embedder: Embedder) -> dict[str, np.ndarray]:
    """The query's own box first, with the query's embedding, and up to four others."""
    counts = rng.integers(1, 6, len(own))
    first = np.cumsum(counts) - counts
    boxes, embeddings = np.tile([0.0, 0, 20, 40], (counts.sum(), 1)), embedder(rng, counts.sum(), own.shape[1])
    boxes[first], embeddings[first] = asked.queries.boxes, own
    return {"counts": counts, "boxes": boxes, "scores": np.ones(counts.sum()), "embeddings": embeddings}
