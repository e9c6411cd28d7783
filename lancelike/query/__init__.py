"""What to ask of a table: query values, and the builders that make them step by step."""

from lancelike.query.builder import (
    LanceEmptyQueryBuilder,
    LanceQueryBuilder,
    LanceVectorQueryBuilder,
    QueryBuilder,
    SearchRunner,
    VectorQueryBuilder,
)
from lancelike.query.plan import Scan
from lancelike.query.query import ColumnOrdering, Query, query_from
from lancelike.query.take import LanceTakeQueryBuilder

__all__ = [
    "ColumnOrdering",
    "LanceEmptyQueryBuilder",
    "LanceQueryBuilder",
    "LanceTakeQueryBuilder",
    "LanceVectorQueryBuilder",
    "Query",
    "QueryBuilder",
    "Scan",
    "SearchRunner",
    "VectorQueryBuilder",
    "query_from",
]
