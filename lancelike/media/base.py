"""What an image and a sound have in common: bytes that lie somewhere, by which equal ones are known."""

from __future__ import annotations

import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lancelike.errors import MediaError, shorten
from lancelike.media import html
from lancelike.media.formats import mime_type
from lancelike.media.limits import DEFAULT, MediaLimits
from lancelike.media.sources import Stored, read_source, unpacked
from lancelike.media.urls import shown

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema
    from pydantic_core.core_schema import SerializationInfo


_checking = threading.Semaphore(os.cpu_count() or 1)
"""Held while something is decoded to see that it is whole, which takes memory."""


class MediaValue(ABC):
    """An image or a sound. Nothing is opened until it is asked for."""

    __slots__ = ("_source",)

    _source: Any
    """Encoded bytes, a path or URL, bytes in a table, or what a subclass makes of pixels or samples."""

    @property
    def uri(self) -> str | None:
        """The path or URL, if it was given as one."""
        return self._source if isinstance(self._source, str) else None

    def data(self, limits: MediaLimits = DEFAULT) -> bytes:
        """The encoded bytes: as given, as they are at the path or URL now, or what pixels and samples are stored as.

        Raises:
            MediaError: They can't be read within *limits*.
        """
        match self._source:
            case bytes():
                return self._source
            case str():
                return read_source(self._source, limits)
            case Stored():
                return self._source.read_bytes()
        return self._encoded()

    def whole_data(self, limits: MediaLimits = DEFAULT) -> bytes:
        """The encoded bytes, as `data` gives them, once they are seen to be of its kind, not cut short, nor too large.

        Raises:
            MediaError: They can't be read within *limits*, or are something else.
        """
        data = self.data(limits)
        with _checking:
            self._check(data, limits, shown(self.uri or ""))
        return data

    def address(self) -> str:
        """The path or URL, if it was given as one, else a `data:` URL with the bytes: what JSON holds of it.

        Raises:
            MediaError: They can't be read.
        """
        if self.uri is not None:
            return self.uri
        data = self.data()
        return html.data_url(data, mime_type(data))

    def key(self) -> bytes:
        """What equal ones share: the encoded bytes, or the path or URL as written."""
        return b"b" + self.data() if self.uri is None else b"u" + self.uri.encode("utf-8", "surrogatepass")

    @abstractmethod
    def to_html(self) -> str:
        """It as a piece of a page; a path or URL is named, and not opened.

        Raises:
            MediaError: It can't be read.
        """

    @staticmethod
    @abstractmethod
    def _check(data: bytes, limits: MediaLimits, source: str) -> None:
        """See that *data*, from *source*, can be decoded within *limits*; as far as the packages for it are there."""

    @abstractmethod
    def _encoded(self) -> bytes:
        """Pixels or samples as a file, without loss."""

    @abstractmethod
    def _measured(self) -> str:
        """Of what size pixels or samples are, in words."""

    def _is_named_only(self, most_bytes: int) -> bool:
        """Whether a page has its name in its place: it would have to be fetched, or is larger than *most_bytes*."""
        return self.uri is not None or (isinstance(self._source, Stored) and self._source.size > most_bytes)

    def __eq__(self, other: object) -> bool:
        return self.key() == other.key() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(hashlib.blake2b(self.key(), digest_size=8).digest())

    def __repr__(self) -> str:
        match self._source:
            case bytes():
                what = f"{mime_type(self._source)}, {len(self._source)} bytes"
            case str():
                what = shorten(self._source)
            case Stored():
                what = f"{self._source.size} bytes in a table"
            case _:
                what = self._measured()
        return f"{type(self).__name__}({what})"

    def __reduce__(self) -> tuple[Any, ...]:
        """For a copy in another process, with the bytes that are in a table here."""
        return type(self), (self.data() if isinstance(self._source, Stored) else self._source,)

    def _repr_html_(self) -> str:
        return html.safely(self.to_html)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _pydantic_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "description": "a path or URL; a data: URL has the bytes"}


def source_of(cls: type[MediaValue], given: Any) -> Any:
    """What *given* is kept as in a *cls*, if it says where its bytes are or has them; else None.

    Raises:
        MediaError: It is an empty text.
    """
    given = unpacked(given)
    if isinstance(given, cls):
        return given._source
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, str | os.PathLike):
        where = os.fspath(given)
        if not isinstance(where, str) or not where.strip():
            raise MediaError(f"{where!r} is no path or URL")
        return where
    return given if isinstance(given, Stored) else None


def _pydantic_schema(cls: Callable[[Any], Any]) -> CoreSchema:
    """How pydantic takes an `Image` or `Audio`: whatever it is made from; it writes the bytes, in JSON its address."""
    from pydantic_core import core_schema  # pydantic takes 40 ms to import, and is there when it asks

    def made(value: Any) -> Any:
        try:
            return cls(value)
        except MediaError as error:
            raise ValueError(str(error)) from error

    def written(value: MediaValue, info: SerializationInfo) -> bytes | str:
        return value.address() if info.mode_is_json() else value.data()

    return core_schema.no_info_plain_validator_function(
        made, serialization=core_schema.plain_serializer_function_ser_schema(written, info_arg=True)
    )
