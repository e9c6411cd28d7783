"""What to ask of a table: query values, and the builders that make them step by step."""

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
from lancelike.query.plan import Scan
from lancelike.query.query import ColumnOrdering, Query, query_from
from lancelike.query.ranked import (
    FtsQueryBuilder,
    HybridQueryBuilder,
    LanceFtsQueryBuilder,
    LanceHybridQueryBuilder,
    LanceVectorQueryBuilder,
    VectorQueryBuilder,
)
from lancelike.query.take import LanceTakeQueryBuilder

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
