"""A world planned from a seed: who stands where in which scene. Nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from psbench_data.errors import InputError
from psbench_data.synthetic.people import Person, Shape, bounds, pose_figure, random_person
from psbench_data.synthetic.places import Place, random_place

_MIN_VISIBLE = 0.55
"""A person is only placed where this share of its box stays uncovered and inside the picture."""
_ATTEMPTS = 30


@dataclass(frozen=True, kw_only=True)
class WorldSpec:
    """What to synthesize.

    Attributes:
        seed: equal specs with equal seeds give equal bytes.
        train_scenes, test_scenes: numbers of scenes.
        train_identities, test_identities: numbers of labelled people; each test identity is queried once.
        appearances: fewest and most scenes that an identity is in.
        people: fewest and most people a scene aims at; strangers without identity fill up.
        image_size: height and width, pixels.
        places: number of places, each with its own background, light and sharpness.
    """

    seed: int = 0
    train_scenes: int = 400
    test_scenes: int = 520
    train_identities: int = 140
    test_identities: int = 100
    appearances: tuple[int, int] = (3, 8)
    people: tuple[int, int] = (1, 4)
    image_size: tuple[int, int] = (120, 176)
    places: int = 24

    def __post_init__(self) -> None:
        faults = [
            f"{name}={getattr(self, name)}: expected at least {least}"
            for name, least in [
                ("train_scenes", 1), ("test_scenes", 2), ("train_identities", 1), ("test_identities", 1), ("places", 1),
            ]
            if getattr(self, name) < least
        ]  # fmt: skip
        if self.seed < 0:
            faults.append(f"seed={self.seed}: expected at least 0")
        low, high = self.appearances
        if not 2 <= low <= high:
            faults.append(f"appearances={low}..{high}: expected 2 <= fewest <= most (a query needs a second scene)")
        if high > min(self.train_scenes, self.test_scenes):
            faults.append(f"appearances={low}..{high}: a person cannot be in more scenes than there are")
        if not 1 <= self.people[0] <= self.people[1]:
            faults.append(f"people={self.people[0]}..{self.people[1]}: expected 1 <= fewest <= most")
        if min(self.image_size) < 48:
            faults.append(f"image_size={self.image_size[0]}x{self.image_size[1]}: expected at least 48 pixels a side")
        if faults:
            raise InputError(f"synthesize: {fault}" for fault in faults)


@dataclass
class PlannedScene:
    """A scene that can be drawn; its people are ordered from the furthest to the nearest.

    Attributes:
        place: the background and camera.
        boxes: (n, 4) int64, xyxy, pixels: what is inside the picture of each figure.
        person_ids: n identities, or None for a stranger.
        figures: n figures.
    """

    place: Place
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.int64))
    person_ids: list[int | None] = field(default_factory=list)
    figures: list[list[Shape]] = field(default_factory=list)


def plan_split(spec: WorldSpec, split: str) -> list[PlannedScene]:
    """Plan the scenes of `train` or `test`.

    Every identity gets at least two scenes: `appearances` is reached except where a crowded scene had no place left.
    """
    stream = ("train", "test").index(split)
    rng = np.random.default_rng([spec.seed, stream])
    # Places are shared by the splits, as cameras are in the real datasets; people are not.
    place_rng = np.random.default_rng([spec.seed, 2])
    places = [random_place(place_rng) for _ in range(spec.places)]
    num_scenes = getattr(spec, f"{split}_scenes")
    scenes = [PlannedScene(places[rng.integers(len(places))]) for _ in range(num_scenes)]
    for person_id in range(getattr(spec, f"{split}_identities")):
        person = random_person(rng)
        wanted = int(rng.integers(spec.appearances[0], spec.appearances[1] + 1))
        # Emptier scenes first, so that a split fills evenly however many identities it has.
        order = sorted(rng.permutation(num_scenes).tolist(), key=lambda i: len(scenes[i].figures) >= spec.people[1])
        placed = 0
        for i in order:
            placed += _place(scenes[i], person, person_id, spec, rng)
            if placed == wanted:
                break
        if placed < 2:
            raise InputError(
                f"synthesize: no room for identity {person_id} of {split} in {num_scenes} scenes. "
                "Ask for more scenes, fewer identities or larger images."
            )
    for scene in scenes:
        for _ in range(int(rng.integers(spec.people[0], spec.people[1] + 1)) - len(scene.figures)):
            _place(scene, random_person(rng), None, spec, rng)
        _far_to_near(scene)
    return scenes


def _place(
    scene: PlannedScene, person: Person, person_id: int | None, spec: WorldSpec, rng: np.random.Generator
) -> bool:
    height, width = spec.image_size
    for _ in range(_ATTEMPTS):
        tall = height * rng.uniform(0.4, 0.8)
        # Nearer people stand lower in the picture.
        ground = height * (0.48 + 0.52 * tall / height) + rng.uniform(-0.04, 0.08) * height
        figure = pose_figure(person, (rng.uniform(0.0, 1.0) * width, ground), tall, rng)
        whole = bounds(figure)
        box = np.round(np.clip(whole, 0, [width, height, width, height])).astype(np.int64)
        boxes = np.concatenate([scene.boxes, box[None]])
        if _area(box) >= _MIN_VISIBLE * _area(whole) and (_uncovered(boxes) >= _MIN_VISIBLE).all():
            scene.boxes = boxes
            scene.person_ids.append(person_id)
            scene.figures.append(figure)
            return True
    return False


def _uncovered(boxes: np.ndarray) -> np.ndarray:
    """(n,): the share of each box that no single nearer box (one that ends lower) covers."""
    top_left = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    nearer = boxes[None, :, 3] >= boxes[:, None, 3]
    np.fill_diagonal(nearer, False)
    return 1 - (common * nearer).max(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _far_to_near(scene: PlannedScene) -> None:
    order = np.argsort(scene.boxes[:, 3], kind="stable")
    scene.boxes = scene.boxes[order]
    scene.person_ids = [scene.person_ids[i] for i in order]
    scene.figures = [scene.figures[i] for i in order]
