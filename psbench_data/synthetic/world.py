"""A world planned from a seed: who stands where in which scene. Nothing is drawn here, and no format is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from psbench_data.scenes import UNLABELED
from psbench_data.synthetic.bodies import BODY, random_bodies, random_poses, reach
from psbench_data.synthetic.casting import cast, spread
from psbench_data.synthetic.places import Place, random_places
from psbench_data.synthetic.spec import SPLITS
from psbench_data.synthetic.spec import WorldSpec as WorldSpec

_MIN_VISIBLE = 0.55
"""A spot is good where this share of everybody's box stays uncovered and inside the picture."""
_ATTEMPTS = 12


@dataclass(frozen=True, eq=False)
class PlannedSplit:
    """The scenes of one split as columns; the people of a scene are rows, from the furthest to the nearest.

    Attributes:
        name: `train` or `test`.
        places: (S,) the place of each scene, a position in `World.places`.
        sizes: (S, 2) height and width of the images.
        offsets: (S + 1,) scene i has the rows offsets[i] to offsets[i + 1].
        people: (N,) who it is: 0 .. train_identities - 1 for the training identities, then those of the test split,
            UNLABELED for a stranger.
        bodies, poses: (N,) BODY and POSE.
        whole: (N, 4) float64, xyxy, pixels: the box around the person, also where the picture ends before.
    """

    name: str
    places: np.ndarray
    sizes: np.ndarray
    offsets: np.ndarray
    people: np.ndarray
    bodies: np.ndarray
    poses: np.ndarray
    whole: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def rows(self, scene: int) -> slice:
        """The people of a scene."""
        return slice(int(self.offsets[scene]), int(self.offsets[scene + 1]))

    @cached_property
    def scenes(self) -> np.ndarray:
        """(N,): the scene of each person."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def boxes(self) -> np.ndarray:
        """(N, 4) int64, xyxy: whole pixels inside the picture."""
        return _inside(self.whole, self.sizes[self.scenes])

    @cached_property
    def covered(self) -> np.ndarray:
        """(N,): the share of each box that the nearer person who covers most of it covers."""
        boxes, shares = self.boxes.astype(float), np.zeros(len(self.boxes))
        for lag in range(1, int(np.diff(self.offsets).max(initial=0))):
            far = np.flatnonzero(self.scenes[lag:] == self.scenes[:-lag])
            common = _common(boxes[far], boxes[far + lag])
            shares[far] = np.maximum(shares[far], common / _area(boxes[far]))
        return shares

    def appearances(self, first: int, last: int) -> list[np.ndarray]:
        """For each of the people `first` to `last - 1`: the rows that it is in."""
        order = np.argsort(self.people, kind="stable")
        return np.split(order, np.searchsorted(self.people[order], np.arange(first, last + 1)))[1:-1]


@dataclass(frozen=True, eq=False)
class World:
    """A planned world.

    Attributes:
        spec: what was asked for.
        places: the places of all scenes.
        train, test: the splits.
    """

    spec: WorldSpec
    places: list[Place]
    train: PlannedSplit
    test: PlannedSplit

    @property
    def splits(self) -> tuple[PlannedSplit, PlannedSplit]:
        """Both splits."""
        return self.train, self.test

    def queried(self) -> list[np.ndarray]:
        """For each identity that is queried: its rows of the test split."""
        first = self.spec.train_identities
        return self.test.appearances(first, first + self.spec.test_identities)


def plan(spec: WorldSpec) -> World:
    """Plan both splits. Places are shared by them, as cameras are in the real datasets; people are not."""
    places = random_places(spec.places, spec.pseudo_views, np.random.default_rng([spec.seed, 2]))
    known = random_bodies(spec.train_identities + spec.test_identities, np.random.default_rng([spec.seed, 3]))
    train, test = (_plan_split(spec, split, known) for split in SPLITS)
    return World(spec, places, train, test)


def _plan_split(spec: WorldSpec, split: str, known: np.ndarray) -> PlannedSplit:
    rng = np.random.default_rng([spec.seed, SPLITS.index(split)])
    num_scenes, num_boxes, num_people = spec.scenes(split), spec.boxes(split), spec.identities(split)
    cameras = spec.places - (spec.pseudo_views if split == "train" else 0)
    places = rng.permutation(num_scenes) % cameras
    sizes = np.tile(np.array(spec.image_size), (num_scenes, 1))
    if spec.last_place_size is not None:
        sizes[places == spec.places - 1] = spec.last_place_size
    low, high = (np.full(num_people, bound) for bound in spec.appearances)
    # People who stay in a film are its leads or its extras, more so than passers-by differ.
    often = rng.exponential(size=num_people) ** (1 if spec.wander else 3) + 1e-3
    times = spread(spec.labelled(split), low, high, often, rng)
    scenes, people = cast(times, places, num_boxes, spec.people, spec.wander, rng)
    # Position -1, the stranger's, is the last.
    people = np.append(_who(spec, split, rng), UNLABELED)[people]
    bodies, poses = np.empty(num_boxes, BODY), random_poses(num_boxes, rng)
    stranger = people == UNLABELED
    bodies[~stranger] = known[people[~stranger]]
    bodies[stranger] = random_bodies(int(stranger.sum()), rng)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(scenes, minlength=num_scenes))])
    whole = _stand(reach(bodies, poses), offsets, sizes, spec.heights, rng)
    order = np.lexsort((whole[:, 3], scenes))
    return PlannedSplit(
        split, places, sizes, offsets, people[order], bodies[order], poses[order], np.ascontiguousarray(whole[order])
    )


def _who(spec: WorldSpec, split: str, rng: np.random.Generator) -> np.ndarray:
    """(identities,): the people of a split."""
    if split == "train":
        return np.arange(spec.train_identities)
    own = spec.train_identities + np.arange(spec.test_identities)
    # The last training identity stays at home: PRW gives it a number of its own, above all that walk.
    return np.concatenate([own, np.sort(rng.permutation(max(spec.train_identities - 1, 0))[: spec.walking])])


def _stand(
    reaches: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, heights: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Find everybody a spot, the k-th person of all scenes at once.

    Of some random spots, a person takes the first where everybody of the scene is well visible, else the one where
    the least visible is most so.

    Returns:
        (N, 4) float64, xyxy, pixels.
    """
    whole = np.zeros((len(reaches), 4))
    counts = np.diff(offsets)
    for k in range(int(counts.max(initial=0))):
        scenes = np.flatnonzero(counts > k)
        rows = offsets[scenes] + k
        spots = _random_spots(reaches[rows], sizes[scenes], heights, rng)
        others = whole[offsets[scenes][:, None] + np.arange(k)]
        visible = _visibility(spots, others, sizes[scenes])
        # argmax takes the first of equals, here the first good one.
        choice = np.where(visible >= _MIN_VISIBLE, 1.0, visible).argmax(axis=1)
        whole[rows] = spots[np.arange(len(rows)), choice]
    return whole


def _random_spots(
    reaches: np.ndarray, sizes: np.ndarray, heights: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """(n, attempts, 4)."""
    image_height, image_width = sizes[:, :1], sizes[:, 1:]
    shape = (len(reaches), _ATTEMPTS)
    share = heights[0] * (heights[1] / heights[0]) ** rng.random(shape)
    # Nearer people are taller and stand lower in the picture.
    ground = image_height * (0.48 + 0.52 * share + rng.uniform(-0.04, 0.08, shape))
    axis = image_width * rng.uniform(0.01, 0.99, shape)
    tall = image_height * share
    left, right = reaches[:, :1], reaches[:, 1:]
    return np.stack([axis + left * tall, ground - tall, axis + right * tall, ground], axis=2)


def _visibility(spots: np.ndarray, others: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(n, attempts): the least of: the share inside the picture, the uncovered share, that of the others there."""
    spot = _inside(spots, sizes[:, None]).astype(float)
    visible = _area(spot) / _area(spots)
    other = _inside(others, sizes[:, None]).astype(float)
    for k in range(other.shape[1]):
        there, common = other[:, None, k], _common(spot, other[:, None, k])
        covered = np.where(others[:, None, k, 3] >= spots[..., 3], common / _area(spot), common / _area(there))
        # Two people must never have one and the same box: annotations are matched to identities by their boxes.
        same = (spot == there).all(axis=2)
        visible = np.minimum(visible, np.where(same, -1.0, 1 - covered))
    return visible


def _inside(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(..., 4) int64: the whole pixels that boxes cover of pictures of (..., 2) height and width."""
    limits = np.concatenate([sizes[..., ::-1], sizes[..., ::-1]], axis=-1)
    pixels = np.concatenate([np.floor(boxes[..., :2]), np.ceil(boxes[..., 2:])], axis=-1)
    return np.clip(pixels, 0, limits).astype(np.int64)


def _common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    top_left, bottom_right = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    return np.clip(bottom_right - top_left, 0, None).prod(axis=-1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
