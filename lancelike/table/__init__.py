"""Tables; one module for each group of a table's methods."""

from lancelike.index import IndexStatistics
from lancelike.storage import FragmentLengths as FragmentSummaryStats
from lancelike.storage import FragmentStatistics, TableStatistics, Tags
from lancelike.table.branches import Branches
from lancelike.table.table import LanceTable, Table

__all__ = [
    "Branches",
    "FragmentStatistics",
    "FragmentSummaryStats",
    "IndexStatistics",
    "LanceTable",
    "Table",
    "TableStatistics",
    "Tags",
]
