"""Places and cameras: what is behind the people, and what a camera does to a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from psbench_data.synthetic.people import Shape

_OVERSAMPLING = 2


@dataclass(frozen=True)
class Place:
    """One camera over one place: pictures of it share their background, light and sharpness."""

    seed: int
    horizon: float
    gain: tuple[float, float, float]
    blur: float
    noise: float


def random_place(rng: np.random.Generator) -> Place:
    """Draw a place and the camera over it."""
    light = rng.uniform(0.75, 1.15)
    r, g, b = (light * rng.uniform(0.92, 1.08, 3)).tolist()
    return Place(
        seed=int(rng.integers(2**31)),
        horizon=rng.uniform(0.28, 0.45),
        gain=(r, g, b),
        blur=rng.uniform(0.0, 0.7),
        noise=rng.uniform(1.0, 5.0),
    )


def draw_scene(
    place: Place, figures: list[list[Shape]], size: tuple[int, int], rng: np.random.Generator
) -> Image.Image:
    """Paint a scene.

    Args:
        place: the background and the camera.
        figures: people, the furthest first.
        size: height and width, pixels.
        rng: the noise of this one picture.

    Returns:
        An RGB image.
    """
    height, width = size
    canvas = Image.new("RGB", (width * _OVERSAMPLING, height * _OVERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    _background(draw, place, size)
    for figure in figures:
        for points, colour in figure:
            draw.polygon([(x * _OVERSAMPLING, y * _OVERSAMPLING) for x, y in points.tolist()], fill=colour)
    image = canvas.resize((width, height), Image.Resampling.BOX)
    if place.blur > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(place.blur))
    pixels = np.asarray(image, np.float32) * np.array(place.gain, np.float32)
    pixels += rng.normal(0, place.noise, pixels.shape[:2])[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _background(draw: ImageDraw.ImageDraw, place: Place, size: tuple[int, int]) -> None:
    height, width = size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING
    rng = np.random.default_rng(place.seed)
    horizon = place.horizon * height

    def muted(low: int, high: int) -> tuple[int, int, int]:
        base = rng.integers(low, high)
        r, g, b = np.clip(base + rng.integers(-16, 17, 3), 0, 255).tolist()
        return r, g, b

    draw.rectangle((0, 0, width, horizon), fill=muted(170, 225))
    draw.rectangle((0, horizon, width, height), fill=muted(110, 165))
    x = 0.0
    while x < width:
        across = rng.uniform(0.1, 0.3) * width
        roof = horizon * rng.uniform(0.0, 0.6)
        draw.rectangle((x, roof, x + across, horizon), fill=muted(90, 190))
        windows, pane = muted(60, 120), across / 7
        for row in np.arange(roof + pane, horizon - pane, 2 * pane):
            for column in range(3):
                left = x + pane * (1 + 2 * column)
                draw.rectangle((left, row, left + pane, row + pane), fill=windows)
        x += across + rng.uniform(0, 0.06) * width
    kerb = horizon + 0.12 * (height - horizon)
    draw.rectangle((0, horizon, width, kerb), fill=muted(130, 190))
    paving, vanishing = muted(95, 150), width * rng.uniform(0.3, 0.7)
    for foot in np.linspace(-width, 2 * width, 13):
        draw.line((vanishing + (foot - vanishing) * 0.25, kerb, foot, height), fill=paving, width=_OVERSAMPLING)
    for _ in range(rng.integers(0, 3)):
        pole = rng.uniform(0, width)
        draw.rectangle((pole, rng.uniform(0, horizon / 2), pole + 0.012 * width, kerb), fill=muted(50, 100))
