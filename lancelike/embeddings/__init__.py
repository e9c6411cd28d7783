"""Embedding functions: what fills the vector columns of tables, and embeds queries."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lancelike.embeddings.base import EmbeddingFunction, EmbeddingFunctionConfig, TextEmbeddingFunction
from lancelike.embeddings.registry import BUILT_IN, EmbeddingFunctionRegistry, get_registry, register

if TYPE_CHECKING:
    from lancelike.embeddings.adapters import from_callable, from_langchain, from_llama_index
    from lancelike.embeddings.media import MediaEmbeddingFunction

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
    "MediaEmbeddingFunction": "lancelike.embeddings.media",
    "from_callable": "lancelike.embeddings.adapters",
    "from_langchain": "lancelike.embeddings.adapters",
    "from_llama_index": "lancelike.embeddings.adapters",
}


def __getattr__(name: str) -> Any:
    """An adapter, a base class, or the class of a built-in function, imported when first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    for target in BUILT_IN.values():
        module, _, attribute = target.partition(":")
        if attribute == name:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
