"""Searches that compare with vectors in memory, and read from Lance only the rows that are near."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.query.comparison import comparison_of, is_fixed
from lancelike.query.plan import Scan, rows_wanted
from lancelike.search.answers import Shape, joined, read_columns, remember, shape_of
from lancelike.search.exact import Nearest, can_rank, nearest
from lancelike.search.hamming import nearest_by_bits
from lancelike.search.maxsim import nearest_rows
from lancelike.search.pruned import Probes, enough_rows, nearest_in_partitions
from lancelike.search.ways import PreparedSearch, query_vectors
from lancelike.storage.addressing import addresses_where, scan_where
from lancelike.storage.dataset import Dataset
from lancelike.storage.filtered import Filtered
from lancelike.storage.held import HeldVectors
from lancelike.storage.memory import VectorCache

QUICK_BYTES = 8 << 20
"""Codes that a search reads at most to be one of those that are ranked at once: 0.35 ms."""
COPIED_BESIDE = 40
"""Bytes of a row that are copied beside its code: its norm, scale and id, and where it is."""


@dataclass(frozen=True, slots=True, eq=False)
class _Readiness:
    """What a prepared search has of the vectors held.

    Attributes:
        shape: That of the answer's rows.
        is_quick: Whether it takes next to no time to rank by one vector, without a filter.
        takes_copies: Whether the rows that a filter leaves can be ranked by themselves, all of them.
    """

    shape: Shape
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
        return self.way.scan(self.vector)

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
        columns = ", ".join(read_columns(self.way, self.dataset))
        return "\n".join([*lines, f"  {self._take_step}: {columns or 'nothing'}"])

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
        columns = read_columns(self.way, self.dataset)
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
        shape = self._ready(held).shape
        at_hand = shape.at_hand(held, found.positions, self.dataset, self.cache)
        if at_hand is None:
            return partial(self._rows, held, [found])
        rows = shape.table(held, [found], found.positions, at_hand)
        return lambda: rows

    def _rows(self, held: HeldVectors, found: Sequence[Nearest]) -> pa.Table:
        shape, positions = self._ready(held).shape, joined([one.positions for one in found])
        columns = shape.at_hand(held, positions, self.dataset, self.cache)
        if columns is None:
            return shape.table(held, found, positions, shape.take(held.row_ids[positions], self.dataset))
        return shape.table(held, found, positions, columns)

    def _ready(self, held: HeldVectors) -> _Readiness:
        """What is found out once for the vectors *held*."""
        ready: _Readiness | None = held.kept.get(self.way)
        if ready is None:
            shape = shape_of(self.way, self.vector, held, self.dataset)
            ready = _Readiness(shape, self._is_quick(held), self._takes_copies(held))
            remember(held, self.way, ready)
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


def memory_search(
    way: PreparedSearch, vector: NDArray[Any], dataset: Dataset, cache: VectorCache, held: HeldVectors | None
) -> MemorySearch | None:
    """The search for *vector*, which `plan.query_vector` lets pass; None if it is for Lance.

    Args:
        way: How to search.
        vector: Shape (ndims,), or (m, ndims) for several, or the parts of one.
        dataset: A handle that stays at its version.
        cache: Holds vectors.
        held: Those of the column, if they are held.
    """
    queries = query_vectors(vector, way.column)
    if way.metric != "hamming" and not can_rank(queries):
        return None
    return MemorySearch(way, vector, queries, dataset, cache, held)


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
        queries = joined([searches[place].queries for place in places])
        first = searches[places[0]]
        for place, found in zip(places, first.rank(held, queries, first.filtered(held)), strict=True):
            left[place] = searches[place].rows_left(held, found)
    return left


def _at(found: Nearest, places: slice | NDArray[np.bool_]) -> Nearest:
    return Nearest(found.positions[places], found.distances[places])
