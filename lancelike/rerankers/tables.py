"""Results as tables: joined, each row once, and ranked by a score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lancelike.errors import QueryError

ROW_ID, DISTANCE, SCORE, RELEVANCE_SCORE = "_rowid", "_distance", "_score", "_relevance_score"


def row_ids(results: pa.Table) -> pa.ChunkedArray:
    """The `_rowid` of each of *results*.

    Raises:
        QueryError: They have rows, and no such column.
    """
    if ROW_ID in results.column_names:
        return results[ROW_ID]
    if results.num_rows == 0:
        return pa.chunked_array([], pa.uint64())
    raise QueryError(
        "'_rowid' is required for deduplication: rows are told apart by it; search with .with_row_id(True) (these "
        f"results have {', '.join(results.column_names)})"
    )


def joined(parts: Sequence[pa.Table]) -> pa.Table:
    """The rows of all *parts*, one after the other; a column that a part doesn't have is null there."""
    return pa.concat_tables([part for part in parts if part.num_columns], promote_options="default")


def deduplicated(results: pa.Table) -> pa.Table:
    """*results* without the rows whose `_rowid` came before; their order is kept."""
    _, first = np.unique(row_ids(results).to_numpy(), return_index=True)
    return results if len(first) == results.num_rows else results.take(np.sort(first))


def merged(vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
    """Each row of either once, those of *vector_results* first; a row that is in both has both of its scores."""
    rows = deduplicated(joined([vector_results, fts_results]))
    if SCORE not in fts_results.column_names or SCORE in vector_results.column_names:
        return rows
    scores = fts_results[SCORE].take(pc.index_in(row_ids(rows), value_set=row_ids(fts_results).combine_chunks()))
    return rows.set_column(rows.column_names.index(SCORE), SCORE, scores)


def ranked(results: pa.Table, scores: Sequence[float | None] | NDArray[np.floating]) -> pa.Table:
    """*results* with `_relevance_score`, float32, the highest first.

    Equal scores stay in the order they are in. A score that is null or NaN is null, and comes last.

    Args:
        results: Rows, without the column or with one that is replaced.
        scores: One for each row, in their order.
    """
    values = np.asarray(scores, dtype=np.float32)  # None becomes NaN
    order = np.argsort(-values, kind="stable")
    column = pa.array(values[order], pa.float32(), from_pandas=True)
    if RELEVANCE_SCORE in results.column_names:
        results = results.drop_columns([RELEVANCE_SCORE])
    return results.take(order).append_column(RELEVANCE_SCORE, column)
