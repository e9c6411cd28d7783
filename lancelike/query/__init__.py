"""What to ask of a table: query values, and the builders that make them step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.query.awaited import (
        AsyncFTSQuery,
        AsyncHybridQuery,
        AsyncQuery,
        AsyncQueryBase,
        AsyncRecordBatchReader,
        AsyncStandardQuery,
        AsyncTakeQuery,
        AsyncVectorQuery,
        AsyncVectorQueryBase,
    )
    from lancelike.query.builder import LanceEmptyQueryBuilder, LanceQueryBuilder, QueryBuilder, SearchRunner
    from lancelike.query.fulltext import (
        BooleanQuery,
        BoostQuery,
        DocumentGranularity,
        FtsToken,
        FullTextOperator,
        FullTextQuery,
        FullTextQueryType,
        FullTextSearchQuery,
        MatchQuery,
        MultiMatchQuery,
        Occur,
        PhraseQuery,
    )
    from lancelike.query.ordering import ColumnOrdering
    from lancelike.query.plan import Scan
    from lancelike.query.query import Query, query_from
    from lancelike.query.ranked import (
        FtsQueryBuilder,
        HybridQueryBuilder,
        LanceFtsQueryBuilder,
        LanceHybridQueryBuilder,
        LanceVectorQueryBuilder,
        VectorQueryBuilder,
    )
    from lancelike.query.take import LanceTakeQueryBuilder

_HOMES = {
    "AsyncFTSQuery": "awaited",
    "AsyncHybridQuery": "awaited",
    "AsyncQuery": "awaited",
    "AsyncQueryBase": "awaited",
    "AsyncRecordBatchReader": "awaited",
    "AsyncStandardQuery": "awaited",
    "AsyncTakeQuery": "awaited",
    "AsyncVectorQuery": "awaited",
    "AsyncVectorQueryBase": "awaited",
    "BooleanQuery": "fulltext",
    "BoostQuery": "fulltext",
    "ColumnOrdering": "ordering",
    "DocumentGranularity": "fulltext",
    "FtsQueryBuilder": "ranked",
    "FtsToken": "fulltext",
    "FullTextOperator": "fulltext",
    "FullTextQuery": "fulltext",
    "FullTextQueryType": "fulltext",
    "FullTextSearchQuery": "fulltext",
    "HybridQueryBuilder": "ranked",
    "LanceEmptyQueryBuilder": "builder",
    "LanceFtsQueryBuilder": "ranked",
    "LanceHybridQueryBuilder": "ranked",
    "LanceQueryBuilder": "builder",
    "LanceTakeQueryBuilder": "take",
    "LanceVectorQueryBuilder": "ranked",
    "MatchQuery": "fulltext",
    "MultiMatchQuery": "fulltext",
    "Occur": "fulltext",
    "PhraseQuery": "fulltext",
    "Query": "query",
    "QueryBuilder": "builder",
    "Scan": "plan",
    "SearchRunner": "builder",
    "VectorQueryBuilder": "ranked",
    "query_from": "query",
}

__all__ = [
    "AsyncFTSQuery",
    "AsyncHybridQuery",
    "AsyncQuery",
    "AsyncQueryBase",
    "AsyncRecordBatchReader",
    "AsyncStandardQuery",
    "AsyncTakeQuery",
    "AsyncVectorQuery",
    "AsyncVectorQueryBase",
    "BooleanQuery",
    "BoostQuery",
    "ColumnOrdering",
    "DocumentGranularity",
    "FtsQueryBuilder",
    "FtsToken",
    "FullTextOperator",
    "FullTextQuery",
    "FullTextQueryType",
    "FullTextSearchQuery",
    "HybridQueryBuilder",
    "LanceEmptyQueryBuilder",
    "LanceFtsQueryBuilder",
    "LanceHybridQueryBuilder",
    "LanceQueryBuilder",
    "LanceTakeQueryBuilder",
    "LanceVectorQueryBuilder",
    "MatchQuery",
    "MultiMatchQuery",
    "Occur",
    "PhraseQuery",
    "Query",
    "QueryBuilder",
    "Scan",
    "SearchRunner",
    "VectorQueryBuilder",
    "query_from",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, _HOMES)
