"""Sounds: a value that is one, whatever it was given as, and its samples at the rate that is wanted."""

from __future__ import annotations

import io
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike._optional import require
from lancelike.errors import BadMediaError, MediaError, MediaTooLargeError, shorten
from lancelike.media import html
from lancelike.media.arrays import as_samples, is_array
from lancelike.media.base import MediaValue, source_of
from lancelike.media.formats import kind_of, mime_type
from lancelike.media.html import MOST_PLAYED_BYTES, SHOWN
from lancelike.media.limits import DEFAULT, MediaLimits

_SUBTYPES = {"int16": "PCM_16", "int32": "PCM_32", "float32": "FLOAT", "float64": "DOUBLE"}
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
_MP3_SLACK = 2 * 1152
"""Two frames of an MP3 file: decoders leave out some of the silence at its ends."""
_CHECKED_FRAMES = 1 << 18
_PLAYED = frozenset({"audio/wav", "audio/flac", "audio/ogg", "audio/mpeg"})
"""What browsers play; the rest is shown as WAV."""
_WAV_BITS = slice(34, 36)
_FLOAT64_BITS = (64).to_bytes(2, "little")


class Audio(MediaValue):
    """A sound: encoded bytes, a path or URL, or samples. Nothing is opened until it is asked for.

    Args:
        source: One of
            bytes of a WAV, FLAC, OGG, MP3, AIFF or AU file;
            a path or a `file:`, `data:`, `http(s):`, `s3:`, `gs:` or `abfs:` URL, as a str or a path;
            samples, a numpy array or a tensor of shape (n,) or (n, channels), int16, int32, or floats from -1 to 1;
            a pair of samples and their rate; a dict with `array` and `sampling_rate`;
            another `Audio`.
        sampling_rate: Samples a second, where *source* is samples alone.

    Raises:
        MediaError: *source* is none of these.
    """

    __slots__ = ()

    def __init__(self, source: Any, sampling_rate: int | None = None) -> None:
        self._source = _checked(source, sampling_rate)

    def samples(self, sampling_rate: int | None = None, limits: MediaLimits = DEFAULT) -> NDArray[np.float32]:
        """One channel, the mean of all, decoded now; float32 from -1 to 1, shape (n,).

        Args:
            sampling_rate: Samples a second; None for those that it was recorded at.
            limits: What is read at most.

        Raises:
            BadMediaError: It is no sound, or one that is cut short.
            MediaTooLargeError: It has more bytes or seconds than allowed.
            MediaError: It can't be read.
        """
        channels, rate = self._decoded(limits)
        mono = channels.mean(axis=1, dtype=np.float32)
        return mono if sampling_rate in (None, rate) else _resampled(mono, rate, int(sampling_rate or rate))

    @property
    def sampling_rate(self) -> int:
        """Samples a second of the recording.

        Raises:
            MediaError: It can't be read.
        """
        return self._source[1] if isinstance(self._source, tuple) else self._decoded(DEFAULT)[1]

    def parts(self) -> Iterator[bytes]:
        """What tells it from other sounds of its form: the encoded bytes, or samples and their rate."""
        if not isinstance(self._source, tuple):
            yield self.data()
            return
        samples, rate = self._source
        yield repr((samples.dtype.str, samples.shape, rate)).encode()
        yield samples.tobytes()

    def to_html(self) -> str:
        """A player in HTML; a path or URL is named, and not opened, and so is what has more than 4 MB.

        Raises:
            MediaError: The sound can't be read.
        """
        if self._is_named_only(MOST_PLAYED_BYTES):
            return html.code(repr(self))
        data = self.data(SHOWN)
        _refuse_others(data, "")
        if not _plays(data):
            samples, rate = decoded(data, SHOWN)
            data = _as_wav((samples * 32_767).astype(np.int16), rate)
        if len(data) > MOST_PLAYED_BYTES:
            return html.code(repr(self))
        return html.player(data, mime_type(data))

    @staticmethod
    def _check(data: bytes, limits: MediaLimits, source: str) -> None:
        _refuse_others(data, source)
        if find_spec("soundfile") is None:
            return
        with _decoding(data, limits, source) as file:
            count = sum(map(len, file.blocks(_CHECKED_FRAMES, dtype="float32")))
            _refuse_fewer(count, file.frames, data, source)

    def _encoded(self) -> bytes:
        return _as_wav(*self._source)

    def _measured(self) -> str:
        samples, rate = self._source
        return f"{len(samples) / rate:.2f} s, {rate} Hz"

    def _decoded(self, limits: MediaLimits) -> tuple[NDArray[np.float32], int]:
        if isinstance(self._source, tuple):
            samples, rate = self._source
            _refuse_length(len(samples), rate, limits, "")
            return _as_floats(samples), rate
        return decoded(self.data(limits), limits, self.uri or "")


def decoded(data: bytes, limits: MediaLimits = DEFAULT, source: str = "") -> tuple[NDArray[np.float32], int]:
    """The samples in *data*, float32 of shape (n, channels), and how many there are a second."""
    _refuse_others(data, source)
    with _decoding(data, limits, source) as file:
        most = int(limits.max_audio_s * file.samplerate)
        samples = file.read(most + 1, dtype="float32", always_2d=True)
        announced, rate = file.frames, file.samplerate
    _refuse_length(len(samples), rate, limits, source)
    _refuse_fewer(len(samples), announced, data, source)
    if not np.isfinite(samples).all():
        raise BadMediaError("the samples have NaN or infinity", source=source)
    return samples, rate


def _refuse_others(data: bytes, source: str) -> None:
    if kind_of(data) != "audio":
        raise BadMediaError(f"this is no sound that is read here, but {mime_type(data)}", source=source)
    _refuse_cut(data, source)


@contextmanager
def _decoding(data: bytes, limits: MediaLimits, source: str) -> Iterator[Any]:
    """The sound in *data*, not yet decoded; what decoding it raises becomes a `MediaError`."""
    soundfile = require("soundfile", extra="audio", needed_by="Audio")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _refuse_length(file.frames, file.samplerate, limits, source)
            yield file
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", error)  # the error itself names an object of ours
        raise BadMediaError(f"the sound is broken or cut short ({reason})", source=source) from error


def _refuse_fewer(frames: int, announced: int, data: bytes, source: str) -> None:
    if not frames:
        raise BadMediaError("the sound is empty", source=source)
    if frames < announced - (_MP3_SLACK if mime_type(data) == "audio/mpeg" else 0):
        raise BadMediaError("the sound is cut short", source=source)


def _refuse_cut(data: bytes, source: str) -> None:
    """Some files say how many bytes they have, and their decoder takes fewer without a word."""
    announced = _announced_bytes(data)
    if announced is not None and announced > len(data) + 1:  # a byte of padding is often left out
        raise BadMediaError("the sound is cut short", source=source)


def _plays(data: bytes) -> bool:
    """Whether browsers play *data*: no WAV file of float64."""
    kind = mime_type(data)
    return kind in _PLAYED and not (kind == "audio/wav" and data[_WAV_BITS] == _FLOAT64_BITS)


def _announced_bytes(data: bytes) -> int | None:
    """Bytes that the file should have; None where it doesn't say."""
    match data[:4]:
        case b"RIFF":
            start, size = 8, int.from_bytes(data[4:8], "little")
        case b"FORM":
            start, size = 8, int.from_bytes(data[4:8], "big")
        case b".snd":
            start, size = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
        case _:
            return None
    return None if size in _UNKNOWN_SIZES else start + size


def _refuse_length(frames: int, rate: int, limits: MediaLimits, source: str) -> None:
    if frames > limits.max_audio_s * rate:
        raise MediaTooLargeError(
            f"it lasts {frames / rate:.0f} s, and {limits.max_audio_s:g} s are allowed",
            source=source,
            limit=limits.max_audio_s,
        )


def _as_floats(samples: NDArray[Any]) -> NDArray[np.float32]:
    if samples.dtype.kind == "i":
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    return samples.astype(np.float32, copy=False)


def _resampled(mono: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    soxr = require("soxr", extra="audio", needed_by="Audio.samples")
    return np.asarray(soxr.resample(mono, rate, wanted), dtype=np.float32)


def _checked(given: Any, rate: int | None) -> Any:
    source = source_of(Audio, given)
    if source is not None:
        return source
    if isinstance(given, dict) and "array" in given:
        given, rate = given["array"], given.get("sampling_rate", rate)
    elif isinstance(given, tuple) and len(given) == 2 and is_array(given[0]):
        given, rate = given
    if not is_array(given):
        raise MediaError(
            f"{shorten(given)} is no sound: give bytes, a path or URL, or (samples, sampling_rate) in this order, with "
            "samples in an array"
        )
    return as_samples(given).copy(), _rate(rate)


def _rate(value: Any) -> int:
    """*value* as samples a second: a whole number, of Python, numpy, or a tensor."""
    try:
        rate = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        rate = 0
    if rate < 1 or isinstance(value, bool):
        raise MediaError(f"samples go with their rate in Hz, (samples, sampling_rate); {value!r} is none")
    return rate


def _as_wav(samples: NDArray[Any], rate: int) -> bytes:
    soundfile = require("soundfile", extra="audio", needed_by="Audio")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=_SUBTYPES[samples.dtype.name])
    return file.getvalue()
