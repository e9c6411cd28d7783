"""Rerankers that read the text of each row beside the query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import ColumnNotFoundError, QueryError, RerankError, shorten
from lancelike.rerankers.base import Reranker
from lancelike.rerankers.tables import ranked


class TextReranker(Reranker):
    """Base: scores the texts of one column against the query.

    A text that several rows have is scored once. A row whose text is null is not scored: its `_relevance_score` is
    null, and it comes last.

    Args:
        column: The column with the texts; a search must select it.
        top_n: Return so many rows, the best; None: all.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.

    Raises:
        QueryError: *top_n* is below 1, or there is no such *return_score*.
    """

    def __init__(self, column: str = "text", top_n: int | None = None, return_score: str = "relevance") -> None:
        if top_n is not None and top_n < 1:
            raise QueryError(f"top_n must be greater than 0, got {top_n}")
        super().__init__(return_score)
        self.column, self.top_n = column, top_n

    @abstractmethod
    def _relevance(self, query: str, documents: list[str]) -> Sequence[float] | NDArray[np.floating]:
        """The score of each of *documents*, in their order; there is at least one, and none is null."""

    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """The rows of both searches as one list, each row once, by what their texts say about *query*."""
        return self._keep_relevance_score(self._rerank(self.merge_results(vector_results, fts_results), query))

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """The rows by what their texts say about *query*."""
        return self._keep_relevance_score(self._rerank(vector_results, query))

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """The rows by what their texts say about *query*."""
        return self._keep_relevance_score(self._rerank(fts_results, query))

    def _rerank(self, result_set: pa.Table, query: str) -> pa.Table:
        """*result_set* with `_relevance_score`, the highest first.

        Raises:
            QueryError: *query* is no text, or the column has none.
            ColumnNotFoundError: The results don't have the column.
            RerankError: The model or service failed, or didn't answer one number for each text.
        """
        if result_set.num_rows == 0:
            return self._handle_empty_results(result_set)
        if not isinstance(query, str) or not query.strip():
            raise QueryError(f"{self} reads the text of the query, got {shorten(query)}; give it as query_string=")
        texts = self._texts(result_set)
        documents = list(dict.fromkeys(text for text in texts if text is not None))
        scores = dict(zip(documents, self._checked_relevance(query, documents), strict=True))
        return ranked(result_set, [None if text is None else scores[text] for text in texts])[: self.top_n]

    def _texts(self, results: pa.Table) -> list[str | None]:
        if self.column not in results.column_names:
            raise ColumnNotFoundError(
                self.column,
                results.column_names,
                where=f"{type(self).__name__} reads it, and the rows to rerank have",
                hint="select it too, or name another with column=",
            )
        values: list[str | None] = results[self.column].to_pylist()
        for value in values:
            if value is not None and not isinstance(value, str):
                raise QueryError(f"{type(self).__name__} reads texts; column {self.column!r} has {shorten(value)}")
        return values

    def _checked_relevance(self, query: str, documents: list[str]) -> list[float]:
        if not documents:
            return []
        scores = np.asarray(self._relevance(query, documents), dtype=np.float64)
        if scores.shape != (len(documents),):
            raise RerankError(
                f"{self} answered scores of shape {scores.shape} for {len(documents)} texts, not one number for each",
                reranker=type(self).__name__,
            )
        if not np.isfinite(scores).all():
            text = documents[int(np.argmin(np.isfinite(scores)))]
            raise RerankError(f"{self} answered no finite score for {shorten(text)}", reranker=type(self).__name__)
        return [float(score) for score in scores]
