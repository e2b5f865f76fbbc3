"""People as coloured polygons: an identity is a body and a wardrobe, a figure is an identity in a pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]
Shape = tuple[np.ndarray, Colour]
"""A polygon's points, (n, 2) float, and its colour."""

_CLOTHES: tuple[Colour, ...] = (
    (200, 40, 45), (235, 130, 40), (240, 205, 60), (120, 185, 60), (30, 120, 70), (60, 190, 190), (50, 110, 205),
    (35, 45, 110), (125, 70, 175), (225, 120, 175), (240, 240, 235), (150, 150, 150), (45, 45, 50), (140, 90, 50),
    (205, 180, 140),
)  # fmt: skip
_SKIN: tuple[Colour, ...] = ((245, 214, 186), (224, 178, 139), (185, 130, 92), (120, 80, 55))
_HAIR: tuple[Colour, ...] = ((30, 25, 25), (70, 45, 30), (140, 90, 45), (215, 180, 105), (160, 160, 160))


@dataclass(frozen=True)
class Person:
    """What stays the same wherever a person is seen."""

    width: float
    leg: float
    skin: Colour
    hair: Colour
    long_hair: bool
    hat: Colour | None
    top: Colour
    second: Colour
    pattern: str
    long_sleeves: bool
    bottom: Colour
    cut: str
    shoes: Colour
    carries: str
    bag: Colour


def random_person(rng: np.random.Generator) -> Person:
    """Draw a body and a wardrobe."""
    colours = rng.permutation(len(_CLOTHES))
    top, second, bottom, bag, hat = (_jitter(_CLOTHES[i], rng) for i in colours[:5])
    return Person(
        width=rng.uniform(0.85, 1.2),
        leg=rng.uniform(0.45, 0.5),
        skin=_jitter(_SKIN[rng.integers(len(_SKIN))], rng),
        hair=_jitter(_HAIR[rng.integers(len(_HAIR))], rng),
        long_hair=bool(rng.random() < 0.45),
        hat=hat if rng.random() < 0.2 else None,
        top=top,
        second=second,
        pattern=str(rng.choice(["plain", "stripes", "halves", "band", "jacket"])),
        long_sleeves=bool(rng.random() < 0.6),
        bottom=bottom,
        cut=str(rng.choice(["trousers", "trousers", "shorts", "skirt", "coat"])),
        shoes=_jitter(_CLOTHES[rng.integers(len(_CLOTHES))], rng),
        carries=str(rng.choice(["nothing", "nothing", "backpack", "handbag", "suitcase"])),
        bag=bag,
    )


def pose_figure(person: Person, foot: tuple[float, float], height: float, rng: np.random.Generator) -> list[Shape]:
    """A person standing or walking.

    Args:
        person: who.
        foot: x of the body's axis and y of the ground, pixels.
        height: of the standing person, pixels.
        rng: draws the pose: stride, arms, the side shown and the way it faces.

    Returns:
        Polygons in image pixels, to be painted in order.
    """
    stride = rng.uniform(0.01, 0.11)
    swing = rng.uniform(-0.07, 0.07)
    from_behind = bool(rng.random() < 0.4)
    side = 1 if rng.random() < 0.5 else -1
    parts = [
        *(_bag(person, side, from_behind) if not from_behind else ()),
        *_legs(person, stride),
        *_torso(person),
        *_arms(person, swing),
        *(_bag(person, side, from_behind) if from_behind else ()),
        *_head(person, from_behind),
    ]
    scale = np.array([side * height * person.width, height])
    return [(points * scale + np.array([foot[0], foot[1] - height]), colour) for points, colour in parts]


def bounds(figure: list[Shape]) -> np.ndarray:
    """(4,) float64: the figure's bounding box, xyxy, pixels."""
    points = np.concatenate([points for points, _ in figure])
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


# Below, a body stands in the unit frame: y from 0 (crown) to 1 (soles), x from the body's axis.


def _legs(person: Person, stride: float) -> list[Shape]:
    hip = 1 - person.leg - 0.03
    shapes: list[Shape] = []
    for direction in (-1, 1):
        ankle = direction * (0.035 + stride)
        leg = [(direction * 0.005, hip), (direction * 0.085, hip), (ankle + 0.03, 0.96), (ankle - 0.03, 0.96)]
        shapes.append((np.array(leg), person.bottom if person.cut in ("trousers", "coat") else person.skin))
        if person.cut == "shorts":
            knee = direction * (0.045 + stride / 2)
            upper = [(direction * 0.0, hip), (direction * 0.09, hip), (knee + 0.045, 0.74), (knee - 0.045, 0.74)]
            shapes.append((np.array(upper), person.bottom))
        shapes.append((_ellipse(ankle + 0.012, 0.975, 0.042, 0.025), person.shoes))
    if person.cut == "skirt":
        flare = 0.12 + stride / 2
        shapes.append(
            (np.array([(-0.085, hip - 0.03), (0.085, hip - 0.03), (flare, 0.76), (-flare, 0.76)]), person.bottom)
        )
    return shapes


def _torso(person: Person) -> list[Shape]:
    top, waist = 0.17, 1 - person.leg
    hem = waist + (0.17 if person.cut == "coat" else 0.0)

    def rows(y1: float, y2: float, x1: float = -1, x2: float = 1) -> np.ndarray:
        # The torso narrows from the shoulders (half-width 0.115) to the hem (0.09).
        def half(y: float) -> float:
            return 0.115 - 0.025 * (y - top) / (hem - top)

        return np.array([(x1 * half(y1), y1), (x2 * half(y1), y1), (x2 * half(y2), y2), (x1 * half(y2), y2)])

    shapes: list[Shape] = [(rows(top, hem), person.top)]
    if person.pattern == "stripes":
        edges = np.linspace(top, hem, 8)
        shapes += [(rows(edges[i], edges[i + 1]), person.second) for i in (1, 3, 5)]
    elif person.pattern == "halves":
        shapes.append((rows(top, hem, 0, 1), person.second))
    elif person.pattern == "band":
        shapes.append((rows(top + 0.1, top + 0.2), person.second))
    elif person.pattern == "jacket":
        shapes.append((rows(top, hem, -0.35, 0.35), person.second))
    return shapes


def _arms(person: Person, swing: float) -> list[Shape]:
    shapes: list[Shape] = []
    for direction in (-1, 1):
        hand = direction * 0.15 + swing
        arm = np.array([(direction * 0.085, 0.18), (direction * 0.125, 0.18), (hand + 0.018, 0.5), (hand - 0.018, 0.5)])
        shapes.append((arm, person.top if person.long_sleeves else person.skin))
        if not person.long_sleeves:
            elbow = (direction * 0.105 + hand) / 2
            sleeve = [(direction * 0.08, 0.18), (direction * 0.13, 0.18), (elbow + 0.03, 0.31), (elbow - 0.03, 0.31)]
            shapes.append((np.array(sleeve), person.top))
        shapes.append((_ellipse(hand, 0.515, 0.02, 0.022), person.skin))
    return shapes


def _head(person: Person, from_behind: bool) -> list[Shape]:
    neck = (np.array([(-0.032, 0.12), (0.032, 0.12), (0.032, 0.19), (-0.032, 0.19)]), person.skin)
    locks = (np.array([(-0.065, 0.06), (0.065, 0.06), (0.075, 0.21), (-0.075, 0.21)]), person.hair)
    shapes: list[Shape] = [neck]
    if person.long_hair:
        # Long hair falls over the neck when seen from behind, and behind it otherwise.
        shapes = [neck, locks] if from_behind else [locks, neck]
    shapes.append((_ellipse(0, 0.08, 0.055, 0.072), person.hair if from_behind else person.skin))
    crown = _ellipse(0, 0.065, 0.06, 0.065)
    shapes.append((crown[crown[:, 1] <= 0.066], person.hat or person.hair))
    if person.hat:
        shapes.append((np.array([(-0.08, 0.055), (0.08, 0.055), (0.08, 0.07), (-0.08, 0.07)]), person.hat))
    return shapes


def _bag(person: Person, side: int, from_behind: bool) -> list[Shape]:
    if person.carries == "backpack":
        half = 0.085 if from_behind else 0.135
        return [(np.array([(-half, 0.2), (half, 0.2), (half, 0.42), (-half, 0.42)]), person.bag)]
    if person.carries == "handbag":
        x = 0.17 * side
        return [(np.array([(x - 0.06, 0.5), (x + 0.06, 0.5), (x + 0.07, 0.62), (x - 0.07, 0.62)]), person.bag)]
    if person.carries == "suitcase":
        x = 0.22 * side
        return [(np.array([(x - 0.075, 0.68), (x + 0.075, 0.68), (x + 0.075, 0.98), (x - 0.075, 0.98)]), person.bag)]
    return []


def _ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _jitter(colour: Colour, rng: np.random.Generator) -> Colour:
    r, g, b = np.clip(np.array(colour) + rng.integers(-14, 15, 3), 0, 255).tolist()
    return r, g, b
