"""Pictures and sounds made on the spot."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL.Image
import soundfile
from numpy.typing import NDArray

QUADRANTS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)
"""Red and green above blue and white."""
VECTOR = QUADRANTS.reshape(12).astype(np.float32) / 255
"""What `Quadrants` makes of it, right side up."""


def picture(size: int = 64) -> Any:
    """The quadrants, as a PIL image."""
    return PIL.Image.fromarray(np.kron(QUADRANTS, np.ones((size // 2, size // 2, 1), np.uint8)))


def encoded(image: Any, file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def rotated_by_exif(orientation: int) -> bytes:
    """The quadrants, stored turned so that *orientation* brings them upright again."""
    undo = {
        2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
        3: PIL.Image.Transpose.ROTATE_180,
        4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
        5: PIL.Image.Transpose.TRANSPOSE,
        6: PIL.Image.Transpose.ROTATE_90,
        7: PIL.Image.Transpose.TRANSVERSE,
        8: PIL.Image.Transpose.ROTATE_270,
    }
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture().transpose(undo[orientation]), "JPEG", quality=95, exif=exif)


def animated() -> bytes:
    frames = [picture().quantize(), PIL.Image.new("RGB", (64, 64), "black").quantize()]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, loop=0)


def sixteen_bit() -> bytes:
    """Grey of 16 bits: dark above, light below."""
    levels = np.repeat(np.array([[0x2000], [0xE000]], np.uint16), 32, axis=0).repeat(64, axis=1)
    return encoded(PIL.Image.fromarray(levels))


def sine(seconds: float = 0.5, rate: int = 8_000) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def sound(file_format: str = "WAV", rate: int = 8_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sine(rate=rate), rate, format=file_format)
    return file.getvalue()
