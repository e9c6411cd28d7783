"""Hybrid search: rows found by vector and rows found by words, made one list by a reranker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lancelike.errors import QueryError
from lancelike.query.plan import DEFAULT_LIMIT, DISTANCE, ROW_ID, SCORE
from lancelike.query.query import Normalize, Query
from lancelike.rerankers import RRFReranker, check_reranker_result
from lancelike.search.reranking import compared_with, sorted_by, with_sort_columns, without_scores


def complete(query: Query) -> Query:
    """*query*, which has all that a hybrid search needs, its reranker too.

    Raises:
        QueryError: It has nothing to look for by vector, or by words.
    """
    if query.full_text_query is None or query.full_text_query.query == "":
        raise QueryError("Text query must be provided for hybrid search: add .text(...)")
    if query.vector is None and query.content is None:
        raise QueryError(
            "Vector query must be either a string or a vector, or what the column's embedding function takes: add "
            ".vector(...)"
        )
    return replace(query, reranker=query.reranker or RRFReranker())


def sides(query: Query) -> tuple[Query, Query]:
    """The search by vector and that by words that *query* consists of, each for as many rows as are needed of both."""
    both = replace(
        query,
        hybrid=False,
        limit=(query.limit or DEFAULT_LIMIT) + query.offset,
        offset=0,
        with_row_id=True,
        reranker=None,
        order_by=None,
        columns=with_sort_columns(query.columns, query.order_by),
    )
    return replace(both, full_text_query=None, phrase_query=False), replace(both, vector=None, content=None)


def fused(query: Query, nearest: pa.Table, matching: pa.Table) -> pa.Table:
    """One list of the rows that both sides of *query* found, as it was asked for but for columns that sort it.

    Raises:
        QueryError: The reranker returned no table of rows with `_relevance_score`.
    """
    assert query.reranker is not None
    if nearest.num_rows or matching.num_rows:
        rows = query.reranker.rerank_hybrid(
            compared_with(query),
            _normalized(nearest, DISTANCE, query.normalize),
            _normalized(matching, SCORE, query.normalize),
        )
        rows = _restored(_restored(check_reranker_result(rows), nearest, DISTANCE), matching, SCORE)
    else:
        rows = fused_schema(query, nearest.schema, matching.schema).empty_table()
    return sorted_by(rows.slice(query.offset, query.limit or DEFAULT_LIMIT), query.order_by)


def fused_schema(query: Query, nearest: pa.Schema, matching: pa.Schema) -> pa.Schema:
    """The schema of the rows that `fused` returns, from those of both sides."""
    return without_scores(pa.unify_schemas([nearest, matching]), query)


def _normalized(rows: pa.Table, column: str, normalize: Normalize) -> pa.Table:
    """*rows* with the values of *column*, or the places that these give, brought to the range from 0 to 1."""
    if rows.num_rows == 0:
        return rows
    values = rows[column].to_numpy().astype(np.float32)
    if normalize == "rank":
        values = _places(values)
    low, high = values.min(), values.max()
    values = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return rows.set_column(rows.column_names.index(column), column, pa.array(values))


def _places(values: NDArray[np.float32]) -> NDArray[np.float32]:
    places = np.empty(len(values), np.float32)
    places[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1)
    return places


def _restored(rows: pa.Table, found: pa.Table, column: str) -> pa.Table:
    """*rows* with the values that *column* had before they were normalized."""
    if column not in rows.column_names or found.num_rows == 0:
        return rows
    if ROW_ID not in rows.column_names:
        raise QueryError(f"a reranker that keeps {column!r} must keep {ROW_ID!r} too, which tells whose it is")
    places = pc.index_in(rows[ROW_ID], value_set=found[ROW_ID].combine_chunks())
    return rows.set_column(rows.column_names.index(column), column, found[column].take(places))
