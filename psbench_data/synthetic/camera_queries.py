"""Queries of the camera datasets, PRW and LSPS: several of each person, at most one a camera."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from psbench_data.synthetic.world import World


def camera_queries(world: World, shares: Mapping[int, float], rng: np.random.Generator) -> list[np.ndarray]:
    """Choose the queries.

    Args:
        world: the world; a place is a camera.
        shares: how many people have 1, 2, ... queries, in any unit. People whom more cameras see have more.
        rng: draws who has more and which appearances are taken.

    Returns:
        For each queried identity: rows of the test split, in the order of the cameras; fewer than wanted where fewer
        cameras see the person.
    """
    test, people = world.test, world.queried()
    cameras = [np.unique(test.places[test.scenes[rows]]) for rows in people]
    rank = np.empty(len(people), np.int64)
    by_cameras = np.lexsort((rng.random(len(people)), np.array([len(seen) for seen in cameras])))
    rank[by_cameras] = np.arange(len(people))
    numbers, weights = np.array(sorted(shares)), np.array([shares[n] for n in sorted(shares)], float)
    upto = np.cumsum(weights) / weights.sum()
    wanted = numbers[np.searchsorted(upto, (rank + 0.5) / len(people))]
    queries = []
    for rows, seen, count in zip(people, cameras, wanted, strict=True):
        chosen = np.sort(rng.permutation(seen)[:count])
        places = test.places[test.scenes[rows]]
        queries.append(np.array([rng.choice(rows[places == camera]) for camera in chosen]))
    return queries
