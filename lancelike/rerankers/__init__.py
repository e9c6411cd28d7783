"""Rerankers: what orders the rows of a search anew, or makes one list of several."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancelike.rerankers.base import Reranker, check_reranker_result
    from lancelike.rerankers.linear_combination import LinearCombinationReranker
    from lancelike.rerankers.mrr import MRRReranker
    from lancelike.rerankers.rrf import RRFReranker

_HOMES = {
    "LinearCombinationReranker": "linear_combination",
    "MRRReranker": "mrr",
    "RRFReranker": "rrf",
    "Reranker": "base",
    "check_reranker_result": "base",
}

__all__ = [
    "LinearCombinationReranker",
    "MRRReranker",
    "RRFReranker",
    "Reranker",
    "check_reranker_result",
]


def __getattr__(name: str) -> Any:
    """A reranker, its module imported when first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
