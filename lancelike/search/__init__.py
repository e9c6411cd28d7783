"""Running queries against a table: from a query to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.search import curve, recall, tuning
    from lancelike.search.run import Searcher

__all__ = ["Searcher", "curve", "recall", "tuning"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, {"Searcher": "run"}, ("curve", "recall", "tuning"))
