"""Where a query is aimed: the vector column that it searches, and the distance that it ranks by."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.query.plan import DEFAULT_LIMIT, DEFAULT_NPROBES, DISTANCE, VectorColumn, rows_wanted
from lancelike.query.query import Query
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.search.pruned import enough_rows
from lancelike.storage.dataset import Dataset
from lancelike.storage.index import VectorIndex, index_on, num_partitions
from lancelike.storage.tuning import Tuning, Way, tunings

REFINE_FACTORS = {"IVF_PQ": 10, "IVF_HNSW_PQ": 10, "IVF_RQ": 5, "IVF_SQ": 2, "IVF_HNSW_SQ": 2}
"""Of searches through Lance's index that name none. With 200 000 x 384 in 256 partitions, nprobes 20, IVF_PQ had a
recall@10 of 0.42, and with 10 0.97 and more for 1.5 ms; IVF_RQ 0.96, with 5 0.99 for 1 ms; other kinds had 0.99.
Without any, distances would be those of the codes."""

MOST_WAYS = 64
"""Ways to ask of one version of a table that are remembered."""

MULTIVECTOR_REFINE_FACTOR = 30
"""The same where a row has several vectors, whatever the index: it finds rows by some of theirs, at distances from
those alone. With 3 a row, 2 000 rows and every partition, recall@10 was 0.31, with 10 0.78, 20 0.91, 30 0.99."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What searches need to know about one version of a table, found out once."""

    version: int
    names: Sequence[str]
    vector_columns: Mapping[str, VectorColumn]
    lists: Mapping[str, str]
    """What each column of numbers in lists holds that can't be searched."""
    tunings: Mapping[str, Tuning]
    """Of each column that has one."""
    indices: dict[str, VectorIndex | None] = field(default_factory=dict)
    """The vector index of each column, None without one; filled as columns are searched."""
    partitions: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rows and partitions of each index that Lance searches, filled alike."""
    listing: dict[str, bool] = field(default_factory=dict)
    """Whether each index that Lance searches lists deleted rows, filled alike."""
    ways: dict[Any, Any] = field(default_factory=dict)
    """How queries were answered in memory, by `Query.but_for_vector`."""

    def remember(self, asked_alike: tuple[Any, ...] | None, way: Any) -> None:
        """Go the same *way* for those that ask alike."""
        if asked_alike is None:
            return
        if len(self.ways) >= MOST_WAYS:
            self.ways.clear()
        self.ways[asked_alike] = way


_facts: WeakKeyDictionary[Dataset, TableFacts] = WeakKeyDictionary()


def facts_of(dataset: Dataset) -> TableFacts:
    """What is known about the version that *dataset* shows."""
    facts = _facts.get(dataset)
    if facts is None or not (dataset.pinned or facts.version == dataset.version):
        version, schema = dataset.version, dataset.schema
        columns = {column.name: column for column in vector_columns(schema)}
        facts = TableFacts(version, schema.names, columns, _lists(schema, columns), dict(tunings(schema)))
        _facts[dataset] = facts
    return facts


def vector_columns(fields: Iterable[pa.Field], prefix: str = "") -> Iterator[VectorColumn]:
    """The columns that a vector search can read: fixed-size lists of floats or bytes, lists of these, in any struct."""
    for column in fields:
        name, kind = f"{prefix}{column.name}", column.type
        if pa.types.is_struct(kind):
            yield from vector_columns(kind, f"{name}.")
            continue
        multivector = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        kind = kind.value_type if multivector else kind
        if pa.types.is_fixed_size_list(kind) and _is_searchable(kind.value_type):
            yield VectorColumn(name, kind.list_size, kind.value_type, multivector)


def _lists(schema: pa.Schema, searchable: Container[str]) -> dict[str, str]:
    """The type of each column of numbers in lists that is not *searchable*."""
    found = {}
    for column in schema:
        kind = column.type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if is_number and kind is not column.type and column.name not in searchable:
            found[column.name] = str(column.type)
    return found


def _is_searchable(value_type: pa.DataType) -> bool:
    return bool(pa.types.is_floating(value_type) or pa.types.is_uint8(value_type))


def target_column(query: Query, facts: TableFacts, bindings: Iterable[EmbeddingFunctionConfig]) -> VectorColumn:
    """The column that *query* names, or the one that fits it.

    Raises:
        ColumnNotFoundError: It names a column that isn't there.
        QueryError: It names one without vectors, or none or several fit.
    """
    columns = facts.vector_columns
    if query.vector_column is not None:
        return _named_column(query.vector_column, facts)
    if not columns:
        if facts.lists:
            raise QueryError(f"There is no vector column in the data: {_told_of_lists(facts)}")
        raise QueryError(
            "There is no vector column in the data. Please specify the vector column name for vector search"
        )
    if query.vector is None:
        bound = [binding.vector_column for binding in bindings]
        return _only(columns, [name for name in bound if name in columns] or list(columns))
    ndims = query.vector.shape[-1]
    return _only(columns, [name for name, column in columns.items() if column.ndims == ndims], query.vector)


def _named_column(name: str, facts: TableFacts) -> VectorColumn:
    if name in facts.vector_columns:
        return facts.vector_columns[name]
    if name in facts.names:
        why = f": {_told_of_lists(facts, [name])}" if name in facts.lists else ""
        raise QueryError(f"column {name!r} holds no vectors{why}; {_listing(facts.vector_columns)}")
    raise ColumnNotFoundError(name, facts.names)


def _only(columns: Mapping[str, VectorColumn], names: list[str], vector: NDArray[Any] | None = None) -> VectorColumn:
    """The column of the one name in *names*, those that fit *vector* if it is given."""
    if len(names) == 1:
        return columns[names[0]]
    if names or vector is None:
        raise QueryError(
            "Schema has more than one vector column. Please specify the vector column name for vector search. "
            f"Candidates: {names}"
        )
    problem = f"the query has {vector.shape[-1]} values, which fits no vector column; {_listing(columns)}"
    looks_grey = vector.ndim == 2 and vector.dtype == np.uint8
    raise QueryError(f"{problem}; a picture in shades of grey is lancelike.Image(array)" if looks_grey else problem)


def _told_of_lists(facts: TableFacts, names: Iterable[str] = ()) -> str:
    told = "; ".join(f"column {name!r} is {facts.lists[name]}" for name in names or facts.lists)
    return f"{told}, and vectors are lists of one length of float16, float32, float64 or, for bits, uint8"


def _listing(columns: Mapping[str, VectorColumn]) -> str:
    lengths = ", ".join(f"column {column.name!r} has {column.ndims} values a vector" for column in columns.values())
    return lengths or "this table has no vector column"


def index_of(dataset: Dataset, column: VectorColumn) -> VectorIndex | None:
    """The index on *column*, if there is one."""
    indices = facts_of(dataset).indices
    if column.name not in indices:
        indices[column.name] = index_on(dataset, column.name)
    return indices[column.name]


def with_metric(query: Query, index: VectorIndex | None) -> Query:
    """*query* with the distance to rank by: its own, else that of the column's *index*, else None for the default.

    An index measures one distance; asked for another, the search goes past it rather than answer in the wrong one.
    Without an index there is none to use, so that `fast_search` leaves out no row.
    """
    metric = query.distance_type or (index.metric if index else None)
    if index is None or index.metric != metric:
        return query.with_(distance_type=metric, bypass_vector_index=True)
    return query.with_(distance_type=metric)


def tuning_of(dataset: Dataset, query: Query, column: VectorColumn, index: VectorIndex | None) -> Tuning | None:
    """What was found for searches of *column* that say as little as *query*; None if nothing was, or it says more."""
    tuning = facts_of(dataset).tunings.get(column.name)
    if tuning is None or index is None or (tuning.index, tuning.index_type) != (index.name, index.kind):
        return None
    is_silent = query.minimum_nprobes is None and query.maximum_nprobes is None and not query.bypass_vector_index
    return tuning if is_silent else None


def with_effort(query: Query, tuning: Tuning | None, way: Way) -> Query:
    """*query* with the effort that *tuning* has for searches which go *way*, if any.

    It goes on beyond those partitions for want of rows. Lance, once it may do so, stops where it likes before that
    (8000 random rows in 31 partitions: recall 0.85 from any minimum), so it may only where the rows would be too few.
    """
    if tuning is None or (effort := tuning.effort(way)) is None:
        return query
    is_fixed = way == "through_lance" and query.filter is None and rows_wanted(query) <= 2 * tuning.k
    factor = effort.refine_factor and refinement(effort.refine_factor, tuning.k, rows_wanted(query))
    return query.with_(
        minimum_nprobes=effort.nprobes,
        maximum_nprobes=effort.nprobes if is_fixed else tuning.num_partitions,
        refine_factor=factor if query.refine_factor is None else query.refine_factor,
    )


def with_refinement(query: Query, column: VectorColumn, index: VectorIndex | None) -> Query:
    """*query* with the `refine_factor` that it takes to rank well by coarse codes, or some of a row's vectors."""
    if query.refine_factor is not None or index is None or query.bypass_vector_index:
        return query
    factor = MULTIVECTOR_REFINE_FACTOR if column.multivector else REFINE_FACTORS.get(index.kind)
    return query.with_(refine_factor=factor and refinement(factor, DEFAULT_LIMIT, rows_wanted(query)))


def with_bounds(query: Query, column: VectorColumn, index: VectorIndex | None) -> tuple[Query, float | None]:
    """*query* as Lance may be asked it, and the bound that its answer has to be below, None if that is for Lance.

    Lance holds the distances of an index's codes against the bounds, before it refines: between two, of 20 000 rows,
    an IVF_PQ found 0.26 of the 20 nearest. An upper bound only cuts an answer short. A lower one takes a look at all.
    """
    if index is None or query.bypass_vector_index or not (column.multivector or index.kind in REFINE_FACTORS):
        return query, None
    if isinstance(query.columns, Mapping) and query.columns.get(DISTANCE, DISTANCE) != DISTANCE:
        return query, None
    lower = query.lower_bound
    if lower is not None and (lower > 0 or query.distance_type == "dot"):
        return query.with_(bypass_vector_index=True, refine_factor=None), None
    return query.with_(lower_bound=None, upper_bound=None), query.upper_bound


def refinement(factor: int, k: int, rows: int) -> int:
    """The refine factor by which a search for *rows* has no fewer candidates than by *factor* one for *k*.

    Of 60 000 rows in clusters, an IVF_PQ that found 0.76 of the 10 nearest by a factor of 10 found 0.22 of the nearest.
    """
    return factor if rows >= k else math.ceil(factor * k / rows)


def with_probes(query: Query, dataset: Dataset, column: VectorColumn, index: VectorIndex | None) -> Query:
    """*query* with as many partitions as hold the rows that a search in memory would look at, if it names none.

    Of 781 partitions of 200 000 x 384 that is 85, which take no longer than Lance's 20; of 117 of 30 000 sentences all,
    for a recall@10 of 1.00 where 20 gave 0.89.
    """
    is_silent = query.minimum_nprobes is None and query.maximum_nprobes is None
    if not is_silent or index is None or query.bypass_vector_index:
        return query
    rows, partitions = _partitions_of(dataset, index)
    wanted = enough_rows(rows, column.ndims, rows_wanted(query))
    nprobes = math.ceil(partitions * wanted / rows) if rows else 0
    return query.with_(minimum_nprobes=nprobes) if nprobes > DEFAULT_NPROBES else query


def _partitions_of(dataset: Dataset, index: VectorIndex) -> tuple[int, int]:
    """Rows of the table, and partitions of its *index*; 0 of a graph's."""
    known = facts_of(dataset).partitions
    if index.name not in known:
        known[index.name] = dataset.count_rows(), num_partitions(dataset, index.name) or 0
    return known[index.name]
