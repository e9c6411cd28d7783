"""Searches that compare with vectors in memory, and read from Lance only the rows that are near."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.query.comparison import Comparison, comparison_of
from lancelike.query.plan import DISTANCE, QUERY_INDEX, Scan, VectorColumn, is_batch, rows_wanted
from lancelike.query.query import Projection, Query
from lancelike.schema.blobs import schema_has_blob_field
from lancelike.search.exact import Nearest, can_rank, nearest
from lancelike.search.hamming import nearest_by_bits
from lancelike.search.maxsim import nearest_rows
from lancelike.search.pruned import Probes, enough_rows, nearest_in_partitions
from lancelike.search.target import facts_of
from lancelike.storage.addressing import addresses_where, scan_where
from lancelike.storage.dataset import Dataset
from lancelike.storage.held import HeldVectors
from lancelike.storage.memory import VectorCache
from lancelike.storage.vectors import Positions
from lancelike.types import DistanceType

MOST_ROWS = 10_000
"""Rows in an answer; Lance, which reads more of them by scanning than by id, answers the rest."""
QUICK_BYTES = 8 << 20
"""Codes that a search reads at most to be one of those that are ranked at once: 0.35 ms."""
ROW_ID, ROW_ADDRESS = "_rowid", "_rowaddr"
_OURS = (DISTANCE, QUERY_INDEX, ROW_ID, ROW_ADDRESS)
_MADE_BY_SEARCH = re.compile(rf"\b({DISTANCE}|{QUERY_INDEX}|_row\w+)\b", re.IGNORECASE)
"""Columns that an expression can't be given where rows are read by id."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the rows of an answer have.

    Attributes:
        schema: Theirs.
        fields: Name and type of each of its fields.
        read: The columns asked for that are not made of vectors and their places: names, or expressions by name.
    """

    schema: pa.Schema
    fields: tuple[tuple[str, pa.DataType], ...]
    read: list[str] | dict[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class MemorySearch:
    """One search for the nearest of all rows, or of those that a filter leaves, or that an index's partitions hold.

    Attributes:
        cache: Holds the vectors.
        dataset: A handle that stays at its version.
        column: Searched.
        metric: Ranked by.
        query: What is asked, its vector of the length that the column has.
        queries: Its vectors, as `query_vectors` has them.
        lance: Makes Lance's way to the same rows: taken when the vectors can't be held after all.
        probes: Partitions of the column's index to look into; None: compare with every vector.
    """

    cache: VectorCache
    dataset: Dataset
    column: VectorColumn
    metric: DistanceType
    query: Query
    queries: NDArray[Any]
    lance: Callable[[], Scan]
    probes: Probes | None

    @property
    def scan(self) -> Scan:
        """Lance's way to the same rows."""
        return self.lance()

    def read(self) -> pa.Table:
        """The rows that the scan has, in its order and with its schema."""
        held = self.cache.known(self.dataset, self.column) or self.cache.hold(self.dataset, self.column)
        if held is None:
            return self.dataset.read(self.scan)
        return self._rows(held, self._rank(held, self.queries, self._filtered(held)))

    def explain(self, verbose: bool = False) -> str:
        """How `read` finds the rows; nothing is read for it."""
        lines = [self._summary]
        if self.query.filter is not None:
            kind = "Postfilter" if self.query.postfilter else "Prefilter"
            compared = self._compared
            is_held = compared is not None and self.cache.holds_all_rows(self.dataset, [compared.column])
            plan = "CompareInMemory" if is_held else self.dataset.explain(scan_where(self.query.filter), verbose)
            lines += [f"  {kind}: rows where {self.query.filter}", *(f"    {line}" for line in plan.splitlines())]
        columns = self._read_columns
        is_held = not isinstance(columns, Mapping) and self.cache.holds_rows(self.dataset, columns)
        step = "TakeFromMemory" if is_held and columns else "TakeByRowId"
        return "\n".join([*lines, f"  {step}: {', '.join(columns) or 'nothing'}"])

    def analyze(self) -> str:
        """How long each step of `read` took."""
        steps, started = [], time.perf_counter()

        def note(step: str, rows: int) -> None:
            nonlocal started
            now = time.perf_counter()
            steps.append(f"  {step}: output_rows={rows}, elapsed={(now - started) * 1e3:.3f}ms")
            started = now

        held = self.cache.hold(self.dataset, self.column)
        if held is None:
            return self.dataset.analyze(self.scan)
        note("VectorsInMemory", held.num_rows)
        allowed = self._filtered(held)
        if allowed is not None:
            note("Filter", len(allowed))
        found = self._rank(held, self.queries, allowed)
        note("Rank", sum(len(one.positions) for one in found))
        note("TakeByRowId", self._rows(held, found).num_rows)
        return "\n".join([self._summary, *steps])

    @property
    def _summary(self) -> str:
        held = self.cache.known(self.dataset, self.column)
        how = "exact"
        if self.probes is not None:
            how = f"by the index's partitions, nprobes={self.probes}, distances exact"
            if held is not None and held.num_rows and held.partitions is None:
                how = "exact: the index's partitions are not those of its centroids"
        return (
            f"MemorySearch: column={self.column.name}, metric={self.metric}, k={self._k}, "
            f"queries={len(self.queries) if is_batch(self.query, self.column) else 1}, {how}"
        )

    @property
    def _k(self) -> int:
        return rows_wanted(self.query)

    @property
    def _skipped(self) -> int:
        """Rows found that are left out; of several queries, each skips its own later."""
        return 0 if is_batch(self.query, self.column) else self.query.offset

    def _quick(self) -> HeldVectors | None:
        """The vectors, if they are held, and it takes next to no time to rank them."""
        if is_batch(self.query, self.column) or self.query.filter is not None or self.column.multivector:
            return None
        if (held := self.cache.known(self.dataset, self.column)) is None:
            return None
        looked_at = held.num_rows
        if held.partitions is not None and self.probes == Probes():
            looked_at = enough_rows(held.num_rows, held.ndims, self._k, held.partitions.needed)
        return held if looked_at * held.ndims <= QUICK_BYTES else None

    def _alike(self, held: HeldVectors) -> tuple[Any, ...]:
        """What searches that are ranked at once have in common."""
        query = self.query
        settings = self.metric, self._k, query.offset, self.probes, query.fast_search
        return held, *settings, query.lower_bound, query.upper_bound

    def _filtered(self, held: HeldVectors) -> Positions | None:
        """Positions of the rows that the filter leaves; None without a filter."""
        if self.query.filter is None:
            return None
        compared = self._compared
        addresses = None if compared is None else self.cache.addresses_with(self.dataset, compared)
        return held.positions(addresses_where(self.dataset, self.query.filter) if addresses is None else addresses)

    @property
    def _compared(self) -> Comparison | None:
        """What the filter compares, if that is one column and one value."""
        return None if self.query.filter is None else comparison_of(self.query.filter)

    def _rank(self, held: HeldVectors, queries: NDArray[Any], allowed: Positions | None) -> list[Nearest]:
        query, after = self.query, self.query.postfilter
        among, lower, upper = None if after else allowed, query.lower_bound, query.upper_bound
        if self.column.multivector:
            metric, k = self.metric, self._k
            found = [nearest_rows(held, queries, metric, k, among=among, lower=lower, upper=upper)]
        elif self.metric == "hamming":
            found = nearest_by_bits(held, queries, self._k, among=among, lower=lower, upper=upper)
        else:
            found = self._rank_vectors(held, queries, among, lower, upper)
        if after and allowed is not None:
            found = [_at(one, np.isin(one.positions, allowed)) for one in found]
        if skipped := self._skipped:
            found = [_at(one, slice(skipped, None)) for one in found]
        return found

    def _rank_vectors(
        self,
        held: HeldVectors,
        queries: NDArray[Any],
        among: Positions | None,
        lower: float | None,
        upper: float | None,
    ) -> list[Nearest]:
        partitions = held.partitions
        if self.probes is None or partitions is None or partitions.metric != self.metric:
            return nearest(held, queries, self.metric, self._k, among=among, lower=lower, upper=upper)
        return nearest_in_partitions(
            held,
            partitions,
            queries,
            self._k,
            probes=self.probes,
            among=among,
            lower=lower,
            upper=upper,
            with_tail=not self.query.fast_search,
        )

    def _rows_left(self, held: HeldVectors, found: Nearest) -> Callable[[], pa.Table]:
        """What is left to do for the rows *found*: nothing, if their columns are in memory."""
        at_hand = self._at_hand(held, found.positions)
        if at_hand is None:
            return partial(self._rows, held, [found])
        rows = self._table(held, [found], found.positions, at_hand)
        return lambda: rows

    def _rows(self, held: HeldVectors, found: Sequence[Nearest]) -> pa.Table:
        positions = _joined([one.positions for one in found])
        columns = self._at_hand(held, positions)
        return self._table(held, found, positions, self._take(held.row_ids[positions]) if columns is None else columns)

    def _table(
        self,
        held: HeldVectors,
        found: Sequence[Nearest],
        positions: Positions,
        columns: pa.Table | Mapping[str, pa.Array],
    ) -> pa.Table:
        """The rows *found*, at *positions*, with *columns* that were read."""
        made: dict[str, Callable[[], NDArray[Any]]] = {
            DISTANCE: lambda: _joined([one.distances for one in found]),
            QUERY_INDEX: lambda: np.repeat(np.arange(len(found), dtype=np.int32), list(map(_count, found))),
            ROW_ID: lambda: held.row_ids[positions],
            ROW_ADDRESS: lambda: held.addresses[positions],
        }
        if self._has_vectors:
            made[self.column.name] = lambda: held.values.at(positions)
        shape = self._shape(held)
        arrays = [
            _made(made[name](), kind) if name in made else _column(columns, name, kind) for name, kind in shape.fields
        ]
        return pa.Table.from_arrays(arrays, schema=shape.schema)

    def _at_hand(self, held: HeldVectors, positions: Positions) -> Mapping[str, pa.Array] | None:
        """What the rows have in the columns asked for, if it is in memory; empty if nothing is to be read."""
        columns = self._shape(held).read
        if not columns or not len(positions):
            return {}
        if isinstance(columns, Mapping):
            return None
        return self.cache.rows(self.dataset, held.addresses[positions], columns)

    def _take(self, row_ids: NDArray[np.uint64]) -> pa.Table:
        """What the rows have in the columns asked for; Lance reads one that answers several queries once."""
        if not is_batch(self.query, self.column):
            return self.dataset.take_row_ids(row_ids.tolist(), self._read_columns)
        distinct, places = np.unique(row_ids, return_inverse=True)
        return self.dataset.take_row_ids(distinct.tolist(), self._read_columns).take(pa.array(places))

    @property
    def _read_columns(self) -> list[str] | dict[str, str]:
        columns = self.query.columns
        if isinstance(columns, Mapping):
            return {name: expression for name, expression in columns.items() if name not in _OURS}
        held = (self.column.name,) if self._has_vectors else ()
        return [name for name in columns or facts_of(self.dataset).names if name not in _OURS and name not in held]

    @property
    def _has_vectors(self) -> bool:
        """Whether the vectors asked for are at hand: one a row, in a column of their own."""
        is_plain = not self.column.multivector and "." not in self.column.name
        return is_plain and not isinstance(self.query.columns, Mapping)

    def _shape(self, held: HeldVectors) -> _Shape:
        """That of the scan's rows, asked for once."""
        query = self.query
        columns = tuple(query.columns.items()) if isinstance(query.columns, Mapping) else tuple(query.columns or ())
        asked = (columns, query.with_row_id, query.with_row_address, is_batch(query, self.column))
        shape: _Shape | None = held.shapes.get(asked)
        if shape is None:
            schema = self._plain_schema() or self.dataset.output_schema(replace(self.scan, filter=None))
            fields = tuple((field.name, field.type) for field in schema)
            shape = held.shapes[asked] = _Shape(schema, fields, self._read_columns)
        return shape

    def _plain_schema(self) -> pa.Schema | None:
        """The scan's schema, if the table's fields are all there is to it: Lance takes a millisecond to say it."""
        scan, schema = self.scan, self.dataset.schema
        columns = scan.columns or [*schema.names, DISTANCE]
        is_plain = not isinstance(columns, Mapping) and len(set(columns)) == len(columns)
        if not is_plain or not {*schema.names, DISTANCE}.issuperset(columns):
            return None
        if is_batch(self.query, self.column) or schema_has_blob_field(schema):
            return None
        fields = [pa.field(DISTANCE, pa.float32()) if name == DISTANCE else schema.field(name) for name in columns]
        asked = {ROW_ID: scan.with_row_id, ROW_ADDRESS: scan.with_row_address}
        ids = [pa.field(name, pa.uint64()) for name, is_asked in asked.items() if is_asked]
        return pa.schema([*fields, *ids], metadata=schema.metadata)


def memory_search(
    query: Query,
    lance: Callable[[], Scan],
    dataset: Dataset,
    column: VectorColumn,
    cache: VectorCache,
    *,
    starts: bool = True,
) -> MemorySearch | str:
    """The search in memory that gives the rows that *lance*'s scan does, or as near ones; or why there is none.

    Args:
        query: What is asked.
        lance: Makes its plan, through Lance's index, or past it.
        dataset: Where.
        column: Searched.
        cache: Holds vectors.
        starts: Let the cache begin to read vectors that it takes long to read.
    """
    frozen = dataset.frozen()
    metric = query.distance_type or ("hamming" if column.is_of_bytes else "l2")
    if (metric == "hamming") != column.is_of_bytes or not _is_covered(query, facts_of(frozen).names):
        return "the query asks what only Lance's scan does"
    is_held = cache.known(frozen, column) is not None
    if not is_held and (reason := cache.refusal(frozen, column)) is not None:
        return reason
    queries, k = query_vectors(query, column), rows_wanted(query)
    answers = len(queries) if is_batch(query, column) else 1
    if k * answers > MOST_ROWS or (metric != "hamming" and not can_rank(queries)):
        return "the answer has many rows, or the query values that float32 can't square"
    may_wait = is_held or query.bypass_vector_index
    if not may_wait and (reason := cache.delay(frozen, column, starts=starts)) is not None:
        return reason
    is_past_index = query.bypass_vector_index or column.multivector or metric == "hamming"
    probes = None if is_past_index else Probes.of(query)
    return MemorySearch(
        cache=cache,
        dataset=frozen,
        column=column,
        metric=metric,
        query=query,
        queries=queries,
        lance=lance,
        probes=probes,
    )


def read_together(searches: Sequence[MemorySearch]) -> list[Callable[[], pa.Table]]:
    """What is left to do for the rows of each of *searches*: nothing, for those that take next to no time.

    Of these, the ones that differ in nothing but their vector are ranked at once.
    """
    left: list[Callable[[], pa.Table]] = [each.read for each in searches]
    alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, search in enumerate(searches):
        if (held := search._quick()) is not None:
            alike[search._alike(held)].append(place)
    for (held, *_), places in alike.items():
        queries = np.concatenate([searches[place].queries for place in places])
        for place, found in zip(places, searches[places[0]]._rank(held, queries, None), strict=True):
            left[place] = searches[place]._rows_left(held, found)
    return left


def query_vectors(query: Query, column: VectorColumn) -> NDArray[Any]:
    """The vectors asked for, shape (m, ndims), as the column's type has them; those of float16 as float32."""
    vectors = np.atleast_2d(np.asarray(query.vector))
    if vectors.dtype != column.dtype:
        with np.errstate(over="ignore"):
            vectors = vectors.astype(column.dtype)
    return np.ascontiguousarray(vectors, np.float32 if vectors.dtype == np.float16 else None)


def _is_covered(query: Query, names: Sequence[str]) -> bool:
    """Whether rows read by id have all that is asked of them, and nothing is asked that Lance does meanwhile."""
    if query.fragments is not None or query.order_by is not None:
        return False
    if query.filter is not None and re.search(rf"\b({DISTANCE}|{QUERY_INDEX})\b", query.filter):
        return False
    return _can_be_taken(query.columns, set(names))


def _can_be_taken(columns: Projection | None, names: set[str]) -> bool:
    if isinstance(columns, Mapping):
        return all(
            (name, expression) == (DISTANCE, DISTANCE) or (name not in _OURS and not _MADE_BY_SEARCH.search(expression))
            for name, expression in columns.items()
        )
    return names.isdisjoint(_OURS) and all(name in names or name in _OURS for name in columns or ())


def _at(found: Nearest, places: slice | NDArray[np.bool_]) -> Nearest:
    return Nearest(found.positions[places], found.distances[places])


def _count(found: Nearest) -> int:
    return len(found.positions)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _made(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """*values*, none of them missing, as an array of type *kind*: a vector for each row of a matrix."""
    if values.ndim == 2:
        elements = _made(values.reshape(-1), kind.value_type)
        return pa.Array.from_buffers(kind, len(values), [None], children=[elements])
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _column(read: pa.Table | Mapping[str, pa.Array], name: str, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    return read[name] if len(read) else pa.array([], kind)
