"""Rows whose source a function refused: which they are, and trying them again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.embeddings.batching import Answer
from lancelike.errors import EmbeddingError
from lancelike.ingest import Batch, BindingsIn, fill_lacking, report_progress, source_inputs, until_written
from lancelike.ingest.embed import WINDOW_ROWS
from lancelike.ledger import Embedder, TableFailures
from lancelike.ledger.failures import failure_keys
from lancelike.lifecycle.unread import read_again, unread_errors
from lancelike.query.plan import Scan
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.storage import Dataset
from lancelike.types import EmbeddingReceipt

SCHEMA = pa.schema(
    {
        "row_id": pa.uint64(),
        "vector_column": pa.string(),
        "source_column": pa.string(),
        "input": pa.string(),
        "error_class": pa.string(),
        "message": pa.string(),
        "attempts": pa.int32(),
        "at": pa.timestamp("us", tz="UTC"),
    }
)

Vectors = dict[str, NDArray[Any]]
"""Vectors by the key of their input among the failures."""


_EVERYWHERE = Scan(with_row_id=True, with_row_address=True)


@dataclass(frozen=True, slots=True, eq=False)
class LackingRow:
    """A row without a vector whose source is among the failures."""

    row_id: int
    address: int
    value: Any
    key: str


def embedding_errors(
    dataset: Dataset, bindings: Sequence[EmbeddingFunctionConfig], failures: TableFailures
) -> pa.Table:
    """The rows that wait with an error, by vector column and time of the error.

    A row waits while its vector is null and its source is what failed. Inputs whose rows were dropped come with a null
    `row_id`, until a row that has one of them gets its vector.

    Args:
        dataset: The table.
        bindings: Its bindings; their functions are not used.
        failures: What failed.
    """
    records = failures.latest().to_pylist()
    listed: list[dict[str, Any]] = []
    for binding in bindings:
        own = {record["key"]: record for record in records if record["vector_column"] == binding.vector_column}
        rows: dict[str, list[int]] = {key: [] for key in own}
        for row in lacking_rows(dataset, binding, own):
            rows[row.key].append(row.row_id)
        for key, record in own.items():
            waiting: list[int | None] = [*rows[key]] or ([None] if record["dropped"] else [])
            sources = ", ".join(binding.source_columns)
            listed += [{**record, "row_id": row_id, "source_column": sources} for row_id in waiting]
    listed += unread_errors(dataset, bindings, failures)
    return pa.Table.from_pylist([{name: row[name] for name in SCHEMA.names} for row in listed], SCHEMA)


def retry_failed(
    dataset: Dataset,
    bindings_in: BindingsIn,
    failures: TableFailures,
    embedder: Embedder,
    progress: Any = None,
) -> EmbeddingReceipt:
    """Embed the sources of the rows that wait with an error, and fill their vectors in one commit.

    Rows that fail again stay as they are, and in `embedding_errors`.

    Args:
        dataset: The table.
        bindings_in: Its bindings.
        failures: What failed.
        embedder: Makes the vectors, with the policy to quarantine what fails.
        progress: See `report_progress`.

    Raises:
        EmbeddingError: A function failed as a whole; no row is changed, and what was paid for is kept.
        ReadOnlyTableError: A past version is shown; nothing is embedded.
    """
    dataset.check_writable()
    dataset.refresh()
    records = failures.latest().to_pylist()
    read_again(dataset, bindings_in, failures, embedder)

    def write(shown: Dataset, bindings: Sequence[EmbeddingFunctionConfig]) -> None:
        waiting = {}
        for binding in bindings:
            keys = {record["key"] for record in records if record["vector_column"] == binding.vector_column}
            waiting[binding.vector_column] = list(lacking_rows(dataset, binding, keys))
        vectors: dict[str, Vectors] = {column: {} for column in waiting}
        with embedder:
            windows = _embed(bindings, waiting, embedder, vectors)
            for _ in report_progress(windows, progress, sum(map(len, waiting.values())), embedder):
                pass
            _write(dataset, shown, [binding for binding in bindings if vectors[binding.vector_column]], vectors)

    until_written(write, dataset, bindings_in, embedder)
    return embedder.finish()


def lacking_rows(
    dataset: Dataset, binding: EmbeddingFunctionConfig, keys: Collection[str], within: Scan = _EVERYWHERE
) -> Iterator[LackingRow]:
    """The rows of *within* that lack the binding's vector and have a source with one of *keys*."""
    names = dataset.schema.names
    if not keys or not {binding.vector_column, *binding.source_columns} <= set(names):
        return
    for batch in dataset.scan(replace(within, columns=binding.source_columns, filter=_lacks(binding), with_blobs=True)):
        values = source_inputs(batch, binding)
        places = zip(batch["_rowid"].to_pylist(), batch["_rowaddr"].to_pylist(), strict=True)
        for place, value, key in zip(places, values, failure_keys(values), strict=True):
            if key in keys:
                yield LackingRow(*place, value, key)


def _lacks(binding: EmbeddingFunctionConfig) -> str:
    """SQL: there is no vector, and something to make it from."""
    sources = " OR ".join(f"`{source}` IS NOT NULL" for source in binding.source_columns)
    return f"`{binding.vector_column}` IS NULL AND ({sources})"


def _embed(
    bindings: Sequence[EmbeddingFunctionConfig],
    waiting: Mapping[str, Sequence[LackingRow]],
    embedder: Embedder,
    vectors: Mapping[str, Vectors],
) -> Iterator[Batch]:
    """Put the vectors of the rows *waiting* into *vectors*; what has been gone through, for the progress."""
    done = 0
    for binding in bindings:
        rows = waiting[binding.vector_column]
        for start in range(0, len(rows), WINDOW_ROWS):
            window = rows[start : start + WINDOW_ROWS]
            values = {row.key: row.value for row in window}
            for key, answer in zip(values, embedder(binding, list(values.values())), strict=True):
                if not isinstance(answer, EmbeddingError):
                    vectors[binding.vector_column][key] = answer
            embedder.rows += len(window)
            numbers = np.arange(done, done + len(window))
            yield Batch(pa.RecordBatch.from_arrays([pa.array(numbers)], ["row"]), numbers)
            done += len(window)


def _write(
    dataset: Dataset,
    shown: Dataset,
    bindings: Sequence[EmbeddingFunctionConfig],
    vectors: Mapping[str, Vectors],
) -> None:
    """Fill the rows that lack a vector and have one in *vectors*, if the functions are still those of *shown*."""
    if not bindings:
        return

    def answer(binding: EmbeddingFunctionConfig, values: Sequence[Any]) -> list[Answer]:
        found = vectors[binding.vector_column]
        return [found.get(key, EmbeddingError("not tried")) for key in failure_keys(values)]

    def fill(data: pa.RecordBatch) -> pa.RecordBatch:
        rows = Batch(data, range(data.num_rows))
        for binding in bindings:
            rows = fill_lacking(rows, data.schema, binding, answer)
        return rows.data

    lacking = " OR ".join(f"({_lacks(binding)})" for binding in bindings)
    dataset.rewrite_rows(lacking, {}, fill, made_for=shown)
