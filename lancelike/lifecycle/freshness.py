"""Vectors that no longer match their sources: found, whoever changed these, and made anew.

Our own commits keep vectors in step and say that they are ours; the other programs' commits are looked at one by one.
A row whose source one of them changed, and whose vector it left as it was, is stale until one or the other changes
again. What a caller or another program gave together with its source is taken as given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lancelike.errors import CommitConflictError, EmbeddingError
from lancelike.ingest import BindingsIn, embed_rows, source_inputs
from lancelike.ledger import Embedder, Ledger
from lancelike.ledger.keys import input_keys
from lancelike.ledger.ledger import FunctionLedger
from lancelike.query.plan import Scan
from lancelike.query.predicates import quote_identifier
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.blobs import has_blobs
from lancelike.storage import Dataset
from lancelike.storage.blob_scans import ROWS_AT_ONCE
from lancelike.storage.history import (
    REFRESHED,
    ForeignCommit,
    Judged,
    field_ids_of,
    history_of,
    judged_of,
    note_judged,
)
from lancelike.storage.key_index import KeyIndex, Keys
from lancelike.storage.transactions import OURS
from lancelike.types import EmbeddingReceipt

Facts: TypeAlias = NDArray[np.uint64]
"""Rows with a source and a vector that don't belong together, shape (n, 5): the `_rowid`, and the prints of both."""

SCHEMA = pa.schema(
    {"row_id": pa.uint64(), "vector_column": pa.string(), "source_column": pa.string(), "reason": pa.string()}
)

_NO_VECTOR = "no vector"
_SOURCE_CHANGED = "source changed"
UNKNOWN = "unknown"
_MOST_NOTED = 1_000
_FACT_NUMBERS = 5
_ROWS_AT_ONCE = 8_192
_ATTEMPTS = 10


def verify(dataset: Dataset, bindings: Sequence[EmbeddingFunctionConfig], ledger: Ledger | None = None) -> pa.Table:
    """The rows of the version shown whose vector is not that of their source, by vector column and row.

    Args:
        dataset: The table.
        bindings: Its bindings.
        ledger: Vectors that are known to belong to a source, to clear rows with.

    Returns:
        `row_id`, `vector_column`, `source_column` (a template's separated by commas), and `reason`: `"no vector"`;
        `"source changed"` if the vector is another source's; `"unknown"` if it can't be told.
    """
    names = dataset.schema.names
    found = [_findings(dataset, b, ledger) for b in bindings if {b.vector_column, *b.source_columns} <= set(names)]
    return pa.concat_tables([SCHEMA.empty_table(), *found])


def refresh(
    dataset: Dataset,
    bindings_in: BindingsIn,
    embedder: Embedder,
    ledger: Ledger | None = None,
    *,
    unknown: bool = False,
) -> EmbeddingReceipt:
    """Make the vectors of the rows that `verify` finds anew, in one commit; what that took.

    A row whose source is null gets a null vector.

    Args:
        dataset: The table.
        bindings_in: Its bindings.
        embedder: Makes the vectors, and counts.
        ledger: As in `verify`.
        unknown: Also those of the rows of which it can't be told.

    Raises:
        EmbeddingError: A function failed; nothing is changed, and what was paid for is kept.
    """
    for attempt in range(_ATTEMPTS):
        dataset.refresh()
        shown = dataset.frozen()
        bindings = bindings_in(shown)
        found = verify(shown, bindings, ledger)
        known = found.filter(pc.not_equal(found["reason"], UNKNOWN))
        stale = _by_column(found if unknown else known)
        if not stale:
            break
        try:
            is_whole = unknown or len(known) == len(found)
            embedder.rows = _mend(dataset, shown.version, bindings, stale, embedder, is_whole)
            break
        except CommitConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
    return embedder.finish()


def _mend(
    dataset: Dataset,
    version: int,
    bindings: Sequence[EmbeddingFunctionConfig],
    stale: dict[str, NDArray[np.uint64]],
    embedder: Embedder,
    is_whole: bool,
) -> int:
    def made_anew(rows: pa.RecordBatch, row_ids: NDArray[np.uint64]) -> pa.RecordBatch:
        for binding in bindings:
            if binding.vector_column in stale:
                due = np.isin(row_ids, stale[binding.vector_column])
                rows = _with_new_vectors(rows, binding, due, embedder)
        return rows

    row_ids = np.unique(np.concatenate(list(stale.values())))
    properties = {**OURS, REFRESHED: str(version)} if is_whole else OURS
    return dataset.rewrite_rows_by_id(row_ids, version, made_anew, properties)[0]


def _with_new_vectors(
    rows: pa.RecordBatch, binding: EmbeddingFunctionConfig, due: NDArray[np.bool_], embedder: Embedder
) -> pa.RecordBatch:
    places = np.flatnonzero(due)
    if not len(places):
        return rows
    made = embed_rows(rows.take(pa.array(places)), [binding], binding.source_columns, embedder)
    index = rows.schema.get_field_index(binding.vector_column)
    where = np.arange(rows.num_rows)
    where[places] = rows.num_rows + np.arange(len(places))
    column = pa.concat_arrays([rows.column(index), made.column(index)]).take(pa.array(where))
    return rows.set_column(index, rows.schema.field(index), column)


def _by_column(found: pa.Table) -> dict[str, NDArray[np.uint64]]:
    columns = found["vector_column"].unique().to_pylist()
    return {
        column: found.filter(pa.compute.equal(found["vector_column"], column))["row_id"].to_numpy()
        for column in columns
    }


# -- one binding -------------------------------------------------------------------------------------------------------


def _findings(dataset: Dataset, binding: EmbeddingFunctionConfig, ledger: Ledger | None) -> pa.Table:
    missing = _without_vector(dataset, binding)
    judgement = _judge(dataset, binding, ledger)
    stale = np.setdiff1d(judgement.stale, missing)
    row_ids = np.concatenate([missing, stale, judgement.unknown])
    reasons = [_NO_VECTOR] * len(missing) + [_SOURCE_CHANGED] * len(stale) + [UNKNOWN] * len(judgement.unknown)
    order = np.argsort(row_ids)
    return pa.table(
        [
            pa.array(row_ids[order], pa.uint64()),
            pa.array([binding.vector_column] * len(order), pa.string()),
            pa.array([", ".join(binding.source_columns)] * len(order), pa.string()),
            pa.array([reasons[place] for place in order], pa.string()),
        ],
        schema=SCHEMA,
    )


def _without_vector(dataset: Dataset, binding: EmbeddingFunctionConfig) -> NDArray[np.uint64]:
    sources = " OR ".join(f"{quote_identifier(source)} IS NOT NULL" for source in binding.source_columns)
    where = f"{quote_identifier(binding.vector_column)} IS NULL AND ({sources})"
    row_ids: NDArray[np.uint64] = dataset.read(Scan(columns=[], filter=where, with_row_id=True))["_rowid"].to_numpy()
    return row_ids


@dataclass(frozen=True, eq=False)
class _Judgement:
    """Ids of the rows whose vector is another source's, and of those of which that can't be told."""

    stale: NDArray[np.uint64]
    unknown: NDArray[np.uint64]


_NONE = np.empty(0, np.uint64)


def _judge(dataset: Dataset, binding: EmbeddingFunctionConfig, ledger: Ledger | None) -> _Judgement:
    history, judged = history_of(dataset), judged_of(dataset)
    fields = field_ids_of(dataset, [*binding.source_columns, binding.vector_column])
    noted = judged.facts.get(fields[-1], set()) if judged is not None and judged.version > history.mended else set()
    facts = np.concatenate([_from_noted(noted), *(_separated(each, fields, binding) for each in history.commits)])
    suspects = _still_so(dataset, binding, facts) if len(facts) else _NONE
    is_covered = history.unseen is None or (judged is not None and judged.version >= history.unseen)
    if is_covered and not len(suspects):
        return _Judgement(suspects, _NONE)  # without asking the function for its settings, which may take loading it
    known = _known_of(binding, ledger)
    if is_covered:
        return _Judgement(suspects if known is None else known.not_cleared(dataset, suspects), _NONE)
    doubtful = _doubtful(dataset, binding, known)
    if known is not None:
        suspects = np.intersect1d(np.union1d(suspects, known.made_of_another(dataset, doubtful)), doubtful)
    return _Judgement(suspects, np.setdiff1d(doubtful, suspects))


def _doubtful(dataset: Dataset, binding: EmbeddingFunctionConfig, known: _Known | None) -> NDArray[np.uint64]:
    """Ids of the rows with a vector that is not known to be that of their source."""
    found = [_NONE]
    for batch in _batches(dataset, binding):
        row_ids = batch["_rowid"].to_numpy().copy()  # a view would keep the whole batch
        found.append(row_ids if known is None else row_ids[~known.in_step(batch)])
    return np.concatenate(found)


def remember(dataset: Dataset, bindings: Sequence[EmbeddingFunctionConfig], ledger: Ledger | None) -> None:
    """Note in the table what `verify` finds, before versions that tell it are deleted.

    Where it can't tell already, or finds too much to be noted, nothing is: `verify` will say that it can't tell.
    """
    shown = dataset.frozen()
    names = set(shown.schema.names)
    facts: dict[int, set[tuple[int, bytes]]] = {}
    for binding in bindings:
        if {binding.vector_column, *binding.source_columns} <= names:
            judgement = _judge(shown, binding, ledger)
            if len(judgement.unknown) or len(judgement.stale) > _MOST_NOTED:
                return
            facts[field_ids_of(shown, [binding.vector_column])[0]] = _to_noted(shown, binding, judgement.stale)
    if facts:
        note_judged(dataset, Judged(shown.version, facts))


def _to_noted(
    dataset: Dataset, binding: EmbeddingFunctionConfig, row_ids: NDArray[np.uint64]
) -> set[tuple[int, bytes]]:
    names = [*binding.source_columns, binding.vector_column]
    facts = _prints(_read(dataset, row_ids, names), binding).facts()
    return {(int(fact[0]), fact[1:].tobytes()) for fact in facts}


def _from_noted(noted: AbstractSet[tuple[int, bytes]]) -> Facts:
    facts = [np.array([row_id, *np.frombuffer(pair, np.uint64)], np.uint64) for row_id, pair in noted]
    return np.array(facts, np.uint64).reshape(-1, _FACT_NUMBERS)


@dataclass(frozen=True, eq=False)
class _Prints:
    """Hashes of rows' sources and vectors, which differ when these do."""

    row_ids: NDArray[np.uint64]
    sources: Keys
    vectors: Keys

    def facts(self) -> Facts:
        return np.column_stack([self.row_ids, self.pairs()])

    def pairs(self) -> NDArray[np.uint64]:
        return np.hstack([self.sources, self.vectors])


def _separated(commit: ForeignCommit, fields: Sequence[int], binding: EmbeddingFunctionConfig) -> Facts:
    """The rows whose vector *commit* left, or took over, while it changed the source."""
    after = _prints(commit.rows_after(fields), binding)
    if not len(after.row_ids):
        return after.facts()
    before = _prints(commit.rows_before(fields), binding)
    return after.facts()[_changed_by_id(before, after) if commit.joins_by_id else _taken_over(before, after)]


def _changed_by_id(before: _Prints, after: _Prints) -> NDArray[np.intp]:
    """Places in *after* of rows that have another source than before, and the vector they had."""
    order = np.argsort(before.row_ids)
    places = np.searchsorted(before.row_ids, after.row_ids, sorter=order)
    was = order[np.minimum(places, len(order) - 1)] if len(order) else np.empty(0, np.intp)
    if not len(was):
        return was
    same_row = before.row_ids[was] == after.row_ids
    same_source = (before.sources[was] == after.sources).all(axis=1)
    same_vector = (before.vectors[was] == after.vectors).all(axis=1)
    return np.flatnonzero(same_row & ~same_source & same_vector & ~_is_null(after.vectors))


def _taken_over(before: _Prints, after: _Prints) -> NDArray[np.intp]:
    """Places in *after* of rows whose vector was there, and only with other sources."""
    was_there = _are_among(after.vectors, before.vectors)
    return np.flatnonzero(was_there & ~_are_among(after.pairs(), before.pairs()) & ~_is_null(after.vectors))


def _are_among(rows: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of *rows*, shape (n, numbers), are one of *others*."""
    whole = np.dtype((np.void, rows.shape[1] * rows.itemsize))
    sought, there = (np.ascontiguousarray(each).view(whole).ravel() for each in (rows, others))
    return np.isin(sought, there)


def _still_so(dataset: Dataset, binding: EmbeddingFunctionConfig, facts: Facts) -> NDArray[np.uint64]:
    """Ids of the rows of which *facts* hold in the version shown."""
    names = [*binding.source_columns, binding.vector_column]
    if dataset.lance.has_stable_row_ids:
        facts = facts[np.argsort(facts[:, 0])]
        rows = _read(dataset, np.unique(facts[:, 0]), names)
        return np.concatenate([_NONE, *(_that_are(_prints([batch], binding), facts) for batch in rows)])
    now = _prints(dataset.scan(Scan(columns=names, with_row_id=True, with_blobs=True)), binding)
    return now.row_ids[_are_among(now.pairs(), facts[:, 1:])]


def _that_are(now: _Prints, facts: Facts) -> NDArray[np.uint64]:
    """Ids of the rows of which one of *facts* holds, these ordered by row."""
    if not len(now.row_ids):
        return _NONE
    first = np.searchsorted(facts[:, 0], now.row_ids.min(), side="left")
    end = np.searchsorted(facts[:, 0], now.row_ids.max(), side="right")
    return now.row_ids[_are_among(now.facts(), facts[first:end])]


def _read(dataset: Dataset, row_ids: NDArray[np.uint64], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows with these ids, some at a time."""
    size = ROWS_AT_ONCE if has_blobs(dataset.schema, columns) else _ROWS_AT_ONCE
    for start in range(0, len(row_ids), size):
        some = row_ids[start : start + size].tolist()
        yield from dataset.rows_by_id(some, columns).combine_chunks().to_batches()


def _prints(batches: Iterable[pa.RecordBatch], binding: EmbeddingFunctionConfig) -> _Prints:
    """The prints of rows whose first columns are the binding's sources and vectors, whatever they are called."""
    names = [*binding.source_columns, binding.vector_column]
    row_ids, sources, vectors = [], [], []
    for batch in batches:
        rows = pa.RecordBatch.from_arrays(batch.columns[: len(names)], names)
        row_ids.append(batch["_rowid"].to_numpy().copy())
        sources.append(input_keys("", "source", source_inputs(rows, binding)))
        vectors.append(_vector_keys(rows.column(len(names) - 1)))
    if not row_ids:
        return _Prints(np.empty(0, np.uint64), np.empty((0, 2), np.uint64), np.empty((0, 2), np.uint64))
    return _Prints(np.concatenate(row_ids), np.concatenate(sources), np.concatenate(vectors))


def _vector_keys(column: pa.Array) -> Keys:
    return input_keys("", "vector", [None if vector is None else vector.tobytes() for vector in _to_arrays(column)])


_NULL_VECTOR = input_keys("", "vector", [None])


def _is_null(vectors: Keys) -> NDArray[np.bool_]:
    null: NDArray[np.bool_] = (vectors == _NULL_VECTOR).all(axis=1)
    return null


def _to_arrays(column: pa.Array) -> list[NDArray[Any] | None]:
    """Each vector, or matrix of vectors, of *column*."""
    if not pa.types.is_fixed_size_list(column.type):
        return [None if value is None else np.array(value) for value in column.to_pylist()]
    size = column.type.list_size
    flat = column.values.to_numpy(zero_copy_only=False).reshape(-1, size)[column.offset : column.offset + len(column)]
    if not column.null_count:
        return list(flat)
    null = column.is_null().to_numpy(zero_copy_only=False)
    return [None if null[place] else vector for place, vector in enumerate(flat)]


# -- what the ledger knows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """Vectors that one function made of known inputs, for one binding."""

    binding: EmbeddingFunctionConfig
    ledger: FunctionLedger

    def not_cleared(self, dataset: Dataset, row_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Those of *row_ids* whose vector is not known to be that of their source."""
        names = [*self.binding.source_columns, self.binding.vector_column]
        left = [batch["_rowid"].to_numpy()[~self.in_step(batch)] for batch in _read(dataset, row_ids, names)]
        return np.sort(np.concatenate([_NONE, *left]))

    def in_step(self, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which of *rows* have the very vector that was made of their source."""
        keys = input_keys(self.ledger.fingerprint, "source", source_inputs(rows, self.binding))
        places = self.ledger.find(keys)
        known = np.flatnonzero(places >= 0)
        vectors = _to_arrays(rows.column(self.binding.vector_column))
        in_step = np.zeros(rows.num_rows, bool)
        for place, made in zip(known, self.ledger.take(places[known].tolist()), strict=True):
            in_step[place] = _same(made, vectors[place])
        return in_step

    def made_of_another(self, dataset: Dataset, row_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Those of *row_ids*, none of which is in step, whose vector the function made: of another source then."""
        if not len(row_ids):
            return row_ids
        made = self.made_vectors(_dtype(dataset.schema.field(self.binding.vector_column).type))
        found = [_NONE]
        for batch in _read(dataset, row_ids, [self.binding.vector_column]):
            is_made = made.find(_vector_keys(batch.column(self.binding.vector_column))) >= 0
            found.append(batch["_rowid"].to_numpy()[is_made])
        return np.sort(np.concatenate(found))

    def made_vectors(self, dtype: np.dtype[Any]) -> KeyIndex:
        """Prints of all vectors in the ledger, as a column of *dtype* holds them."""
        made = KeyIndex(self.ledger.folder)
        for vectors in self.ledger.vectors():
            prints = input_keys("", "vector", [vector.astype(dtype).tobytes() for vector in vectors])
            made.add(prints, np.zeros(len(prints), np.int64))
        return made


def _batches(dataset: Dataset, binding: EmbeddingFunctionConfig) -> Iterator[pa.RecordBatch]:
    names = [*binding.source_columns, binding.vector_column]
    where = f"{quote_identifier(binding.vector_column)} IS NOT NULL"
    yield from dataset.scan(
        Scan(columns=names, filter=where, with_row_id=True, batch_size=_ROWS_AT_ONCE, with_blobs=True)
    )


def _known_of(binding: EmbeddingFunctionConfig, ledger: Ledger | None) -> _Known | None:
    if ledger is None:
        return None
    try:
        of_function = ledger.of(binding.function.ready())
    except (EmbeddingError, ImportError):  # the function can't be made here: what it made can't be told
        return None
    return None if of_function is None else _Known(binding, of_function)


def _same(made: NDArray[Any] | None, stored: NDArray[Any] | None) -> bool:
    if made is None or stored is None:
        return False
    return bool(np.array_equal(made.astype(stored.dtype), stored))


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    while pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return dtype
