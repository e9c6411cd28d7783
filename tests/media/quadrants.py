"""A function of the media base class: mean colours of an image's quadrants, a sound's level, and colours by name."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lancelike.embeddings.media import MediaEmbeddingFunction
from lancelike.types import Modality

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


class Quadrants(MediaEmbeddingFunction):
    """12 numbers from 0 to 1: red, green and blue of the upper left, upper right, lower left, lower right."""

    batch_size: int = 16
    salt: int = 0
    modalities: ClassVar[frozenset[Modality]] = frozenset({"text", "image"})
    calls: ClassVar[list[tuple[str, int]]] = []

    def ndims(self) -> int:
        return 12

    def prepare_image(self, image: Any, /) -> NDArray[np.float32]:
        assert image.mode == "RGB"
        pixels = np.asarray(image, dtype=np.float32) / 255
        middle, centre = pixels.shape[0] // 2, pixels.shape[1] // 2
        parts = (pixels[:middle, :centre], pixels[:middle, centre:], pixels[middle:, :centre], pixels[middle:, centre:])
        return np.concatenate([part.reshape(-1, 3).mean(axis=0) for part in parts])

    def embed_images(self, prepared: list[Any], /) -> NDArray[np.float32]:
        self.calls.append(("image", len(prepared)))
        return np.stack(prepared)

    def embed_texts(self, texts: list[str], /) -> NDArray[np.float32]:
        self.calls.append(("text", len(texts)))
        return np.stack([np.tile(np.array(COLOURS.get(t, (0, 0, 0)), np.float32) / 255, 4) for t in texts])


class Levels(Quadrants):
    """As `Quadrants`, and sounds: 12 times their level."""

    modalities: ClassVar[frozenset[Modality]] = frozenset({"text", "image", "audio"})

    def prepare_audio(self, samples: NDArray[np.float32], /) -> float:
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        return float(np.abs(samples).mean())

    def embed_audio(self, prepared: list[Any], /) -> NDArray[np.float32]:
        self.calls.append(("audio", len(prepared)))
        return np.repeat(np.array(prepared, np.float32)[:, None], 12, axis=1)
