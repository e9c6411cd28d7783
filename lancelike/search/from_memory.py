"""Searches that compare with vectors in memory, and read from Lance only the rows that are near."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.query.comparison import comparison_of, is_fixed
from lancelike.query.plan import DISTANCE, QUERY_INDEX, Scan, VectorColumn, is_batch, plan_scan, rows_wanted
from lancelike.query.query import Projection, Query
from lancelike.schema.blobs import schema_has_blob_field
from lancelike.search.exact import Nearest, can_rank, nearest
from lancelike.search.hamming import nearest_by_bits
from lancelike.search.maxsim import nearest_rows
from lancelike.search.pruned import Probes, enough_rows, nearest_in_partitions
from lancelike.search.target import MOST_WAYS, facts_of
from lancelike.storage.addressing import addresses_where, scan_where
from lancelike.storage.dataset import Dataset
from lancelike.storage.filtered import Filtered
from lancelike.storage.held import HeldVectors
from lancelike.storage.memory import VectorCache
from lancelike.storage.vectors import Positions
from lancelike.types import DistanceType

MOST_ROWS = 10_000
"""Rows in an answer; Lance, which reads more of them by scanning than by id, answers the rest."""
QUICK_BYTES = 8 << 20
"""Codes that a search reads at most to be one of those that are ranked at once: 0.35 ms."""
COPIED_BESIDE = 40
"""Bytes of a row that are copied beside its code: its norm, scale and id, and where it is."""
ROW_ID, ROW_ADDRESS = "_rowid", "_rowaddr"
_OURS = (DISTANCE, QUERY_INDEX, ROW_ID, ROW_ADDRESS)
_MADE_BY_SEARCH = re.compile(rf"\b({DISTANCE}|{QUERY_INDEX}|_row\w+)\b", re.IGNORECASE)
"""Columns that an expression can't be given where rows are read by id."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedSearch:
    """A search in memory but for its vectors: one of these serves all queries that ask alike of a version of a table.

    Attributes:
        column: Searched.
        metric: Ranked by.
        query: What is asked; its vector is another's.
        through_lance: The same, with the effort that it takes through Lance's index.
        probes: Partitions of the column's index to look into; None: compare with every vector.
        is_batch: Whether several are asked for at once, each with rows of its own.
        why: What the settings are tuned for.
    """

    column: VectorColumn
    metric: DistanceType
    query: Query
    through_lance: Query
    probes: Probes | None
    is_batch: bool
    why: str

    def search(
        self, vector: NDArray[Any], dataset: Dataset, cache: VectorCache, held: HeldVectors | None
    ) -> MemorySearch | None:
        """That for *vector*, which `plan.query_vector` lets pass; None if it is for Lance.

        Args:
            vector: Shape (ndims,), or (m, ndims) for several, or the parts of one.
            dataset: A handle that stays at its version.
            cache: Holds vectors.
            held: Those of the column, if they are held.
        """
        queries = query_vectors(vector, self.column)
        if self.metric != "hamming" and not can_rank(queries):
            return None
        return MemorySearch(self, vector, queries, dataset, cache, held)


@dataclass(frozen=True, slots=True, eq=False)
class _Readiness:
    """What a prepared search has of the vectors held.

    Attributes:
        schema: That of the answer's rows.
        fields: Name and type of each of its fields.
        read: The columns asked for that are not made of vectors and their places: names, or expressions by name.
        has_vectors: Whether the vectors asked for are at hand: one a row, in a column of their own.
        is_quick: Whether it takes next to no time to rank by one vector, without a filter.
        takes_copies: Whether the rows that a filter leaves can be ranked by themselves, all of them.
    """

    schema: pa.Schema
    fields: tuple[tuple[str, pa.DataType], ...]
    read: list[str] | dict[str, str]
    has_vectors: bool
    is_quick: bool
    takes_copies: bool


@dataclass(frozen=True, slots=True, eq=False)
class MemorySearch:
    """One search for the nearest of all rows, or of those that a filter leaves, or that an index's partitions hold.

    Attributes:
        way: How.
        vector: For what.
        queries: The same as `query_vectors` has it.
        dataset: A handle that stays at its version.
        cache: Holds vectors.
        held: Those of the column, if they were held when this was planned.
    """

    way: PreparedSearch
    vector: NDArray[Any]
    queries: NDArray[Any]
    dataset: Dataset
    cache: VectorCache
    held: HeldVectors | None

    @property
    def scan(self) -> Scan:
        """Lance's way to the same rows: taken when the vectors can't be held after all."""
        query = self.way.through_lance
        return plan_scan(query.with_(vector=self.vector), self.way.column, query.distance_type)

    def read(self) -> pa.Table:
        """The rows that the scan has, in its order and with its schema."""
        held = self.held or self.cache.hold(self.dataset, self.way.column)
        if held is None:
            return self.dataset.read(self.scan)
        return self._rows(held, self.rank(held, self.queries, self.filtered(held)))

    def explain(self, verbose: bool = False) -> str:
        """How `read` finds the rows; nothing is read for it."""
        lines, query = [self._summary], self.way.query
        if query.filter is not None:
            kind = "Postfilter" if query.postfilter else "Prefilter"
            step = self._filter_step
            plan = self.dataset.explain(scan_where(query.filter), verbose) if step == "Filter" else step
            lines += [f"  {kind}: rows where {query.filter}", *(f"    {line}" for line in plan.splitlines())]
        return "\n".join([*lines, f"  {self._take_step}: {', '.join(self._read_columns) or 'nothing'}"])

    def analyze(self) -> str:
        """How long each step of `read` took."""
        steps, started = [], time.perf_counter()

        def note(step: str, rows: int) -> None:
            nonlocal started
            now = time.perf_counter()
            steps.append(f"  {step}: output_rows={rows}, elapsed={(now - started) * 1e3:.3f}ms")
            started = now

        held = self.cache.hold(self.dataset, self.way.column)
        if held is None:
            return self.dataset.analyze(self.scan)
        note("VectorsInMemory", held.num_rows)
        filter_step, take_step = self._filter_step, self._take_step
        filtered = self.filtered(held)
        if filtered is not None:
            note(filter_step, len(filtered.positions))
        found = self.rank(held, self.queries, filtered)
        note("Rank", sum(len(one.positions) for one in found))
        note(take_step, self._rows(held, found).num_rows)
        return "\n".join([self._summary, *steps])

    @property
    def _filter_step(self) -> str:
        if (condition := self.way.query.filter) is None:
            return ""
        if self.held and self.cache.filtered(self.dataset, self.held, self.way.column, condition):
            return "RememberedRows"
        compared = comparison_of(condition)
        is_held = compared is not None and self.cache.holds_all_rows(self.dataset, [compared.column])
        return "CompareInMemory" if is_held else "Filter"

    @property
    def _take_step(self) -> str:
        columns = self._read_columns
        is_held = not isinstance(columns, Mapping) and self.cache.holds_rows(self.dataset, columns)
        return "TakeFromMemory" if is_held and columns else "TakeByRowId"

    @property
    def _summary(self) -> str:
        held, way = self.held, self.way
        how = "exact"
        if way.probes is not None:
            all_rows = " (all: the rows are few)" if held is not None and self._looks_at_all(held) else ""
            how = f"by the index's partitions, nprobes={way.probes}{all_rows}, distances exact"
            if held is not None and held.num_rows and held.partitions is None:
                how = "exact: the index's partitions are not those of its centroids"
        return (
            f"MemorySearch: column={way.column.name}, metric={way.metric}, k={rows_wanted(way.query)}, "
            f"queries={len(self.queries) if way.is_batch else 1}, {how}"
        )

    def is_quick(self, held: HeldVectors) -> bool:
        """Whether it takes next to no time to rank the rows *held*."""
        if (condition := self.way.query.filter) is None:
            return self._ready(held).is_quick
        if self.way.is_batch or not self._ready(held).takes_copies:
            return False
        known = self.cache.filtered(self.dataset, held, self.way.column, condition)
        copies = None if known is None else known.copies
        return copies is not None and copies.num_rows * held.ndims <= QUICK_BYTES

    def filtered(self, held: HeldVectors) -> Filtered | None:
        """The rows that the filter leaves; None without a filter.

        They are remembered, and copied once they are asked for again, which takes as long as to compare with 32 times
        as many.
        """
        if (condition := self.way.query.filter) is None:
            return None
        column = self.way.column
        known = self.cache.filtered(self.dataset, held, column, condition)
        if known is None:
            compared = comparison_of(condition)
            addresses = None if compared is None else self.cache.addresses_with(self.dataset, compared)
            known = Filtered(
                held, held.positions(addresses_where(self.dataset, condition) if addresses is None else addresses)
            )
        elif known.copies is None and self._is_to_copy(known):
            known = Filtered(held, known.positions, held.subset(known.positions))
        else:
            return known
        if is_fixed(condition):
            self.cache.keep_filtered(self.dataset, column, condition, known)
        return known

    def _is_to_copy(self, known: Filtered) -> bool:
        """Whether the rows *known* are to be copied: there is room, and more than as many others to be looked past."""
        held, rows = known.held, len(known.positions)
        if not self._ready(held).takes_copies or 2 * rows > held.num_rows:
            return False
        return rows * (held.ndims + COPIED_BESIDE) <= self.cache.room_for_filters

    def rank(self, held: HeldVectors, queries: NDArray[Any], filtered: Filtered | None) -> list[Nearest]:
        """The nearest to each of *queries*.

        Args:
            held: The vectors.
            queries: This search's, or those of several that go the same way.
            filtered: The rows that the filter leaves; None without one.
        """
        way, query, after = self.way, self.way.query, self.way.query.postfilter
        metric, k = way.metric, rows_wanted(query)
        allowed = None if filtered is None else filtered.positions
        among, lower, upper = None if after else allowed, query.lower_bound, query.upper_bound
        partitions = held.partitions
        if filtered is not None and filtered.copies is not None and self._ready(held).takes_copies:
            near = nearest(filtered.copies, queries, metric, k, lower=lower, upper=upper)
            found = [Nearest(filtered.positions[one.positions], one.distances) for one in near]
        elif way.column.multivector:
            found = [nearest_rows(held, queries, metric, k, among=among, lower=lower, upper=upper)]
        elif metric == "hamming":
            found = nearest_by_bits(held, queries, k, among=among, lower=lower, upper=upper)
        elif way.probes is None or partitions is None or partitions.metric != metric:
            found = nearest(held, queries, metric, k, among=among, lower=lower, upper=upper)
        else:
            found = nearest_in_partitions(
                held,
                partitions,
                queries,
                k,
                probes=way.probes,
                among=among,
                lower=lower,
                upper=upper,
                with_tail=not query.fast_search,
            )
        if after and allowed is not None:
            found = [_at(one, np.isin(one.positions, allowed)) for one in found]
        if query.offset and not way.is_batch:  # of several queries, each skips its own later
            found = [_at(one, slice(query.offset, None)) for one in found]
        return found

    def rows_left(self, held: HeldVectors, found: Nearest) -> Callable[[], pa.Table]:
        """What is left to do for the rows *found*: nothing, if their columns are in memory."""
        ready = self._ready(held)
        at_hand = self._at_hand(ready, held, found.positions)
        if at_hand is None:
            return partial(self._rows, held, [found])
        rows = self._table(ready, held, [found], found.positions, at_hand)
        return lambda: rows

    def _rows(self, held: HeldVectors, found: Sequence[Nearest]) -> pa.Table:
        ready, positions = self._ready(held), _joined([one.positions for one in found])
        columns = self._at_hand(ready, held, positions)
        if columns is None:
            columns = self._take(held.row_ids[positions])
        return self._table(ready, held, found, positions, columns)

    def _table(
        self,
        ready: _Readiness,
        held: HeldVectors,
        found: Sequence[Nearest],
        positions: Positions,
        columns: pa.Table | Mapping[str, pa.Array],
    ) -> pa.Table:
        """The rows *found*, at *positions*, with *columns* that were read."""
        arrays = []
        for name, kind in ready.fields:
            if name == DISTANCE:
                array = _made(_joined([one.distances for one in found]), kind)
            elif ready.has_vectors and name == self.way.column.name:
                array = _made(held.values.at(positions), kind)
            elif name == ROW_ID:
                array = _made(held.row_ids[positions], kind)
            elif name == ROW_ADDRESS:
                array = _made(held.addresses[positions], kind)
            elif name == QUERY_INDEX:
                array = _made(np.repeat(np.arange(len(found), dtype=np.int32), list(map(_count, found))), kind)
            else:
                array = columns[name] if len(columns) else pa.array([], kind)
            arrays.append(array)
        return pa.Table.from_arrays(arrays, schema=ready.schema)

    def _at_hand(self, ready: _Readiness, held: HeldVectors, positions: Positions) -> Mapping[str, pa.Array] | None:
        """What the rows have in the columns asked for, if it is in memory; empty if nothing is to be read."""
        columns = ready.read
        if not columns or not len(positions):
            return {}
        if isinstance(columns, dict):
            return None
        return self.cache.rows(self.dataset, held.addresses[positions], columns)

    def _take(self, row_ids: NDArray[np.uint64]) -> pa.Table:
        """What the rows have in the columns asked for; Lance reads one that answers several queries once."""
        if not self.way.is_batch:
            return self.dataset.take_row_ids(row_ids.tolist(), self._read_columns)
        distinct, places = np.unique(row_ids, return_inverse=True)
        return self.dataset.take_row_ids(distinct.tolist(), self._read_columns).take(pa.array(places))

    @property
    def _read_columns(self) -> list[str] | dict[str, str]:
        columns = self.way.query.columns
        if isinstance(columns, Mapping):
            return {name: expression for name, expression in columns.items() if name not in _OURS}
        held = (self.way.column.name,) if self._has_vectors else ()
        return [name for name in columns or facts_of(self.dataset).names if name not in _OURS and name not in held]

    @property
    def _has_vectors(self) -> bool:
        column = self.way.column
        is_plain = not column.multivector and "." not in column.name
        return is_plain and not isinstance(self.way.query.columns, Mapping)

    def _ready(self, held: HeldVectors) -> _Readiness:
        """What is found out once for the vectors *held*."""
        ready: _Readiness | None = held.kept.get(self.way)
        if ready is None:
            schema = self._plain_schema() or self.dataset.output_schema(replace(self.scan, filter=None))
            fields = tuple((field.name, field.type) for field in schema)
            quick, copies = self._is_quick(held), self._takes_copies(held)
            ready = _Readiness(schema, fields, self._read_columns, self._has_vectors, quick, copies)
            if len(held.kept) >= MOST_WAYS:
                held.kept.clear()
            held.kept[self.way] = ready
        return ready

    def _is_quick(self, held: HeldVectors) -> bool:
        way = self.way
        if way.is_batch or way.column.multivector:
            return False
        return self._rows_looked_at(held) * held.ndims <= QUICK_BYTES

    def _rows_looked_at(self, held: HeldVectors) -> int:
        """How many without a filter, where the query names no partitions; else at most so many."""
        if held.partitions is None or self.way.probes != Probes():
            return held.num_rows
        return enough_rows(held.num_rows, held.ndims, rows_wanted(self.way.query), held.partitions.needed)

    def _looks_at_all(self, held: HeldVectors) -> bool:
        """Whether it looks past the index, as there are few rows."""
        query = self.way.query
        is_open = self.way.probes == Probes() and not query.fast_search
        is_filtered = query.filter is not None and not query.postfilter
        return is_open and not is_filtered and self._rows_looked_at(held) == held.num_rows

    def _takes_copies(self, held: HeldVectors) -> bool:
        way = self.way
        if way.column.multivector or way.metric == "hamming" or way.query.postfilter:
            return False
        is_whole = way.probes is None or held.partitions is None or held.partitions.metric != way.metric
        return is_whole or (way.probes == Probes() and not way.query.fast_search)

    def _plain_schema(self) -> pa.Schema | None:
        """The scan's schema, if the table's fields are all there is to it: Lance takes a millisecond to say it."""
        scan, schema = self.scan, self.dataset.schema
        columns = scan.columns or [*schema.names, DISTANCE]
        is_plain = not isinstance(columns, Mapping) and len(set(columns)) == len(columns)
        if not is_plain or not {*schema.names, DISTANCE}.issuperset(columns):
            return None
        if self.way.is_batch or schema_has_blob_field(schema):
            return None
        fields = [pa.field(DISTANCE, pa.float32()) if name == DISTANCE else schema.field(name) for name in columns]
        asked = {ROW_ID: scan.with_row_id, ROW_ADDRESS: scan.with_row_address}
        ids = [pa.field(name, pa.uint64()) for name, is_asked in asked.items() if is_asked]
        return pa.schema([*fields, *ids], metadata=schema.metadata)


def prepare(
    query: Query,
    through_lance: Query,
    dataset: Dataset,
    column: VectorColumn,
    cache: VectorCache,
    *,
    why: str = "",
    starts: bool = True,
) -> PreparedSearch | str:
    """How the rows that Lance's scan gives, or as near ones, are found in memory; or why they aren't.

    Args:
        query: What is asked.
        through_lance: The same, with the effort that it takes through Lance's index, or past it.
        dataset: Where.
        column: Searched.
        cache: Holds vectors.
        why: What the settings are tuned for.
        starts: Let the cache begin to read vectors that it takes long to read.
    """
    frozen, vector = dataset.frozen(), query.vector
    metric = query.distance_type or ("hamming" if column.is_of_bytes else "l2")
    if (metric == "hamming") != column.is_of_bytes or not _is_covered(query, facts_of(frozen).names):
        return "the query asks what only Lance's scan does"
    is_held = cache.known(frozen, column) is not None
    if not is_held and (reason := cache.refusal(frozen, column)) is not None:
        return reason
    of_several = is_batch(query, column)
    if rows_wanted(query) * (len(vector) if of_several and vector is not None else 1) > MOST_ROWS:
        return "the answer has many rows"
    may_wait = is_held or query.bypass_vector_index
    if not may_wait and (reason := cache.delay(frozen, column, starts=starts)) is not None:
        return reason
    is_past_index = query.bypass_vector_index or column.multivector or metric == "hamming"
    probes = None if is_past_index else Probes.of(query)
    return PreparedSearch(
        column=column,
        metric=metric,
        query=query.with_(vector=None),
        through_lance=through_lance.with_(vector=None),
        probes=probes,
        is_batch=of_several,
        why=why,
    )


def read_together(searches: Sequence[MemorySearch]) -> list[Callable[[], pa.Table]]:
    """What is left to do for the rows of each of *searches*: nothing, for those that take next to no time.

    Of these, the ones that differ in nothing but their vector are ranked at once.
    """
    left: list[Callable[[], pa.Table]] = [each.read for each in searches]
    alike: dict[tuple[HeldVectors, PreparedSearch], list[int]] = {}
    for place, search in enumerate(searches):
        if (held := search.held) is not None and search.is_quick(held):
            alike.setdefault((held, search.way), []).append(place)
    for (held, _), places in alike.items():
        queries = _joined([searches[place].queries for place in places])
        first = searches[places[0]]
        for place, found in zip(places, first.rank(held, queries, first.filtered(held)), strict=True):
            left[place] = searches[place].rows_left(held, found)
    return left


def query_vectors(vector: NDArray[Any], column: VectorColumn) -> NDArray[Any]:
    """*vector* as the column's type has it, shape (m, ndims); those of float16 as float32."""
    vectors = vector[np.newaxis] if vector.ndim == 1 else vector
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
