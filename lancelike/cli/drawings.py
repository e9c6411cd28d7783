"""Pictures drawn on the spot, of one coloured shape each, and the words for them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelike._optional import require

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 70, 220),
    "yellow": (240, 220, 40),
    "purple": (140, 40, 170),
    "orange": (245, 140, 20),
    "white": (248, 248, 248),
    "black": (12, 12, 12),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
PLACES = {"left": (0.27, 0.5), "right": (0.73, 0.5), "top": (0.5, 0.27), "bottom": (0.5, 0.73), "middle": (0.5, 0.5)}
"""Where the shape's centre is, as shares of the picture's width and height."""

SUPERSAMPLING = 4
LEAST_CONTRAST = 150
"""Of the background to the shape, in steps of the three channels together."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a picture shows."""

    colour: str
    shape: str
    place: str

    @property
    def kind(self) -> str:
        """Colour and shape, as in "red circle"."""
        return f"{self.colour} {self.shape}"

    @property
    def caption(self) -> str:
        """Everything about it, as in "a red circle on the left"."""
        return f"{'an' if self.colour == 'orange' else 'a'} {self.kind} {where(self.place)}"


def every_drawing() -> Iterator[Drawing]:
    """Each colour of each shape at each place, once."""
    return (Drawing(c, s, p) for c in COLOURS for s in SHAPES for p in PLACES)


def where(place: str) -> str:
    """The place in words, as in "on the left"."""
    return f"{'on' if place in ('left', 'right') else 'in' if place == 'middle' else 'at'} the {place}"


def draw(drawing: Drawing, rng: random.Random, side: int = 32) -> Image:
    """Draw it, *side* pixels wide and high, in RGB; size, tint, angle, background and noise are chosen by *rng*."""
    images = require("PIL.Image", extra="images", needed_by="drawing a picture")
    brushes = require("PIL.ImageDraw", extra="images", needed_by="drawing a picture")
    colour = COLOURS[drawing.colour]
    background = _background(colour, rng)
    large = side * SUPERSAMPLING
    image = images.new("RGB", (large, large), background)
    tint = tuple(min(255, max(0, channel + rng.randint(-14, 14))) for channel in colour)
    x, y = (large * (share + rng.uniform(-0.05, 0.05)) for share in PLACES[drawing.place])
    radius = large * rng.uniform(0.15, 0.22)
    _draw_shape(brushes.Draw(image), drawing.shape, (x, y), radius, rng.uniform(-0.25, 0.25), tint, background)
    small = np.asarray(image.resize((side, side), images.Resampling.LANCZOS), dtype=np.float32)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 5, small.shape)
    picture: Image = images.fromarray((small + noise).clip(0, 255).astype(np.uint8))
    return picture


def _background(colour: tuple[int, int, int], rng: random.Random) -> tuple[int, ...]:
    while True:
        grey = rng.random() < 0.5
        channels = (rng.randint(60, 200),) * 3 if grey else tuple(rng.randint(60, 200) for _ in range(3))
        if sum(abs(a - b) for a, b in zip(channels, colour, strict=True)) > LEAST_CONTRAST:
            return channels


def _draw_shape(
    brush: Any,
    shape: str,
    centre: tuple[float, float],
    radius: float,
    turn: float,
    tint: tuple[int, ...],
    background: tuple[int, ...],
) -> None:
    x, y = centre
    if shape in OUTLINES:
        brush.polygon(
            [(x + radius * r * math.cos(a + turn), y + radius * r * math.sin(a + turn)) for r, a in OUTLINES[shape]],
            fill=tint,
        )
        return
    brush.ellipse(_around(x, y, radius), fill=tint)
    if shape == "ring":
        brush.ellipse(_around(x, y, radius * 0.55), fill=background)


def _around(x: float, y: float, radius: float) -> list[float]:
    return [x - radius, y - radius, x + radius, y + radius]


def _corners(n: int, radius: float, first: float) -> list[tuple[float, float]]:
    return [(radius, first + k * 2 * math.pi / n) for k in range(n)]


def _star() -> list[tuple[float, float]]:
    outer, inner = _corners(5, 1.15, -math.pi / 2), _corners(5, 0.45, -math.pi / 2 + math.pi / 5)
    return [point for pair in zip(outer, inner, strict=True) for point in pair]


def _cross(arm: float = 0.32) -> list[tuple[float, float]]:
    quarter = ((arm, arm), (1, arm), (1, -arm))
    return [(math.hypot(x, y), math.atan2(y, x) - k * math.pi / 2) for k in range(4) for x, y in quarter]


OUTLINES = {
    "square": _corners(4, 1.15, math.pi / 4),
    "triangle": _corners(3, 1.15, -math.pi / 2),
    "star": _star(),
    "cross": _cross(),
}
"""Corners as radius, in radii of the shape, and angle."""
