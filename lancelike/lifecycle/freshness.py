"""Vectors that no longer match their sources: found, whoever changed these, and made anew.

Our own commits keep vectors in step and say that they are ours; the other programs' commits are looked at one by one.
A row whose source one of them changed, and whose vector it left as it was, is stale until one or the other changes
again. What a caller or another program gave together with its source is taken as given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lancelike.errors import CommitConflictError
from lancelike.ingest import BindingsIn, embed_rows
from lancelike.ledger import Embedder, Ledger
from lancelike.lifecycle.known import KnownVectors, known_vectors
from lancelike.lifecycle.prints import (
    FACT_NUMBERS,
    NO_ROWS,
    ROWS_AT_ONCE,
    Facts,
    are_among,
    prints_of,
    read_rows,
    separated,
    that_are,
)
from lancelike.query.plan import Scan
from lancelike.query.predicates import quote_identifier
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.storage import Dataset
from lancelike.storage.history import (
    REFRESHED,
    Judged,
    field_ids_of,
    history_of,
    judged_of,
    note_judged,
)
from lancelike.storage.transactions import OURS
from lancelike.types import EmbeddingReceipt

SCHEMA = pa.schema(
    {"row_id": pa.uint64(), "vector_column": pa.string(), "source_column": pa.string(), "reason": pa.string()}
)

_NO_VECTOR = "no vector"
_SOURCE_CHANGED = "source changed"
UNKNOWN = "unknown"
_MOST_NOTED = 1_000
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
    return {column: found.filter(pc.equal(found["vector_column"], column))["row_id"].to_numpy() for column in columns}


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


def _judge(dataset: Dataset, binding: EmbeddingFunctionConfig, ledger: Ledger | None) -> _Judgement:
    history, judged = history_of(dataset), judged_of(dataset)
    fields = field_ids_of(dataset, [*binding.source_columns, binding.vector_column])
    noted = judged.facts.get(fields[-1], set()) if judged is not None and judged.version > history.mended else set()
    facts = np.concatenate([_from_noted(noted), *(separated(each, fields, binding) for each in history.commits)])
    suspects = _still_so(dataset, binding, facts) if len(facts) else NO_ROWS
    is_covered = history.unseen is None or (judged is not None and judged.version >= history.unseen)
    if is_covered and not len(suspects):
        return _Judgement(suspects, NO_ROWS)  # without asking the function for its settings, which may take loading it
    known = known_vectors(binding, ledger)
    if is_covered:
        return _Judgement(suspects if known is None else known.not_cleared(dataset, suspects), NO_ROWS)
    doubtful = _doubtful(dataset, binding, known)
    if known is not None:
        suspects = np.intersect1d(np.union1d(suspects, known.made_of_another(dataset, doubtful)), doubtful)
    return _Judgement(suspects, np.setdiff1d(doubtful, suspects))


def _doubtful(dataset: Dataset, binding: EmbeddingFunctionConfig, known: KnownVectors | None) -> NDArray[np.uint64]:
    """Ids of the rows with a vector that is not known to be that of their source."""
    found = [NO_ROWS]
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
    facts = prints_of(read_rows(dataset, row_ids, names), binding).facts()
    return {(int(fact[0]), fact[1:].tobytes()) for fact in facts}


def _from_noted(noted: AbstractSet[tuple[int, bytes]]) -> Facts:
    facts = [np.array([row_id, *np.frombuffer(pair, np.uint64)], np.uint64) for row_id, pair in noted]
    return np.array(facts, np.uint64).reshape(-1, FACT_NUMBERS)


def _still_so(dataset: Dataset, binding: EmbeddingFunctionConfig, facts: Facts) -> NDArray[np.uint64]:
    """Ids of the rows of which *facts* hold in the version shown."""
    names = [*binding.source_columns, binding.vector_column]
    if dataset.lance.has_stable_row_ids:
        facts = facts[np.argsort(facts[:, 0])]
        rows = read_rows(dataset, np.unique(facts[:, 0]), names)
        return np.concatenate([NO_ROWS, *(that_are(prints_of([batch], binding), facts) for batch in rows)])
    now = prints_of(dataset.scan(Scan(columns=names, with_row_id=True, with_blobs=True)), binding)
    return now.row_ids[are_among(now.pairs(), facts[:, 1:])]


def _batches(dataset: Dataset, binding: EmbeddingFunctionConfig) -> Iterator[pa.RecordBatch]:
    names = [*binding.source_columns, binding.vector_column]
    where = f"{quote_identifier(binding.vector_column)} IS NOT NULL"
    yield from dataset.scan(
        Scan(columns=names, filter=where, with_row_id=True, batch_size=ROWS_AT_ONCE, with_blobs=True)
    )
