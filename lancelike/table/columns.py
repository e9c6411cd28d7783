"""The columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from lancelike.errors import SchemaError
from lancelike.schema.bindings import drop_from_metadata, rename_in_metadata
from lancelike.table.handle import Handle
from lancelike.types import AddColumnsResult, AlterColumnsResult, DropColumnsResult


class Columns(Handle):
    """Adds, alters and drops columns; functions follow."""

    def add_columns(
        self, transforms: Mapping[str, str] | pa.Field | Sequence[pa.Field] | pa.Schema
    ) -> AddColumnsResult:
        """Add columns: SQL expressions by name, or Arrow fields to be filled with nulls."""
        return AddColumnsResult(self._shown.add_columns(transforms))

    def alter_columns(self, *alterations: Mapping[str, Any]) -> AlterColumnsResult:
        """Rename, retype or make nullable: `{"path": "a", "rename": "b"}`, `"data_type"`, `"nullable"`.

        A column that feeds or holds vectors keeps its function under its new name.
        """
        renames = {a["path"]: a["rename"] for a in alterations if a.get("rename")}
        version = self._shown.alter_columns(list(alterations))
        metadata = self._shown.schema.metadata or {}
        renamed = rename_in_metadata(metadata, renames)
        return AlterColumnsResult(self._shown.replace_metadata(renamed) if renamed != metadata else version)

    def drop_columns(self, columns: str | Iterable[str]) -> DropColumnsResult:
        """Drop columns; a vector column's function goes with it.

        A source column may go while its vectors stay: texts still find rows, but new rows must bring their vectors.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        if set(names) >= set(self.schema.names):
            raise SchemaError("a table keeps at least one column; drop_table drops it whole")
        version = self._shown.drop_columns(names)
        metadata = self._shown.schema.metadata or {}
        kept = drop_from_metadata(metadata, names)
        return DropColumnsResult(self._shown.replace_metadata(kept) if kept != metadata else version)
