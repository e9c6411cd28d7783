"""Vectors for the rows that lack them, from the sources that the bindings name."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.embeddings.batching import Answer
from lancelike.errors import BadDataError, BadEmbeddingError, EmbeddingError
from lancelike.ingest.ahead import ahead
from lancelike.ingest.aligning import null_error
from lancelike.ingest.batch import Batch, concat
from lancelike.ingest.kinds import is_multivector, vector_of
from lancelike.ledger.rows import joined
from lancelike.schema.bindings import EmbeddingFunctionConfig, render_template
from lancelike.schema.blobs import blobs_to_binary

EmbedInputs: TypeAlias = Callable[[EmbeddingFunctionConfig, Sequence[Any]], Sequence[Answer]]
"""A window's distinct inputs of one binding, none of them None, to their vectors, in order. An `EmbeddingError` among
the answers is an input that failed alone; one that is raised has the position of the input in `.row`."""

WINDOW_ROWS = 4_096
"""Rows embedded together at least, unless the data ends: small batches are gathered, large ones split."""
MOST_WINDOW_ROWS = 16_384
"""Rows embedded together at most, where the function takes many requests at once or is fast: their vectors are all in
memory."""
FAST_WINDOW_S = 1.0
"""Seconds that a window takes at most for the next to have twice the rows."""
GROWN_VECTOR_BYTES = 8 << 20
"""And the most that its vectors may take then: several copies of them are under way."""
_ROUNDS = 4
WINDOW_BYTES = 64 << 20
"""A window closes earlier once its rows take this much, as images do."""


def embed_batches(
    batches: Iterable[Batch],
    schema: pa.Schema,
    bindings: Sequence[EmbeddingFunctionConfig],
    embed: EmbedInputs,
    *,
    drop_failed: bool = False,
) -> Iterator[Batch]:
    """*batches* with every vector that was null filled from its source, if that isn't null.

    Rows that carry a vector keep it. Each distinct input is embedded once a window; a function that no row needs is
    not touched. Rows keep their order.

    Args:
        batches: Rows of *schema*.
        schema: The table's schema.
        bindings: Which columns are filled, from what, by which function.
        embed: Turns a window's distinct inputs into vectors.
        drop_failed: Leave out the rows whose input failed, in place of giving them a null vector.

    Raises:
        EmbeddingError: A function failed; `.row` is a row of the caller's data with the input concerned, `.column` its
            source column.
        BadDataError: A vector is null at the end, in a column that takes no null; or it is null and can't be made,
            since a column that it would be made from is no longer in the table.
    """
    bindings = [binding for binding in bindings if binding.vector_column in schema.names]
    if not bindings:
        yield from batches
        return
    pace = _Pace()
    for window in ahead(_windows(_refuse_orphans(batches, schema, bindings), bindings, pace)):
        with pace.timed():
            for binding in bindings:
                window = fill_lacking(window, schema, binding, embed, drop_failed)
        _refuse_nulls(window, schema, bindings)
        yield window


def embed_rows(
    batch: pa.RecordBatch,
    bindings: Sequence[EmbeddingFunctionConfig],
    touched_columns: Collection[str],
    embed: EmbedInputs,
    *,
    before: pa.RecordBatch | None = None,
) -> pa.RecordBatch:
    """*batch* with the vectors made anew whose sources are among *touched_columns*.

    A vector column that is touched itself is left as it is.

    Args:
        batch: Rows with their new values, and all columns that the bindings name.
        bindings: The table's bindings.
        touched_columns: Columns whose values have changed.
        embed: Turns distinct inputs into vectors.
        before: The sources as they were: a row whose source is the same keeps its vector, if it has one; None makes
            all anew.

    Raises:
        EmbeddingError: A function failed; `.row` is None.
        BadDataError: A column that a vector is made from is no longer in the table.
    """
    rows = Batch(batch, range(batch.num_rows))
    due = due_bindings(bindings, touched_columns)
    for binding in due:
        if gone := missing_sources(binding, batch.schema):
            raise orphaned_error(binding, gone, batch.schema)
        index = batch.schema.get_field_index(binding.vector_column)
        field = batch.schema.field(index)
        kept = None if before is None else _kept(batch, before, binding)
        vectors = pa.nulls(len(rows), field.type) if kept is None else batch.column(index).take(kept)
        rows = rows.with_data(rows.data.set_column(index, field, vectors))
    for binding in due:
        try:
            rows = fill_lacking(rows, batch.schema, binding, embed)
        except EmbeddingError as error:
            error.row = None
            raise
    return rows.data


def _kept(batch: pa.RecordBatch, before: pa.RecordBatch, binding: EmbeddingFunctionConfig) -> pa.Array:
    """The number of each row whose input is what it was, and null for the others."""
    pairs = zip(source_inputs(before, binding), source_inputs(batch, binding), strict=True)
    changed = np.array([type(was) is not type(now) or was != now for was, now in pairs], bool)
    return pa.array(np.arange(len(batch)), mask=changed)


def due_bindings(
    bindings: Iterable[EmbeddingFunctionConfig], touched_columns: Collection[str]
) -> list[EmbeddingFunctionConfig]:
    """The bindings whose vectors must follow when *touched_columns* change, unless they are set themselves."""
    touched = set(touched_columns)
    return [b for b in bindings if b.vector_column not in touched and not touched.isdisjoint(b.source_columns)]


def _refuse_orphans(
    batches: Iterable[Batch], schema: pa.Schema, bindings: Iterable[EmbeddingFunctionConfig]
) -> Iterator[Batch]:
    """*batches*, whose rows bring the vectors that can't be made."""
    orphaned = [(binding, gone) for binding in bindings if (gone := missing_sources(binding, schema))]
    for batch in batches:
        for binding, gone in orphaned:
            vectors = batch.data.column(binding.vector_column)
            if vectors.null_count:
                raise orphaned_error(binding, gone, schema, batch.row(int(np.argmax(_nulls(vectors)))))
        yield batch


def missing_sources(binding: EmbeddingFunctionConfig, schema: pa.Schema) -> list[str]:
    """The columns that *binding* makes its vectors from and *schema* lacks."""
    return [source for source in binding.source_columns if schema.get_field_index(source) < 0]


def orphaned_error(
    binding: EmbeddingFunctionConfig, gone: Sequence[str], schema: pa.Schema, row: int | None = None
) -> BadDataError:
    """What to raise where a vector is neither there nor to be made, since the columns *gone* are not in *schema*."""
    return BadDataError(
        f"there is no vector, and it can't be made: its source {', '.join(map(repr, gone))} is not in the table, "
        f"which has {', '.join(schema.names)}",
        row=row,
        column=binding.vector_column,
        hint="give the vector, or bring the source column back",
    )


# -- windows -----------------------------------------------------------------------------------------------------------


class _Pace:
    """How long windows are: each that was fast doubles the next, since what is recorded at its end takes longer."""

    def __init__(self) -> None:
        self._factor = 1

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Embed a window in the block."""
        started = time.monotonic()
        yield
        is_fast = time.monotonic() - started < FAST_WINDOW_S
        self._factor = min(2 * self._factor, MOST_WINDOW_ROWS // WINDOW_ROWS) if is_fast else 1

    def rows(self, due: Sequence[EmbeddingFunctionConfig], schema: pa.Schema) -> int:
        """Rows of the next window, if it lacks vectors of the bindings *due*."""
        return max((self._rows_of(each, schema.field(each.vector_column).type) for each in due), default=WINDOW_ROWS)

    def _rows_of(self, binding: EmbeddingFunctionConfig, kind: pa.DataType) -> int:
        rows = _window_rows(binding)
        if is_multivector(kind):
            return rows
        vector_bytes: int = kind.list_size * kind.value_type.bit_width // 8
        return max(rows, min(rows * self._factor, MOST_WINDOW_ROWS, GROWN_VECTOR_BYTES // max(1, vector_bytes)))


def _windows(batches: Iterable[Batch], bindings: Sequence[EmbeddingFunctionConfig], pace: _Pace) -> Iterator[Batch]:
    """*batches* gathered and split to the size of a window; those that lack nothing pass as they are."""
    gathered: list[Batch] = []
    rows = size = 0
    window_rows, due = WINDOW_ROWS, list(bindings)
    for batch in batches:
        if not gathered:
            due = [binding for binding in bindings if _lacking(batch, binding).any()]
            window_rows = pace.rows(due, batch.data.schema)
            if not due:
                yield batch
                continue
        row_bytes = max(1, batch.data.nbytes // max(1, len(batch)))
        while len(batch):
            step = max(1, min(window_rows - rows, (WINDOW_BYTES - size) // row_bytes))
            gathered.append(batch.slice(0, step))
            rows, size = rows + len(gathered[-1]), size + gathered[-1].data.nbytes
            batch = batch.slice(step, len(batch))
            if rows >= window_rows or size >= WINDOW_BYTES:
                yield concat(gathered)
                gathered, rows, size = [], 0, 0
                window_rows = pace.rows(due, batch.data.schema)
    if gathered:
        yield concat(gathered)


def _window_rows(binding: EmbeddingFunctionConfig) -> int:
    """Enough rows for the function's concurrent requests to be worth it: at a window's end some of them wait."""
    if binding.function.record_within_s:
        return MOST_WINDOW_ROWS  # it is fast, and many rows are recorded together
    at_once: int = binding.function.batch_size * binding.function.max_concurrency
    return min(max(WINDOW_ROWS, _ROUNDS * at_once), MOST_WINDOW_ROWS)


def _lacking(batch: Batch, binding: EmbeddingFunctionConfig) -> NDArray[np.bool_]:
    """Which rows have no vector and something to make it from, shape (rows,)."""
    lacking = _nulls(batch.data.column(binding.vector_column))
    if not lacking.any():
        return lacking
    has_source = np.zeros(len(batch), bool)
    for source in binding.source_columns:
        if batch.data.schema.get_field_index(source) >= 0:
            has_source |= ~_nulls(batch.data.column(source))
    return lacking & has_source


def _nulls(column: pa.Array) -> NDArray[np.bool_]:
    if not column.null_count:
        return np.zeros(len(column), bool)
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


# -- one binding in one window -----------------------------------------------------------------------------------------


def fill_lacking(
    batch: Batch, schema: pa.Schema, binding: EmbeddingFunctionConfig, embed: EmbedInputs, drop_failed: bool = False
) -> Batch:
    """*batch* with the vectors of *binding* made where they are null and the source isn't; as `embed_batches` says."""
    lacking = _lacking(batch, binding)
    if not lacking.any():
        return batch
    places = np.flatnonzero(lacking)
    sources = batch.data.select(list(binding.source_columns))
    inputs = _distinct(source_inputs(sources if lacking.all() else sources.take(pa.array(places)), binding))
    field = schema.field(binding.vector_column)
    answers = _ask(binding, inputs, batch, places, embed)
    vectors = [None if isinstance(answer, EmbeddingError) else answer for answer in answers]
    _check_length(vectors, field, binding)
    index = batch.data.schema.get_field_index(field.name)
    column = _merge(batch.data.column(index), places, [vectors[of] for of in inputs.of_row], field.type)
    filled = batch.with_data(batch.data.set_column(index, field, column))
    if not drop_failed or all(vector is not None for vector in vectors):
        return filled
    failed = np.zeros(len(batch), bool)
    failed[places] = [vectors[of] is None for of in inputs.of_row]
    return filled.keep(~failed)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Inputs of some rows, each once.

    Attributes:
        values: The distinct inputs, in order of first appearance.
        of_row: Which of them each row has.
        first: The first row that has each of them.
    """

    values: list[Any]
    of_row: Sequence[int]
    first: Sequence[int]


def source_inputs(rows: pa.RecordBatch, binding: EmbeddingFunctionConfig) -> list[Any]:
    """What the binding's function is given for each of *rows*, whose vectors it makes; None where nothing is."""
    if binding.template is None:
        return list(blobs_to_binary(rows.column(binding.source_column)).to_pylist())
    template, names = binding.template, binding.source_columns
    columns = [rows.column(name).to_pylist() for name in names]
    return [render_template(template, dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _distinct(inputs: Sequence[Any]) -> _Inputs:
    if len(set(map(type, inputs)) - {str, bytes}) == 0 and len(set(inputs)) == len(inputs):
        return _Inputs(list(inputs), range(len(inputs)), range(len(inputs)))
    found: dict[Any, int] = {}
    of_row = [found.setdefault(_key(value), len(found)) for value in inputs]
    _, first = np.unique(of_row, return_index=True)
    return _Inputs([inputs[row] for row in first], of_row, first.tolist())


def _key(value: Any) -> Any:
    """Something hashable that only equal inputs share."""
    return value if isinstance(value, str | bytes) else (type(value), repr(value))


def _ask(
    binding: EmbeddingFunctionConfig,
    inputs: _Inputs,
    batch: Batch,
    places: NDArray[np.intp],
    embed: EmbedInputs,
) -> Sequence[Answer]:
    try:
        return embed(binding, inputs.values)
    except EmbeddingError as error:
        error.row = batch.row(int(places[inputs.first[error.row or 0]]))
        error.column = binding.source_columns[0]
        raise


def _check_length(vectors: Sequence[NDArray[Any] | None], field: pa.Field, binding: EmbeddingFunctionConfig) -> None:
    size = vector_of(field.type).list_size
    for vector in vectors:
        if vector is not None and vector.shape[-1] != size:
            raise BadEmbeddingError(
                f"the function makes vectors of length {vector.shape[-1]}, column {field.name!r} holds length {size}",
                function=binding.function.label,
                column=binding.source_columns[0],
                hint="use the function and settings that the table was made with",
            )


def _merge(
    column: pa.Array, places: NDArray[np.intp], vectors: Sequence[NDArray[Any] | None], kind: pa.DataType
) -> pa.Array:
    """*column* with *vectors* at *places*."""
    made = _to_multivectors(vectors, kind) if is_multivector(kind) else _to_vectors(vectors, kind)
    if len(places) == len(column):
        return made
    where = np.arange(len(column))
    where[places] = len(column) + np.arange(len(places))
    return pa.concat_arrays([column, made]).take(pa.array(where))


def _to_vectors(vectors: Sequence[NDArray[Any] | None], kind: pa.DataType) -> pa.Array:
    zeros = np.zeros(kind.list_size, kind.value_type.to_pandas_dtype())
    null = [vector is None for vector in vectors]
    flat = joined([zeros if vector is None else vector for vector in vectors]).astype(zeros.dtype, copy=False)
    mask = pa.array(null) if any(null) else None
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind, mask=mask)


def _to_multivectors(vectors: Sequence[NDArray[Any] | None], kind: pa.DataType) -> pa.Array:
    lengths = [0 if vector is None else len(vector) for vector in vectors]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    parts = [row for vector in vectors if vector is not None for row in vector]
    empty = pa.nulls(0, kind.value_type)
    inner = _to_vectors(parts, kind.value_type) if parts else empty
    null = pa.array([vector is None for vector in vectors])
    mask = null if any(vector is None for vector in vectors) else None
    return pa.ListArray.from_arrays(offsets, inner, mask=mask).cast(kind)


def _refuse_nulls(batch: Batch, schema: pa.Schema, bindings: Iterable[EmbeddingFunctionConfig]) -> None:
    for binding in bindings:
        column = batch.data.column(binding.vector_column)
        if column.null_count and not schema.field(binding.vector_column).nullable:
            raise null_error(batch, column, binding.vector_column)
