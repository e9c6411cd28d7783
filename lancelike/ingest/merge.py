"""Upserts that embed what they bring."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelike.errors import BadDataError, ColumnNotFoundError
from lancelike.ingest.pipeline import ingest
from lancelike.ingest.read import read_batches
from lancelike.ledger import Embedder
from lancelike.schema.bindings import EmbeddingFunctionConfig
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
    bindings: Sequence[EmbeddingFunctionConfig],
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

    Vectors are made for rows that bring a source and no vector. If *data* has neither, the rows it updates keep their
    vectors, as they keep every column that it leaves out.

    Args:
        dataset: The table.
        bindings: Its bindings.
        clauses: What to do with which rows.
        data: The new rows, as `Table.add` takes them.
        on_bad_vectors: As in `ingest`.
        fill_value: As in `ingest`.
        timeout_s: Bound on the merge.
        progress: As in `ingest`.
        embedder: As in `ingest`.

    Raises:
        BadDataError: *data* lacks a key column, or has some of the columns that a vector is made from, not all.
        EmbeddingError: A function failed; nothing is merged.
    """
    embedder = embedder or Embedder()
    source = read_batches(data, dataset.schema)
    names = set(source.schema.names)
    _check_keys(clauses.on, names, dataset.schema)
    fed = [binding for binding in bindings if _is_fed(binding, names)]
    schema = _brought(dataset.schema, names | {binding.vector_column for binding in fed})
    reader = ingest(
        source,
        schema,
        fed,
        on_bad_vectors=on_bad_vectors,
        fill_value=fill_value,
        progress=progress,
        embedder=embedder,
    )
    merged = dataset.merge(
        list(clauses.on),
        reader,
        when_matched_update_all=clauses.when_matched_update_all,
        when_matched_where=clauses.when_matched_where,
        when_not_matched_insert_all=clauses.when_not_matched_insert_all,
        when_not_matched_by_source_delete=clauses.when_not_matched_by_source_delete,
        by_source_condition=clauses.by_source_condition,
        use_index=clauses.use_index,
        timeout_s=timeout_s,
    )
    return replace(merged, embedding=embedder.finish())


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
