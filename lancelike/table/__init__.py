"""Tables; one module for each group of a table's methods."""

import importlib
from typing import TYPE_CHECKING, Any

from lancelike.index import IndexStatistics
from lancelike.storage import FragmentLengths as FragmentSummaryStats
from lancelike.storage import FragmentStatistics, TableStatistics, Tags
from lancelike.table.branches import Branches
from lancelike.table.table import LanceTable, Table

if TYPE_CHECKING:
    from lancelike.aio.branches import AsyncBranches
    from lancelike.aio.table import AsyncTable
    from lancelike.aio.tags import AsyncTags

_AWAITED = {"AsyncBranches": "branches", "AsyncTable": "table", "AsyncTags": "tags"}

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
        """The awaited face, under LanceDB's path: made of what is here, so it is imported when first asked for."""
        if name not in _AWAITED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"lancelike.aio.{_AWAITED[name]}"), name)
