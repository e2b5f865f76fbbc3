"""Who is in which scene: exact totals shared out at random, nobody twice in a scene."""

from __future__ import annotations

import numpy as np

_ROUNDS = 16


def spread(
    total: int, least: np.ndarray, most: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Share out a total.

    Args:
        total: between the sums of `least` and of `most`.
        least, most: (n,) int64, the bounds of each share.
        weights: (n,) > 0, what the shares are proportional to, as far as the bounds allow.
        rng: draws the shares.

    Returns:
        (n,) int64, summing to `total`.
    """
    shares = least.copy()
    while (rest := int(total - shares.sum())) > 0:
        room = weights * (shares < most)
        shares = np.minimum(shares + rng.multinomial(rest, room / room.sum()), most)
    return shares


def cast(
    appearances: np.ndarray,
    places: np.ndarray,
    boxes: int,
    people: tuple[int, int],
    wander: bool,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Decide who is in which scene.

    People are dealt to the scenes in turn, which can never put anybody twice into one, and then moved at random from
    scene to scene of the same place. Dealing goes from place to place where people wander, or through one place after
    the other where they stay, and moving keeps that.

    Args:
        appearances: (K,) scenes that each identity is in, at most S.
        places: (S,) the place of each scene.
        boxes: people altogether.
        people: fewest and most people of a scene.
        wander: whether people go from place to place.
        rng: draws everything.

    Returns:
        (boxes,) the scene of each person, sorted; (boxes,) who it is, -1 for a stranger.
    """
    num_scenes, num_labelled = len(places), int(appearances.sum())
    turn = _turns(places, wander, rng)
    # With fewer people than scenes, those to be empty are drawn from all places.
    turn = turn[np.sort(rng.permutation(num_scenes)[:num_labelled])]
    scenes = turn[np.arange(num_labelled) % len(turn)]
    identities = np.repeat(np.arange(len(appearances)), appearances)
    popularity = rng.gamma(2.0, size=num_scenes) + 1e-3
    for _ in range(_ROUNDS):
        scenes = _move(scenes, identities, places, popularity, boxes, people, rng)
    labelled = np.bincount(scenes, minlength=num_scenes)
    most = np.full(num_scenes, people[1])
    counts = spread(boxes, np.maximum(labelled, people[0]), most, popularity, rng)
    scenes = np.concatenate([scenes, np.repeat(np.arange(num_scenes), counts - labelled)])
    identities = np.concatenate([identities, np.full(boxes - num_labelled, -1)])
    order = np.lexsort((rng.random(boxes), scenes))
    return scenes[order], identities[order]


def _turns(places: np.ndarray, wander: bool, rng: np.random.Generator) -> np.ndarray:
    """(S,): the order in which scenes are dealt to."""
    by_place = np.lexsort((rng.random(len(places)), places))
    if not wander:
        return by_place
    sizes = np.bincount(places)
    rank = np.arange(len(places)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return by_place[np.lexsort((places[by_place], rank))]


def _move(
    scenes: np.ndarray,
    identities: np.ndarray,
    places: np.ndarray,
    popularity: np.ndarray,
    boxes: int,
    people: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Move some people to more popular scenes of the same place; at most one leaves and one enters a scene."""
    by_place = np.argsort(places, kind="stable")
    mass = np.concatenate([[0.0], np.cumsum(popularity[by_place])])
    ends = np.cumsum(np.bincount(places))
    place = places[scenes]
    low, high = mass[np.concatenate([[0], ends])[place]], mass[ends[place]]
    drawn = np.searchsorted(mass, rng.uniform(low, high), side="right") - 1
    targets = by_place[np.minimum(drawn, ends[place] - 1)]

    base = int(identities.max()) + 1
    keys = targets * base + identities
    load = np.bincount(scenes, minlength=len(places))
    # Every scene needs people[0]; a move from a scene that has no more than that costs a stranger in its stead.
    cost = (load[targets] >= people[0]).astype(int) - (load[scenes] > people[0])
    budget = boxes - int(np.maximum(load, people[0]).sum())
    possible = ~np.isin(keys, scenes * base + identities) & (load[targets] < people[1])
    chosen = rng.permutation(np.flatnonzero(possible))
    chosen = chosen[np.unique(scenes[chosen], return_index=True)[1]]
    chosen = chosen[np.unique(targets[chosen], return_index=True)[1]]
    # Scenes of strangers only are left, but not many more than there have to be.
    empties = len(places) - min(len(scenes), len(places)) + len(places) // 10 - int((load == 0).sum())
    chosen = _at_most(empties, (load[scenes] == 1) & (load[targets] > 0), rng.permutation(chosen))
    chosen = _at_most(budget, cost > 0, chosen)
    moved = scenes.copy()
    moved[chosen] = targets[chosen]
    return moved


def _at_most(count: int, flags: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Those of the chosen that are not flagged, and the first `count` flagged ones."""
    flagged = flags[chosen]
    return np.concatenate([chosen[~flagged], chosen[flagged][: max(count, 0)]])
