"""Pixels and samples in arrays and tensors, in the layouts that libraries have for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.errors import MediaError

_CHANNELS = (1, 3, 4)
_RGB = 3


def is_array(value: Any) -> bool:
    """Whether *value* is a numpy array, a tensor, or the like; a PIL image is not."""
    return isinstance(value, np.ndarray) or (
        hasattr(value, "__array__") and hasattr(value, "shape") and not hasattr(value, "__array_interface__")
    )


def to_numpy(value: Any) -> NDArray[Any]:
    """*value* as a numpy array, also a tensor that is on a device or wants gradients."""
    if type(value) is np.ndarray:
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # numpy has none
            value = value.float()
    return np.asarray(value)


def as_pixels(value: Any) -> NDArray[Any]:
    """*value* as pillow takes pixels: uint8 or uint16, shape (height, width), or (height, width, 3 or 4).

    Raises:
        MediaError: It has another shape or type, or floats that are not from 0 to 1.
    """
    pixels = to_numpy(value)
    if pixels.ndim == 3 and _has_channels_first(pixels.shape, is_tensor=hasattr(value, "detach")):
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in _CHANNELS) or not pixels.size:
        raise MediaError(
            f"an array of shape {pixels.shape} is no image: give (height, width) or (height, width, 3 or 4)"
        )
    if pixels.dtype == bool:
        return np.ascontiguousarray(pixels * np.uint8(255))
    if pixels.dtype.kind == "f":
        return _from_fractions(pixels)
    if pixels.dtype == np.uint16 and pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    if pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:
        raise MediaError(f"an image of {pixels.dtype} is not taken: give uint8, uint16 (grey), or floats from 0 to 1")
    return np.ascontiguousarray(pixels.astype(np.uint8))


def _has_channels_first(shape: tuple[int, ...], *, is_tensor: bool) -> bool:
    """Whether the first of three dimensions has the channels; if both ends could, the one that is 3, or by custom."""
    first, last = shape[0], shape[2]
    if first not in _CHANNELS or last not in _CHANNELS:
        return first in _CHANNELS
    return first == _RGB if _RGB in (first, last) and first != last else is_tensor


def _from_fractions(pixels: NDArray[Any]) -> NDArray[Any]:
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise MediaError("pixels that are floats go from 0 to 1; these don't")
    return np.ascontiguousarray(np.rint(pixels * 255).astype(np.uint8))


def as_samples(value: Any) -> NDArray[Any]:
    """*value* as samples, shape (n, channels): float32 or float64 from -1 to 1 or so, int16 or int32.

    Of two dimensions the shorter are the channels.

    Raises:
        MediaError: It has another shape or type.
    """
    samples = to_numpy(value)
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or not samples.size:
        raise MediaError(f"an array of shape {samples.shape} is no sound: give (n,) or (n, channels)")
    if samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.dtype == np.float16:
        samples = samples.astype(np.float32)
    if samples.dtype not in (np.float32, np.float64, np.int16, np.int32):
        raise MediaError(f"a sound of {samples.dtype} is not taken: give float32, float64, int16 or int32")
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise MediaError("the samples have NaN or infinity")
    return np.ascontiguousarray(samples)
