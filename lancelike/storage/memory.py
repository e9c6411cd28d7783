"""Vectors in memory, part by part, for searches that compare with all of them or many; and columns beside them."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from lance import LanceDataset
from numpy.typing import NDArray

from lancelike.query.comparison import Comparison
from lancelike.query.plan import VectorColumn
from lancelike.storage.aside import read_aside
from lancelike.storage.assembling import Assembly, PartName, num_rows
from lancelike.storage.dataset import Dataset
from lancelike.storage.filtered import Filtered, FilterName, KeptFilters
from lancelike.storage.gathering import Room
from lancelike.storage.held import HeldVectors
from lancelike.storage.index import vector_index
from lancelike.storage.location import Location
from lancelike.storage.mapped import may_be_mapped
from lancelike.storage.parts import (
    FragmentKey,
    Part,
    TooLargeError,
    UnsuitedError,
    bytes_of,
)
from lancelike.storage.rows import HeldRows

MOST_BYTES = 2 << 30
"""Bound when none is given: 1.1 million vectors of 384 dimensions, 4 million whose values stay in their files."""
VERSIONS_HELD = 2
"""Versions of a table whose vectors are held at once: most often the latest, and one that is checked out."""
MOST_READ_AT_ONCE = 16 << 20
"""Bytes of vectors that a search reads before it answers, where an index could answer it: 10 ms of reading."""
FILTERS_SHARE = 8
"""What filters leave may take so great a part of the bound: an eighth."""
LOOKUP_BYTES = 64 << 20
"""Columns that lookups may have held, where the table's vectors take less."""


def default_bytes() -> int:
    """What a database holds at most when nobody says: 2 GiB, or a quarter of the machine's memory if that is less."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return MOST_BYTES
    return min(MOST_BYTES, memory // 4)


_Name: TypeAlias = tuple[str, str, str]
"""Database, table and column."""
_Version: TypeAlias = tuple[int, int]
"""Number and time: a table that is made anew counts from 1 again."""


class _Column:
    """What is held of one column of one table."""

    def __init__(self) -> None:
        self.loading = threading.Lock()
        self.filling = False
        self.was_searched = False
        self.parts: dict[PartName, Part] = {}
        self.unsuited: set[FragmentKey] = set()
        self.versions: OrderedDict[_Version, tuple[HeldVectors | None, frozenset[PartName]]] = OrderedDict()
        self.nbytes = 0

    @property
    def values_nbytes(self) -> int:
        """What the vectors of a version take as float32, wherever they are."""
        held = [version for version, _ in self.versions.values() if version is not None]
        return 4 * max((sum(codes.nbytes for codes in each.codes) for each in held), default=0)

    def know(self, version: _Version, held: HeldVectors | None, parts: Mapping[PartName, Part]) -> None:
        """Remember a version, and let go of parts that no version remembered has."""
        self.versions[version] = held, frozenset(parts)
        while len(self.versions) > VERSIONS_HELD:
            self.versions.popitem(last=False)
        self.keep(frozenset().union(*(names for _, names in self.versions.values())), parts)

    def keep(self, names: Collection[PartName], new: Mapping[PartName, Part] | None = None) -> None:
        """Hold *new* and, of what is held, the parts *names*."""
        self.parts = {name: one for name, one in {**self.parts, **(new or {})}.items() if name in names}
        self.nbytes = sum(array.nbytes for array in {id(array): array for array in self._arrays()}.values())

    def _arrays(self) -> Iterator[NDArray[Any]]:
        for part in self.parts.values():
            yield from part.arrays
        for held, _ in self.versions.values():
            yield from held.arrays if held else ()


class VectorCache:
    """Holds vectors of tables, and columns beside them, within a bound; the column least recently searched goes first.

    A fragment's vectors are read once and serve every version that has the fragment, so that a version after an append
    costs the new rows, and one after a deletion the addresses of the rows left. Fragments that an IVF index covers are
    held segment by segment of the index, by its partitions. Safe to use from several threads, which share what is
    being read.

    Args:
        limit_bytes: Most bytes to hold; 0 holds none.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._columns: OrderedDict[_Name, _Column] = OrderedDict()
        self._rows: OrderedDict[tuple[str, str], HeldRows] = OrderedDict()
        self._filters = KeptFilters()
        _caches.add(self)

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        with self._lock:
            return self._held_bytes()

    def takes(self, dataset: Dataset, column: VectorColumn) -> bool:
        """Whether `hold` would hold *column*, as far as can be told without reading it."""
        return self.refusal(dataset, column) is None

    def refusal(self, dataset: Dataset, column: VectorColumn) -> str | None:
        """Why `hold` would not hold *column*; None if it would, as far as can be told without reading it."""
        if not self.limit_bytes:
            return "vector_cache_bytes is 0"
        shown = dataset.lance
        if "." in column.name and vector_index(shown, column.name) is not None:
            return "a field of a struct has an index, whose partitions Lance doesn't tell"
        with self._lock:
            known = self._columns.get(_name(dataset, column))
            if known and (version := known.versions.get(_version(shown))):
                return None if version[0] else "they are more than vector_cache_bytes, or have values that Lance judges"
        needed = bytes_of(num_rows(shown.get_fragments()), column, mapped=may_be_mapped(shown, column))
        if needed > self.limit_bytes:
            return f"they take {needed:,} bytes, and vector_cache_bytes is {self.limit_bytes:,}"
        return None

    def hold(
        self, dataset: Dataset, column: VectorColumn, check: Callable[[], None] = lambda: None
    ) -> HeldVectors | None:
        """The vectors of *column* in the version that *dataset* shows, read if need be.

        None: they are more than the bound, or have values that are for Lance's own scan: infinite ones, null within a
        vector, or such as float32 can't square.

        Args:
            dataset: A version of a table.
            column: Whose vectors.
            check: Called now and then while vectors are read; may raise to end that.
        """
        shown = dataset.lance
        name, version = _name(dataset, column), _version(shown)
        with self._lock:
            found = self._columns.get(name)
            if found and version in found.versions:
                self._columns.move_to_end(name)
                found.versions.move_to_end(version)
                return found.versions[version][0]
        if not self.takes(dataset, column):
            return None
        known = self._column(name)
        with known.loading:
            if version in known.versions:
                return known.versions[version][0]
            with dataset.errors():
                held, parts = self._load(shown, column, name, known, check)
            return self._publish(name, known, version, held, parts)

    def known(self, dataset: Dataset, column: VectorColumn) -> HeldVectors | None:
        """What `hold` gives, if it was read already."""
        name, version = _name(dataset, column), dataset.version_key
        with self._lock:
            known = self._columns.get(name)
            if known is None or version not in known.versions:
                return None
            self._columns.move_to_end(name)
            known.versions.move_to_end(version)
            return known.versions[version][0]

    def filtered(self, dataset: Dataset, held: HeldVectors, column: VectorColumn, condition: str) -> Filtered | None:
        """What was kept of the rows *held* that *condition* leaves.

        Args:
            dataset: A handle that stays at its version.
            held: Its vectors of *column*.
            column: Whose vectors.
            condition: SQL text.
        """
        with self._lock:
            found = self._filters.get(_filter_name(dataset, column, condition))
        return found if found is not None and found.held is held else None

    def keep_filtered(self, dataset: Dataset, column: VectorColumn, condition: str, filtered: Filtered) -> None:
        """Keep what *condition* leaves for `filtered`, if there is room without letting go of vectors."""
        name = _filter_name(dataset, column, condition)
        with self._lock:
            room = self._room_for_filters()
            if filtered.nbytes <= room and self._is_held(name, filtered.held):
                self._filters.keep(name, filtered, room)

    @property
    def room_for_filters(self) -> int:
        """Bytes that what filters leave may take at most as things are, without letting go of vectors."""
        with self._lock:
            return self._room_for_filters()

    def _room_for_filters(self) -> int:
        return min(self.limit_bytes // FILTERS_SHARE, self.limit_bytes - self._held_bytes() + self._filters.nbytes)

    def _is_held(self, name: FilterName, held: HeldVectors) -> bool:
        """Whether *held* are still the vectors of the version that the filter *name* is about."""
        known = self._columns.get(name[:3])
        return known is not None and known.versions.get(name[3], (None,))[0] is held

    def delay(self, dataset: Dataset, column: VectorColumn, *, starts: bool) -> str | None:
        """Why a search that an index can answer should not wait for `hold`, which has much to read; None if it should.

        Args:
            dataset: A version of a table.
            column: One that `hold` would hold.
            starts: From the second time on that this is asked for the column, read it in a thread of its own.
        """
        shown, known = dataset.lance, self._column(_name(dataset, column))
        if _version(shown) in known.versions:
            return None
        with dataset.errors():
            needed = bytes_of(Assembly(shown, column, known.parts).num_rows_to_read, column)
        if needed <= MOST_READ_AT_ONCE:
            return None
        if starts:
            self._fill_the_second_time(dataset, column, known)
        if known.filling:
            return "they are being read"
        return f"the next search has them read, {needed:,} bytes, beside it"

    def rows(self, dataset: Dataset, addresses: NDArray[np.uint64], names: Sequence[str]) -> dict[str, pa.Array] | None:
        """Columns *names* of the rows at *addresses*, at least one, in their order; None if Lance has to read them.

        Once it had to for some searches, a thread reads the columns, to be held.

        Args:
            dataset: A handle that stays at its version.
            addresses: Of rows.
            names: Of columns.
        """
        held = self._rows_of(dataset)
        found = held.take(dataset, addresses, names)
        if found is None and held.is_wanted(dataset, names):
            self._start_to_hold_rows(dataset, names)
        return found

    def addresses_with(self, dataset: Dataset, wanted: Comparison) -> NDArray[np.uint64] | None:
        """Addresses of the rows that are *wanted*; None if Lance has to find them.

        Once it had to for some searches, a thread reads the column, to be held.

        Args:
            dataset: A handle that stays at its version.
            wanted: Of any column.
        """
        held = self._rows_of(dataset)
        found = held.addresses_where(dataset, wanted)
        if found is None and held.is_wanted(dataset, [wanted.column]):
            self._start_to_hold_rows(dataset, [wanted.column])
        return found

    def rows_with(self, dataset: Dataset, wanted: Comparison, names: Sequence[str]) -> dict[str, pa.Array] | None:
        """Columns *names* of the rows that are *wanted*, in the table's order; None if Lance has to find them.

        Once it had to for some lookups, a thread reads the columns, to be held.

        Args:
            dataset: A handle that stays at its version.
            wanted: Of a column that is there.
            names: Of columns.
        """
        held, needed = self._rows_of(dataset), list(dict.fromkeys([wanted.column, *names]))
        found = held.where(dataset, wanted, names)
        if found is None and held.is_wanted(dataset, needed):
            self._start_to_hold_rows(dataset, needed, LOOKUP_BYTES)
        return found

    def holds_rows(self, dataset: Dataset, names: Sequence[str]) -> bool:
        """Whether `rows` has columns *names* of every row."""
        return self._rows_of(dataset).holds(dataset, names)

    def holds_all_rows(self, dataset: Dataset, names: Sequence[str]) -> bool:
        """Whether `rows_with` finds them by and has columns *names*."""
        return self._rows_of(dataset).holds_all(dataset, names)

    def hold_rows(
        self,
        dataset: Dataset,
        names: Sequence[str],
        check: Callable[[], None] = lambda: None,
        *,
        least_bytes: int = 0,
    ) -> None:
        """Hold columns *names* of the version that *dataset* shows too, as far as they take no more than its vectors.

        Args:
            dataset: A handle that stays at its version.
            names: Of columns.
            check: As for `hold`.
            least_bytes: That they may take whatever its vectors do.
        """
        held, table = self._rows_of(dataset), (dataset.location.key, dataset.name)
        with self._lock:
            vectors = sum(column.values_nbytes for name, column in self._columns.items() if name[:2] == table)
            room = self.limit_bytes - self._held_bytes() + held.nbytes
        held.read(dataset, names, min(max(vectors, least_bytes), room), check)
        with self._lock:
            self._evict(self.limit_bytes, sparing=(*table, ""))

    def _rows_of(self, dataset: Dataset) -> HeldRows:
        table = dataset.location.key, dataset.name
        with self._lock:
            if table not in self._rows:
                self._rows[table] = HeldRows()
            self._rows.move_to_end(table)
            return self._rows[table]

    def _start_to_hold_rows(self, dataset: Dataset, names: Sequence[str], least_bytes: int = 0) -> None:
        read_aside(
            "lancelike-rows",
            f"columns of table {dataset.name!r}",
            lambda check: self.hold_rows(dataset, names, check, least_bytes=least_bytes),
        )

    def forget(self, location: Location, table: str) -> None:
        """Let go of a table's vectors, and of what is held beside them."""
        with self._lock:
            self._rows.pop((location.key, table), None)
            for name in [name for name in self._columns if name[:2] == (location.key, table)]:
                del self._columns[name]
            self._drop_filters()

    def _column(self, name: _Name) -> _Column:
        with self._lock:
            known = self._columns.setdefault(name, _Column())
            self._columns.move_to_end(name)
            return known

    def _fill_the_second_time(self, dataset: Dataset, column: VectorColumn, known: _Column) -> None:
        with self._lock:
            if not known.was_searched or known.filling:
                known.was_searched = True
                return
            known.filling = True
        frozen = dataset.frozen()

        def fill(check: Callable[[], None]) -> None:
            try:
                self.hold(frozen, column, check)
            finally:
                known.filling = False

        read_aside("lancelike-vectors", f"vectors of column {column.name!r} of table {dataset.name!r}", fill)

    def _load(
        self, shown: LanceDataset, column: VectorColumn, name: _Name, known: _Column, check: Callable[[], None]
    ) -> tuple[HeldVectors | None, dict[PartName, Part]]:
        assembly = Assembly(shown, column, known.parts)
        if not known.unsuited.isdisjoint(assembly.there):
            return None, {}
        needed = assembly.needed_bytes
        if needed > self.limit_bytes:
            return None, {}
        self._make_room(name, known, set(assembly.found), needed)
        try:
            parts = assembly.run(Room(self.limit_bytes // bytes_of(1, column, mapped=bool(assembly.mapped)), check))
        except UnsuitedError as unsuited:
            known.unsuited.update(key for key in assembly.there if key[0] == unsuited.fragment_id)
            return None, {}
        except TooLargeError:
            return None, {}
        return assembly.joined(parts), parts

    def _make_room(self, name: _Name, known: _Column, used: set[PartName], needed: int) -> None:
        with self._lock:
            if self._held_bytes() + needed > self.limit_bytes and known.nbytes:
                known.versions.clear()
                known.keep(used)
                self._drop_filters()
            self._evict(self.limit_bytes - needed, sparing=name)

    def _publish(
        self,
        name: _Name,
        known: _Column,
        version: _Version,
        held: HeldVectors | None,
        parts: Mapping[PartName, Part],
    ) -> HeldVectors | None:
        with self._lock:
            self._columns[name] = known  # it may have been evicted meanwhile
            self._columns.move_to_end(name)
            known.know(version, held, parts)
            self._evict(self.limit_bytes, sparing=name)
            if known.nbytes > self.limit_bytes:  # an older version, or deleted rows, are too much beside this one
                known.versions.clear()
                known.know(version, held, parts)
            if known.nbytes > self.limit_bytes:
                known.versions.clear()
                known.know(version, None, {})
            self._drop_filters()
            return held

    def _drop_filters(self) -> None:
        """Let go of what filters left of versions whose vectors are no longer held."""

        def is_gone(name: FilterName) -> bool:
            known = self._columns.get(name[:3])
            return known is None or name[3] not in known.versions

        self._filters.drop_where(is_gone)

    def _evict(self, limit_bytes: int, sparing: _Name) -> None:
        while self._filters and self._held_bytes() > limit_bytes:
            self._filters.drop_oldest()
        while self._rows and self._held_bytes() > limit_bytes:
            self._rows.popitem(last=False)
        for name in [name for name in self._columns if name != sparing]:
            if self._held_bytes() <= limit_bytes:
                return
            del self._columns[name]

    def _held_bytes(self) -> int:
        vectors = sum(column.nbytes for column in self._columns.values())
        return vectors + sum(rows.nbytes for rows in self._rows.values()) + self._filters.nbytes

    def _start_in_child(self) -> None:
        """Begin with nothing after a fork: another thread may have held the parent's locks."""
        self._lock = threading.Lock()
        self._columns, self._rows, self._filters = OrderedDict(), OrderedDict(), KeptFilters()


_caches: weakref.WeakSet[VectorCache] = weakref.WeakSet()


def _start_in_child() -> None:
    for cache in _caches:
        cache._start_in_child()


os.register_at_fork(after_in_child=_start_in_child)


def _name(dataset: Dataset, column: VectorColumn) -> _Name:
    return dataset.location.key, dataset.name, column.name


def _filter_name(dataset: Dataset, column: VectorColumn, condition: str) -> FilterName:
    return (*_name(dataset, column), dataset.version_key, condition)


def _version(shown: LanceDataset) -> _Version:
    number, time = int(shown.version), int(shown._ds.current_version()["timestamp"])
    return number, time
