"""A weighted mean of two searches' scores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.rerankers.base import Reranker
from lancelike.rerankers.tables import DISTANCE, SCORE, ranked


class LinearCombinationReranker(Reranker):
    """`weight * (1 - _distance) + (1 - weight) * _score`, which a hybrid search brings to the range from 0 to 1 before.

    Where one of the searches found nothing, the other's score stands alone.

    Args:
        weight: What the search by vector counts, from 0 to 1.
        fill: A row that only one search found has this distance, or 1 less this score, in the other.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.

    Raises:
        QueryError: *weight* is out of range, or there is no such *return_score*.
    """

    def __init__(self, weight: float = 0.7, fill: float = 1.0, return_score: str = "relevance") -> None:
        if not 0 <= weight <= 1:
            raise QueryError(f"weight must be between 0 and 1, got {weight}")
        super().__init__(return_score)
        self.weight, self.fill = weight, fill

    def __str__(self) -> str:
        return f"LinearCombinationReranker(weight={self.weight}, fill={self.fill})"

    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """The rows of both searches as one list, each row once; *query* is not read."""
        if vector_results.num_rows == 0:
            return self.rerank_fts(query, self.merge_results(vector_results, fts_results))
        if fts_results.num_rows == 0:
            return self.rerank_vector(query, self.merge_results(vector_results, fts_results))
        rows = self.merge_results(vector_results, fts_results)
        nearness = np.nan_to_num(1 - _values(rows, DISTANCE), nan=1 - self.fill)
        scores = np.nan_to_num(_values(rows, SCORE), nan=1 - self.fill)
        return self._keep_relevance_score(ranked(rows, self.weight * nearness + (1 - self.weight) * scores))

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """The rows by `1 - _distance`; *query* is not read."""
        return self._keep_relevance_score(ranked(vector_results, 1 - _values(vector_results, DISTANCE)))

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """The rows by `_score`; *query* is not read."""
        return self._keep_relevance_score(ranked(fts_results, _values(fts_results, SCORE)))


def _values(rows: pa.Table, column: str) -> NDArray[np.float64]:
    """The column, NaN where it is null."""
    if column in rows.column_names:
        return np.asarray(rows[column].to_numpy(), dtype=np.float64)
    if rows.num_rows == 0:
        return np.empty(0)
    raise ColumnNotFoundError(column, rows.column_names)
