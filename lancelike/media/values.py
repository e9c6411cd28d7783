"""Which values are images and sounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from lancelike.errors import BadMediaError
from lancelike.media.arrays import is_array
from lancelike.media.audio import Audio
from lancelike.media.formats import kind_of, mime_type
from lancelike.media.image import Image, is_pil
from lancelike.media.limits import MediaLimits
from lancelike.media.sources import read_source, unpacked
from lancelike.media.urls import shown
from lancelike.types import Modality

Media: TypeAlias = Image | Audio
Read: TypeAlias = Callable[[str | os.PathLike[str], MediaLimits], bytes]

_PIXEL_DIMENSIONS = 3


def as_media(value: Any) -> Media | None:
    """*value* as an image or a sound, if its type says that it is one; a str is a text, whatever is in it.

    Bytes are what they begin as, also in a dict of Hugging Face's; pixels are an array of three dimensions; samples go
    with their rate. None for anything else.
    """
    if isinstance(value, Image | Audio):
        return value
    value = unpacked(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _from_bytes(bytes(value))
    if is_pil(value) or (is_array(value) and len(value.shape) == _PIXEL_DIMENSIONS):
        return Image(value)
    if is_sound(value):
        return Audio(value)
    return None


def is_sound(value: Any) -> bool:
    """Whether *value* is samples with their rate: a pair, or a dict with `array` and `sampling_rate`."""
    if isinstance(value, tuple):
        return len(value) == 2 and is_array(value[0]) and not (is_array(value[1]) and len(value[1].shape))
    return isinstance(value, Mapping) and {"array", "sampling_rate"} <= value.keys()


def located(value: Any) -> str | None:
    """The path that *value* is by its type: of pathlib, or of Hugging Face's dict without bytes; None if it is none."""
    found = value if isinstance(value, os.PathLike) else unpacked(value) if isinstance(value, Mapping) else None
    where = os.fspath(found) if isinstance(found, str | os.PathLike) else None
    return where if isinstance(where, str) else None


def modality_of(value: Any) -> Modality | None:
    """What *value* is as a query; None where its type doesn't tell. Nothing is decoded or opened."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bytes | bytearray | memoryview):
        return kind_of(bytes(value[:512]))
    match as_media(value):
        case Image():
            return "image"
        case Audio():
            return "audio"
    return None


def read_media(source: str | os.PathLike[str], limits: MediaLimits, read: Read = read_source) -> Media:
    """What is at the path or URL *source*, an image or a sound as its bytes say.

    Args:
        source: The path or URL.
        limits: Bounds on what is read.
        read: Reads the bytes.

    Raises:
        BadMediaError: It is neither.
        MediaError: It can't be read.
    """
    data = read(source, limits)
    media = _from_bytes(data)
    if media is None:
        raise BadMediaError(f"this is neither an image nor a sound, but {mime_type(data)}", source=shown(str(source)))
    return media


def _from_bytes(data: bytes) -> Media | None:
    match kind_of(data):
        case "image":
            return Image(data)
        case "audio":
            return Audio(data)
    return None
