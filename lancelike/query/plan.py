"""From a resolved query to the arguments of one scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import QueryError
from lancelike.query.fulltext import FullTextSearchQuery
from lancelike.query.query import Projection, Query
from lancelike.types import DistanceType

if TYPE_CHECKING:
    from lancelike.query.ordering import ColumnOrdering

DEFAULT_LIMIT = 10
DEFAULT_NPROBES = 20
FLAT_BATCH_BYTES = 4 << 20
"""Vectors that a scan without index reads at a time. Lance's 8192 rows leave a core's cache when vectors are long: of
384 float32 they took a tenth longer than these, of 1536 a fifth."""
FLAT_BATCH_ROWS = (512, 8192)
"""Fewest and most rows of such a batch."""
DISTANCE = "_distance"
SCORE = "_score"
ROW_ID = "_rowid"
QUERY_INDEX = "query_index"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # nearest holds an array
class Scan:
    """Arguments of one scan, in the words of Lance's scanner; None leaves an argument at its default."""

    columns: Sequence[str] | Mapping[str, str] | None = None
    filter: str | None = None
    limit: int | None = None
    offset: int | None = None
    prefilter: bool = False
    nearest: dict[str, Any] | None = None
    full_text_query: FullTextSearchQuery | None = None
    with_row_id: bool = False
    with_row_address: bool = False
    fast_search: bool = False
    order_by: tuple[ColumnOrdering, ...] | None = None
    batch_size: int | None = None
    fragments: tuple[int, ...] | None = None
    """Ids of the fragments to read; None: all."""
    past_scalar_indices: bool = False
    """Read the columns that the filter is about, rather than ask their indices."""
    with_blobs: bool = False
    """Give the values of blob columns, as large_binary, in place of where they are."""


@dataclass(frozen=True)
class VectorColumn:
    """A column that holds vectors."""

    name: str
    """Dotted when nested."""
    ndims: int
    value_type: pa.DataType
    multivector: bool = False
    """Whether a row holds a list of vectors."""

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of its values."""
        dtype: np.dtype[Any] = np.dtype(self.value_type.to_pandas_dtype())
        return dtype

    @cached_property
    def is_of_bytes(self) -> bool:
        """Whether its vectors are bytes, whose bits are compared."""
        return bool(self.dtype == np.uint8)


def plan_scan(query: Query, column: VectorColumn | None = None, metric: DistanceType | None = None) -> Scan:
    """The scan that answers *query*.

    Args:
        query: Its content, if it had any, has become a vector.
        column: The vector column to search; None for a plain scan.
        metric: The distance to rank by; None leaves it to Lance, which takes hamming for bytes and l2 for the rest.

    Raises:
        QueryError: The query's vector and *column* don't fit together.
    """
    if query.full_text_query is not None:
        return _plan_words(query, query.full_text_query)
    if query.vector is None or column is None:
        return _plan_rows(query)
    nearest = {"q": query_vector(query.vector, column, metric), **_nearest(query, column, metric)}
    return _plan_nearest(query, nearest, column)


def rows_wanted(query: Query) -> int:
    """Of a search for the nearest or best: with those that are then skipped."""
    return (query.limit or DEFAULT_LIMIT) + query.offset


def is_batch(query: Query, column: VectorColumn) -> bool:
    """Whether *query* asks several questions at once; the rows of a multivector column take a 2-D array as one."""
    return query.vector is not None and query.vector.ndim == 2 and not column.multivector


def _plan_rows(query: Query) -> Scan:
    return Scan(
        columns=query.columns or None,
        filter=query.filter,
        limit=query.limit,
        offset=query.offset or None,
        prefilter=True,
        # Lance fetches columns that it doesn't sort by through the row id
        with_row_id=query.with_row_id or query.order_by is not None,
        with_row_address=query.with_row_address,
        order_by=query.order_by,
        fragments=query.fragments,
        fast_search=query.fast_search,
    )


def _plan_words(query: Query, words: FullTextSearchQuery) -> Scan:
    return Scan(
        columns=_with(SCORE, query.columns),
        filter=query.filter,
        # rows of equal score come in any order: those to be skipped are known once they are sorted, by id
        limit=rows_wanted(query),
        with_row_id=True,
        prefilter=not query.postfilter,
        full_text_query=words,
        with_row_address=query.with_row_address,
        fast_search=query.fast_search,
        order_by=query.order_by,
        fragments=query.fragments,
    )


def _plan_nearest(query: Query, nearest: dict[str, Any], column: VectorColumn) -> Scan:
    # of several queries each has its own offset, which Lance's single one can't say
    paged = query.offset > 0 and not is_batch(query, column)
    return Scan(
        columns=_with(DISTANCE, query.columns),
        filter=query.filter,
        limit=nearest["k"] - query.offset if paged else None,
        offset=query.offset if paged else None,
        prefilter=not query.postfilter,
        nearest=nearest,
        with_row_id=query.with_row_id,
        with_row_address=query.with_row_address,
        # what the index leaves out is nothing to skip when the index isn't used: Lance would find no row at all
        fast_search=query.fast_search and not query.bypass_vector_index,
        order_by=query.order_by,
        batch_size=flat_batch_rows(column) if query.bypass_vector_index else None,
        fragments=query.fragments,
    )


def flat_batch_rows(column: VectorColumn) -> int:
    """Rows to read at a time when every vector of *column* is compared."""
    fewest, most = FLAT_BATCH_ROWS
    return int(max(fewest, min(most, FLAT_BATCH_BYTES * 8 // (column.ndims * column.value_type.bit_width))))


def _with(measure: str, columns: Projection | None) -> Projection | None:
    """*columns* with the distance or the score named: Lance warns on stderr whenever it adds it unasked."""
    if not columns or measure in columns:
        return columns or None
    if isinstance(columns, Mapping):
        return {**columns, measure: measure}
    return [*columns, measure]


def _nearest(query: Query, column: VectorColumn, metric: DistanceType | None) -> dict[str, Any]:
    minimum, maximum = _probes(query)
    bounded = query.lower_bound is not None or query.upper_bound is not None
    arguments = {
        "column": column.name,
        "k": rows_wanted(query),
        "metric": metric,
        "minimum_nprobes": minimum,
        "maximum_nprobes": maximum,
        "refine_factor": query.refine_factor,
        "ef": _width(query),
        "use_index": not query.bypass_vector_index,
        "distance_range": (query.lower_bound, query.upper_bound) if bounded else None,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _width(query: Query) -> int | None:
    """Of an HNSW walk: Lance takes none that is narrower than the candidates to refine."""
    return None if query.ef is None else max(query.ef, rows_wanted(query) * (query.refine_factor or 1))


def _probes(query: Query) -> tuple[int, int | None]:
    """Fewest and most IVF partitions to scan; a bound that isn't given makes way for the one that is."""
    minimum, maximum = query.minimum_nprobes, query.maximum_nprobes
    if minimum is None:
        minimum = min(DEFAULT_NPROBES, maximum or DEFAULT_NPROBES)
    if maximum is None:
        maximum = max(DEFAULT_NPROBES, minimum)
    return minimum, maximum or None


def query_vector(vector: NDArray[Any], column: VectorColumn, metric: DistanceType | None = None) -> NDArray[Any]:
    """*vector* as Lance takes it for *column*: float64 where it holds these, else float32; C-contiguous.

    Raises:
        QueryError: Its length is not the column's, its values don't fit the column's type, or it has no direction and
            *metric* is cosine: Lance would find no row for it.
    """
    if vector.shape[-1] != column.ndims:
        raise QueryError(
            f"column {column.name!r} holds vectors of {column.ndims} values; the query has {vector.shape[-1]}"
        )
    if column.is_of_bytes and not ((vector >= 0) & (vector <= 255) & (vector % 1 == 0)).all():
        raise QueryError(f"column {column.name!r} holds bytes; the query has values that are no integers from 0 to 255")
    if metric == "cosine" and not vector.any(axis=-1).all():
        raise QueryError("the query vector is zero throughout, which has no cosine distance to anything")
    return _cast(vector, column.dtype if column.dtype == np.float64 else np.dtype(np.float32))


def _cast(vector: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if vector.dtype == dtype:
        return np.ascontiguousarray(vector)
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(vector, dtype)
    if not np.isfinite(cast).all():
        raise QueryError(f"the query vector has values too large for {dtype}: up to {np.abs(vector).max():g}")
    return cast
