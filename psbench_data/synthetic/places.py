"""Places and cameras: what is behind the people, and what a camera does to a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from psbench_data.synthetic.people import Colour, Shape

_OVERSAMPLING = 2


@dataclass(frozen=True)
class Place:
    """One camera over one place: pictures of it share their background, light and sharpness.

    Attributes:
        seed: draws the background.
        horizon: where the ground begins, as a share of the image's height.
        gain: of the red, green and blue channel.
        light: the side that the light comes from: -1 left, 1 right.
        falloff: how much darker the other side is.
        blur: standard deviation, in thousandths of the image's height.
        noise: standard deviation, in grey levels.
    """

    seed: int
    horizon: float
    gain: tuple[float, float, float]
    light: int
    falloff: float
    blur: float
    noise: float


def random_places(count: int, pseudo_views: int, rng: np.random.Generator) -> list[Place]:
    """Draw places; the last `pseudo_views` of them are the first ones again, seen by a camera with other colours."""
    places = [_random_place(rng) for _ in range(count)]
    for view in range(pseudo_views):
        parent = places[view]
        places[count - pseudo_views + view] = replace(places[count - pseudo_views + view], seed=parent.seed)
    return places


def _random_place(rng: np.random.Generator) -> Place:
    light = rng.uniform(0.85, 1.15)
    r, g, b = (light * rng.uniform(0.92, 1.08, 3)).tolist()
    return Place(
        seed=int(rng.integers(2**31)),
        horizon=rng.uniform(0.3, 0.44),
        gain=(r, g, b),
        light=2 * int(rng.integers(2)) - 1,
        falloff=rng.uniform(0.0, 0.3),
        blur=rng.uniform(0.0, 4.0),
        noise=rng.uniform(1.0, 5.0),
    )


def draw_scene(
    place: Place, people: Sequence[list[Shape]], whole: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> Image.Image:
    """Paint a scene.

    Args:
        place: the background and the camera.
        people: polygons of each person, the furthest first.
        whole: (n, 4) the box around each person, which its shadow is cast from.
        size: height and width, pixels.
        rng: the noise of this one picture.

    Returns:
        An RGB image.
    """
    height, width = size
    canvas = Image.new("RGB", (width * _OVERSAMPLING, height * _OVERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    _Background(draw, place, size).paint()
    for box in whole * _OVERSAMPLING:
        _cast_shadow(canvas, box, place.light)
    for shapes in people:
        for points, colour in shapes:
            draw.polygon((points * _OVERSAMPLING).ravel().tolist(), fill=colour)
    image = canvas.reduce(_OVERSAMPLING)
    blur = place.blur * height / 1000
    if blur > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    across = 1 + place.falloff * place.light * np.linspace(-0.5, 0.5, width, dtype=np.float32)
    pixels = np.asarray(image, np.float32) * (across[:, None] * np.array(place.gain, np.float32))
    pixels += np.float32(place.noise) * rng.standard_normal((height, width, 1), np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _cast_shadow(canvas: Image.Image, box: np.ndarray, light: int) -> None:
    """Darken the ground beside a person's feet, away from the light."""
    tall = box[3] - box[1]
    x, across, deep = (box[0] + box[2]) / 2 - 0.1 * light * tall, 0.24 * tall, 0.032 * tall
    corner = (int(x - across), int(box[3] - 1.4 * deep))
    blot = Image.new("L", (max(int(2 * across), 1), max(int(2 * deep), 1)))
    ImageDraw.Draw(blot).ellipse((0, 0, blot.width - 1, blot.height - 1), fill=85)
    canvas.paste((16, 18, 28), corner, blot)


class _Background:
    """A street: sky, houses, pavement and what stands on it."""

    def __init__(self, draw: ImageDraw.ImageDraw, place: Place, size: tuple[int, int]) -> None:
        self.draw = draw
        self.height, self.width = size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING
        self.horizon = place.horizon * self.height
        self.kerb = self.horizon + 0.1 * (self.height - self.horizon)
        self.light = place.light
        self.rng = np.random.default_rng(place.seed)

    def paint(self) -> None:
        self._gradient(0, self.horizon, self._muted(165, 200, blue=18), self._muted(205, 235, blue=6))
        x = 0.0
        while x < self.width:
            across = self.rng.uniform(0.12, 0.28) * self.width
            self._house(x, x + across, self.horizon * self.rng.uniform(0.02, 0.6))
            x += across + self.rng.uniform(0, 0.05) * self.width
        ground = self._muted(118, 165)
        self._gradient(self.kerb, self.height, _shaded(ground, 1.08), _shaded(ground, 0.88))
        pavement = self._muted(150, 190)
        self.draw.rectangle((0, self.horizon, self.width, self.kerb), fill=pavement)
        edge = 0.012 * self.height
        self.draw.rectangle((0, self.kerb - edge, self.width, self.kerb), fill=_shaded(pavement, 0.8))
        self._paving(_shaded(ground, 0.86))
        for _ in range(self.rng.integers(1, 4)):
            x = self.rng.uniform(0, self.width)
            self._tree(x) if self.rng.random() < 0.5 else self._lamp(x)

    def _house(self, left: float, right: float, roof: float) -> None:
        wall = self._muted(105, 190, red=8)
        self.draw.rectangle((left, roof, right, self.horizon), fill=wall)
        side = left if self.light > 0 else right - 0.12 * (right - left)
        self.draw.rectangle((side, roof, side + 0.12 * (right - left), self.horizon), fill=_shaded(wall, 0.85))
        self.draw.rectangle((left, roof, right, roof + 0.012 * self.height), fill=_shaded(wall, 0.7))
        dark, lit = self._muted(55, 95, blue=8), self._muted(150, 200, red=10)
        columns = int(self.rng.integers(2, 5))
        pane = (right - left) / (2 * columns + 1)
        tall = pane * self.rng.uniform(1.0, 1.6)
        rows = np.arange(roof + 0.8 * pane, self.horizon - 1.2 * tall, 1.7 * tall).tolist()
        bright = self.rng.random((len(rows), columns)) < 0.15
        for i, y in enumerate(rows):
            for j in range(columns):
                x = left + pane * (1 + 2 * j)
                self.draw.rectangle((x, y, x + pane, y + tall), fill=lit if bright[i, j] else dark)

    def _paving(self, joint: Colour) -> None:
        vanishing = self.width * self.rng.uniform(0.3, 0.7)
        for foot in np.linspace(-1.2 * self.width, 2.2 * self.width, 13).tolist():
            top = vanishing + (foot - vanishing) * 0.3
            self.draw.line((top, self.kerb, foot, self.height), fill=joint, width=_OVERSAMPLING)
        for depth in (0.12, 0.3, 0.58):
            y = self.kerb + depth * (self.height - self.kerb)
            self.draw.line((0, y, self.width, y), fill=joint, width=_OVERSAMPLING)

    def _tree(self, x: float) -> None:
        size = self.horizon * self.rng.uniform(0.16, 0.26)
        trunk, green = (88, 72, 58), self._muted(75, 115, green=22)
        self.draw.rectangle((x - 0.1 * size, self.kerb - 2.2 * size, x + 0.1 * size, self.kerb), fill=trunk)
        for dx, dy, r, tone in (
            (0, -2.9, 1.1, 0.85),
            (-0.5, -2.5, 0.8, 1.0),
            (0.55, -2.4, 0.75, 0.9),
            (0.1, -3.2, 0.8, 1.1),
        ):
            cx, cy = x + dx * size * -self.light, self.kerb + dy * size
            self.draw.ellipse((cx - r * size, cy - r * size, cx + r * size, cy + r * size), fill=_shaded(green, tone))

    def _lamp(self, x: float) -> None:
        top, half = self.horizon * self.rng.uniform(0.1, 0.45), 0.004 * self.width
        pole = self._muted(55, 85)
        self.draw.rectangle((x - half, top, x + half, self.kerb), fill=pole)
        self.draw.rectangle((x - 4 * half, top, x + 4 * half, top + 3 * half), fill=pole)

    def _gradient(self, top: float, bottom: float, upper: Colour, lower: Colour) -> None:
        bands = 12
        ends = np.linspace(top, bottom, bands + 1).tolist()
        colours = np.linspace(upper, lower, bands).astype(int).tolist()
        for start, end, (r, g, b) in zip(ends, ends[1:], colours, strict=False):
            self.draw.rectangle((0, start, self.width, end), fill=(r, g, b))

    def _muted(self, low: int, high: int, red: int = 0, green: int = 0, blue: int = 0) -> Colour:
        base = self.rng.integers(low, high) + np.array([red, green, blue])
        r, g, b = np.clip(base + self.rng.integers(-12, 13, 3), 0, 255).tolist()
        return r, g, b


def _shaded(colour: Colour, factor: float) -> Colour:
    r, g, b = colour
    return min(int(r * factor), 255), min(int(g * factor), 255), min(int(b * factor), 255)
