"""What every reranker does: take the rows of a search, and order them anew by `_relevance_score`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import pyarrow as pa

from lancelike.errors import QueryError, shorten
from lancelike.rerankers.tables import DISTANCE, RELEVANCE_SCORE, SCORE, deduplicated, joined, merged, ranked

ReturnScore: TypeAlias = Literal["relevance", "all"]


@runtime_checkable
class Search(Protocol):
    """A search that has not run yet, as `Table.search` returns it."""

    def to_arrow(self) -> pa.Table:
        """Its rows."""


Results: TypeAlias = pa.Table | Search


class Reranker(ABC):
    """Base of rerankers, one's own among them.

    A subclass gives `rerank_hybrid`, and `rerank_vector` and `rerank_fts` if it can rank the rows of one search. Each
    returns the rows it was given, or some of them, with a column `_relevance_score`: the higher, the better, and the
    highest first.

    Args:
        return_score: `"relevance"` leaves `_relevance_score` alone in the results, `"all"` keeps `_distance` and
            `_score` beside it.

    Raises:
        QueryError: *return_score* is neither.

    Example:
        >>> class ByLength(Reranker):
        ...     def rerank_hybrid(self, query, vector_results, fts_results):
        ...         rows = self.merge_results(vector_results, fts_results)
        ...         lengths = [float(len(text)) for text in rows["text"].to_pylist()]
        ...         return rows.append_column("_relevance_score", pa.array(lengths)).sort_by(
        ...             [("_relevance_score", "descending")]
        ...         )
        >>> nearest = pa.table({"_rowid": [1, 2], "text": ["a", "abc"], "_distance": [0.1, 0.2]})
        >>> matching = pa.table({"_rowid": [2, 3], "text": ["abc", "ab"], "_score": [2.0, 1.0]})
        >>> ByLength().rerank_hybrid("", nearest, matching)["text"].to_pylist()
        ['abc', 'ab', 'a']
    """

    score: ReturnScore = "relevance"

    def __init__(self, return_score: str = "relevance") -> None:
        if return_score not in get_args(ReturnScore):
            raise QueryError(f"score must be either 'relevance' or 'all', got {return_score!r}")
        self.score = "all" if return_score == "all" else "relevance"

    def __str__(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:  # nothing that may hold a key
        return str(self)

    @abstractmethod
    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """The rows of both searches as one list, each row once.

        Args:
            query: What was searched for.
            vector_results: Rows with `_rowid` and `_distance`, the nearest first.
            fts_results: Rows with `_rowid` and `_score`, the best first.

        Returns:
            The rows with `_relevance_score`, the highest first.
        """

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """The rows of a search by vector with `_relevance_score`, the highest first."""
        raise NotImplementedError(f"{type(self).__name__} does not implement rerank_vector")

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """The rows of a full-text search with `_relevance_score`, the highest first."""
        raise NotImplementedError(f"{type(self).__name__} does not implement rerank_fts")

    def rerank_multivector(
        self, vector_results: Results | Sequence[Results], query: str | None = None, deduplicate: bool = False
    ) -> pa.Table:
        """The rows of several searches by vector as one list, ranked together by `rerank_vector`.

        Args:
            vector_results: Tables, or searches that are run now.
            query: What was searched for; None where the reranker doesn't read it.
            deduplicate: Return a row that several searches found once; they must have been made `with_row_id`.

        Raises:
            QueryError: There are no results, they are of several kinds, or lack `_rowid`.
        """
        rows = joined(tables_of(vector_results))
        return self.rerank_vector(query or "", deduplicated(rows) if deduplicate else rows)

    def merge_results(self, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """Each row of either once, those of *vector_results* first, in the order they have there.

        A row that is in both has both its `_distance` and its `_score`.
        """
        return merged(vector_results, fts_results)

    def _merge_and_keep_scores(self, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """The same as `merge_results`, by a name that subclasses written for LanceDB use."""
        return self.merge_results(vector_results, fts_results)

    def _deduplicate(self, table: pa.Table) -> pa.Table:
        """*table* without the rows whose `_rowid` came before."""
        return deduplicated(table)

    def _handle_empty_results(self, results: pa.Table) -> pa.Table:
        """*results*, with an empty `_relevance_score` if they are none."""
        return results if results.num_rows else ranked(results, [])

    def _keep_relevance_score(self, combined_results: pa.Table) -> pa.Table:
        """*combined_results* with the scores that `return_score` asks for."""
        if self.score == "all":
            return combined_results
        return combined_results.drop_columns(
            [name for name in (DISTANCE, SCORE) if name in combined_results.schema.names]
        )


def tables_of(results: Results | Sequence[Results]) -> list[pa.Table]:
    """The rows of each of *results*; searches are run.

    Raises:
        QueryError: There are none, they are of several kinds, or something else.
    """
    given = [results] if isinstance(results, pa.Table | Search) else list(results)
    if not given:
        raise QueryError("vector_results must not be empty")
    if len({type(each) for each in given}) > 1:
        raise QueryError("All elements in vector_results should be of the same type")
    if isinstance(given[0], pa.Table):
        return given
    if not isinstance(given[0], Search):
        raise QueryError(f"vector_results should be tables or searches, got {shorten(given[0])}")
    return [each.to_arrow() for each in given]


def check_reranker_result(result: Any) -> pa.Table:
    """*result*, if it is what a reranker has to return.

    Raises:
        TypeError: It is no Arrow table.
        QueryError: It has no column `_relevance_score`.
    """
    if not isinstance(result, pa.Table):
        raise TypeError(f"a reranker must return a pyarrow.Table, got {type(result).__name__}")
    if RELEVANCE_SCORE not in result.column_names:
        raise QueryError(
            f"a reranker must return a pyarrow.Table with a column named `{RELEVANCE_SCORE}`; this one has "
            f"{', '.join(result.column_names)}"
        )
    return result
