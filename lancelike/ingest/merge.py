"""Upserts that embed what they bring."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import BadDataError, ColumnNotFoundError, MergeTimeoutError
from lancelike.ingest.batch import Batch
from lancelike.ingest.computed import computed_of, without_computed
from lancelike.ingest.deadline import MergeDeadline
from lancelike.ingest.embed import missing_sources, orphaned_error
from lancelike.ingest.pipeline import ingest
from lancelike.ingest.read import Source
from lancelike.ingest.rereading import BindingsIn, Rereading, until_written
from lancelike.ledger import Embedder
from lancelike.query.plan import Scan
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.computed import computed_columns
from lancelike.storage.row_keys import RowsByKey
from lancelike.types import MergeResult, OnBadVectors, Rows

if TYPE_CHECKING:
    from lancelike.storage.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeClauses:
    """What a merge does with rows on either side.

    Attributes:
        on: Columns that tell which rows are the same.
        when_matched_update_all: Rows on both sides take the new values.
        when_matched_where: SQL condition for that, over `source.` and `target.` columns.
        when_not_matched_insert_all: New rows are inserted.
        when_not_matched_by_source_delete: Old rows without a new one are deleted.
        by_source_condition: SQL condition for that, over the old row's columns.
        use_index: Find the old rows through a scalar index on the key, if there is one.
    """

    on: tuple[str, ...]
    when_matched_update_all: bool = False
    when_matched_where: str | None = None
    when_not_matched_insert_all: bool = False
    when_not_matched_by_source_delete: bool = False
    by_source_condition: str | None = None
    use_index: bool = True


def merge_rows(
    dataset: Dataset,
    bindings_in: BindingsIn,
    clauses: MergeClauses,
    data: Rows,
    *,
    on_bad_vectors: OnBadVectors = "error",
    fill_value: float = 0.0,
    timeout_s: float | None = None,
    progress: Any = None,
    embedder: Embedder | None = None,
) -> MergeResult:
    """Merge *data* into the table in one commit.

    Vectors are made for rows that bring a source and no vector, and that the merge writes. If *data* has neither, the
    rows it updates keep their vectors, as they keep every column that it leaves out.

    Args:
        dataset: The table.
        bindings_in: Its bindings.
        clauses: What to do with which rows.
        data: The new rows, as `Table.add` takes them.
        on_bad_vectors: As in `ingest`.
        fill_value: As in `ingest`.
        timeout_s: Longest time for all of it, embedding included; None for no bound.
        progress: As in `ingest`.
        embedder: As in `ingest`.

    Raises:
        BadDataError: *data* lacks a key column, or has some of the columns that a vector is made from or a column is
            computed of, not all; or a row to be inserted has no vector, and none can be made since the table lost a
            column for it.
        EmbeddingError: A function failed; nothing is merged.
        SchemaChangedError: Others changed the functions, and *data* can't be read again.
        MergeTimeoutError: It took longer than *timeout_s*; nothing is merged.
    """
    embedder, deadline = embedder or Embedder(), MergeDeadline(timeout_s)
    policy = {"on_bad_vectors": on_bad_vectors, "fill_value": fill_value, "progress": progress}

    def write(shown: Dataset, bindings: Sequence[EmbeddingFunctionConfig]) -> MergeResult:
        source = rows.read(shown.schema, keep=bool(bindings))
        return _merge_rows(dataset, shown, bindings, clauses, source, embedder, deadline, policy)

    try:
        with closing(Rereading(data)) as rows:
            merged = deadline.run(lambda: until_written(write, dataset, bindings_in, embedder))
    except (MergeTimeoutError, KeyboardInterrupt) as error:
        Thread(target=_stop, args=(embedder, error), name="lancelike-merge", daemon=True).start()
        raise
    embedder.written(dataset)
    return merged


def _stop(embedder: Embedder, error: BaseException) -> None:
    """Let *embedder* ask for nothing more; what is under way is answered and kept."""
    with suppress(type(error)), embedder:
        raise error


def _merge_rows(
    dataset: Dataset,
    shown: Dataset,
    bindings: Sequence[EmbeddingFunctionConfig],
    clauses: MergeClauses,
    source: Source,
    embedder: Embedder,
    deadline: MergeDeadline,
    policy: Mapping[str, Any],
) -> MergeResult:
    schema = shown.schema
    names = set(source.schema.names) - {each.name for each in computed_columns(schema)}
    _check_keys(clauses.on, names, schema)
    inserts = clauses.when_not_matched_insert_all
    names |= {each.name for each in computed_of(schema, names, inserts=inserts)}
    fed = [binding for binding in bindings if _is_fed(binding, names)]
    brought = _brought(schema, names | {binding.vector_column for binding in fed})
    batches = without_computed(deadline.checked(source.batches), schema)
    if inserts:
        batches = _refuse_orphans(batches, dataset, clauses, bindings)
    skipping = _Skipping(batches, dataset, clauses)
    if fed and skipping.is_due:
        batches = iter(skipping)
    reader = ingest(replace(source, batches=batches), brought, fed, embedder=embedder, **policy)
    with embedder:
        merged = dataset.merge(
            list(clauses.on),
            reader,
            when_matched_update_all=clauses.when_matched_update_all,
            when_matched_where=clauses.when_matched_where,
            when_not_matched_insert_all=clauses.when_not_matched_insert_all,
            when_not_matched_by_source_delete=clauses.when_not_matched_by_source_delete,
            by_source_condition=clauses.by_source_condition,
            use_index=clauses.use_index,
            timeout_s=deadline.timeout_s,
            made_for=shown,
            committing=deadline.committing,
        )
    return replace(merged, num_rows=merged.num_rows + skipping.skipped, embedding=embedder.finish())


class _Skipping:
    """Batches without the rows that a merge would not write, so that nothing is paid for these.

    Attributes:
        is_due: Whether there are any that the keys alone can tell.
        skipped: Rows left out so far.
    """

    def __init__(self, batches: Iterator[Batch], dataset: Dataset, clauses: MergeClauses) -> None:
        self._batches, self._dataset, self._clauses = batches, dataset, clauses
        inserts, updates = clauses.when_not_matched_insert_all, clauses.when_matched_update_all
        self.is_due = inserts != updates and not clauses.when_not_matched_by_source_delete
        self.skipped = 0

    def __iter__(self) -> Iterator[Batch]:
        there = _rows_there(self._dataset, self._clauses.on)
        for batch in self._batches:
            written = (there.find(batch.data) >= 0) == self._clauses.when_matched_update_all
            self.skipped += int(len(batch) - written.sum())
            yield batch if written.all() else batch.keep(written)


def _refuse_orphans(
    batches: Iterator[Batch],
    dataset: Dataset,
    clauses: MergeClauses,
    bindings: Sequence[EmbeddingFunctionConfig],
) -> Iterator[Batch]:
    """*batches*, none of whose rows is inserted without a vector of *bindings* since the table lost its source."""
    schema = dataset.schema
    orphans = [(binding, gone) for binding in bindings if (gone := missing_sources(binding, schema))]
    if not orphans:
        yield from batches
        return
    there = _rows_there(dataset, clauses.on)
    for batch in batches:
        inserted = there.find(batch.data) < 0
        for binding, gone in orphans:
            unmade = np.flatnonzero(inserted & _lacks(batch.data, binding.vector_column))
            if len(unmade):
                raise orphaned_error(binding, gone, schema, batch.row(int(unmade[0])))
        yield batch


def _lacks(rows: pa.RecordBatch, column: str) -> NDArray[np.bool_]:
    """Which of *rows* bring no value for *column*."""
    if rows.schema.get_field_index(column) < 0:
        return np.ones(len(rows), bool)
    return np.asarray(rows.column(column).is_null().to_numpy(zero_copy_only=False), bool)


def _rows_there(dataset: Dataset, on: Sequence[str]) -> RowsByKey:
    rows = RowsByKey(pa.schema([dataset.schema.field(name) for name in on]))
    for batch in dataset.scan(Scan(columns=list(on))):
        rows.add(batch)
    return rows


def _check_keys(on: Sequence[str], names: Collection[str], schema: pa.Schema) -> None:
    for key in on:
        if key not in schema.names:
            raise ColumnNotFoundError(key, schema.names)
        if key not in names:
            raise BadDataError("the rows lack the merge's key", column=key, hint="give every row its key")


def _is_fed(binding: EmbeddingFunctionConfig, names: Collection[str]) -> bool:
    """Whether rows with columns *names* bring what the binding's vectors are made from."""
    missing = [source for source in binding.source_columns if source not in names]
    if missing and len(missing) < len(binding.source_columns) and binding.vector_column not in names:
        raise BadDataError(
            f"{binding.vector_column!r} is made from this column too, and the rows lack it",
            column=missing[0],
            hint=f"give {', '.join(binding.source_columns)} together, or the vector itself",
        )
    return not missing


def _brought(schema: pa.Schema, names: Collection[str]) -> pa.Schema:
    """The fields of *schema* in *names*. A name that it lacks is left to `align`, which says so."""
    return pa.schema([field for field in schema if field.name in names], schema.metadata)
