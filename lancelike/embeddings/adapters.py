"""Objects of other kinds as embedding functions: of LangChain, of LlamaIndex, and plain callables.

A table records the object's class and model, never the object. Opened in another process, it says what it needs until
an object like it is given again, to the same call; nothing that a table names is imported on its behalf.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

import numpy as np
from pydantic import Field, PrivateAttr

from lancelike.embeddings.awaiting import settled
from lancelike.embeddings.base import Embeddings, TextEmbeddingFunction
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.variables import Variables, process_variables
from lancelike.errors import EmbeddingFunctionUnavailable

__all__ = ["from_callable", "from_langchain", "from_llama_index"]

EmbedTexts: TypeAlias = Callable[[list[str]], Any]
"""From a list of texts to one vector each, in their order; or an awaitable of these."""
PROBE = "How many dimensions?"
_ASYNC_REQUESTS = 8


def from_langchain(embeddings: Any, *, name: str | None = None, dim: int | None = None) -> LangChainFunction:
    """A LangChain `Embeddings` object as an embedding function: documents are its sources, queries its queries.

    Args:
        embeddings: The object; anything that has these two methods.
        name: What tables call it, so that several of one class are told apart; its model's name if not given.
        dim: Length of its vectors; one text is embedded to know it if not given.

    Raises:
        TypeError: The object has no such methods.
    """
    _check_methods(embeddings, "embed_documents", "embed_query", like="a LangChain Embeddings object")
    return _adapted(LangChainFunction, "langchain", embeddings, name, dim)


def from_llama_index(embedding: Any, *, name: str | None = None, dim: int | None = None) -> LlamaIndexFunction:
    """A LlamaIndex `BaseEmbedding` as an embedding function: text embeddings for sources, query embeddings for queries.

    Args:
        embedding: The object; anything that has `get_text_embedding_batch` and `get_query_embedding`.
        name: What tables call it, so that several of one class are told apart; its model's name if not given.
        dim: Length of its vectors; one text is embedded to know it if not given.

    Raises:
        TypeError: The object has no such methods.
    """
    _check_methods(embedding, "get_text_embedding_batch", "get_query_embedding", like="a LlamaIndex BaseEmbedding")
    return _adapted(LlamaIndexFunction, "llama-index", embedding, name, dim)


def from_callable(
    embed: EmbedTexts,
    *,
    query: EmbedTexts | None = None,
    name: str | None = None,
    dim: int | None = None,
    **settings: Any,
) -> CallableFunction:
    """A plain function, a callable object or an `async def` as an embedding function.

    Args:
        embed: Takes a list of texts, at most `batch_size` long, and gives one vector each, in their order.
        query: The same for what is searched for; *embed* if not given.
        name: What tables call it; its own name if not given.
        dim: Length of its vectors; one text is embedded to know it if not given, and awaited in a loop of lancelike's.
        settings: Those that every embedding function has, such as `batch_size` and `max_concurrency`. An `async def`
            has up to 8 requests under way unless that says else, and a plain function one.

    Raises:
        TypeError: *embed* or *query* can't be called.
    """
    for each in (embed, query):
        if each is not None and not callable(each):
            raise TypeError(f"{each!r} can't be called; give a function from a list of texts to their vectors")
    if _is_async(embed):
        settings = {"max_concurrency": _ASYNC_REQUESTS, **settings}
    return _adapted(CallableFunction, "callable", _Pair(embed, query or embed), name, dim, settings)


class AdaptedFunction(TextEmbeddingFunction):
    """What an object of another kind is inside lancelike; made by the `from_...` functions, not by `create`.

    Attributes:
        object_name: What tables call the object.
        object_class: Its class, or a function's module and name, for whoever opens the table elsewhere.
        dim: Length of its vectors.
    """

    maker: ClassVar[str]
    """The function to call with an object like it."""

    object_name: str
    object_class: str
    dim: int | None = Field(None, ge=1)
    _object: Any = PrivateAttr(default=None)

    @classmethod
    def create(cls, **settings: Any) -> Self:
        """The function of that name in this process, if the object was given before.

        Raises:
            EmbeddingFunctionUnavailable: It was not.
        """
        return cls.shared(settings)

    @classmethod
    def shared(cls, settings: dict[str, Any], variables: Variables = process_variables) -> Self:
        """The function with these stored *settings*, if an object like it was given to this process.

        Raises:
            EmbeddingFunctionUnavailable: None was.
        """
        key = settings.get("object_name"), settings.get("object_class")
        function: Self | None = cls._instances.get(_key(*key))
        if function is None or settings.get("dim") not in (None, function.dim):
            raise cls._missing(*key)
        return function

    @classmethod
    def _missing(cls, name: object, kind: object) -> EmbeddingFunctionUnavailable:
        return EmbeddingFunctionUnavailable(
            f"the vectors come from {name!r}, an object of {kind}, which is not in this process",
            function=cls.registered_name or cls.__name__,
            hint=f"make it, and call lancelike.embeddings.{cls.maker}(it, name={name!r})",
        )

    @classmethod
    def adapt(
        cls, wrapped: Any, name: str, kind: str, dim: int | None, settings: Mapping[str, Any] = MappingProxyType({})
    ) -> Self:
        """The function that *wrapped* is, known to this process from now on."""
        function = cls(object_name=name, object_class=kind, dim=dim, **settings)
        function._object = wrapped
        if dim is None:
            function = cls.adapt(wrapped, name, kind, len(_probe(function)), settings)
        cls._instances[_key(name, kind)] = function
        return function

    def ndims(self) -> int:
        """Length of the vectors."""
        return self.dim or len(_probe(self))

    def compute_source_embeddings(self, texts: Any, /) -> Embeddings:
        """Embed *texts*, which are to be stored, as the object embeds documents."""
        return self._embed(self.sanitize_input(texts))

    def compute_query_embeddings(self, query: Any, /) -> Embeddings:
        """Embed one *query*, or a list of them, as the object embeds queries."""
        return self._embed_queries(self.sanitize_input(query))

    def generate_embeddings(self, texts: Sequence[str], /) -> Embeddings:
        """Embed *texts* as sources: one vector each."""
        return self._embed(list(texts))

    @abstractmethod
    def _embed(self, texts: list[str]) -> Embeddings: ...

    @abstractmethod
    def _embed_queries(self, texts: list[str]) -> Embeddings: ...


class LangChainFunction(AdaptedFunction):
    """A LangChain `Embeddings` object."""

    maker: ClassVar[str] = "from_langchain"
    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text",), runs="remote", extra="langchain", roles=("source", "query"), limits="the object's own"
    )

    def _embed(self, texts: list[str]) -> Embeddings:
        vectors: Embeddings = self._object.embed_documents(texts)
        return vectors

    def _embed_queries(self, texts: list[str]) -> Embeddings:
        return [self._object.embed_query(text) for text in texts]


class LlamaIndexFunction(AdaptedFunction):
    """A LlamaIndex `BaseEmbedding`."""

    maker: ClassVar[str] = "from_llama_index"
    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text",), runs="remote", extra="llama-index", roles=("source", "query"), limits="the object's own"
    )

    def _embed(self, texts: list[str]) -> Embeddings:
        vectors: Embeddings = self._object.get_text_embedding_batch(texts)
        return vectors

    def _embed_queries(self, texts: list[str]) -> Embeddings:
        return [self._object.get_query_embedding(text) for text in texts]


class CallableFunction(AdaptedFunction):
    """A function, callable object or `async def` of the user's own."""

    batches_queries: ClassVar[bool] = True
    maker: ClassVar[str] = "from_callable"
    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text",), runs="local", roles=("source", "query"), limits="the callable's own"
    )

    def _embed(self, texts: list[str]) -> Embeddings:
        vectors: Embeddings = settled(self._object.embed(texts))
        return vectors

    def _embed_queries(self, texts: list[str]) -> Embeddings:
        vectors: Embeddings = settled(self._object.query(texts))
        return vectors


class _Pair:
    """What embeds sources, and what embeds queries."""

    def __init__(self, embed: EmbedTexts, query: EmbedTexts) -> None:
        self.embed, self.query = embed, query


Adapted = TypeVar("Adapted", bound=AdaptedFunction)


def _adapted(
    cls: type[Adapted],
    alias: str,
    wrapped: Any,
    name: str | None,
    dim: int | None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Adapted:
    get_registry().get(alias)  # so that the class knows its registered name
    shown = wrapped.embed if isinstance(wrapped, _Pair) else wrapped
    kind = shown if inspect.isroutine(shown) else type(shown)
    return cls.adapt(wrapped, name or _model_name(shown, kind), f"{kind.__module__}:{kind.__qualname__}", dim, settings)


def _model_name(wrapped: Any, kind: Any) -> str:
    stated = (getattr(wrapped, attribute, None) for attribute in ("model_name", "model"))
    return next((name for name in stated if isinstance(name, str) and name), str(kind.__name__))


def _probe(function: AdaptedFunction) -> Any:
    """The vector of one text, before the function knows how long it is."""
    return np.asarray(function.compute_query_embeddings(PROBE)[0])


def _is_async(embed: Any) -> bool:
    return inspect.iscoroutinefunction(embed) or inspect.iscoroutinefunction(type(embed).__call__)


def _check_methods(wrapped: Any, *names: str, like: str) -> None:
    missing = [name for name in names if not callable(getattr(wrapped, name, None))]
    if missing:
        raise TypeError(f"{type(wrapped).__name__} has no {' and no '.join(missing)}; give {like}")


def _key(name: object, kind: object) -> str:
    return f"{name} {kind}"
