"""Commits to a table: rows, columns and metadata."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

import numpy as np
import pyarrow as pa
from lance import LanceDataset, LanceOperation, Transaction
from lance.fragment import FragmentMetadata, write_fragments
from numpy.typing import NDArray

from lancelike.calls import CalledOff, running
from lancelike.errors import CommitConflictError, SchemaChangedError, TableClosedError
from lancelike.query.predicates import check_filter, check_sql
from lancelike.storage.adding import add_fragments, conflicts, ids_of
from lancelike.storage.joining import MergeClauses, NewRows
from lancelike.storage.kinds import check_column_types
from lancelike.storage.merging import merge
from lancelike.storage.names import check_column_names
from lancelike.storage.pulling import Pull, callers_errors
from lancelike.storage.rewriting import Rewrite, RowTransform, Transform, among_row_ids, rows_as_set
from lancelike.storage.showing import COMMIT_TIMEOUT_S, Showing
from lancelike.storage.side_by_side import discard, write_side_by_side
from lancelike.storage.transactions import OURS, commit
from lancelike.types import MergeResult

_MANY_ATTEMPTS = 1000


class Writing(Showing):
    """What makes the next version."""

    def drop_fragments(self, fragments: Sequence[int]) -> int:
        """Delete all rows of the fragments with these ids in one commit; the new version."""

        def drop(latest: LanceDataset) -> None:
            operation = LanceOperation.Delete(
                updated_fragments=[], deleted_fragment_ids=list(fragments), predicate="true"
            )
            latest._ds = LanceDataset.commit(
                latest, operation, read_version=latest.version, storage_options=self.location.storage_options
            )._ds

        self.change(drop)
        return self.version

    def append(self, *readers: pa.RecordBatchReader | pa.Table, made_for: Showing | None = None) -> int:
        """Add rows in one commit; the new version.

        The rows are written once, and committed again when another writer's commit came between.

        Args:
            readers: The rows; of several, which follow each other, each is read and written beside the others.
            made_for: The version whose columns they have; None is the latest.

        Raises:
            BadDataError: The columns are not the table's, or hold null where they must not.
            SchemaChangedError: The readers' metadata names other embedding functions than the table now has, or the
                table's columns were changed meanwhile; no file of the rows is left.
            Exception: What the source of a reader raised, the first of them, as itself; nothing of the rows is
                visible then.
        """
        latest, options = self._latest(), self.location.storage_options
        if self._stale_btrees(latest):
            with running(None):  # it mends, and is no part of the write
                latest = self.change(copy.copy)
        self._check_functions(readers[0].schema.metadata, latest)
        if made_for is not None:
            self._check_fits(made_for._readable(), latest, readers[0].schema.names)
        fragments = write_side_by_side(readers, latest, options, self.errors)
        try:
            added, is_certain = self._add(fragments, latest, readers[0].schema.names)
        except (CalledOff, CommitConflictError, SchemaChangedError, TableClosedError):  # certainly in no version
            discard(fragments, latest, options)
            raise
        try:
            if not is_certain:
                self._check_fits(latest, added, readers[0].schema.names)
        except SchemaChangedError:
            self.drop_fragments(ids_of(fragments, added))
            raise
        return int(added.version)

    def _add(
        self, fragments: Sequence[FragmentMetadata], made_for: LanceDataset, columns: Sequence[str]
    ) -> tuple[LanceDataset, bool]:
        """Commit *fragments*, rows with *columns* of *made_for*: the version made, and what `add_fragments` says."""

        def run(latest: LanceDataset) -> tuple[LanceDataset, bool]:
            self._check_fits(made_for, latest, columns)
            is_certain = add_fragments(latest, fragments, self.location.storage_options)
            return latest, is_certain

        return self._until_committed(run, copy.copy(made_for) if conflicts(fragments) else self._latest())

    def overwrite(
        self,
        reader: pa.RecordBatchReader | pa.Table,
        *,
        made_for: Showing | None = None,
        data_storage_version: str | None = None,
    ) -> int:
        """Replace schema, metadata and rows by *reader*'s in one commit; the new version. Earlier versions stay.

        The rows are written once, and committed again when another writer's commit came between.

        Args:
            reader: The rows.
            made_for: The version whose schema *reader* has, to be kept; None: the table gets *reader*'s.
            data_storage_version: Lance's.

        Raises:
            SchemaChangedError: The table has another than *made_for* by now; no file of the rows is left.
        """
        begun = None if made_for is None else made_for._readable()
        self.check_writable()
        pull, written = Pull(reader), list[Transaction]()

        def run(latest: LanceDataset) -> None:
            if begun is not None and not latest.schema.equals(begun.schema, check_metadata=True):
                raise self._schema_changed()
            if not written:
                transaction = write_fragments(
                    pull.reader,
                    latest,
                    mode="overwrite",
                    return_transaction=True,
                    data_storage_version=data_storage_version,
                    enable_stable_row_ids=latest.has_stable_row_ids,
                    storage_options=self.location.storage_options,
                )
                written.append(transaction)
            replaced = commit(latest, written[0].operation, self.location.storage_options, max_retries=0)
            latest._ds = replaced._ds

        try:
            with callers_errors(pull):
                self.change(run, attempts=_MANY_ATTEMPTS, timeout_s=math.inf, mend=False)
        except SchemaChangedError:
            for each in written:
                discard(each.operation.fragments, self._shown, self.location.storage_options)
            raise
        return self.version

    def delete(self, where: str) -> tuple[int, int]:
        """Delete the rows that meet *where*: how many, and the version that made."""

        def run(latest: LanceDataset) -> tuple[int, int]:
            done = latest.delete(check_sql(where), conflict_retries=0)
            return int(done["num_deleted_rows"]), int(latest.version)

        return self.change(run)

    def update(
        self, values_sql: Mapping[str, str], where: str | None = None, *, made_for: Showing | None = None
    ) -> tuple[int, int]:
        """Set columns to SQL expressions in the rows that meet *where*: how many rows, and the version that made.

        Args:
            values_sql: SQL expression by column.
            where: SQL text of the rows to change; None changes all.
            made_for: The version in which nothing follows from that; None is that shown.

        Raises:
            SchemaChangedError: The table has other embedding functions, or computed columns, by now.
        """
        begun = (made_for or self)._readable()
        where, values = check_filter(where), {name: check_sql(sql) for name, sql in values_sql.items()}

        def run(latest: LanceDataset) -> tuple[int, int]:
            self._check_follows(begun, latest)
            done = latest.update(values, where, conflict_retries=0)
            return int(done["num_rows_updated"]), int(latest.version)

        return self.change(run)

    def rows_to_rewrite(self, where: str | None, columns: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        """What the transform of a `rewrite_rows` with these arguments would get, of the version shown."""
        checked = {name: check_sql(sql) for name, sql in columns.items()}
        return rows_as_set(self._searchable(), check_filter(where), checked, self.errors)

    def rewrite_rows(
        self,
        where: str | None,
        columns: Mapping[str, str],
        transform: Transform,
        *,
        made_for: Showing | None = None,
    ) -> tuple[int, int]:
        """Set columns to SQL expressions and then to what Python makes of the rows, in one commit.

        Args:
            where: SQL text of the rows to change; None changes all.
            columns: SQL expression for each column to be set before *transform* sees the rows.
            transform: Gets batches of whole rows, and beside them what the set *columns* were, under their `old_name`;
                returns the rows with columns replaced, in their order. Runs in a thread of Lance's. What it raises
                comes out as itself, and nothing is changed then.
            made_for: The version whose functions *transform* follows; None is that shown.

        Returns:
            Rows changed, and the version that made; no commit is made when no row meets *where*.

        Raises:
            CommitConflictError: Other writers kept changing the same fragments. Rows are only transformed again when
                they changed themselves.
            SchemaChangedError: The table has other embedding functions, or computed columns, by now.
        """
        begun = (made_for or self)._readable()
        where, columns = check_filter(where), {name: check_sql(sql) for name, sql in columns.items()}
        rewrite = Rewrite(where, columns, lambda rows, _: transform(rows), self.errors)

        def run(latest: LanceDataset) -> int:
            self._check_follows(begun, latest)
            return rewrite.run(latest, self.location.storage_options)

        with callers_errors(rewrite):
            rows = self.change(run)
        return rows, self.version

    def rewrite_rows_by_id(
        self, row_ids: NDArray[np.uint64], version: int, transform: RowTransform, properties: Mapping[str, str] = OURS
    ) -> tuple[int, int]:
        """Change the rows with these `_rowid`s as *transform* says, which gets their ids too, in one commit.

        Args:
            row_ids: The rows.
            version: Where they have these ids, and *transform* applies.
            transform: As for `rewrite_rows`.
            properties: What the commit says of itself.

        Returns:
            Rows changed, and the version that made.

        Raises:
            CommitConflictError: The table changed since; nothing is done.
        """
        rewrite = Rewrite(among_row_ids(np.unique(row_ids)), {}, transform, self.errors, properties)

        def run(latest: LanceDataset) -> int:
            if latest.version != version:
                raise CommitConflictError(f"the table changed since version {version}", self.uri)
            return rewrite.run(latest, self.location.storage_options)

        with callers_errors(rewrite):
            rows = self.change(run, attempts=1, mend=False)
        return rows, self.version

    def merge(
        self,
        on: Sequence[str],
        reader: pa.RecordBatchReader | pa.Table,
        *,
        when_matched_update_all: bool = False,
        when_matched_where: str | None = None,
        when_not_matched_insert_all: bool = False,
        when_not_matched_by_source_delete: bool = False,
        by_source_condition: str | None = None,
        use_index: bool = True,
        timeout_s: float | None = None,
        made_for: Showing | None = None,
        committing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> MergeResult:
        """Update, insert and delete rows by the keys of *reader*'s, in one commit.

        *reader* may lack columns of the table: they keep their value in updated rows and are null in inserted ones.

        Args:
            on: Key columns.
            reader: New rows, one for each key at most.
            when_matched_update_all: Replace the rows with a key that is in *reader*.
            when_matched_where: Only where this SQL holds; columns are `target.x` (the table's) and `source.x`.
            when_not_matched_insert_all: Insert the rows whose key the table lacks.
            when_not_matched_by_source_delete: Delete the table's rows whose key *reader* lacks.
            by_source_condition: Only where this SQL holds.
            use_index: Find the keys through a scalar index, if there is one.
            timeout_s: Longest time to try again after conflicts with other writers; None is 30 s.
            made_for: The version whose columns *reader* has; None is the latest.
            committing: Entered around each try to commit, and may refuse it by raising.

        Raises:
            BadDataError: Two rows of *reader* have the same key, or its columns are not the table's.
            ColumnNotFoundError: The table lacks a key column.
            SchemaChangedError: The table's columns or embedding functions were changed meanwhile.
        """
        clauses = MergeClauses(
            on=on,
            when_matched_update_all=when_matched_update_all,
            when_matched_where=check_filter(when_matched_where),
            when_not_matched_insert_all=when_not_matched_insert_all,
            when_not_matched_by_source_delete=when_not_matched_by_source_delete,
            by_source_condition=check_filter(by_source_condition),
            use_index=use_index,
        )
        attempts, begun = 0, made_for._readable() if made_for else self._latest()

        def attempt(latest: LanceDataset) -> dict[str, int]:
            nonlocal attempts
            attempts += 1
            self._check_functions(reader.schema.metadata, latest)
            self._check_fits(begun, latest, reader.schema.names)
            return merge(latest, clauses, rows, self.location.storage_options, committing)

        with closing(NewRows(reader)) as rows, self._table.merging:
            counts = self.change(
                attempt, attempts=_MANY_ATTEMPTS, timeout_s=COMMIT_TIMEOUT_S if timeout_s is None else timeout_s
            )
        return MergeResult(
            version=self.version,
            num_updated_rows=counts["num_updated_rows"],
            num_inserted_rows=counts["num_inserted_rows"],
            num_deleted_rows=counts["num_deleted_rows"],
            num_attempts=attempts,
            num_rows=rows.num_rows,
        )

    def add_columns(self, transforms: Mapping[str, str] | pa.Field | Sequence[pa.Field] | pa.Schema) -> int:
        """Add columns: SQL expressions by name, or fields, which start null; the new version.

        Raises:
            SchemaError: A column has a name or a type that can't be read again.
        """
        new = dict(transforms) if isinstance(transforms, Mapping) else transforms
        check_column_names(_names(new))
        check_column_types(_fields(new))
        self.change(lambda latest: latest.add_columns(new))
        return self.version

    def alter_columns(self, alterations: Sequence[Mapping[str, Any]]) -> int:
        """Rename, cast, or make nullable; the new version.

        Args:
            alterations: Each has `"path"` and any of `"rename"`, `"data_type"`, `"nullable"`.
        """
        check_column_types(pa.field(each["path"], each["data_type"]) for each in alterations if each.get("data_type"))
        check_column_names(each["rename"] for each in alterations if each.get("rename") is not None)
        ours = [{("name" if key == "rename" else key): value for key, value in each.items()} for each in alterations]
        self.change(lambda latest: latest.alter_columns(*ours))
        return self.version

    def drop_columns(self, names: Sequence[str]) -> int:
        """Drop columns, and the indices on them; the new version. Their bytes go with compaction and cleanup."""
        self.change(lambda latest: latest.drop_columns(list(names)))
        return self.version

    def join(self, reader: pa.RecordBatchReader | pa.Table, left_on: str, right_on: str) -> int:
        """Add *reader*'s columns but *right_on* to the rows whose *left_on* equals it, null to others; the new version.

        Raises:
            SchemaError: The table has a column of one of those names, or one can't be read again.
        """
        check_column_names(reader.schema.names)
        check_column_types(reader.schema)
        self.change(lambda latest: latest.merge(reader, left_on, right_on))
        return self.version

    def replace_metadata(self, metadata: Mapping[bytes, bytes] | Mapping[str, str]) -> int:
        """Make *metadata* the schema's, in place of what it had; the new version."""
        text = {_text(key): _text(value) for key, value in metadata.items()}
        self.change(lambda latest: latest.update_schema_metadata(text, replace=True))
        return self.version


def _names(columns: Mapping[str, str] | pa.Field | Sequence[pa.Field] | pa.Schema) -> list[str]:
    if isinstance(columns, pa.Field):
        return [columns.name]
    return list(columns) if isinstance(columns, Mapping) else [field.name for field in columns]


def _fields(columns: Mapping[str, str] | pa.Field | Sequence[pa.Field] | pa.Schema) -> list[pa.Field]:
    if isinstance(columns, pa.Field):
        return [columns]
    return [] if isinstance(columns, Mapping) else list(columns)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
