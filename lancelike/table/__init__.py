"""Tables; one module for each group of a table's methods."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lancelike.index import IndexStatistics
from lancelike.storage import Tags
from lancelike.table.branches import Branches
from lancelike.table.table import LanceTable, Table

if TYPE_CHECKING:
    from lancelike.aio.branches import AsyncBranches
    from lancelike.aio.table import AsyncTable
    from lancelike.aio.tags import AsyncTags
    from lancelike.storage import FragmentLengths as FragmentSummaryStats
    from lancelike.storage import FragmentStatistics, TableStatistics

_ELSEWHERE = {
    "AsyncBranches": ("lancelike.aio.branches", "AsyncBranches"),
    "AsyncTable": ("lancelike.aio.table", "AsyncTable"),
    "AsyncTags": ("lancelike.aio.tags", "AsyncTags"),
    "FragmentStatistics": ("lancelike.storage", "FragmentStatistics"),
    "FragmentSummaryStats": ("lancelike.storage", "FragmentLengths"),
    "TableStatistics": ("lancelike.storage", "TableStatistics"),
}

__all__ = [
    "AsyncBranches",
    "AsyncTable",
    "AsyncTags",
    "Branches",
    "FragmentStatistics",
    "FragmentSummaryStats",
    "IndexStatistics",
    "LanceTable",
    "Table",
    "TableStatistics",
    "Tags",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What LanceDB has under this path, and is elsewhere here; the awaited face is made of what is here."""
        if name not in _ELSEWHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, its_name = _ELSEWHERE[name]
        return getattr(importlib.import_module(home), its_name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
