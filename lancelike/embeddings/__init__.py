"""Embedding functions: what fills the vector columns of tables, and embeds queries."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lancelike.embeddings.base import EmbeddingFunction, EmbeddingFunctionConfig, TextEmbeddingFunction
from lancelike.embeddings.registry import BUILT_IN, EmbeddingFunctionRegistry, get_registry, register

if TYPE_CHECKING:
    from lancelike.embeddings.adapters import from_callable, from_langchain, from_llama_index

__all__ = [
    "EmbeddingFunction",
    "EmbeddingFunctionConfig",
    "EmbeddingFunctionRegistry",
    "TextEmbeddingFunction",
    "from_callable",
    "from_langchain",
    "from_llama_index",
    "get_registry",
    "register",
]


_ADAPTERS = ("from_callable", "from_langchain", "from_llama_index")


def __getattr__(name: str) -> Any:
    """An adapter, or the class of a built-in function, imported when first asked for."""
    if name in _ADAPTERS:
        return getattr(importlib.import_module("lancelike.embeddings.adapters"), name)
    for target in BUILT_IN.values():
        module, _, attribute = target.partition(":")
        if attribute == name:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
