"""People as coloured polygons: a wardrobe, and how it is drawn on a body in a pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from psbench_data.synthetic.bodies import CARRIED, CUTS, JOINTS, LIMB_RADII, skeleton

Colour = tuple[int, int, int]
Shape = tuple[np.ndarray, Colour]
"""A polygon's points, (n, 2) float, and its colour."""

_CLOTHES: tuple[Colour, ...] = (
    (196, 44, 48), (230, 126, 48), (236, 200, 72), (122, 176, 72), (36, 116, 74), (68, 178, 182), (58, 112, 196),
    (38, 48, 108), (122, 76, 168), (216, 124, 170), (236, 234, 228), (150, 150, 152), (46, 46, 52), (136, 90, 56),
    (200, 176, 140),
)  # fmt: skip
_SKIN: tuple[Colour, ...] = ((243, 211, 184), (222, 177, 140), (184, 130, 94), (122, 82, 58))
_HAIR: tuple[Colour, ...] = ((32, 27, 27), (72, 47, 33), (142, 94, 50), (214, 180, 110), (164, 162, 160))
_PATTERNS = ("plain", "plain", "stripes", "halves", "band", "jacket", "dots")
_HAIRCUTS = ("short", "short", "long", "bun", "bald")

_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 13)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 13)[:-1])], axis=1)
# The outline of a torso: how wide it is (half) from the neck down to the hip.
_TORSO_Y = (0.165, 0.182, 0.21, 0.25, 0.34, 0.43, 0.5, 0.56)
_TORSO_HALF = (0.045, 0.085, 0.112, 0.113, 0.104, 0.09, 0.093, 0.098)
_SHADE, _DEEP = 0.8, 0.62


@dataclass(frozen=True)
class Wardrobe:
    """Colours and clothes: with the body, what stays the same wherever a person is seen."""

    skin: Colour
    hair: Colour
    haircut: str
    hat: Colour | None
    top: Colour
    second: Colour
    pattern: str
    long_sleeves: bool
    bottom: Colour
    shoes: Colour
    bag: Colour


def random_wardrobe(rng: np.random.Generator) -> Wardrobe:
    """Draw what a person wears."""
    top, second, bottom, bag, hat = (_jitter(_CLOTHES[i], rng) for i in rng.permutation(len(_CLOTHES))[:5])
    return Wardrobe(
        skin=_jitter(_SKIN[rng.integers(len(_SKIN))], rng),
        hair=_jitter(_HAIR[rng.integers(len(_HAIR))], rng),
        haircut=_HAIRCUTS[rng.integers(len(_HAIRCUTS))],
        hat=hat if rng.random() < 0.2 else None,
        top=top,
        second=second,
        pattern=_PATTERNS[rng.integers(len(_PATTERNS))],
        long_sleeves=bool(rng.random() < 0.6),
        bottom=bottom,
        shoes=_jitter(_CLOTHES[rng.integers(len(_CLOTHES))], rng),
        bag=bag,
    )


def figures(
    bodies: np.ndarray, poses: np.ndarray, wardrobes: Sequence[Wardrobe], whole: np.ndarray, light: int
) -> list[list[Shape]]:
    """Draw people into their boxes.

    Args:
        bodies, poses: (n,) BODY and POSE.
        wardrobes: n of them.
        whole: (n, 4) xyxy, pixels, the box around each person; only its height and position are used.
        light: the side that the light comes from: -1 left, 1 right.

    Returns:
        Per person: polygons in image pixels, to be painted in order.
    """
    joints, radii = skeleton(bodies, poses)
    left, right = (joints[..., 0] - radii).min(axis=1), (joints[..., 0] + radii).max(axis=1)
    drawn = []
    for i, wardrobe in enumerate(wardrobes):
        mirror, width = int(poses["mirror"][i]), float(bodies["width"][i])
        height = whole[i, 3] - whole[i, 1]
        scale = np.array([mirror * height * width, height])
        # The box begins where the body reaches furthest to the left, or mirrored, to the right.
        start = left[i] if mirror > 0 else -right[i]
        origin = np.array([whole[i, 0] - start * width * height, whole[i, 1]])
        cut, carried = CUTS[bodies["cut"][i]], CARRIED[bodies["carried"][i]]
        at = dict(zip(JOINTS, joints[i].tolist(), strict=True))
        figure = _Figure(at, float(radii[i, -2]), cut, carried, bool(poses["behind"][i]), wardrobe, light * mirror)
        drawn.append([(points * scale + origin, colour) for points, colour in figure.shapes()])
    return drawn


@dataclass(frozen=True)
class _Figure:
    """A person in the unit frame: y from 0 (crown) to 1 (soles), x from the body's axis; lit from one side."""

    at: dict[str, list[float]]
    hem: float
    cut: str
    carried: str
    behind: bool
    wears: Wardrobe
    light: int

    def shapes(self) -> list[Shape]:
        """Polygons in the order of painting."""
        dark, bright = ("-", "+") if self.light > 0 else ("+", "-")
        arms = [*self._arm(dark, _SHADE), *self._arm(bright, 1.0)]
        if self.behind:
            return [*self._legs(), *arms, *self._torso(), *self._head(), *self._bag()]
        under = self._bag() if self.carried == "backpack" else []
        over = [*self._straps(), *arms] if self.carried == "backpack" else [*arms, *self._bag()]
        return [*under, *self._back_hair(), *self._legs(), *self._torso(), *self._head(), *over]

    def _legs(self) -> list[Shape]:
        shapes: list[Shape] = []
        for side, tone in (("-", _SHADE), ("+", 1.0)):
            cloth = self.wears.bottom
            covered = self.cut in ("trousers", "coat")
            shin = cloth if covered else self.wears.skin
            thigh = cloth if covered or self.cut == "shorts" else self.wears.skin
            hip, knee, ankle, foot = (self.at[joint + side] for joint in ("hip", "knee", "ankle", "foot"))
            shapes.append(_limb(knee, ankle, LIMB_RADII[4:6], _tone(shin, tone)))
            shapes.append(_limb(hip, knee, LIMB_RADII[3:5], _tone(thigh, tone)))
            # A shoe: a rounded toe on a flat sole.
            shoe = _ellipse(foot, LIMB_RADII[6], 0.03)
            sole = foot[1] + 0.024
            shapes.append((np.minimum(shoe, [np.inf, sole]), _tone(self.wears.shoes, tone)))
        return shapes

    def _torso(self) -> list[Shape]:
        wears = self.wears
        shapes: list[Shape] = []
        ys, halves = list(_TORSO_Y), list(_TORSO_HALF)
        if self.cut in ("dress", "coat"):
            ys, halves = [*ys[:-1], self.at["hem"][1]], [*halves[:-1], self.hem]
        elif self.cut == "skirt":
            skirt = _rows([0.47, self.at["hem"][1]], [0.09, self.hem])
            shapes += [(skirt, wears.bottom), (self._dark_side(skirt), _tone(wears.bottom, _SHADE))]
        else:
            shapes.append((_rows([0.5, 0.575], [0.093, 0.098]), wears.bottom))

        def band(top: float, bottom: float, left: float = -1, right: float = 1) -> np.ndarray:
            inner = [y for y in ys if top < y < bottom]
            rows = [top, *inner, bottom]
            return _rows(rows, np.interp(rows, ys, halves).tolist(), left, right)

        end = ys[-1]
        outline = band(ys[0], end)
        shapes += [(outline, wears.top)]
        if wears.pattern == "stripes":
            edges = np.linspace(0.22, end, 8).tolist()
            shapes += [(band(edges[i], edges[i + 1]), wears.second) for i in (0, 2, 4, 6)]
        elif wears.pattern == "halves":
            shapes.append((band(ys[0], end, 0, 1), wears.second))
        elif wears.pattern == "band":
            shapes.append((band(0.27, 0.37), wears.second))
        elif wears.pattern == "jacket" and not self.behind:
            shapes.append((band(ys[0], end, -0.3, 0.3), wears.second))
        elif wears.pattern == "dots":
            spots = [(x, y) for y in (0.25, 0.33, 0.41, 0.49) for x in (-0.055, 0.0, 0.055)]
            shapes += [(_ellipse(spot, 0.015, 0.014), wears.second) for spot in spots]
        side = wears.second if wears.pattern == "halves" and self.light < 0 else wears.top
        if wears.pattern not in ("stripes", "band"):
            shapes.append((self._dark_side(outline), _tone(side, _SHADE)))
        return shapes

    def _dark_side(self, outline: np.ndarray) -> np.ndarray:
        """The strip of a symmetric outline that lies away from the light."""
        half = len(outline) // 2
        edge = outline[:half] if self.light > 0 else outline[half:][::-1]
        inner = edge * [0.55, 1.0]
        return np.concatenate([edge, inner[::-1]])

    def _arm(self, side: str, tone: float) -> list[Shape]:
        shoulder, elbow, hand = (self.at[joint + side] for joint in ("shoulder", "elbow", "hand"))
        skin, sleeve = _tone(self.wears.skin, tone), _tone(self.wears.top, tone)
        # An arm is set off from a torso of the same colour by being a little darker.
        sleeve = _tone(sleeve, 0.92)
        wrist = [elbow[i] + 0.9 * (hand[i] - elbow[i]) for i in (0, 1)]
        fore, thick = (sleeve, 1.0) if self.wears.long_sleeves else (skin, 0.85)
        return [
            (_ellipse(hand, LIMB_RADII[2], 0.024), skin),
            _limb(elbow, wrist, (LIMB_RADII[1] * thick, LIMB_RADII[2] * 0.9), fore),
            _limb(shoulder, elbow, LIMB_RADII[:2], sleeve),
        ]

    def _back_hair(self) -> list[Shape]:
        if self.wears.haircut != "long":
            return []
        return [(_rows([0.05, 0.12, 0.215], [0.058, 0.07, 0.075]), self.wears.hair)]

    def _head(self) -> list[Shape]:
        wears = self.wears
        hair = wears.hair if wears.haircut != "bald" else wears.skin
        shapes: list[Shape] = [(_rows([0.12, 0.18], [0.03, 0.036]), _tone(wears.skin, _SHADE))]
        skull = _ellipse((0.0, 0.078), 0.051, 0.072)
        if self.behind:
            shapes.append((skull, hair))
            if wears.haircut == "long":
                shapes.append((_rows([0.05, 0.12, 0.225], [0.055, 0.068, 0.07]), hair))
        else:
            shapes += [(skull, wears.skin), (_ellipse((-0.018 * self.light, 0.082), 0.034, 0.062), wears.skin)]
            shapes.append((self._dark_side(_rows([0.06, 0.1, 0.135], [0.05, 0.048, 0.03])), _tone(wears.skin, 0.88)))
        if wears.haircut == "bun":
            shapes.append((_ellipse((0.0, 0.02), 0.03, 0.02), hair))
        cap = _ellipse((0.0, 0.066), 0.056, 0.066)
        if wears.hat is not None:
            shapes.append((np.minimum(cap, [np.inf, 0.064]), wears.hat))
            shapes.append((_rows([0.054, 0.068], [0.068, 0.072]), _tone(wears.hat, _SHADE)))
        elif wears.haircut != "bald":
            shapes.append((np.minimum(cap, [np.inf, 0.056]), hair))
        return shapes

    def _straps(self) -> list[Shape]:
        strap = _tone(self.wears.bag, _SHADE)
        return [(np.array([(x - 0.01, 0.18), (x + 0.01, 0.18), (x + 0.012, 0.4), (x - 0.008, 0.4)]), strap)
                for x in (-0.068, 0.068)]  # fmt: skip

    def _bag(self) -> list[Shape]:
        x, y = self.at["carried"]
        colour, dark = self.wears.bag, _tone(self.wears.bag, _DEEP)
        if self.carried == "backpack":
            half = 0.092 if self.behind else 0.135
            pack = _rows([0.2, 0.215, 0.41, 0.43], [0.75 * half, half, half, 0.85 * half])
            pocket = [(_rows([0.33, 0.41], [0.06, 0.06]), _tone(colour, _SHADE))] if self.behind else []
            return [(pack, colour), *pocket]
        if self.carried == "handbag":
            hand = self.at["hand+"]
            strap = np.array([(hand[0] - 0.008, hand[1]), (hand[0] + 0.008, hand[1]), (x + 0.04, y), (x - 0.04, y)])
            body = _rows([y - 0.05, y + 0.05], [0.048, 0.06], at=x)
            flap = _rows([y - 0.05, y - 0.01], [0.048, 0.052], at=x)
            return [(strap, dark), (body, colour), (flap, _tone(colour, _SHADE))]
        if self.carried == "suitcase":
            hand = self.at["hand+"]
            rod = np.array([(hand[0], hand[1]), (hand[0] + 0.012, hand[1]), (x + 0.01, y), (x - 0.01, y)])
            body = _rows([y - 0.125, y - 0.115, y + 0.1, y + 0.11], [0.06, 0.072, 0.072, 0.06], at=x)
            wheels = [(_ellipse((x + dx, y + 0.115), 0.014, 0.014), (30, 30, 32)) for dx in (-0.045, 0.045)]
            bands = [(_rows([y - 0.1, y + 0.09], [0.006, 0.006], at=x + dx), dark) for dx in (-0.03, 0.03)]
            return [(rod, (70, 70, 74)), *wheels, (body, colour), *bands]
        return []


def _limb(start: Sequence[float], end: Sequence[float], radii: Sequence[float], colour: Colour) -> Shape:
    """Two discs and what is between them."""
    r1, r2 = radii
    dx, dy = end[0] - start[0], end[1] - start[1]
    turn = np.arctan2(dy, dx) - np.pi / 2
    c, s = np.cos(turn), np.sin(turn)
    half = _CIRCLE @ np.array([[c, s], [-s, c]])
    # The first six points of the circle look along the limb.
    return np.concatenate([half[:7] * r2 + end, half[6:] * r1 + start, half[:1] * r1 + start]), colour


def _rows(
    ys: Sequence[float], halves: Sequence[float], left: float = -1, right: float = 1, *, at: float = 0
) -> np.ndarray:
    """The outline with these half-widths at these heights: down the left side, up the right one."""
    y, half = np.array(ys), np.array(halves)
    return np.concatenate([np.stack([at + left * half, y], 1), np.stack([at + right * half, y], 1)[::-1]])


def _ellipse(centre: Sequence[float], rx: float, ry: float) -> np.ndarray:
    return _CIRCLE * (rx, ry) + centre


def _tone(colour: Colour, factor: float) -> Colour:
    r, g, b = colour
    return int(r * factor), int(g * factor), int(b * factor)


def _jitter(colour: Colour, rng: np.random.Generator) -> Colour:
    r, g, b = np.clip(np.array(colour) + rng.integers(-14, 15, 3), 0, 255).tolist()
    return r, g, b
