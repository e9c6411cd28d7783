"""Queries that rank rows: by a vector, by words, or by both."""

from __future__ import annotations

from typing import Any, Self, get_args

from lancelike.errors import QueryError
from lancelike.query.builder import LanceQueryBuilder, QueryBuilder, at_least_one, rows_or_none, whole_number
from lancelike.query.fulltext import FullTextQuery, as_phrase, full_text_search
from lancelike.query.query import Normalize, Query, sought
from lancelike.rerankers import Reranker, RRFReranker
from lancelike.types import DistanceType


class RankedQueryBuilder(QueryBuilder):
    """What every search that ranks rows can be told."""

    def fast_search(self) -> Self:
        """Search only rows that the index covers, and leave out those newer than it; without an index, every row."""
        return self._with(fast_search=True)

    def _reranked(self, reranker: Reranker, query_string: str | None, **changes: Any) -> Self:
        if not isinstance(reranker, Reranker):
            raise QueryError(f"reranker must be an instance of Reranker class, got {reranker!r}")
        if query_string is not None and not isinstance(query_string, str):
            raise QueryError(f"Reranking currently only supports string queries, got {query_string!r}")
        return self._with(reranker=reranker, query_string=query_string, **changes)


class NearestQueryBuilder(RankedQueryBuilder):
    """What a search by vector can be told, alone or as a part of a hybrid one."""

    def limit(self, limit: int | None) -> Self:
        """Return the *limit* nearest rows, 10 when this isn't called; of each query when there are several.

        Raises:
            QueryError: *limit* is None or below 1: a search by vector ranks, it does not list the table.
        """
        rows = rows_or_none("limit", limit)
        if rows is None:
            raise QueryError(f"Limit is required for ANN/KNN queries; got {limit!r}, give a number from 1")
        return self._with(limit=rows)

    def distance_type(self, distance_type: str) -> Self:
        """Rank by `l2` (squared Euclidean), `cosine`, `dot` or `hamming`.

        The default is the index's, or l2 without one. Another than the index's is computed exactly, without the index.

        Raises:
            QueryError: There is no such distance.
        """
        name = str(distance_type).lower()
        if name not in get_args(DistanceType):
            raise QueryError(
                f"Invalid distance type {distance_type!r}.  Must be one of {', '.join(get_args(DistanceType))}"
            )
        return self._with(distance_type=name)

    metric = distance_type

    def nprobes(self, nprobes: int) -> Self:
        """Scan *nprobes* IVF partitions per query: more raise recall, and latency with it.

        By default enough for a high recall where vectors are in memory, and 20 through Lance's index.
        """
        nprobes = at_least_one("nprobes", nprobes)
        return self._with(minimum_nprobes=nprobes, maximum_nprobes=nprobes)

    def minimum_nprobes(self, minimum_nprobes: int) -> Self:
        """Scan at least so many IVF partitions per query."""
        minimum_nprobes = at_least_one("minimum_nprobes", minimum_nprobes)
        if self._query.maximum_nprobes and minimum_nprobes > self._query.maximum_nprobes:
            raise QueryError(
                "minimum_nprobes must be less than or equal to maximum_nprobes: "
                f"{minimum_nprobes} > {self._query.maximum_nprobes}"
            )
        return self._with(minimum_nprobes=minimum_nprobes)

    def maximum_nprobes(self, maximum_nprobes: int) -> Self:
        """Go on to at most so many IVF partitions while a filter leaves fewer than `limit` rows; 0: no bound."""
        maximum_nprobes = whole_number("maximum_nprobes", maximum_nprobes)
        if maximum_nprobes < 0:
            raise QueryError(f"maximum_nprobes must not be negative, got {maximum_nprobes}")
        if maximum_nprobes and maximum_nprobes < (self._query.minimum_nprobes or 0):
            raise QueryError(
                "maximum_nprobes must be greater than or equal to minimum_nprobes: "
                f"{maximum_nprobes} < {self._query.minimum_nprobes}"
            )
        return self._with(maximum_nprobes=maximum_nprobes)

    def refine_factor(self, refine_factor: int) -> Self:
        """Read *refine_factor* x `limit` candidates' own vectors and rank them by exact distance.

        Of searches through Lance's index; by default 10 where it is product-quantized, 5 for RaBitQ codes. Searches in
        memory rank by exact distance anyway.
        """
        refine_factor = at_least_one("refine_factor", refine_factor)
        return self._with(refine_factor=refine_factor)

    def ef(self, ef: int) -> Self:
        """Keep *ef* candidates while walking an HNSW graph, 1.5 x `limit` by default: more raise recall.

        Of searches through Lance's index.
        """
        ef = at_least_one("ef", ef)
        return self._with(ef=ef)

    def distance_range(self, lower_bound: float | None = None, upper_bound: float | None = None) -> Self:
        """Keep rows whose distance is at least *lower_bound* and below *upper_bound*; None: no bound there."""
        return self._with(lower_bound=lower_bound, upper_bound=upper_bound)

    def bypass_vector_index(self) -> Self:
        """Compare with every vector: slower, and exact."""
        return self._with(bypass_vector_index=True)


class VectorQueryBuilder(NearestQueryBuilder):
    """What only a search by vector can be told."""

    def rerank(self, reranker: Reranker, query_string: str | None = None) -> Self:
        """Let *reranker* order the rows found anew, and give each its `_relevance_score`.

        Args:
            reranker: Gets the nearest rows in `rerank_vector`.
            query_string: What it compares them with; None: the text that was searched for.

        Raises:
            QueryError: *reranker* is none; or something else than a text was searched for, and there is no
                *query_string*.
        """
        if query_string is None and not isinstance(self._query.content, str):
            raise QueryError(
                "The query used for vector search is not a string: a reranker compares rows with a text, so pass it as "
                "query_string="
            )
        return self._reranked(reranker, query_string)


class WordsQueryBuilder(RankedQueryBuilder):
    """What a search by words can be told, alone or as a part of a hybrid one."""

    def limit(self, limit: int | None) -> Self:
        """Return the *limit* best rows; None or a number below 1: 10, as when this isn't called."""
        return self._with(limit=rows_or_none("limit", limit))

    def phrase_query(self, phrase_query: bool = True) -> Self:
        """Look for the words one after the other, in columns whose index was made with `with_position=True`.

        Raises:
            TypeError: What is looked for is neither a text nor a `PhraseQuery`.
        """
        return self._with_words(phrase_query=phrase_query)

    def _with_words(self, **changes: Any) -> Self:
        self._with(**changes)
        if self._query.phrase_query and self._query.full_text_query:
            as_phrase(self._query.full_text_query.query)
        return self


class FtsQueryBuilder(WordsQueryBuilder):
    """What only a search by words can be told."""

    def rerank(self, reranker: Reranker, query_string: str | None = None) -> Self:
        """Let *reranker* order the rows found anew, and give each its `_relevance_score`.

        Args:
            reranker: Gets the best rows in `rerank_fts`.
            query_string: What it compares them with; None: the words that were searched for.

        Raises:
            QueryError: *reranker* is none.
        """
        return self._reranked(reranker, query_string)


class HybridQueryBuilder(WordsQueryBuilder, NearestQueryBuilder):
    """What a search by vector and by words at once can be told."""

    def __init__(self, query: Query) -> None:
        super().__init__(query)
        self._is_given = query.vector is not None or query.content is not None or _has_words(query)

    def vector(self, vector: Any) -> Self:
        """Search by *vector*, or by what the column's embedding function makes of it: a text, an image, ...

        Raises:
            QueryError: `search` was given something to look for, or this is no vector.
        """
        self._check_nothing_given()
        return self._with(**sought(vector))

    def text(self, text: str | FullTextQuery) -> Self:
        """Search by these words.

        Raises:
            QueryError: `search` was given something to look for.
            TypeError: This is neither a text nor a `FullTextQuery`.
        """
        self._check_nothing_given()
        given = self._query.full_text_query
        return self._with_words(full_text_query=full_text_search(text, given.columns if given else None))

    def rerank(
        self, reranker: Reranker | None = None, normalize: Normalize = "score", query_string: str | None = None
    ) -> Self:
        """Let *reranker* make one list of both, and give each row its `_relevance_score`.

        Args:
            reranker: Gets the nearest and the best rows in `rerank_hybrid`; None: reciprocal rank fusion.
            normalize: What it sees as `_distance` and `_score`: the values brought to the range from 0 to 1, or the
                places they give, likewise.
            query_string: What it compares rows with; None: the words that were searched for.

        Raises:
            QueryError: There is no such *normalize*, or *reranker* is none.
        """
        if normalize not in get_args(Normalize):
            raise QueryError(f"normalize must be 'rank' or 'score', got {normalize!r}")
        return self._reranked(RRFReranker() if reranker is None else reranker, query_string, normalize=normalize)

    def _check_nothing_given(self) -> None:
        if self._is_given:
            raise QueryError(
                "You can either provide a string query in search() method or set `vector()` and `text()` explicitly "
                "for hybrid search. But not both: write search(query_type='hybrid').vector(...).text(...)"
            )


class LanceVectorQueryBuilder(LanceQueryBuilder, VectorQueryBuilder):
    """A search for the rows whose vectors are nearest."""


class LanceFtsQueryBuilder(LanceQueryBuilder, FtsQueryBuilder):
    """A search for the rows that have the words, the best by BM25 first."""


class LanceHybridQueryBuilder(LanceQueryBuilder, HybridQueryBuilder):
    """A search by vector and by words, made one list by a reranker."""


def _has_words(query: Query) -> bool:
    return query.full_text_query is not None and query.full_text_query.query != ""
