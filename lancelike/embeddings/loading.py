"""What functions share that take images, sounds and texts: telling them apart, and loading each beside the others.

A request's inputs are loaded (fetched, decoded, prepared) in a bounded pool of threads; all requests of a function
together decode no more of them at once than one would.
"""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import partial
from io import IOBase
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from pydantic import Field

from lancelike.embeddings.base import EmbeddingFunction, Role
from lancelike.errors import BadMediaError, MediaError, shorten
from lancelike.media import Audio, Image, MediaLimits
from lancelike.media.crew import Crew, load_all
from lancelike.media.digests import Content, content_of
from lancelike.media.formats import mime_type
from lancelike.media.sources import ends_like_source, is_remote, looks_like_source, read_source
from lancelike.media.values import Media, as_media, located, read_media
from lancelike.types import Modality

T = TypeVar("T")

Strings: TypeAlias = Literal["auto", "source", "text"]
"""What a stored string is: a path or URL where it has that form, else a text; always the one; or always the other."""

_LIMITS = MediaLimits()


class Loaded(NamedTuple):
    """An input as the model takes it: of what modality, and prepared."""

    modality: Modality
    value: Any


class MediaInputs(EmbeddingFunction):
    """A function whose inputs may be images or sounds; a subclass says of which `modalities`, and how one is prepared.

    An input that can't be loaded, such as a dead URL or a broken image, fails by itself.

    Attributes:
        strings: What a string in a source column is: `"auto"`, a path or URL if it has that form (a scheme, a rooted
            path, or the ending of an image's or sound's file) and a text otherwise; `"source"`, always a path or URL;
            `"text"`, always a text. A string that is searched for is a text.
        num_workers: Inputs decoded and prepared at once; None for the number of processors.
        fetch_concurrency: URLs fetched at once. Those that keep waiting are not counted, up to eight times as many in
            all.
        fetch_timeout_s: Seconds for one URL in all.
        max_source_bytes: Most bytes of an input.
        max_pixels: Most pixels of an image.
        allow_private_addresses: Whether URLs may lead to this machine or its network; or to which addresses of them,
            as networks such as `["10.1.0.0/16", "127.0.0.2"]`.
    """

    strings: Strings = "auto"
    num_workers: int | None = Field(None, ge=1)
    fetch_concurrency: int = Field(32, ge=1)
    fetch_timeout_s: float = Field(_LIMITS.timeout_s, gt=0)
    max_source_bytes: int = Field(_LIMITS.max_bytes, ge=1)
    max_pixels: int = Field(_LIMITS.max_pixels, ge=1)
    allow_private_addresses: bool | tuple[str, ...] = False

    queries_may_be_paths: ClassVar[bool] = False
    """Whether a string that is searched for is a path or URL if it ends as the name of a file of media does."""

    @property
    def modalities(self) -> frozenset[Modality]:
        """What it embeds: of `"text"`, `"image"` and `"audio"`."""
        raise NotImplementedError(f"{type(self).__name__} doesn't say which modalities it embeds")

    @abstractmethod
    def _prepared(self, media: Media, limits: MediaLimits) -> Any:
        """*media*, of one of `modalities`, as the model takes it; runs in several threads at once."""

    def what_it_embeds(self) -> str:
        """Its name and what it embeds, as an error says it."""
        return f"{self.label} embeds {', '.join(sorted(self.modalities))}"

    def sanitize_input(self, values: Any) -> list[Any]:
        """*values* as a list; one image, sound, dict or file is one value, whatever could be iterated in it."""
        if isinstance(values, Image | Audio | Mapping | IOBase) or as_media(values) is not None:
            return [values]
        return super().sanitize_input(values)

    def count_tokens(self, values: Sequence[Any]) -> list[int]:
        """Tokens of each of *values*: 1 of what is no text."""
        counted = super().count_tokens(values)
        return [1 if self._is_source(v, "source") else tokens for v, tokens in zip(values, counted, strict=True)]

    def media_limits(self) -> MediaLimits:
        """Bounds on what is read for one input."""
        return MediaLimits(
            max_bytes=self.max_source_bytes,
            max_pixels=self.max_pixels,
            timeout_s=self.fetch_timeout_s,
            connect_timeout_s=min(_LIMITS.connect_timeout_s, self.fetch_timeout_s),
            read_timeout_s=min(_LIMITS.read_timeout_s, self.fetch_timeout_s),
            allow_private_addresses=self.allow_private_addresses,
        )

    def query_content(self, query: Any) -> Content | None:
        """The image or sound that is searched for, read now if it is a path or URL; None if *query* is none.

        Raises:
            MediaError: It can't be read.
        """
        limits = self.media_limits()
        where = query if self._is_source(query, "query") else located(query)
        return content_of(query if where is None else read_media(where, limits), limits)

    def _is_source(self, value: Any, role: Role) -> bool:
        """Whether *value* is a string that says where an image or sound is."""
        if not isinstance(value, str) or self.modalities == {"text"} or self.strings == "text":
            return False
        if role == "query":
            return self.queries_may_be_paths and ends_like_source(value)
        return self.strings == "source" or "text" not in self.modalities or looks_like_source(value)

    def _load(self, values: list[Any], role: Role) -> list[Loaded | Exception]:
        """Each of *values* as the model takes it, or why it can't be had, in their order."""
        limits = self.media_limits()
        decoding = _decoders_of(self)
        ahead = _ahead.get()

        def read(where: str | os.PathLike[str], limits: MediaLimits) -> bytes:
            data = None if ahead is None else ahead.take(os.fspath(where))
            return read_source(where, limits) if data is None else data

        def load(value: Any) -> Loaded | Exception:
            try:
                where = value if isinstance(value, str) else located(value)
                media = _media_of(value) if where is None else read_media(where, limits, read)
                modality = self._modality_of(media)
                if media.uri is not None:
                    media = type(media)(read(media.uri, limits))
                with decoding:
                    return Loaded(modality, self._prepared(media, limits))
            except Exception as error:
                if isinstance(error, MediaError) or self.classify_error(error) == "bisect":
                    return error
                raise

        texts = {place for place, value in enumerate(values) if self._is_text(value, role)}
        others = [value for place, value in enumerate(values) if place not in texts]
        prompted = iter(self.prompted([values[place] for place in sorted(texts)], role))
        made = iter(self._load_each(load, others, limits))
        return [Loaded("text", next(prompted)) if place in texts else next(made) for place in range(len(values))]

    def _is_text(self, value: Any, role: Role) -> bool:
        return "text" in self.modalities and isinstance(value, str) and not self._is_source(value, role)

    def _remote(self, values: Iterable[Any]) -> list[str]:
        """The URLs among *values*, which are to be stored, that are waited for."""
        wheres = (_where(value) for value in values if not self._is_text(value, "source"))
        return [where for where in wheres if where and is_remote(where)]

    def _workers(self) -> int:
        return self.num_workers or os.cpu_count() or 1

    def _load_each(self, load: Callable[[Any], T], values: Sequence[Any], limits: MediaLimits) -> list[T]:
        decoding = self._workers()
        if self._remote(values):
            return load_all(load, values, max(self.fetch_concurrency, decoding), limits.patience_s)
        return load_all(load, values, min(len(values), decoding))

    def _modality_of(self, media: Media) -> Modality:
        modality: Modality = "image" if isinstance(media, Image) else "audio"
        if modality not in self.modalities:
            raise BadMediaError(f"this is of modality {modality!r}, and {self.what_it_embeds()}")
        return modality


class _Ahead:
    """Sources of requests to come, which are being fetched; each is given away once."""

    def __init__(self, crew: Crew[bytes], wheres: Iterable[str], limits: MediaLimits) -> None:
        self._crew = crew
        self._reading = {where: crew.submit(partial(read_source, where, limits)) for where in dict.fromkeys(wheres)}

    def take(self, where: str) -> bytes | None:
        """The bytes at *where*; None if they were taken before, or not asked for.

        Raises:
            MediaError: They can't be read.
        """
        future = self._reading.pop(where, None)
        return None if future is None else self._crew.take(future)


_ahead: ContextVar[_Ahead | None] = ContextVar("lancelike_ahead", default=None)


@contextmanager
def reading_ahead(function: EmbeddingFunction, values: Iterable[Any]) -> Iterator[None]:
    """Fetch URLs among *values*, in the order of their requests, before these have their turn: requests wait less.

    Where one hangs, it does so for all of a call once, and not for each request anew.
    """
    remote = function._remote(values) if isinstance(function, MediaInputs) else []
    if not isinstance(function, MediaInputs) or not remote:
        yield
        return
    limits = function.media_limits()
    with closing(Crew[bytes](function.fetch_concurrency, patience_s=limits.patience_s, keeps=True)) as crew:
        token = _ahead.set(_Ahead(crew, remote, limits))
        try:
            yield
        finally:
            _ahead.reset(token)


_decoders: WeakKeyDictionary[MediaInputs, threading.Semaphore] = WeakKeyDictionary()
_taking_decoders = threading.Lock()


def _decoders_of(function: MediaInputs) -> threading.Semaphore:
    """What an input of any of *function*'s requests holds while it is decoded and prepared."""
    with _taking_decoders:
        return _decoders.setdefault(function, threading.Semaphore(function._workers()))


def _where(value: Any) -> str | None:
    """The path or URL at which *value* is."""
    return value if isinstance(value, str) else located(value) or getattr(value, "uri", None)


def _media_of(value: Any) -> Media:
    """*value*, which is no string."""
    media = as_media(value)
    if media is None:
        what = mime_type(bytes(value)) if isinstance(value, bytes | bytearray | memoryview) else shorten(value)
        hint = "; give its bytes, read()" if isinstance(value, IOBase) else ""
        raise BadMediaError(f"this is neither an image nor a sound, but {what}{hint}")
    return media
