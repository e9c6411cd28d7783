"""Embedding functions: what fills the vector columns of tables, and embeds queries."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.embeddings import batching as batching
    from lancelike.embeddings import loading as loading
    from lancelike.embeddings.adapters import from_callable, from_langchain, from_llama_index
    from lancelike.embeddings.base import EmbeddingFunction, EmbeddingFunctionConfig, TextEmbeddingFunction
    from lancelike.embeddings.media import MediaEmbeddingFunction
    from lancelike.embeddings.registry import EmbeddingFunctionRegistry, get_registry, register

__all__ = [
    "EmbeddingFunction",
    "EmbeddingFunctionConfig",
    "EmbeddingFunctionRegistry",
    "MediaEmbeddingFunction",
    "TextEmbeddingFunction",
    "from_callable",
    "from_langchain",
    "from_llama_index",
    "get_registry",
    "register",
]

_HOMES = {
    "EmbeddingFunction": "base",
    "EmbeddingFunctionConfig": "base",
    "EmbeddingFunctionRegistry": "registry",
    "MediaEmbeddingFunction": "media",
    "TextEmbeddingFunction": "base",
    "from_callable": "adapters",
    "from_langchain": "adapters",
    "from_llama_index": "adapters",
    "get_registry": "registry",
    "register": "registry",
}

_of_ours, __dir__ = _lazy.names(__name__, _HOMES, ("batching", "loading"))


def __getattr__(name: str) -> Any:
    """A name of ours, or the class of a built-in function, imported when first asked for."""
    try:
        return _of_ours(name)
    except AttributeError:
        for target in importlib.import_module(f"{__name__}.built_in").BUILT_IN.values():
            module, _, attribute = target.partition(":")
            if attribute == name:
                return getattr(importlib.import_module(module), name)
        raise
