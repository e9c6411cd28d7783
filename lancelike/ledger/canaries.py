"""Inputs whose vectors tell one model from another."""

from __future__ import annotations

from typing import Any

import numpy as np

from lancelike.embeddings import EmbeddingFunction, TextEmbeddingFunction
from lancelike.embeddings.description import description_of
from lancelike.embeddings.loading import MediaInputs
from lancelike.media import Audio, Image

TEXT_CANARIES = (
    "The ledger remembers what was paid for.",
    "def area(radius): return 3.14159 * radius ** 2",
    "Größe, naïveté und 東京: words from elsewhere",
)
SIDE = 64
SAMPLING_RATE = 16_000


def canaries_of(function: EmbeddingFunction) -> list[Any]:
    """What *function* embeds to be known by: texts, and pictures and sounds of a model that runs here; nothing if none.

    A service is sent texts alone, which cost next to nothing.
    """
    if not isinstance(function, MediaInputs):
        return list(TEXT_CANARIES) if isinstance(function, TextEmbeddingFunction) else []
    description = description_of(type(function))
    canaries: list[Any] = list(TEXT_CANARIES) if "text" in function.modalities and function.strings != "source" else []
    if description is not None and description.runs == "local":
        canaries += [_picture()] if "image" in function.modalities else []
        canaries += [_sound()] if "audio" in function.modalities else []
    return canaries


def _picture() -> Image:
    """Two colours that run into each other, and a bright square."""
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    pixels = np.stack([across * 4, down * 4, (across + down) * 2], axis=-1)
    pixels[20:40, 12:32] = (250, 240, 40)
    return Image(pixels.astype(np.uint8))


def _sound() -> Audio:
    """Half a second of a tone that rises."""
    seconds = np.arange(SAMPLING_RATE // 2) / SAMPLING_RATE
    return Audio((np.sin(2 * np.pi * (300 + 600 * seconds) * seconds).astype(np.float32) / 2, SAMPLING_RATE))
