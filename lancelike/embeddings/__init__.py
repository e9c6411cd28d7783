"""Embedding functions: what fills the vector columns of tables, and embeds queries."""

from __future__ import annotations

import importlib
from typing import Any

from lancelike.embeddings.base import EmbeddingFunction, EmbeddingFunctionConfig, TextEmbeddingFunction
from lancelike.embeddings.registry import BUILT_IN, EmbeddingFunctionRegistry, get_registry, register

__all__ = [
    "EmbeddingFunction",
    "EmbeddingFunctionConfig",
    "EmbeddingFunctionRegistry",
    "TextEmbeddingFunction",
    "get_registry",
    "register",
]


def __getattr__(name: str) -> Any:
    """Class of a built-in function, imported when first asked for."""
    for target in BUILT_IN.values():
        module, _, attribute = target.partition(":")
        if attribute == name:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
