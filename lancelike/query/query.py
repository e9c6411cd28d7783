"""What to ask, as a value: no table, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from lancelike.errors import QueryError, shorten
from lancelike.types import DistanceType, QueryType

Projection: TypeAlias = Sequence[str] | Mapping[str, str]
"""Column names, or output names with the SQL expression that makes each."""


class ColumnOrdering(BaseModel):
    """One sort key: a column, its direction, and where nulls go."""

    column_name: str
    ascending: bool = True
    nulls_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # arrays have no single ==
class Query:
    """What to look for and how; nothing here has been embedded, resolved or run.

    Neither `vector` nor `content` makes a plain scan; never are both given.
    """

    vector: NDArray[Any] | None = None
    """Shape (ndims,) for one query; (m, ndims) for m of them, or for one of m parts against a multivector column."""
    content: Any = None
    """What the column's embedding function turns into a vector when the query runs; a list makes several queries."""
    vector_column: str | None = None
    """None: the one column that fits."""
    filter: str | None = None
    postfilter: bool = False
    """False: *filter* is met before the nearest are chosen; True: it thins them out afterwards."""
    columns: Projection | None = None
    limit: int | None = None
    """None: 10 of a vector search, every row of a scan."""
    offset: int = 0
    with_row_id: bool = False
    with_row_address: bool = False
    fragments: tuple[int, ...] | None = None
    """Ids of the fragments to look at; None: all."""
    distance_type: DistanceType | None = None
    """None: the index's; without one l2, or hamming for a column of bytes."""
    minimum_nprobes: int | None = None
    maximum_nprobes: int | None = None
    """0: no bound."""
    refine_factor: int | None = None
    ef: int | None = None
    lower_bound: float | None = None
    upper_bound: float | None = None
    bypass_vector_index: bool = False
    fast_search: bool = False
    order_by: tuple[ColumnOrdering, ...] | None = None

    @property
    def query_type(self) -> Literal["scan", "vector"]:
        """Whether rows are ranked by a vector or merely read."""
        return "scan" if self.vector is None and self.content is None else "vector"


def query_from(search: Any, vector_column_name: str | None = None, query_type: QueryType = "auto") -> Query:
    """The query that `Table.search` was asked for.

    Args:
        search: None for a scan; numbers for a vector, as a list, a tuple or anything that numpy reads (arrays,
            tensors, series); several of these, or a 2-D array, for several vectors; anything else is content for the
            column's embedding function, and a list of it several queries.
        vector_column_name: The column to search; None for the one that fits.
        query_type: What kind of search; `auto` goes by *search*.

    Raises:
        QueryError: The vector is empty, ragged or has values that are no finite numbers, or the kind of search is
            unknown.
    """
    if query_type not in get_args(QueryType):
        raise QueryError(f"Unknown query type: {query_type!r}; use one of {', '.join(get_args(QueryType))}")
    if query_type in ("fts", "hybrid"):
        raise QueryError(f"query_type {query_type!r}: full-text search isn't there yet; use 'vector' or 'auto'")
    if search is None:
        return Query(vector_column=vector_column_name)
    vector = _as_vectors(search)
    if vector is None:
        return Query(content=search, vector_column=vector_column_name)
    return Query(vector=vector, vector_column=vector_column_name)


def _as_vectors(search: Any) -> NDArray[Any] | None:
    """*search* as an array of shape (ndims,) or (m, ndims); None when it is no vector."""
    if _reads_as_array(search):
        array = np.asarray(search).copy()  # the caller may fill its buffer anew before the query runs
        return _checked(array) if array.dtype.kind in "iuf" and array.ndim in (1, 2) else None
    if isinstance(search, list | tuple):
        return _from_sequence(search)
    return None


def _reads_as_array(value: Any) -> bool:
    # an image offers numpy its pixels, but through __array_interface__ alone
    return isinstance(value, np.ndarray) or (hasattr(value, "__array__") and not hasattr(value, "__array_interface__"))


def _from_sequence(values: Sequence[Any]) -> NDArray[Any] | None:
    kinds: set[type] = set(map(type, values))
    if bool not in kinds and all(issubclass(kind, Number) for kind in kinds):
        return _checked(np.asarray(values))
    if all(issubclass(kind, list | tuple) for kind in kinds) or all(_is_vector(value) for value in values):
        return _stacked(values)
    if not kinds.isdisjoint({NoneType, bool}):
        raise QueryError(
            f"{shorten(values)} is neither a vector nor a list of values to embed: it holds None or a bool"
        )
    return None


def _is_vector(value: Any) -> bool:
    return _reads_as_array(value) and np.ndim(value) == 1


def _stacked(rows: Sequence[Any]) -> NDArray[Any]:
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise QueryError(f"several query vectors must have one length; these have {', '.join(map(str, lengths))}")
    return _checked(np.asarray(rows))


def _checked(array: NDArray[Any]) -> NDArray[Any]:
    if array.size == 0:
        raise QueryError("Vector query must be a non-empty list or array; give None to read rows without ranking them")
    if array.dtype.kind not in "iuf" or array.ndim > 2:
        raise QueryError(f"a query vector is made of numbers; {shorten(array.tolist())} is not")
    if not np.isfinite(array).all():
        raise QueryError("the query vector has NaN or infinite values, which are near nothing")
    return array
