"""A table's Lance dataset: one shared handle per process, reads of the version it shows, writes to the latest."""

from __future__ import annotations

import copy
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import count
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
from lance import LanceDataset, LanceOperation, LanceScanner, write_dataset
from lance.dataset import ColumnOrdering
from numpy.typing import NDArray

from lancelike.errors import (
    ColumnNotFoundError,
    CommitConflictError,
    QueryError,
    ReadOnlyTableError,
    SchemaError,
    TableClosedError,
    TableExistsError,
    TableNotFoundError,
)
from lancelike.query.plan import Scan
from lancelike.query.predicates import check_sql
from lancelike.schema.bindings import stored_bindings
from lancelike.storage.btrees import StaleBTree, rebuild, stale_btrees
from lancelike.storage.failures import Subject, lance_errors
from lancelike.storage.handles import OpenTable, close_table, open_table
from lancelike.storage.location import Location, check_manifest, write_first_version
from lancelike.storage.merging import MergeClauses, merge
from lancelike.storage.pulling import Pull, Spool, callers_errors
from lancelike.storage.rewriting import Rewrite, RowTransform, Transform
from lancelike.storage.transactions import OURS
from lancelike.types import CreateMode, MergeResult

T = TypeVar("T")

_COMMIT_ATTEMPTS = 10
_MERGE_ATTEMPTS = 1000
_COMMIT_TIMEOUT_S = 30.0
_SYSTEM_COLUMNS = ("_rowid", "_rowaddr", "_rowoffset", "_row_created_at_version", "_row_last_updated_at_version")


class Dataset:
    """A table as Lance stores it.

    A handle shows one version. The handle that `open` and `create` return is shared by everyone in this process who
    has the table open, so each sees the others' writes; it moves on to newer versions with its own writes and with
    `refresh`. A handle pinned to a version never moves and refuses writes. Every write starts from the latest version.

    Safe to use from several threads. Any method raises TableClosedError once the table was dropped or renamed.

    Attributes:
        location: The database it belongs to.
        name: The table's name.
        pinned: Whether the handle stays at its version.
    """

    def __init__(
        self, location: Location, name: str, shown: LanceDataset, table: OpenTable[Dataset], pinned: bool
    ) -> None:
        self.location, self.name, self.pinned = location, name, pinned
        self._table = table
        self._judged: tuple[LanceDataset | None, LanceDataset] = (None, shown)
        self._move_to(shown)

    @classmethod
    def open(cls, location: Location, name: str, *, version: int | str | None = None) -> Dataset:
        """The handle on the latest version of a table, or a new one pinned to *version*, a number or a tag.

        Raises:
            TableNotFoundError: There is no such table.
            VersionNotFoundError: There is no such version or tag.
            CorruptTableError: The manifest can't be read.
        """
        latest = cls._shared(location, name)
        return latest if version is None else latest.at(version)

    @classmethod
    def _shared(cls, location: Location, name: str) -> Dataset:
        table: OpenTable[Dataset] = open_table(location.key, name)
        with table.lock:
            if shared := table.shared:
                try:
                    shared.refresh()
                except TableClosedError:
                    return cls._shared(location, name)
                return shared
            try:
                shared = cls(location, name, location.load(name), table, pinned=False)
            except TableNotFoundError:
                raise TableNotFoundError(name, location.list_tables()) from None
            table.shared = shared
            return shared

    @classmethod
    def create(
        cls,
        location: Location,
        name: str,
        reader: pa.RecordBatchReader | pa.Table,
        *,
        mode: CreateMode = "create",
        data_storage_version: str | None = None,
        stable_row_ids: bool = True,
    ) -> Dataset:
        """Make a table of *reader*'s schema, metadata included, and rows.

        Args:
            location: The database.
            name: The table's name.
            reader: Schema and rows; may be empty of rows. What it raises comes out as itself.
            mode: `"overwrite"` makes a new version of a table that is there already.
            data_storage_version: Version of Lance's file format; None is the stable one.
            stable_row_ids: Let rows keep their `_rowid` when they are updated or compacted.

        Raises:
            TableExistsError: There is a table of that name, and mode is `"create"`.
        """
        if mode == "overwrite" and location.exists(name):
            dataset = cls.open(location, name)
            dataset.overwrite(reader, data_storage_version=data_storage_version)
            return dataset
        if location.exists(name):
            raise TableExistsError(name)
        uri, pull = location.new_uri(name), Pull(reader)
        try:
            with callers_errors(pull), lance_errors(Subject(table=name, uri=location.table_uri(name))):
                made = write_first_version(
                    location,
                    name,
                    uri,
                    pull.reader,
                    data_storage_version=data_storage_version,
                    stable_row_ids=stable_row_ids,
                )
            location.publish(name, made)
        except BaseException:
            location.discard(uri)
            raise
        return cls.open(location, name)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, uri={self.uri!r}, version={self.version})"

    @property
    def uri(self) -> str:
        """Where the table is."""
        return str(self._shown.uri)

    @property
    def schema(self) -> pa.Schema:
        """Fields and metadata of the version shown."""
        return self._readable().schema

    @property
    def version(self) -> int:
        """Number of the version shown; versions count from 1."""
        return int(self._readable().version)

    @property
    def lance(self) -> LanceDataset:
        """The version shown, as Lance's own object: a copy, so moving it does not move this handle."""
        return copy.copy(self._searchable())

    @property
    def indexing(self) -> threading.Lock:
        """Held in this process while the table's indices are built or changed."""
        return self._table.indexing

    def refresh(self) -> None:
        """Show the latest version, unless pinned."""
        shown = self._readable()
        if self.pinned:
            return
        try:
            with self.errors():
                latest = copy.copy(shown)
                latest.checkout_latest()
                check_manifest(self.name, latest)
                same_table = _is_later(latest, shown)
        except TableClosedError:  # its files are gone
            same_table = False
        if not same_table:
            close_table(self.location.key, self.name)
            self._table.closed = True
            raise TableClosedError(self.name)
        self._show(latest)

    def refresh_if_older(self, seconds: float) -> None:
        """Show the latest version if the last look at it was *seconds* or more ago."""
        if time.monotonic() - self._looked_at >= seconds:
            self.refresh()

    def at(self, version: int | str) -> Dataset:
        """A handle pinned to a version, given by number or tag.

        Raises:
            VersionNotFoundError: There is no such version or tag.
        """
        with self.errors():
            shown = self._readable().checkout_version(version)
        return Dataset(self.location, self.name, shown, self._table, pinned=True)

    def frozen(self) -> Dataset:
        """A handle pinned to the version shown, for several reads that must agree."""
        return Dataset(self.location, self.name, self._readable(), self._table, pinned=True)

    def unpinned(self) -> Dataset:
        """The shared handle on the latest version."""
        return Dataset.open(self.location, self.name)

    def errors(self) -> AbstractContextManager[None]:
        """Raise what Lance raises in the block, about this table, as errors of our tree."""
        return lance_errors(self._subject)

    def count_rows(self, filter: str | None = None) -> int:
        """Rows that meet *filter*, SQL text; None counts all.

        Raises:
            ColumnNotFoundError: *filter* names a column that isn't there.
            QueryError: *filter* can't be parsed, or is no condition.
        """
        shown = self._readable()
        with self.errors():
            if filter is None:
                return int(shown.count_rows())
            return int(self._scanner(Scan(columns=[], filter=filter, with_row_id=True)).count_rows())

    def scan(self, scan: Scan) -> pa.RecordBatchReader:
        """Rows of *scan* as a stream; what Lance raises under way is of our tree too."""
        with self.errors():
            reader = self._scanner(scan).to_reader()
        return pa.RecordBatchReader.from_batches(reader.schema, self._streamed(reader))

    def _streamed(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with self.errors():
            yield from reader

    def read(self, scan: Scan) -> pa.Table:
        """Rows of *scan*, all at once."""
        with self.errors():
            return self._scanner(scan).to_table()

    def explain(self, scan: Scan, verbose: bool = False) -> str:
        """How Lance would run *scan*."""
        with self.errors():
            return str(self._scanner(scan).explain_plan(verbose))

    def analyze(self, scan: Scan) -> str:
        """How Lance ran *scan*: its plan with rows and times."""
        with self.errors():
            return str(self._scanner(scan).analyze_plan())

    def output_schema(self, scan: Scan) -> pa.Schema:
        """Schema of what *scan* gives, without running it."""
        with self.errors():
            return self._scanner(scan).projected_schema

    def take(self, offsets: Sequence[int], columns: Sequence[str] | Mapping[str, str] | None = None) -> pa.Table:
        """Rows at *offsets*, counted from 0 over the rows not deleted, in the order given.

        Raises:
            QueryError: An offset lies outside the table.
        """
        shown = self._readable()
        with self.errors():
            num_rows = shown.count_rows()
            if outside := [offset for offset in offsets if not 0 <= offset < num_rows]:
                raise QueryError(f"no row at offset {outside[0]}: table {self.name!r} has {num_rows} rows")
            return shown.take(list(offsets), _projection_of(shown, columns))

    def take_row_ids(
        self, row_ids: Sequence[int], columns: Sequence[str] | Mapping[str, str] | None = None
    ) -> pa.Table:
        """Rows whose `_rowid` is among *row_ids*, in the order given; ids of no row are left out."""
        shown = self._readable()
        with self.errors():
            return shown._take_rows(list(row_ids), _projection_of(shown, columns))

    def rows_by_id(self, row_ids: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """*columns* and `_rowid` of the rows whose `_rowid` is among *row_ids*; ids of no row are left out."""
        return self.take_row_ids(row_ids, [*columns, "_rowid"])

    def fragments(self) -> dict[int, int]:
        """Size in bytes of each fragment's data files, by the fragment's id."""
        with self.errors():
            fragments = self._readable().get_fragments()
            return {
                int(each.fragment_id): sum(file.file_size_bytes or 0 for file in each.metadata.files)
                for each in fragments
            }

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

    def append(self, reader: pa.RecordBatchReader | pa.Table) -> int:
        """Add rows in one commit; the new version.

        Raises:
            BadDataError: The columns are not the table's, or hold null where they must not.
            SchemaError: *reader*'s metadata names other embedding functions than the table now has.
            Exception: What the source of *reader* raised, as itself; nothing of the rows is visible then.
        """
        return self._write_rows(reader, mode="append")

    def overwrite(self, reader: pa.RecordBatchReader | pa.Table, *, data_storage_version: str | None = None) -> int:
        """Replace schema, metadata and rows by *reader*'s in one commit; the new version. Earlier versions stay."""
        return self._write_rows(reader, mode="overwrite", data_storage_version=data_storage_version)

    def _write_rows(
        self,
        reader: pa.RecordBatchReader | pa.Table,
        *,
        mode: Literal["append", "overwrite"],
        data_storage_version: str | None = None,
    ) -> int:
        latest, pull = self._latest(), Pull(reader)
        if mode == "append":
            if self._stale_btrees(latest):
                latest = self.change(copy.copy)
            self._check_functions(reader.schema.metadata, latest)
        with callers_errors(pull), self.errors():
            written = write_dataset(
                pull.reader,
                latest,
                mode=mode,
                data_storage_version=data_storage_version,
                enable_stable_row_ids=latest.has_stable_row_ids,
                storage_options=self.location.storage_options,
                transaction_properties=dict(OURS),
            )
        return self._show(written)

    def delete(self, where: str) -> tuple[int, int]:
        """Delete the rows that meet *where*: how many, and the version that made."""

        def run(latest: LanceDataset) -> tuple[int, int]:
            done = latest.delete(check_sql(where), conflict_retries=0)
            return int(done["num_deleted_rows"]), int(latest.version)

        return self.change(run)

    def update(self, values_sql: Mapping[str, str], where: str | None = None) -> tuple[int, int]:
        """Set columns to SQL expressions in the rows that meet *where*: how many rows, and the version that made."""
        where, values = _checked_sql(where), {name: check_sql(sql) for name, sql in values_sql.items()}

        def run(latest: LanceDataset) -> tuple[int, int]:
            done = latest.update(values, where, conflict_retries=0)
            return int(done["num_rows_updated"]), int(latest.version)

        return self.change(run)

    def rewrite_rows(self, where: str | None, columns: Mapping[str, str], transform: Transform) -> tuple[int, int]:
        """Set columns to SQL expressions and then to what Python makes of the rows, in one commit.

        Args:
            where: SQL text of the rows to change; None changes all.
            columns: SQL expression for each column to be set before *transform* sees the rows.
            transform: Gets batches of whole rows and returns them with columns replaced, the rows in their order. Runs
                in a thread of Lance's. What it raises comes out as itself, and nothing is changed then.

        Returns:
            Rows changed, and the version that made; no commit is made when no row meets *where*.

        Raises:
            CommitConflictError: Other writers kept changing the same fragments. Rows are only transformed again when
                they changed themselves.
        """
        bound = self.schema.metadata
        where, columns = _checked_sql(where), {name: check_sql(sql) for name, sql in columns.items()}
        rewrite = Rewrite(where, columns, lambda rows, _: transform(rows), self.errors)

        def run(latest: LanceDataset) -> int:
            self._check_functions(bound, latest)
            return rewrite.run(latest, self.location.storage_options)

        with callers_errors(rewrite):
            rows = self.change(run)
        return rows, self.version

    def rewrite_rows_by_id(
        self, row_ids: NDArray[np.uint64], transform: RowTransform, properties: Mapping[str, str] = OURS
    ) -> tuple[int, int]:
        """Change the rows with these `_rowid`s as *transform* says, which gets their ids too, in one commit.

        Args:
            row_ids: Of the version shown.
            transform: As for `rewrite_rows`.
            properties: What the commit says of itself.

        Returns:
            Rows changed, and the version that made.

        Raises:
            CommitConflictError: The table changed since; nothing is done.
        """
        wanted, shown = ", ".join(map(str, row_ids)), self.version
        rewrite = Rewrite(f"_rowid IN ({wanted})", {}, transform, self.errors, properties)

        def run(latest: LanceDataset) -> int:
            if latest.version != shown:
                raise CommitConflictError(f"the table changed since version {shown}", self.uri)
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
            committing: Entered around each try to commit, and may refuse it by raising.

        Raises:
            BadDataError: Two rows of *reader* have the same key, or its columns are not the table's.
            ColumnNotFoundError: The table lacks a key column.
        """
        clauses = MergeClauses(
            on=on,
            when_matched_update_all=when_matched_update_all,
            when_matched_where=_checked_sql(when_matched_where),
            when_not_matched_insert_all=when_not_matched_insert_all,
            when_not_matched_by_source_delete=when_not_matched_by_source_delete,
            by_source_condition=_checked_sql(by_source_condition),
            use_index=use_index,
        )
        attempts = 0

        def attempt(latest: LanceDataset) -> dict[str, int]:
            nonlocal attempts
            attempts += 1
            self._check_functions(reader.schema.metadata, latest)
            return merge(latest, clauses, spool.read(), self.location.storage_options, committing)

        self._check_writable()
        with closing(Spool(reader)) as spool, self._table.merging:
            counts = self.change(
                attempt, attempts=_MERGE_ATTEMPTS, timeout_s=_COMMIT_TIMEOUT_S if timeout_s is None else timeout_s
            )
        return MergeResult(
            version=self.version,
            num_updated_rows=counts["num_updated_rows"],
            num_inserted_rows=counts["num_inserted_rows"],
            num_deleted_rows=counts["num_deleted_rows"],
            num_attempts=attempts,
            num_rows=spool.num_rows,
        )

    def add_columns(self, transforms: Mapping[str, str] | pa.Field | Sequence[pa.Field] | pa.Schema) -> int:
        """Add columns: SQL expressions by name, or fields, which start null; the new version."""
        new = dict(transforms) if isinstance(transforms, Mapping) else transforms
        self.change(lambda latest: latest.add_columns(new))
        return self.version

    def alter_columns(self, alterations: Sequence[Mapping[str, Any]]) -> int:
        """Rename, cast, or make nullable; the new version.

        Args:
            alterations: Each has `"path"` and any of `"rename"`, `"data_type"`, `"nullable"`.
        """
        ours = [{("name" if key == "rename" else key): value for key, value in each.items()} for each in alterations]
        self.change(lambda latest: latest.alter_columns(*ours))
        return self.version

    def drop_columns(self, names: Sequence[str]) -> int:
        """Drop columns, and the indices on them; the new version. Their bytes go with compaction and cleanup."""
        self.change(lambda latest: latest.drop_columns(list(names)))
        return self.version

    def replace_metadata(self, metadata: Mapping[bytes, bytes] | Mapping[str, str]) -> int:
        """Make *metadata* the schema's, in place of what it had; the new version."""
        text = {_text(key): _text(value) for key, value in metadata.items()}
        self.change(lambda latest: latest.update_schema_metadata(text, replace=True))
        return self.version

    def change(
        self,
        operation: Callable[[LanceDataset], T],
        *,
        attempts: int = _COMMIT_ATTEMPTS,
        timeout_s: float = _COMMIT_TIMEOUT_S,
        mend: bool = True,
    ) -> T:
        """Run *operation*, which commits, on a copy of the latest version, and show what it made.

        It is run again, on a newer version, when another writer's commit got in its way: *attempts* times at most, and
        never again after *timeout_s*.

        Args:
            operation: Gets the copy, and leaves it at the version it made.
            attempts: Most times to run it.
            timeout_s: Longest time after which it is run again.
            mend: Build B-trees that miss rows again first, in commits of their own, since Lance would look for rows
                through them, and compaction would hide what they miss.
        """
        deadline = time.monotonic() + timeout_s
        for attempt in count(1):
            latest = self._latest()
            try:
                with self.errors():
                    if mend:
                        rebuild(latest, self._stale_btrees(latest))
                    result = operation(latest)
            except CommitConflictError:
                if attempt >= attempts or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0, min(0.01 * 2**attempt, 1.0)))
            else:
                self._show(latest)
                return result
        raise AssertionError("count() has no end")

    def _latest(self) -> LanceDataset:
        """A copy of the latest version, to write to."""
        self._check_writable()
        self.refresh()
        return copy.copy(self._shown)

    def _check_functions(self, bound: Mapping[bytes, bytes] | None, latest: LanceDataset) -> None:
        """See that rows which were embedded as *bound* says are written to a table that still says so."""
        ours = stored_bindings(bound)
        if ours and ours != stored_bindings(latest.schema.metadata):
            raise SchemaError(
                f"the embedding functions of table {self.name!r} changed while vectors were made for it; "
                "nothing is written: call checkout_latest() and write again"
            )

    def _check_writable(self) -> None:
        self._readable()
        if self.pinned:
            raise ReadOnlyTableError(self.name, self.version)

    def _readable(self) -> LanceDataset:
        if self._table.closed:
            raise TableClosedError(self.name)
        return self._shown

    def _show(self, new: LanceDataset) -> int:
        """Show *new*, unless another thread showed a later version; the version of *new*."""
        with self._table.lock:
            if new.version >= self._shown.version:
                self._move_to(new)
        return int(new.version)

    def _searchable(self) -> LanceDataset:
        """The version shown, as filters may read it: past B-trees, while one of them misses rows."""
        shown = self._readable()
        judged, searchable = self._judged
        if judged is not shown:
            searchable = shown
            if self._stale_btrees(shown):
                searchable = copy.copy(shown)
                searchable._default_scan_options = {"use_scalar_index": False}
            self._judged = shown, searchable
        return searchable

    def _stale_btrees(self, dataset: LanceDataset) -> list[StaleBTree]:
        return stale_btrees(dataset, self._table.btrees, self.location.storage_options)

    def _move_to(self, shown: LanceDataset) -> None:
        self._shown = shown
        self._looked_at = time.monotonic()
        self._subject = Subject(
            table=self.name,
            uri=shown.uri,
            columns=lambda: shown.schema.names,
            indices=lambda: [index.name for index in shown.describe_indices()],
            is_gone=lambda: not self.location.exists(self.name),
        )

    def _scanner(self, scan: Scan) -> LanceScanner:
        shown = self._searchable()
        return shown.scanner(
            columns=_projection(scan.columns),
            filter=_checked_sql(scan.filter),
            limit=scan.limit,
            offset=scan.offset,
            prefilter=scan.prefilter,
            nearest=scan.nearest,
            with_row_id=scan.with_row_id,
            with_row_address=scan.with_row_address,
            fast_search=scan.fast_search,
            order_by=_orderings(scan),
            batch_size=scan.batch_size,
            fragments=None if scan.fragments is None else [shown.get_fragment(each) for each in scan.fragments],
        )


def _projection(columns: Sequence[str] | Mapping[str, str] | None) -> list[str] | dict[str, str] | None:
    if columns is None:
        return None
    if isinstance(columns, Mapping):
        return {name: check_sql(sql) for name, sql in columns.items()}
    return list(columns)


def _checked_sql(text: str | None) -> str | None:
    return None if text is None else check_sql(text)


def _projection_of(
    shown: LanceDataset, columns: Sequence[str] | Mapping[str, str] | None
) -> list[str] | dict[str, str] | None:
    """A projection to take rows with: Lance panics there, with a trace on stderr, at a name it does not know."""
    if columns is not None and not isinstance(columns, Mapping):
        for name in columns:
            if not name.startswith(_SYSTEM_COLUMNS) and not shown.lance_schema.field(name):
                raise ColumnNotFoundError(name, shown.schema.names)
    return _projection(columns)


def _orderings(scan: Scan) -> list[ColumnOrdering] | None:
    if not scan.order_by:
        return None
    return [ColumnOrdering(each.column_name, each.ascending, each.nulls_first) for each in scan.order_by]


def _is_later(latest: LanceDataset, shown: LanceDataset) -> bool:
    """Whether *latest* is the table of *shown*, and not another made since under its name.

    A table that was dropped and made again has lower version numbers, or other times for the same numbers.
    """
    if latest.version < shown.version:
        return False
    if latest.version == shown.version:
        return _timestamp(latest) == _timestamp(shown)
    try:
        return _timestamp(latest.checkout_version(shown.version)) == _timestamp(shown)
    except (OSError, ValueError):  # cleaned up since
        return True


def _timestamp(dataset: LanceDataset) -> int:
    return int(dataset._ds.current_version()["timestamp"])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
