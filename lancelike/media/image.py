"""Images: a value that is one, whatever it was given as, and its pixels, right side up."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lancelike._optional import require
from lancelike.errors import BadMediaError, MediaError, MediaTooLargeError, shorten
from lancelike.media import html
from lancelike.media.arrays import as_pixels, is_array
from lancelike.media.base import MediaValue, source_of
from lancelike.media.formats import PILLOW_FORMATS, kind_of, mime_type
from lancelike.media.html import SHOWN, THUMBNAIL_PIXELS
from lancelike.media.limits import DEFAULT, MediaLimits

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_PALETTE_MODES = frozenset({"P", "PA"})
_MOST_PNG_BYTES = 24_000
"""Of a thumbnail: a photograph with more is a JPEG, a fifth of that."""
_CHECKED_SIZE = (64, 64)
ORIENTATION = 0x0112
"""The EXIF tag of how the camera was held."""


class Image(MediaValue):
    """An image: encoded bytes, a path or URL, a PIL image, or pixels. Nothing is opened until it is asked for.

    Args:
        source: One of
            bytes of a JPEG, PNG, GIF, WebP, BMP, TIFF, AVIF, JPEG 2000, PPM or ICO file;
            a path or a `file:`, `data:`, `http(s):`, `s3:`, `gs:` or `abfs:` URL, as a str or a path;
            a PIL image;
            a numpy array or a tensor of pixels, shape (height, width), (height, width, 1, 3 or 4), or with the channels
            first; uint8, uint16 (grey), bool, or floats from 0 to 1, which become the nearest of 256 steps;
            another `Image`.

    Raises:
        MediaError: *source* is none of these.
    """

    __slots__ = ()

    def __init__(self, source: Any) -> None:
        self._source = _checked(source)

    def pil(self, limits: MediaLimits = DEFAULT) -> PILImage:
        """The picture as a PIL image of mode RGB, decoded now.

        It is turned as its EXIF says, of an animation the first frame, with what is transparent on white, and 16 bits a
        channel scaled to 8.

        Raises:
            BadMediaError: It is no image, or one that is cut short.
            MediaTooLargeError: It has more bytes or pixels than allowed.
            MediaError: It can't be read.
        """
        if not is_pil(self._source):
            return decoded(self.data(limits), limits, self.uri or "")
        _refuse_pixels(self._source, limits, "")
        return upright_rgb(self._source)

    def parts(self) -> Iterator[bytes]:
        """What tells it from other images of its form: the encoded bytes, or pixels and how they are to be read."""
        if not is_pil(self._source):
            yield self.data()
            return
        image = self._source
        yield repr((image.mode, image.size, image.info.get("transparency"), image.getexif().get(ORIENTATION))).encode()
        yield bytes(image.getpalette("RGBA") or b"") if image.mode in _PALETTE_MODES else b""
        yield image.tobytes()

    def thumbnail(self, most_pixels: int = THUMBNAIL_PIXELS) -> bytes:
        """A PNG at most *most_pixels* wide and high.

        Raises:
            MediaError: The image can't be read.
        """
        small = self.pil()
        small.thumbnail((most_pixels, most_pixels))
        return _saved(small, "PNG")

    def to_html(self, most_pixels: int = THUMBNAIL_PIXELS) -> str:
        """A thumbnail in HTML, at most *most_pixels* wide and high; a path or URL is named, and not opened.

        Raises:
            MediaError: The image can't be read.
        """
        if self._is_named_only(SHOWN.max_bytes):
            return html.code(repr(self))
        image = self.pil(SHOWN)
        title = f"{image.width} x {image.height}"
        image.thumbnail((most_pixels, most_pixels))
        png = _saved(image, "PNG")
        if len(png) <= _MOST_PNG_BYTES:
            return html.picture(png, "image/png", title)
        return html.picture(_saved(image, "JPEG", quality=85), "image/jpeg", title)

    def _repr_png_(self) -> bytes | None:
        """The thumbnail, for what shows no HTML; None of a broken image, and of a path or URL, which is not opened."""
        try:
            return None if self.uri is not None else self.thumbnail()
        except MediaError:
            return None

    @staticmethod
    def _check(data: bytes, limits: MediaLimits, source: str) -> None:
        _refuse_others(data, source)
        if find_spec("PIL") is None:
            return
        with _decoding(data, limits, source) as image:
            image.draft("L", _CHECKED_SIZE)  # a JPEG is gone through whole, and an eighth of its pixels made
            image.load()

    def _encoded(self) -> bytes:
        exif = {"exif": self._source.getexif().tobytes()} if self._source.getexif() else {}
        return _saved(self._source, "PNG" if self._source.mode in _PNG_MODES else "TIFF", **exif)

    def _measured(self) -> str:
        return f"{self._source.width}x{self._source.height}, {self._source.mode}"


def decoded(data: bytes, limits: MediaLimits = DEFAULT, source: str = "") -> PILImage:
    """The image in *data*, as `Image.pil` gives it."""
    _refuse_others(data, source)
    with _decoding(data, limits, source) as image:
        image.load()
        return upright_rgb(image)


def _refuse_others(data: bytes, source: str) -> None:
    if kind_of(data) != "image":
        raise BadMediaError(f"this is no image that is read here, but {mime_type(data)}", source=source)


@contextmanager
def _decoding(data: bytes, limits: MediaLimits, source: str) -> Iterator[Any]:
    """The image in *data*, its pixels not yet decoded; what decoding it raises becomes a `MediaError`."""
    pillow = _pillow()
    try:
        with pillow.open(io.BytesIO(data), formats=_formats()) as image:
            _refuse_pixels(image, limits, source)
            yield image
    except MediaError:
        raise
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise MediaTooLargeError(str(error), source=source, limit=limits.max_pixels) from error
    except pillow.UnidentifiedImageError as error:  # its message names an object of ours
        raise BadMediaError("the image is broken or cut short (no decoder knows it)", source=source) from error
    except Exception as error:  # decoders raise whatever broken bytes lead them to
        raise BadMediaError(f"the image is broken or cut short ({error})", source=source) from error


def upright_rgb(image: PILImage) -> PILImage:
    """*image* in RGB, as a viewer would show it."""
    transpose = require("PIL.ImageOps", extra="images", needed_by="Image.pil").exif_transpose
    upright: PILImage = transpose(image)
    if upright.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        return _from_deep(upright)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        on_white: PILImage = _pillow().new("RGBA", rgba.size, "white")
        on_white.alpha_composite(rgba)
        return on_white.convert("RGB")
    return upright if upright.mode == "RGB" else upright.convert("RGB")


def _from_deep(image: PILImage) -> PILImage:
    """A grey image of more than 8 bits: pillow would cut off what is above 255."""
    levels = np.asarray(image).astype(np.float64)
    brightest = levels.max(initial=0.0)
    full = 1.0 if image.mode == "F" and brightest <= 1 else 255.0 if image.mode == "F" and brightest <= 255 else 65535.0
    grey = np.clip(np.nan_to_num(levels) / full * 255 + 0.5, 0, 255).astype(np.uint8)
    rgb: PILImage = _pillow().fromarray(grey).convert("RGB")
    return rgb


def _checked(given: Any) -> Any:
    source = source_of(Image, given)
    if source is not None:
        return source
    if is_pil(given):
        return given.copy()
    if is_array(given):
        return _from_pixels(as_pixels(given))
    raise MediaError(
        f"{shorten(given)} is no image: give bytes, a path or URL, a PIL image, or an array of (height, width, 3)"
    )


def is_pil(value: Any) -> bool:
    """Whether *value* is a PIL image; pillow is not imported for it."""
    return any(f"{cls.__module__}.{cls.__qualname__}" == "PIL.Image.Image" for cls in type(value).__mro__)


def _from_pixels(pixels: NDArray[Any]) -> Any:
    return _pillow().fromarray(pixels.copy())  # the caller may fill the array anew


def _saved(image: Any, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _refuse_pixels(image: Any, limits: MediaLimits, source: str) -> None:
    if image.width * image.height > limits.max_pixels:
        raise MediaTooLargeError(
            f"it has {image.width} x {image.height} pixels, and {limits.max_pixels} are allowed",
            source=source,
            limit=limits.max_pixels,
        )


@cache
def _formats() -> tuple[str, ...]:
    """Those of `PILLOW_FORMATS` that this pillow was built with."""
    pillow = _pillow()
    pillow.init()
    return tuple(name for name in PILLOW_FORMATS if name in pillow.OPEN)


def _pillow() -> Any:
    return require("PIL.Image", extra="images", needed_by="Image")
