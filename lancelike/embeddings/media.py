"""What functions for images, sounds and texts share: sorting inputs, loading them beside the model, and answering each.

A request's inputs are loaded (fetched, decoded, prepared) in a bounded pool of threads. Two or three requests are under
way at once and the model works on one of them at a time, so that it works while the next ones' inputs are loaded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lancelike.embeddings.base import EmbeddingFunction, Embeddings, Role
from lancelike.errors import BadMediaError, MediaError, shorten
from lancelike.media import Audio, Image, MediaLimits
from lancelike.media.formats import mime_type
from lancelike.media.sources import is_remote, looks_like_source
from lancelike.media.values import Media, as_media, read_media
from lancelike.types import Modality

Strings: TypeAlias = Literal["auto", "source", "text"]
"""What a stored string is: a path or URL where it has that form, else a text; always the one; or always the other."""

_LIMITS = MediaLimits()


class Loaded(NamedTuple):
    """An input as the model takes it: of what modality, and prepared."""

    modality: Modality
    value: Any


class MediaEmbeddingFunction(EmbeddingFunction):
    """A function that embeds images, sounds or texts in one space; a subclass gives `ndims` and what it embeds.

    That is `modalities` with `embed_texts`, `embed_images` or `embed_audio` for each of them, and `prepare_image` or
    `prepare_audio` for what can be done to one input before the model is needed.

    An input that can't be loaded, such as a dead URL or a broken image, fails by itself: the others of its request are
    embedded.

    Attributes:
        sampling_rate: Samples a second of the sounds that `prepare_audio` gets.
        strings: What a string in a source column is: `"auto"`, a path or URL if it has that form (a scheme, a rooted
            path, or the ending of an image's or sound's file) and a text otherwise; `"source"`, always a path or URL;
            `"text"`, always a text. A string that is searched for is a text.
        num_workers: Inputs decoded and prepared at once; None for the number of processors.
        fetch_concurrency: URLs fetched at once.
        fetch_timeout_s: Seconds for one URL in all.
        max_source_bytes: Most bytes of an input.
        max_pixels: Most pixels of an image.
        max_audio_s: Most seconds of a sound.
        allow_private_addresses: Whether URLs may lead to this machine or its network; or to which addresses of them,
            as networks such as `["10.1.0.0/16", "127.0.0.2"]`.
    """

    batch_size: int = Field(64, ge=1)
    max_concurrency: int = Field(3, ge=1)
    sampling_rate: int = Field(16_000, ge=1)
    strings: Strings = "auto"
    num_workers: int | None = Field(None, ge=1)
    fetch_concurrency: int = Field(32, ge=1)
    fetch_timeout_s: float = Field(_LIMITS.timeout_s, gt=0)
    max_source_bytes: int = Field(_LIMITS.max_bytes, ge=1)
    max_pixels: int = Field(_LIMITS.max_pixels, ge=1)
    max_audio_s: float = Field(_LIMITS.max_audio_s, gt=0)
    allow_private_addresses: bool | tuple[str, ...] = False

    modalities: ClassVar[frozenset[Modality]] = frozenset({"text", "image"})
    """What it embeds: of `"text"`, `"image"` and `"audio"`."""
    queries_may_be_paths: ClassVar[bool] = False
    """Whether a string that is searched for is a path or URL if it ends as the name of a file of media does."""
    applies_prompts: ClassVar[bool] = True
    batches_queries: ClassVar[bool] = True

    def prepare_image(self, image: Any, /) -> Any:
        """What `embed_images` gets for *image*, a PIL image of mode RGB; runs in several threads at once."""
        return image

    def prepare_audio(self, samples: NDArray[np.float32], /) -> Any:
        """What `embed_audio` gets for *samples*, shape (n,), at `sampling_rate`; runs in several threads at once."""
        return samples

    def embed_texts(self, texts: list[str], /) -> Embeddings:
        """Embed *texts*, at most `batch_size`, in their order; shape (n, ndims())."""
        raise NotImplementedError(f"{self.label} embeds no texts")

    def embed_images(self, prepared: list[Any], /) -> Embeddings:
        """Embed images, at most `batch_size`, as `prepare_image` left them, in their order; shape (n, ndims())."""
        raise NotImplementedError(f"{self.label} embeds no images")

    def embed_audio(self, prepared: list[Any], /) -> Embeddings:
        """Embed sounds, at most `batch_size`, as `prepare_audio` left them, in their order; shape (n, ndims())."""
        raise NotImplementedError(f"{self.label} embeds no sounds")

    def compute_source_embeddings(self, values: Any, /) -> Embeddings:
        """Embed *values*, which are to be stored: texts, images and sounds in any mixture.

        Returns:
            A vector for each in their order, or in its place the error of an input that can't be loaded.
        """
        return self._embed(self.sanitize_input(values), "source")

    def compute_query_embeddings(self, query: Any, /) -> Embeddings:
        """Embed *query*, one text, image or sound, or a list of them; answers are those of sources."""
        return self._embed(self.sanitize_input(query), "query")

    def sanitize_input(self, values: Any) -> list[Any]:
        """*values* as a list; one image or sound is one value, whatever could be iterated in it."""
        if isinstance(values, Image | Audio) or as_media(values) is not None:
            return [values]
        return super().sanitize_input(values)

    def count_tokens(self, values: Sequence[Any]) -> list[int]:
        """Tokens of each of *values*: 1 of what is no text."""
        counted = super().count_tokens(values)
        return [1 if self._is_source(v, "source") else tokens for v, tokens in zip(values, counted, strict=True)]

    def limits(self) -> MediaLimits:
        """Bounds on what is read for one input."""
        return MediaLimits(
            max_bytes=self.max_source_bytes,
            max_pixels=self.max_pixels,
            max_audio_s=self.max_audio_s,
            timeout_s=self.fetch_timeout_s,
            connect_timeout_s=min(_LIMITS.connect_timeout_s, self.fetch_timeout_s),
            read_timeout_s=min(_LIMITS.read_timeout_s, self.fetch_timeout_s),
            allow_private_addresses=self.allow_private_addresses,
        )

    def _is_source(self, value: Any, role: Role) -> bool:
        """Whether *value* is a string that says where an image or sound is."""
        if not isinstance(value, str) or self.modalities == {"text"} or self.strings == "text":
            return False
        if role == "query":
            return self.queries_may_be_paths and looks_like_source(value)
        return self.strings == "source" or "text" not in self.modalities or looks_like_source(value)

    def _embed(self, values: list[Any], role: Role) -> list[Any]:
        answers: list[Any] = [None] * len(values)
        loaded = self._load(values, role)
        by_modality: dict[Modality, list[int]] = {}
        for place, each in enumerate(loaded):
            if isinstance(each, Loaded):
                by_modality.setdefault(each.modality, []).append(place)
            else:
                answers[place] = each
        with _turn_of(self):
            for modality, places in by_modality.items():
                for start in range(0, len(places), self.batch_size):
                    batch = places[start : start + self.batch_size]
                    vectors = self._run_model(modality, [loaded[place].value for place in batch])  # type: ignore[union-attr]
                    for place, vector in zip(batch, vectors, strict=True):
                        answers[place] = vector
        return answers

    def _run_model(self, modality: Modality, prepared: list[Any]) -> Embeddings:
        match modality:
            case "image":
                return self.embed_images(prepared)
            case "audio":
                return self.embed_audio(prepared)
        return self.embed_texts(prepared)

    def _load(self, values: list[Any], role: Role) -> list[Loaded | Exception]:
        """Each of *values* as the model takes it, or why it can't be had, in their order."""
        limits = self.limits()
        decoding = threading.Semaphore(self.num_workers or os.cpu_count() or 1)

        def load(value: Any) -> Loaded | Exception:
            try:
                media = read_media(value, limits) if isinstance(value, str) else _media_of(value, limits)
                with decoding:
                    return self._prepared(media, limits)
            except Exception as error:
                if isinstance(error, MediaError) or self.classify_error(error) == "bisect":
                    return error
                raise

        texts = {place for place, value in enumerate(values) if self._is_text(value, role)}
        others = [value for place, value in enumerate(values) if place not in texts]
        prompted = iter(self.prompted([values[place] for place in sorted(texts)], role))
        made = iter(_in_threads(load, others, self._threads_for(others)))
        return [Loaded("text", next(prompted)) if place in texts else next(made) for place in range(len(values))]

    def _is_text(self, value: Any, role: Role) -> bool:
        return "text" in self.modalities and isinstance(value, str) and not self._is_source(value, role)

    def _threads_for(self, values: Sequence[Any]) -> int:
        decoding = self.num_workers or os.cpu_count() or 1
        remote = any(is_remote(where) for value in values if (where := _where(value)))
        return min(len(values), max(self.fetch_concurrency, decoding) if remote else decoding)

    def _prepared(self, media: Media, limits: MediaLimits) -> Loaded:
        modality: Modality = "image" if isinstance(media, Image) else "audio"
        if modality not in self.modalities:
            embeds = ", ".join(sorted(self.modalities))
            raise BadMediaError(f"this is of modality {modality!r}, and {self.label} embeds {embeds}")
        if isinstance(media, Image):
            return Loaded("image", self.prepare_image(media.pil(limits)))
        return Loaded("audio", self.prepare_audio(media.samples(self.sampling_rate, limits)))


def _where(value: Any) -> str | None:
    """The path or URL at which *value* is."""
    return value if isinstance(value, str) else getattr(value, "uri", None)


def _media_of(value: Any, limits: MediaLimits) -> Media:
    """*value*, which is no string, with its bytes at hand."""
    media = as_media(value)
    if media is None:
        what = mime_type(bytes(value)) if isinstance(value, bytes | bytearray | memoryview) else shorten(value)
        raise BadMediaError(f"this is neither an image nor a sound, but {what}")
    if media.uri is None:
        return media
    return type(media)(media.data(limits))


def _in_threads(load: Callable[[Any], Any], values: Sequence[Any], threads: int) -> Iterable[Any]:
    if threads <= 1:
        return [load(value) for value in values]
    with ThreadPoolExecutor(threads, thread_name_prefix="lancelike-load") as pool:
        return list(pool.map(load, values))


_turns: WeakKeyDictionary[MediaEmbeddingFunction, threading.Lock] = WeakKeyDictionary()
_taking_turns = threading.Lock()


def _turn_of(function: MediaEmbeddingFunction) -> threading.Lock:
    """What the request holds that *function*'s model works on."""
    with _taking_turns:
        return _turns.setdefault(function, threading.Lock())
