"""Images as files that anybody else's decoder shows as they are."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any

from lancelike._optional import require
from lancelike.media.image import ORIENTATION, Image
from lancelike.media.limits import DEFAULT, MediaLimits

_UPRIGHT = 1


def as_file(image: Image, formats: Collection[str], limits: MediaLimits = DEFAULT) -> bytes:
    """*image* as a file that shows what `Image.pil` gives, without loss.

    Args:
        image: The image, with its bytes at hand.
        formats: Formats, as Pillow names them, of which its own bytes are taken where they show that by themselves:
            neither turned by EXIF, nor transparent, nor an animation, with 8 bits a channel. Anything else is a PNG.
        limits: Bounds on what is decoded.

    Raises:
        MediaError: It is broken, or over a limit.
    """
    picture = image.pil(limits)
    data = image.data(limits)
    if _shows_itself(data, formats):
        return data
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def pixels_of(file: bytes) -> int:
    """The pixels of the image in *file*, as its head states them."""
    with _opened(file) as image:
        return int(image.width * image.height)


def _shows_itself(data: bytes, formats: Collection[str]) -> bool:
    with _opened(data) as image:
        return (
            image.format in formats
            and image.mode in ("RGB", "L")
            and not image.has_transparency_data
            and getattr(image, "n_frames", 1) == 1
            and image.getexif().get(ORIENTATION, _UPRIGHT) == _UPRIGHT
        )


def _opened(file: bytes) -> Any:
    return require("PIL.Image", extra="images", needed_by="Image").open(io.BytesIO(file))
