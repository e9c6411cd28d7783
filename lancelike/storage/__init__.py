"""The only code that imports lance: where tables are, their versions, rows and indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy
from lancelike.storage import _logging  # noqa: F401 - before anything imports lance

if TYPE_CHECKING:
    from lancelike.storage import maintenance as maintenance
    from lancelike.storage.dataset import Dataset
    from lancelike.storage.location import Location, check_table_name
    from lancelike.storage.maintenance import (
        CleanupStats,
        CompactionStats,
        FragmentLengths,
        FragmentStatistics,
        OptimizeStats,
        TableStatistics,
    )
    from lancelike.storage.namespaces import within
    from lancelike.storage.session import Session
    from lancelike.storage.versions import Tags

_HOMES = {
    "CleanupStats": "maintenance",
    "CompactionStats": "maintenance",
    "Dataset": "dataset",
    "FragmentLengths": "maintenance",
    "FragmentStatistics": "maintenance",
    "Location": "location",
    "OptimizeStats": "maintenance",
    "Session": "session",
    "TableStatistics": "maintenance",
    "Tags": "versions",
    "check_table_name": "location",
    "within": "namespaces",
}

__all__ = [
    "CleanupStats",
    "CompactionStats",
    "Dataset",
    "FragmentLengths",
    "FragmentStatistics",
    "Location",
    "OptimizeStats",
    "Session",
    "TableStatistics",
    "Tags",
    "check_table_name",
    "within",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, _HOMES, ("maintenance",))
