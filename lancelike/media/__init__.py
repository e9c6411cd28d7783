"""Images and sounds: values to store and to search by, where they come from, and how they are decoded."""

from __future__ import annotations

from lancelike.media.audio import Audio
from lancelike.media.image import Image
from lancelike.media.limits import MediaLimits
from lancelike.media.show import show

__all__ = ["Audio", "Image", "MediaLimits", "show"]
