"""Rerankers that go by the places of rows in the lists that found them."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lancelike.rerankers.base import Reranker, Results, tables_of
from lancelike.rerankers.tables import deduplicated, joined, ranked, row_ids


class RankFusion(Reranker):
    """Base: a row's score is the sum of `weight / (constant + place)` over the lists it is in, places from 1."""

    _constant: int = 0

    @abstractmethod
    def _weights(self, lists: int) -> Sequence[float]:
        """The weights of so many lists of one kind."""

    @abstractmethod
    def _hybrid_weights(self) -> Sequence[float]:
        """The weights of the list of a search by vector and of that of a full-text search."""

    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """The rows of both lists as one, each row once; *query* is not read."""
        rows = self.merge_results(vector_results, fts_results)
        return self._fused(rows, [vector_results, fts_results], self._hybrid_weights())

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """The rows in the order they are in, each with the score of its place; *query* is not read."""
        return self._placed(vector_results)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """The rows in the order they are in, each with the score of its place; *query* is not read."""
        return self._placed(fts_results)

    def rerank_multivector(
        self, vector_results: Results | Sequence[Results], query: str | None = None, deduplicate: bool = True
    ) -> pa.Table:
        """The rows of several searches as one list, each row once.

        Args:
            vector_results: Tables with `_rowid`, or searches made `with_row_id`, which are run now; the best first.
            query: Not read.
            deduplicate: Not read: a row that several searches found is one row.

        Raises:
            QueryError: There are no results, they are of several kinds, or they lack `_rowid`.
        """
        tables = tables_of(vector_results)
        return self._fused(deduplicated(joined(tables)), tables, self._weights(len(tables)))

    def _placed(self, rows: pa.Table) -> pa.Table:
        (weight,) = self._weights(1)
        scores = weight / (self._constant + np.arange(1, rows.num_rows + 1))
        return self._keep_relevance_score(ranked(rows, scores))

    def _fused(self, rows: pa.Table, lists: Sequence[pa.Table], weights: Sequence[float]) -> pa.Table:
        scores: defaultdict[int, float] = defaultdict(float)
        for results, weight in zip(lists, weights, strict=True):
            for place, row_id in enumerate(row_ids(results).to_pylist(), 1):
                scores[row_id] += weight / (self._constant + place)
        return self._keep_relevance_score(ranked(rows, [scores[row_id] for row_id in row_ids(rows).to_pylist()]))
