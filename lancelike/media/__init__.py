"""Images and sounds: values to store and to search by, where they come from, and how they are decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.media.audio import Audio
    from lancelike.media.image import Image
    from lancelike.media.limits import MediaLimits
    from lancelike.media.showing import show

_HOMES = {
    "Audio": "audio",
    "Image": "image",
    "MediaLimits": "limits",
    "show": "showing",
}

__all__ = ["Audio", "Image", "MediaLimits", "show"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, _HOMES)
