"""New vector columns, and new models for those there are, while readers go on with what they have.

The vectors are written beside the rows, one file for each fragment, and one commit shows them, together with the
schema that names their function. What was paid for is in the ledger at once: a run that was killed is run again, and
pays only for the rest.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lancelike.embeddings import EmbeddingFunction
from lancelike.errors import BadDataError, ColumnNotFoundError, LancelikeError, SchemaError, VersionNotFoundError
from lancelike.ingest import Batch, embed_rows, refuse_blob_sources, report_progress, source_inputs
from lancelike.ledger import Embedder, Planner
from lancelike.schema.bindings import (
    EmbeddingFunctionConfig,
    Metadata,
    StoredBinding,
    bind_in_metadata,
    previous_bindings,
    stored_bindings,
    to_stored,
    with_previous,
)
from lancelike.storage import Dataset, Tags
from lancelike.storage.columns import (
    ColumnSpec,
    add_column,
    ensure_indices,
    replace_column,
    restore_column,
    rows_for,
    vector_indices,
)
from lancelike.types import EmbeddingPlan, EmbeddingReceipt

_ROW_ID = "_rowid"


def add_embedding(
    dataset: Dataset, binding: EmbeddingFunctionConfig, embedder: Embedder, *, progress: Any = None
) -> EmbeddingReceipt:
    """Add the binding's vector column, filled for every row, in one commit; nothing if it is there already.

    Args:
        dataset: The table.
        binding: The new column, what feeds it, and its function.
        embedder: Makes the vectors, and counts.
        progress: As in `report_progress`.

    Raises:
        ColumnNotFoundError: A source column isn't there.
        SchemaError: The vector column is there, and is another's.
        EmbeddingError: The function failed; nothing is changed, and what was paid for is kept.
    """
    dataset.refresh()
    schema, stored = dataset.schema, to_stored(binding)
    if _is_there(stored, schema):
        return embedder.finish()
    if binding.vector_column in schema.names:
        raise SchemaError(f"column {binding.vector_column!r} is there already; reembed changes a column's function")
    _check_sources(binding, schema)
    field = pa.field(
        binding.vector_column,
        pa.list_(pa.from_numpy_dtype(binding.function.vector_dtype()), binding.function.ndims()),
    )
    with embedder, _Told(progress, dataset.count_rows(), embedder) as told:
        spec = ColumnSpec(field=field, read=binding.source_columns, make=_maker(binding, field, embedder, told))
        try:
            add_column(dataset, spec, lambda metadata: bind_in_metadata(metadata, stored))
        except SchemaError:
            if not _is_there(stored, dataset.schema):  # from another process that did the same
                raise
    return embedder.finish()


def reembed(
    dataset: Dataset,
    binding: EmbeddingFunctionConfig,
    function: EmbeddingFunction,
    embedder: Embedder,
    *,
    drifted: bool = False,
    progress: Any = None,
) -> EmbeddingReceipt:
    """Make the vectors of *binding*'s column with *function*, and let it be the column's in one commit.

    Args:
        dataset: The table.
        binding: The column with its present function.
        function: Its next one.
        embedder: Makes the vectors, and counts.
        drifted: Whether it is another model also where name and settings are the present one's.
        progress: As in `report_progress`.

    Raises:
        EmbeddingError: The function failed; nothing is changed, and what was paid for is kept.
        SchemaError: Someone else changed the column's function meanwhile.
    """
    dataset.refresh()
    new = replace(binding, function=function)
    old_stored, new_stored = _recorded(dataset, binding), to_stored(new)
    if old_stored == new_stored and not drifted:
        _finish_indices(dataset, binding.vector_column)
        return embedder.finish()
    _check_sources(binding, dataset.schema)
    field = _with_ndims(dataset.schema.field(binding.vector_column), function)
    tag = f"lancelike-{uuid.uuid4().hex[:12]}"

    def swapped(metadata: Mapping[bytes, bytes]) -> Metadata:
        _check_still(old_stored, metadata)
        previous = {**previous_bindings(metadata), binding.vector_column: tag}
        return with_previous(bind_in_metadata(metadata, new_stored), previous)

    with embedder, _Told(progress, dataset.count_rows(), embedder) as told:
        make = _maker(new, field, embedder, told)
        spec = ColumnSpec(field=field, read=binding.source_columns, make=make, replaces=True)
        try:
            replace_column(dataset, spec, swapped, tag)
        except LancelikeError:
            _forget_tag(dataset, tag)
            raise
    return embedder.finish()


def plan_reembed(
    dataset: Dataset,
    binding: EmbeddingFunctionConfig,
    function: EmbeddingFunction,
    planner_for: Callable[[pa.Schema], Planner],
) -> EmbeddingPlan:
    """What `reembed` with the same arguments would embed and reuse, from the same steps; no function is called.

    Args:
        dataset: The table.
        binding: The column with its present function.
        function: Its next one.
        planner_for: Makes what counts, for a table of a schema.

    Raises:
        SchemaError: The column's sources are gone.
    """
    dataset = dataset.frozen()
    new = replace(binding, function=function)
    if _recorded(dataset, binding) == to_stored(new):
        return EmbeddingPlan()
    _check_sources(binding, dataset.schema)
    field = _with_ndims(dataset.schema.field(binding.vector_column), function)
    planner = planner_for(pa.schema([field]))
    with _Told(None, None, planner) as told:
        spec = ColumnSpec(field=field, read=binding.source_columns, make=_maker(new, field, planner, told))
        for rows in rows_for(dataset, spec):
            spec.make(rows)
    return planner.plan()


def rollback_embedding(
    dataset: Dataset,
    vector_column: str,
    bindings_in: Callable[[Mapping[bytes, bytes]], list[EmbeddingFunctionConfig]],
    embedder: Embedder,
    *,
    progress: Any = None,
) -> EmbeddingReceipt:
    """Give *vector_column* the function, the vectors and the indices back that it had before the last `reembed`.

    Rows whose source is what it was then get the very vectors they had; the others get new ones of the old function.

    Args:
        dataset: The table.
        vector_column: The column.
        bindings_in: Makes the bindings that a schema's metadata names.
        embedder: Makes the vectors of rows that are new since, and counts.
        progress: As in `report_progress`.

    Raises:
        SchemaError: There is nothing to go back to.
        EmbeddingError: The old function failed; nothing is changed.
    """
    dataset.refresh()
    past = _before_reembed(dataset, vector_column)
    then = past.schema.metadata or {}
    binding = next(each for each in bindings_in(then) if each.vector_column == vector_column)
    stored = next(each for each in stored_bindings(then) if each.vector_column == vector_column)
    tag = previous_bindings(dataset.schema.metadata)[vector_column]
    _check_sources(binding, dataset.schema)
    field = past.schema.field(vector_column)

    def back(metadata: Mapping[bytes, bytes]) -> Metadata:
        if previous_bindings(metadata).get(vector_column) != tag:
            raise SchemaError(f"the function of {vector_column!r} was changed meanwhile; nothing is rolled back")
        kept = {name: each for name, each in previous_bindings(metadata).items() if name != vector_column}
        earlier = previous_bindings(then).get(vector_column)
        return with_previous(
            bind_in_metadata(metadata, stored), {**kept, vector_column: earlier} if earlier is not None else kept
        )

    with embedder, _Told(progress, None, embedder) as told:
        make = _restorer(past, binding, _maker(binding, field, embedder, told))
        spec = ColumnSpec(field=field, read=binding.source_columns, make=make, replaces=True)
        restore_column(dataset, spec, back, past, binding.source_columns)
    if past.branch == dataset.branch:  # a branch's parent may go back too
        Tags(dataset).delete(tag)
    return embedder.finish()


# -- vectors for rows --------------------------------------------------------------------------------------------------


def _recorded(dataset: Dataset, binding: EmbeddingFunctionConfig) -> StoredBinding:
    """*binding* as the table has it, with a secret that another program wrote there."""
    recorded = stored_bindings(dataset.schema.metadata)
    return next((each for each in recorded if each.vector_column == binding.vector_column), to_stored(binding))


def _maker(
    binding: EmbeddingFunctionConfig, field: pa.Field, embedder: Embedder, told: _Told
) -> Callable[[pa.RecordBatch], pa.Array]:
    """What makes the vectors of rows that have the binding's source columns."""

    def make(rows: pa.RecordBatch) -> pa.Array:
        sources = [rows.schema.field(name) for name in binding.source_columns]
        columns = [*(rows.column(each.name) for each in sources), pa.nulls(rows.num_rows, field.type)]
        bare = pa.RecordBatch.from_arrays(columns, schema=pa.schema([*sources, field.with_nullable(True)]))
        vectors = embed_rows(bare, [binding], binding.source_columns, embedder).column(len(sources))
        if vectors.null_count and not field.nullable:
            raise BadDataError("a row has no source, and the column takes no null", column=field.name)
        embedder.rows += rows.num_rows
        told.of(rows)
        return vectors

    return make


def _restorer(
    past: Dataset, binding: EmbeddingFunctionConfig, make: Callable[[pa.RecordBatch], pa.Array]
) -> Callable[[pa.RecordBatch], pa.Array]:
    """What gives rows the vectors that they had in *past*, where their source is still the same, and makes the rest."""
    names = [*binding.source_columns, binding.vector_column]

    def restore(rows: pa.RecordBatch) -> pa.Array:
        was = past.rows_by_id(rows[_ROW_ID].to_numpy().tolist(), names).combine_chunks()
        if not was.num_rows or not past.lance.has_stable_row_ids:
            return make(rows)
        before = was.to_batches()[0]
        inputs = dict(zip(before[_ROW_ID].to_pylist(), enumerate(source_inputs(before, binding)), strict=True))
        now = zip(rows[_ROW_ID].to_pylist(), source_inputs(rows, binding), strict=True)
        places = np.array([_place(inputs, row_id, value) for row_id, value in now])
        new = np.flatnonzero(places < 0)
        if not len(new):
            return before.column(binding.vector_column).take(pa.array(places))
        places[new] = before.num_rows + np.arange(len(new))
        made = make(rows.take(pa.array(new)))
        return pa.concat_arrays([before.column(binding.vector_column), made]).take(pa.array(places))

    return restore


def _place(inputs: Mapping[int, tuple[int, Any]], row_id: int, value: Any) -> int:
    """Where among the earlier rows the one with that id and source is, or -1."""
    place, before = inputs.get(row_id, (-1, None))
    return place if place >= 0 and before == value else -1


class _Told:
    """Tells of rows as they are done, to what `progress=` takes."""

    def __init__(self, progress: Any, total_rows: int | None, embedder: Embedder) -> None:
        self._next: Batch | None = None
        self._report = report_progress(self._steps(), progress, total_rows, embedder)

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._next = None
        if kind is None:
            next(self._report, None)

    def of(self, rows: pa.RecordBatch) -> None:
        """Say that *rows* are done."""
        self._next = Batch(rows, range(rows.num_rows))
        next(self._report)

    def _steps(self) -> Iterator[Batch]:
        while self._next is not None:
            yield self._next


# -- schemas -----------------------------------------------------------------------------------------------------------


def _is_there(stored: StoredBinding, schema: pa.Schema) -> bool:
    return stored in stored_bindings(schema.metadata) and stored.vector_column in schema.names


def _forget_tag(dataset: Dataset, tag: str) -> None:
    """Delete *tag*, with which a version was to be kept, unless it is needed after all."""
    with suppress(LancelikeError):  # another error is on its way
        dataset.refresh()
        tags = Tags(dataset)
        if tag in tags.list() and tag not in previous_bindings(dataset.schema.metadata).values():
            tags.delete(tag)


def _with_ndims(field: pa.Field, function: EmbeddingFunction) -> pa.Field:
    """*field* for vectors of *function*; numbers keep their width where they are of the same sort."""
    several = not pa.types.is_fixed_size_list(field.type)
    inner = field.type.value_type if several else field.type
    made = pa.from_numpy_dtype(function.vector_dtype())
    item = inner.value_type if pa.types.is_floating(inner.value_type) and pa.types.is_floating(made) else made
    vector = pa.list_(pa.field(inner.value_field.name, item), function.ndims())
    return field.with_type(pa.list_(vector) if several else vector)


def _check_sources(binding: EmbeddingFunctionConfig, schema: pa.Schema) -> None:
    for source in binding.source_columns:
        if source not in schema.names:
            raise ColumnNotFoundError(source, schema.names)
    refuse_blob_sources(schema, binding)


def _check_still(stored: StoredBinding, metadata: Mapping[bytes, bytes]) -> None:
    if stored not in stored_bindings(metadata):
        raise SchemaError(
            f"the function of {stored.vector_column!r} was changed meanwhile; look at it and call reembed again"
        )


def _before_reembed(dataset: Dataset, vector_column: str) -> Dataset:
    """The version before the last `reembed` of *vector_column*."""
    tag = previous_bindings(dataset.schema.metadata).get(vector_column)
    if tag is None:
        raise SchemaError(f"the function of {vector_column!r} was never changed by reembed: nothing to go back to")
    try:
        past = dataset.at(tag)
    except VersionNotFoundError as error:
        raise SchemaError(f"the vectors that {vector_column!r} had are gone: tag {tag!r} was deleted") from error
    if vector_column not in past.schema.names:
        raise SchemaError(f"{vector_column!r} had another name before reembed; give it back that name first")
    return past


def _finish_indices(dataset: Dataset, vector_column: str) -> None:
    """Build the indices that a run killed right after its commit had not attached yet."""
    if vector_column in previous_bindings(dataset.schema.metadata):
        past = _before_reembed(dataset, vector_column)
        ensure_indices(dataset, vector_column, vector_indices(past, vector_column))
