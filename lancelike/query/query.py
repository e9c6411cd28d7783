"""What to ask, as a value: no table, no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from lancelike.errors import QueryError, shorten
from lancelike.media import Audio
from lancelike.media.arrays import to_numpy
from lancelike.media.values import is_sound
from lancelike.query.fulltext import FullTextQuery, FullTextSearchQuery, full_text_search
from lancelike.rerankers import Reranker
from lancelike.types import DistanceType, QueryType

if TYPE_CHECKING:
    from lancelike.query.ordering import ColumnOrdering

_QUERY_TYPES: tuple[str, ...] = get_args(QueryType)

Normalize: TypeAlias = Literal["score", "rank"]
"""What a hybrid search makes of distances and scores before they are reranked: the values, or the places they give,
brought to the range from 0 to 1."""

Projection: TypeAlias = Sequence[str] | Mapping[str, str]
"""Column names, or output names with the SQL expression that makes each."""


@dataclass(frozen=True, kw_only=True, eq=False)  # arrays have no single ==
class Query:
    """What to look for and how; nothing here has been embedded, resolved or run.

    None of `vector`, `content` and `full_text_query` makes a plain scan; never are the first two both given.
    """

    vector: NDArray[Any] | None = None
    """Shape (ndims,) for one query; (m, ndims) for m of them, or for one of m parts against a multivector column."""
    content: Any = None
    """What the column's embedding function turns into a vector when the query runs; a list makes several queries."""
    vector_column: str | None = None
    """None: the one column that fits."""
    full_text_query: FullTextSearchQuery | None = None
    phrase_query: bool = False
    """The text of `full_text_query` is a phrase."""
    hybrid: bool = False
    """Search by vector or content and by words, and make one list of both."""
    reranker: Reranker | None = None
    """Orders the rows anew; None: reciprocal rank fusion in a hybrid search, nothing elsewhere."""
    query_string: str | None = None
    """What the reranker compares rows with; None: the text that was searched for."""
    normalize: Normalize = "score"
    filter: str | None = None
    postfilter: bool = False
    """False: *filter* is met before the nearest are chosen; True: it thins them out afterwards."""
    columns: Projection | None = None
    limit: int | None = None
    """None: every row of a scan, 10 of any other search."""
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

    def with_(self, **changes: Any) -> Query:
        """This query with *changes*, in a tenth of the time that `dataclasses.replace` takes: 1 us for 10.

        Raises:
            TypeError: A query has no field of that name.
        """
        changed = object.__new__(type(self))
        fields = changed.__dict__
        fields.update(self.__dict__, **changes)
        if len(fields) != len(self.__dict__):
            raise TypeError(f"a query has no {', '.join(sorted(changes.keys() - self.__dict__.keys()))}")
        return changed

    @property
    def but_for_vector(self) -> tuple[Any, ...] | None:
        """Equal for queries that ask alike of vectors of one type and shape; None for what can't be compared so."""
        vector, columns = self.vector, self.columns
        if vector is None or self.order_by is not None or self.reranker is not None:
            return None
        fields = {**self.__dict__, "vector": (vector.dtype, vector.shape)}
        if columns is not None:
            fields["columns"] = tuple(columns.items()) if isinstance(columns, Mapping) else tuple(columns)
        return tuple(fields.values())

    @property
    def query_type(self) -> Literal["scan", "vector", "fts", "hybrid"]:
        """Whether rows are ranked by a vector, by words, by both, or merely read."""
        if self.hybrid:
            return "hybrid"
        if self.full_text_query is not None:
            return "fts"
        return "scan" if self.vector is None and self.content is None else "vector"


_NOTHING = Query()


def query_from(
    search: Any,
    vector_column_name: str | None = None,
    query_type: QueryType = "auto",
    fts_columns: str | Sequence[str] | None = None,
    *,
    embeds_texts: bool = True,
) -> Query:
    """The query that `Table.search` was asked for.

    Args:
        search: None for a scan; numbers for a vector, as a list, a tuple or anything that numpy reads (arrays,
            tensors, series); several of these, or a 2-D array, for several vectors; a `FullTextQuery` for its words;
            anything else is content for the column's embedding function, and a list of it several queries. Pixels are
            an array of three dimensions, samples a pair of an array and their rate; a str is a text, never a path or
            URL.
        vector_column_name: The column to search; None for the one that fits.
        query_type: What kind of search; `auto` goes by *search*.
        fts_columns: Where to look for words; None for every column with a full-text index.
        embeds_texts: Whether `auto` embeds a text; False looks for its words.

    Raises:
        QueryError: The vector is empty, ragged or has values that are no finite numbers, or the kind of search is
            unknown.
        TypeError: *search* has no words, and *query_type* is `fts`.
        MediaError: The samples of a sound are none, or have no rate.
    """
    if query_type not in _QUERY_TYPES:
        raise QueryError(
            f"Invalid query_type, must be one of {', '.join(_QUERY_TYPES)}. Unknown query type: {query_type!r}"
        )
    if query_type == "hybrid":
        return _hybrid(search, vector_column_name, fts_columns)
    if search is None:
        return Query(vector_column=vector_column_name)
    is_vector = isinstance(search, np.ndarray)
    has_words = not is_vector and (isinstance(search, FullTextQuery) or (isinstance(search, str) and not embeds_texts))
    if query_type == "fts" or (query_type == "auto" and has_words):
        return Query(full_text_query=full_text_search(search, fts_columns))
    if not is_vector and isinstance(search, FullTextQuery):
        raise QueryError(f"a {type(search).__name__} is no vector and can't be embedded; search with query_type='fts'")
    return _NOTHING.with_(vector_column=vector_column_name, **sought(search))


def _hybrid(search: Any, vector_column: str | None, fts_columns: str | Sequence[str] | None) -> Query:
    """The query for *search* by vector and by words; what it lacks is given later."""
    if isinstance(search, tuple) and any(isinstance(each, str) for each in search):
        raise QueryError(
            "a hybrid search is given its two sides apart: search(query_type='hybrid').vector(...).text(...)"
        )
    # an empty text holds the columns' place until there is one to look for
    words = full_text_search(search if isinstance(search, str | FullTextQuery) else "", fts_columns)
    by_vector = {} if search is None or isinstance(search, FullTextQuery) else sought(search)
    return Query(hybrid=True, vector_column=vector_column, full_text_query=words, **by_vector)


def sought(search: Any) -> dict[str, Any]:
    """Fields of a query that searches by *search*: a vector, or content to embed.

    Raises:
        QueryError: The vector is None, empty, ragged or has values that are no finite numbers.
        MediaError: The samples of a sound are none, or have no rate.
    """
    if search is None:
        raise QueryError("None is near nothing; give a vector, or what the column's function makes one of")
    if not isinstance(search, np.ndarray):
        search = _typed_sounds(search)
    vector = _as_vectors(search)
    return {"vector": None, "content": search} if vector is None else {"vector": vector, "content": None}


def _typed_sounds(search: Any) -> Any:
    """*search* with samples and their rate as `Audio`: a pair would be two queries, a list of pairs two vectors."""
    if is_sound(search) or _has_rate_first(search):
        return Audio(search)  # which refuses the latter, and says how
    if isinstance(search, list) and search and is_sound(search[0]):
        return [Audio(value) if is_sound(value) else value for value in search]
    return search


def _has_rate_first(search: Any) -> bool:
    """Whether *search* is a rate and samples, as scipy reads them."""
    if not isinstance(search, tuple) or len(search) != 2:
        return False
    return isinstance(search[0], Number) and _reads_as_array(search[1]) and np.ndim(search[1]) > 0


def _as_vectors(search: Any) -> NDArray[Any] | None:
    """*search* as an array of shape (ndims,) or (m, ndims); None when it is no vector."""
    if _reads_as_array(search):
        array = to_numpy(search).copy()  # the caller may fill its buffer anew before the query runs
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
    return _checked(np.asarray([to_numpy(row) if _reads_as_array(row) else row for row in rows]))


def _checked(array: NDArray[Any]) -> NDArray[Any]:
    if array.size == 0:
        raise QueryError("Vector query must be a non-empty list or array; give None to read rows without ranking them")
    if array.dtype.kind not in "iuf" or array.ndim > 2:
        raise QueryError(f"a query vector is made of numbers; {shorten(array.tolist())} is not")
    if not _is_finite(array):
        raise QueryError("the query vector has NaN or infinite values, which are near nothing")
    return array


def _is_finite(array: NDArray[Any]) -> bool:
    """Whether all values are: of one vector told by their sum, for which Python takes less out of cold caches."""
    return (array.ndim == 1 and math.isfinite(sum(array.tolist()))) or bool(np.isfinite(array).all())
