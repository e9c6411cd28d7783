"""The columns of a table."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelike import ingest
from lancelike.errors import SchemaError
from lancelike.job import Job
from lancelike.legacy import warn_deprecated
from lancelike.query.plan import Scan
from lancelike.query.predicates import Expression, sql_of
from lancelike.schema.bindings import drop_from_metadata, rename_in_metadata
from lancelike.schema.computed import refuse_losses
from lancelike.storage import fields
from lancelike.table.handle import Handle
from lancelike.types import (
    AddColumnsResult,
    AlterColumnsResult,
    DropColumnsResult,
    RefreshColumnResult,
    UpdateFieldMetadataResult,
)

if TYPE_CHECKING:
    from lancelike.schema.model import LanceModel


class Columns(Handle):
    """Adds, alters and drops columns; functions follow."""

    def add_columns(
        self,
        transforms: Mapping[str, Expression] | pa.Field | Sequence[pa.Field] | pa.Schema | None = None,
        *,
        computed: Mapping[str, Expression] | None = None,
    ) -> AddColumnsResult:
        """Add columns: with the values of SQL expressions, or of null; or such as stay computed.

        Args:
            transforms: SQL expressions by name, or `Expr`s, evaluated once; or Arrow fields, to be filled with nulls.
            computed: The same, each over columns that are there. Writes keep the columns in step with
                what they read, in the same commit, and nobody else gives them values. One commit each.

        Raises:
            SchemaError: There is a column of that name.
            ColumnNotFoundError: An expression names a column that isn't there.
            QueryError: A computed column's can't be evaluated row by row, or has not the same value each time.
        """
        if transforms is None and not computed:
            raise ValueError("add_columns requires transforms or computed columns")
        if transforms is not None and computed:
            raise ValueError("add_columns cannot take both transforms and computed columns")
        if isinstance(transforms, Mapping):
            transforms = {name: sql_of(expression) for name, expression in transforms.items()}
        if transforms is not None:
            return AddColumnsResult(self._shown.add_columns(transforms))
        self._shown.refresh()
        for name, expression in (computed or {}).items():
            ingest.add_computed(self._shown, self._bindings_in(self._shown), name, sql_of(expression))
        return AddColumnsResult(self._shown.version)

    def refresh_column(self, column: str) -> RefreshColumnResult:
        """Give a computed column its value where it has another: in rows that another program wrote.

        Raises:
            ColumnNotFoundError: There is no such column.
            SchemaError: It is not computed.
            EmbeddingError: A function to whose source it belongs failed; nothing is changed.
        """
        return ingest.refresh_computed(self._shown, self._bindings_in, column, self._records.embedder())

    def refresh_column_async(self, column: str) -> Job[RefreshColumnResult]:
        """`refresh_column` in the background; a `Job` whose `wait()` gives what it did."""
        other = copy.copy(self)
        return Job("refresh_column", lambda: other.refresh_column(column))

    def alter_columns(self, *alterations: Mapping[str, Any]) -> AlterColumnsResult:
        """Rename, retype or make nullable: `{"path": "a", "rename": "b"}`, `"data_type"`, `"nullable"`.

        A column that feeds or holds vectors keeps its function under its new name.

        Raises:
            SchemaError: A computed column reads a column that is to have another name or type.
        """
        moved = [a["path"] for a in alterations if a.get("rename") or a.get("data_type") is not None]
        refuse_losses(self.schema, moved)
        renames = {a["path"]: a["rename"] for a in alterations if a.get("rename")}
        if filled := {name: new for name, new in renames.items() if name in self.embedding_functions}:
            self._records.failures.follow(filled)
        if renames:
            self._records.failures.unread.follow(renames)
        version = self._shown.alter_columns(list(alterations))
        metadata = self._shown.schema.metadata or {}
        renamed = rename_in_metadata(metadata, renames)
        return AlterColumnsResult(self._shown.replace_metadata(renamed) if renamed != metadata else version)

    def drop_columns(self, columns: str | Iterable[str]) -> DropColumnsResult:
        """Drop columns; a vector column's function goes with it.

        A source column may go while its vectors stay: texts still find rows, but new rows must bring their vectors.

        Raises:
            SchemaError: A computed column that stays reads one of them, or no column would be left.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        if set(names) >= set(self.schema.names):
            raise SchemaError("a table keeps at least one column; drop_table drops it whole")
        refuse_losses(self.schema, names)
        version = self._shown.drop_columns(names)
        metadata = self._shown.schema.metadata or {}
        kept = drop_from_metadata(metadata, names)
        return DropColumnsResult(self._shown.replace_metadata(kept) if kept != metadata else version)

    def merge(
        self,
        other_table: Any,
        left_on: str,
        right_on: str | None = None,
        schema: pa.Schema | type[LanceModel] | None = None,
    ) -> None:
        """Add the columns of other rows to the rows that have the same key: a left join, in one commit.

        Args:
            other_table: A table, or rows as `add` takes them.
            left_on: This table's key; rows whose key is not among the others' get nulls.
            right_on: The others' key; None is *left_on*. Each of its values may be there once.
            schema: What the other rows are, where that can't be seen from them.

        Raises:
            BadDataError: A key is there twice among the others.
            ColumnNotFoundError: One side lacks its key.
            SchemaError: A column of that name is there already.
        """
        other = other_table._dataset.read(Scan()) if isinstance(other_table, Handle) else other_table
        ingest.join_columns(self._shown, other, left_on, right_on or left_on, schema)

    def update_field_metadata(self, *updates: Mapping[str, Any]) -> UpdateFieldMetadataResult:
        """Set what is noted with columns, each update in a commit of its own.

        Args:
            *updates: Each has `"path"`, the column; `"metadata"`, texts by key, where None deletes the key; and maybe
                `"replace": True`, to put it in place of all that was noted. What lancelike notes itself stays.

        Raises:
            ColumnNotFoundError: There is no such column.
        """
        fields.check_columns(self._shown, [each["path"] for each in updates])
        for each in updates:
            fields.update_metadata(
                self._shown, each["path"], each["metadata"], replace=bool(each.get("replace", False))
            )
        return UpdateFieldMetadataResult(self._shown.version)

    def replace_field_metadata(self, field_name: str, new_metadata: Mapping[str, str]) -> None:
        """Older spelling of `update_field_metadata` with `"replace": True`."""
        new = {"path": field_name, "metadata": dict(new_metadata), "replace": True}
        warn_deprecated("replace_field_metadata(...)", f"update_field_metadata({new!r})")
        self.update_field_metadata(new)

    def set_unenforced_primary_key(self, columns: str | Iterable[str]) -> None:
        """Declare the column that tells rows apart, for those who ask; nothing sees that it does. It is set once.

        Raises:
            SchemaError: It is not one column of integers, texts or bytes that takes no null, or another is declared.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        if len(names) != 1:
            raise SchemaError(f"a primary key is one column, not {len(names)}")
        fields.set_primary_key(self._shown, names[0])
