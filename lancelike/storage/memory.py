"""Vectors in memory: those of a column, fragment by fragment, for searches that compare with every one of them."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from lance import LanceDataset
from lance.fragment import LanceFragment
from numpy.typing import NDArray

from lancelike.query.plan import Scan, VectorColumn, flat_batch_rows
from lancelike.storage.dataset import Dataset
from lancelike.storage.location import Location

Positions: TypeAlias = NDArray[np.intp]

MOST_BYTES = 2 << 30
"""Bound when none is given: 1.4 million vectors of 384 dimensions."""
VERSIONS_HELD = 2
"""Versions of a table whose vectors are held at once: most often the latest, and one that is checked out."""
SMALLEST_SQUARED_NORM, LARGEST_SQUARED_NORM = 1e-20, 1e30
"""Beyond these, products of float32 vanish or overflow, and what Lance then answers is its own affair."""
READ_AHEAD_BYTES = 32 << 20
"""Bytes that Lance reads from local files before they are copied. It would else read a whole column ahead, into memory
that it can't use again: 200 000 x 384 took 231 ms at best with this bound, 406 without it, Lance's own search 202."""
_BYTES_BESIDE = 2 * (4 + 8 + 8)
"""Of a row, beside its vector: squared norm, row id and address, in the fragment and again in the version."""


def default_bytes() -> int:
    """What a database holds at most when nobody says: 2 GiB, or a quarter of the machine's memory if that is less."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return MOST_BYTES
    return min(MOST_BYTES, memory // 4)


@dataclass(frozen=True, slots=True, eq=False)
class HeldVectors:
    """The vectors of one column in one version of a table.

    A row's *position* counts all rows here, in the order of their addresses.

    Attributes:
        blocks: float32, each of shape (rows, ndims).
        starts: Position of each block's first row, and the number of rows at the end.
        squared_norms: float32, shape (rows,).
        row_ids: Lance's `_rowid`, shape (rows,).
        addresses: Lance's `_rowaddr`, ascending, shape (rows,).
        dead: Positions of rows that no search may find: deleted, or without a vector.
        schemas: For whoever searches: schemas of results, by what was asked.
    """

    blocks: tuple[NDArray[np.float32], ...]
    starts: Positions
    squared_norms: NDArray[np.float32]
    row_ids: NDArray[np.uint64]
    addresses: NDArray[np.uint64]
    dead: Positions
    schemas: dict[Any, pa.Schema] = field(default_factory=dict)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What takes memory."""
        return (*self.blocks, self.squared_norms, self.row_ids, self.addresses, self.dead)

    @property
    def num_rows(self) -> int:
        """Rows held, the dead among them."""
        return int(self.starts[-1])

    def positions(self, addresses: NDArray[np.uint64]) -> Positions:
        """Positions of the rows with these addresses, ascending; rows that are not held are left out."""
        wanted = np.sort(addresses)
        positions = np.searchsorted(self.addresses, wanted)
        found = positions < self.num_rows
        positions, wanted = positions[found], wanted[found]
        held: Positions = positions[self.addresses[positions] == wanted]
        return held

    def vectors(self, positions: Positions) -> NDArray[np.float32]:
        """The vectors at *positions*, which ascend; shape (len(positions), ndims)."""
        cuts = np.searchsorted(positions, self.starts)
        parts = [
            block[positions[cut:end] - start]
            for block, start, cut, end in zip(self.blocks, self.starts[:-1], cuts[:-1], cuts[1:], strict=True)
            if end > cut
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty((0, self._ndims), np.float32)])

    def subset(self, positions: Positions) -> HeldVectors:
        """The rows at *positions*, which ascend, copied into one block."""
        return HeldVectors(
            blocks=(self.vectors(positions),),
            starts=np.array([0, len(positions)], np.intp),
            squared_norms=self.squared_norms[positions],
            row_ids=self.row_ids[positions],
            addresses=self.addresses[positions],
            dead=np.flatnonzero(np.isin(positions, self.dead)) if len(self.dead) else self.dead,
        )

    @property
    def _ndims(self) -> int:
        return self.blocks[0].shape[1] if self.blocks else 0


@dataclass(frozen=True, slots=True, eq=False)
class _Fragment:
    """The rows of a fragment as they were when it was read, and which of them are deleted in some version."""

    vectors: NDArray[np.float32]
    squared_norms: NDArray[np.float32]
    row_ids: NDArray[np.uint64]
    addresses: NDArray[np.uint64]
    missing: Positions
    """Rows without a vector."""
    row_id_meta: Any
    deletion: str | None
    """Deletion file of the version that `deleted` is true of."""
    deleted: Positions

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        return self.vectors, self.squared_norms, self.row_ids, self.addresses, self.missing, self.deleted

    @property
    def dead(self) -> Positions:
        dead: Positions = np.union1d(self.missing, self.deleted)
        return dead


_Name: TypeAlias = tuple[str, str, str]
"""Database, table and column."""
_FragmentKey: TypeAlias = tuple[int, int, tuple[str, ...]]
"""Id of the fragment, of the field, and the files that hold the field's values: these say what the vectors are."""
_Version: TypeAlias = tuple[int, int]
"""Number and time: a table that is made anew counts from 1 again."""


class _UnsuitedError(Exception):
    """A fragment has values that only Lance's scan is to judge."""

    def __init__(self, fragment_id: int) -> None:
        super().__init__(fragment_id)
        self.fragment_id = fragment_id


class _Column:
    """What is held of one column of one table."""

    def __init__(self) -> None:
        self.loading = threading.Lock()
        self.fragments: dict[_FragmentKey, _Fragment] = {}
        self.unsuited: set[_FragmentKey] = set()
        self.versions: OrderedDict[_Version, tuple[HeldVectors | None, frozenset[_FragmentKey]]] = OrderedDict()
        self.nbytes = 0

    def know(self, version: _Version, held: HeldVectors | None, fragments: Mapping[_FragmentKey, _Fragment]) -> None:
        """Remember a version, and let go of fragments that no version remembered has."""
        self.versions[version] = held, frozenset(fragments)
        while len(self.versions) > VERSIONS_HELD:
            self.versions.popitem(last=False)
        self.keep(frozenset().union(*(keys for _, keys in self.versions.values())), fragments)

    def keep(self, keys: Collection[_FragmentKey], new: Mapping[_FragmentKey, _Fragment] | None = None) -> None:
        """Hold *new* and, of what is held, the fragments *keys*."""
        self.fragments = {key: one for key, one in {**self.fragments, **(new or {})}.items() if key in keys}
        self.nbytes = sum(array.nbytes for array in {id(array): array for array in self._arrays()}.values())

    def _arrays(self) -> Iterator[NDArray[Any]]:
        for fragment in self.fragments.values():
            yield from fragment.arrays
        for held, _ in self.versions.values():
            yield from held.arrays if held else ()


class VectorCache:
    """Holds vectors of tables within a bound; the column least recently searched goes first.

    A fragment's vectors are read once and serve every version that has the fragment, so that a version after an append
    costs the new rows, and one after a deletion the addresses of the rows left. Safe to use from several threads, which
    share what is being read.

    Args:
        limit_bytes: Most bytes to hold; 0 holds none.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._columns: OrderedDict[_Name, _Column] = OrderedDict()
        _caches.add(self)

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        with self._lock:
            return self._held_bytes()

    def takes(self, dataset: Dataset, column: VectorColumn) -> bool:
        """Whether `hold` would hold *column*, as far as can be told without reading it."""
        if not self.limit_bytes or not _is_suited(column):
            return False
        shown = dataset.lance
        with self._lock:
            known = self._columns.get(_name(dataset, column))
            if known and (version := known.versions.get(_version(shown))):
                return version[0] is not None
        return _num_bytes((each.metadata for each in shown.get_fragments()), column) <= self.limit_bytes

    def hold(self, dataset: Dataset, column: VectorColumn) -> HeldVectors | None:
        """The vectors of *column* in the version that *dataset* shows, read if need be.

        None: they are more than the bound, or have values that are for Lance's own scan: infinite ones, null within a
        vector, or such as float32 can't square.
        """
        if not self.takes(dataset, column):
            return None
        shown = dataset.lance
        name, version = _name(dataset, column), _version(shown)
        with self._lock:
            known = self._columns.setdefault(name, _Column())
            self._columns.move_to_end(name)
            if version in known.versions:
                known.versions.move_to_end(version)
                return known.versions[version][0]
        with known.loading:
            if version in known.versions:
                return known.versions[version][0]
            with dataset.errors():
                held, fragments = self._load(shown, column, name, known)
            return self._publish(name, known, version, held, fragments)

    def forget(self, location: Location, table: str) -> None:
        """Let go of a table's vectors."""
        with self._lock:
            for name in [name for name in self._columns if name[:2] == (location.key, table)]:
                del self._columns[name]

    def _load(
        self, shown: LanceDataset, column: VectorColumn, name: _Name, known: _Column
    ) -> tuple[HeldVectors | None, dict[_FragmentKey, _Fragment]]:
        there = _keyed(shown, column)
        if not known.unsuited.isdisjoint(there):
            return None, {}
        found = _still_true(shown, there, known.fragments)
        missing = [fragment for key, fragment in there.items() if key not in found]
        self._make_room(name, known, set(found), _num_bytes((each.metadata for each in missing), column))
        try:
            read = {each.fragment_id: rows for each, rows in _read(shown, missing, column)}
        except _UnsuitedError as unsuited:
            known.unsuited.update(key for key in there if key[0] == unsuited.fragment_id)
            return None, {}
        fragments = {key: found[key] if key in found else read[key[0]] for key in there}
        return _joined(list(fragments.values()), column.ndims), fragments

    def _make_room(self, name: _Name, known: _Column, used: set[_FragmentKey], needed: int) -> None:
        with self._lock:
            if self._held_bytes() + needed > self.limit_bytes and known.nbytes:
                known.versions.clear()
                known.keep(used)
            self._evict(self.limit_bytes - needed, sparing=name)

    def _publish(
        self,
        name: _Name,
        known: _Column,
        version: _Version,
        held: HeldVectors | None,
        fragments: Mapping[_FragmentKey, _Fragment],
    ) -> HeldVectors | None:
        with self._lock:
            self._columns[name] = known  # it may have been evicted meanwhile
            self._columns.move_to_end(name)
            known.know(version, held, fragments)
            self._evict(self.limit_bytes, sparing=name)
            if known.nbytes > self.limit_bytes:  # an older version, or deleted rows, are too much beside this one
                known.versions.clear()
                known.know(version, held, fragments)
            if known.nbytes > self.limit_bytes:
                known.versions.clear()
                known.know(version, None, {})
            return held

    def _evict(self, limit_bytes: int, sparing: _Name) -> None:
        for name in [name for name in self._columns if name != sparing]:
            if self._held_bytes() <= limit_bytes:
                return
            del self._columns[name]

    def _held_bytes(self) -> int:
        return sum(column.nbytes for column in self._columns.values())

    def _start_in_child(self) -> None:
        """Begin with nothing after a fork: another thread may have held the parent's locks."""
        self._lock = threading.Lock()
        self._columns = OrderedDict()


_caches: weakref.WeakSet[VectorCache] = weakref.WeakSet()


def _start_in_child() -> None:
    for cache in _caches:
        cache._start_in_child()


os.register_at_fork(after_in_child=_start_in_child)


def addresses_where(dataset: Dataset, condition: str) -> NDArray[np.uint64]:
    """Addresses of the rows that meet *condition*, SQL text."""
    return _addresses(dataset.read(scan_where(condition)))


def scan_where(condition: str) -> Scan:
    """The scan that `addresses_where` makes."""
    return Scan(columns=[], filter=condition, prefilter=True, with_row_address=True)


def _addresses(rows: pa.Table | pa.RecordBatch) -> NDArray[np.uint64]:
    addresses: NDArray[np.uint64] = rows["_rowaddr"].to_numpy()
    return addresses


def _is_suited(column: VectorColumn) -> bool:
    kind = column.value_type
    return (
        not column.multivector and "." not in column.name and (pa.types.is_float32(kind) or pa.types.is_float16(kind))
    )


def _name(dataset: Dataset, column: VectorColumn) -> _Name:
    return dataset.location.key, dataset.name, column.name


def _version(shown: LanceDataset) -> _Version:
    number, time = int(shown.version), int(shown._ds.current_version()["timestamp"])
    return number, time


def _num_bytes(fragments: Iterable[Any], column: VectorColumn) -> int:
    num_rows = sum(int(each.num_rows) for each in fragments)
    return num_rows * (4 * column.ndims + _BYTES_BESIDE)


def _keyed(shown: LanceDataset, column: VectorColumn) -> dict[_FragmentKey, LanceFragment]:
    """The fragments by what makes their vectors, in the order of their ids and so of their rows' addresses."""
    field_id = shown.lance_schema.field(column.name).id()
    fragments = sorted(shown.get_fragments(), key=lambda each: each.fragment_id)
    return {(each.fragment_id, field_id, _files(each, field_id)): each for each in fragments}


def _files(fragment: LanceFragment, field_id: int) -> tuple[str, ...]:
    metadata = fragment.metadata
    files = [f"{file.base_id} {file.path}" for file in metadata.files if field_id in file.fields]
    return (*files, *map(str, metadata.overlays))


def _still_true(
    shown: LanceDataset, there: Mapping[_FragmentKey, LanceFragment], known: Mapping[_FragmentKey, _Fragment]
) -> dict[_FragmentKey, _Fragment]:
    """Of the fragments known, those that are *there*, with the rows deleted that are deleted there."""
    same = {
        key: known[key]
        for key, fragment in there.items()
        if key in known and known[key].row_id_meta == fragment.metadata.row_id_meta
    }
    changed = [key for key, one in same.items() if one.deletion != there[key].deletion_file()]
    if not changed:
        return same
    rows = shown.scanner(columns=[], fragments=[there[key] for key in changed], with_row_address=True).to_table()
    addresses = np.sort(_addresses(rows))
    cuts = np.searchsorted(addresses, np.array([key[0] << 32 for key in changed], np.uint64))
    for key, live in zip(changed, np.split(addresses, cuts[1:]), strict=True):
        if (fragment := _with_live(same.pop(key), live, there[key].deletion_file())) is not None:
            same[key] = fragment
    return same


def _with_live(fragment: _Fragment, live: NDArray[np.uint64], deletion: str | None) -> _Fragment | None:
    """*fragment* with all rows deleted but those *live*; None if it lacks some of these, or would be half dead."""
    is_live = np.isin(fragment.addresses, live, assume_unique=True)
    if np.count_nonzero(is_live) != len(live) or 2 * len(live) < len(is_live):
        return None
    return replace(fragment, deletion=deletion, deleted=np.flatnonzero(~is_live))


def _read(
    shown: LanceDataset, fragments: Sequence[LanceFragment], column: VectorColumn
) -> Iterator[tuple[LanceFragment, _Fragment]]:
    """Each of *fragments* with its rows; all are read in one scan.

    Raises:
        _UnsuitedError: A vector is infinite, has a null in it, or is too long or short for float32 to square.
    """
    if not fragments:
        return
    readers = {each.fragment_id: _Reader(each, column.ndims) for each in fragments}
    stable = bool(shown.has_stable_row_ids)
    scanner = shown.scanner(
        columns=[column.name],
        fragments=list(fragments),
        with_row_id=stable,
        with_row_address=True,
        scan_in_order=True,
        batch_size=flat_batch_rows(column),
        io_buffer_size=None if "://" in shown.uri else READ_AHEAD_BYTES,
    )
    for batch in scanner.to_batches():
        ids = _addresses(batch) >> np.uint64(32)
        cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        for start, stop in pairwise(cuts):
            if stop > start:
                readers[int(ids[start])].take(batch.slice(start, stop - start), column.name)
    for fragment in fragments:
        yield fragment, readers[fragment.fragment_id].finish(fragment)


class _Reader:
    """Gathers the rows of one fragment."""

    def __init__(self, fragment: LanceFragment, ndims: int) -> None:
        num_rows = fragment.metadata.num_rows
        self._fragment_id = fragment.fragment_id
        self._vectors = np.empty((num_rows, ndims), np.float32)
        self._squared_norms = np.empty(num_rows, np.float32)
        self._addresses = np.empty(num_rows, np.uint64)
        self._row_ids = self._addresses
        self._missing: list[Positions] = []
        self._filled = 0

    def take(self, batch: pa.RecordBatch, name: str) -> None:
        start, stop = self._filled, self._filled + batch.num_rows
        self._filled, column = stop, batch[name]
        vectors, norms = self._vectors[start:stop], self._squared_norms[start:stop]
        if (values := _values(column)) is None or stop > len(self._vectors):
            raise _UnsuitedError(self._fragment_id)
        vectors[:] = values.reshape(vectors.shape)
        is_null = column.is_null().to_numpy(zero_copy_only=False)
        vectors[is_null] = 0
        norms[:] = _squared_norms(vectors)
        if np.isnan(norms).any():
            is_null = is_null | np.isnan(vectors).any(axis=1)
            vectors[is_null] = norms[is_null] = 0
        if not _can_be_squared(vectors, norms):
            raise _UnsuitedError(self._fragment_id)
        self._missing.append(np.flatnonzero(is_null) + start)
        self._addresses[start:stop] = _addresses(batch)
        if "_rowid" in batch.schema.names:
            if self._row_ids is self._addresses:
                self._row_ids = np.empty_like(self._addresses)
            self._row_ids[start:stop] = batch["_rowid"].to_numpy()

    def finish(self, fragment: LanceFragment) -> _Fragment:
        if self._filled < len(self._vectors):
            raise _UnsuitedError(self._fragment_id)
        return _Fragment(
            vectors=self._vectors,
            squared_norms=self._squared_norms,
            row_ids=self._row_ids,
            addresses=self._addresses,
            missing=np.concatenate(self._missing) if self._missing else np.empty(0, np.intp),
            row_id_meta=fragment.metadata.row_id_meta,
            deletion=fragment.deletion_file(),
            deleted=np.empty(0, np.intp),
        )


def _values(column: pa.FixedSizeListArray) -> NDArray[Any] | None:
    """The numbers of all vectors in a row, anything where a vector is null; None if one has a null in it."""
    ndims = column.type.list_size
    values = column.values.slice(column.offset * ndims, len(column) * ndims)
    if values.null_count > column.null_count * ndims:
        return None
    array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array


def _squared_norms(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.einsum("ij,ij->i", vectors, vectors)
    return norms


def _can_be_squared(vectors: NDArray[np.float32], squared_norms: NDArray[np.float32]) -> bool:
    """Whether no product of two values vanishes or overflows that matters; zero itself is fine."""
    if len(squared_norms) == 0:
        return True
    return (
        bool(squared_norms.max() <= LARGEST_SQUARED_NORM) and not vectors[squared_norms < SMALLEST_SQUARED_NORM].any()
    )


def _joined(fragments: Sequence[_Fragment], ndims: int) -> HeldVectors:
    fragments = [each for each in fragments if len(each.vectors)]
    starts = np.cumsum([0, *(len(each.vectors) for each in fragments)], dtype=np.intp)
    if not fragments:
        empty = np.empty(0, np.uint64)
        return HeldVectors(
            (np.empty((0, ndims), np.float32),),
            np.zeros(2, np.intp),
            empty.astype(np.float32),
            empty,
            empty,
            starts[:0],
        )
    addresses = _concatenated([each.addresses for each in fragments])
    stable = fragments[0].row_ids is not fragments[0].addresses
    return HeldVectors(
        blocks=tuple(each.vectors for each in fragments),
        starts=starts,
        squared_norms=_concatenated([each.squared_norms for each in fragments]),
        row_ids=_concatenated([each.row_ids for each in fragments]) if stable else addresses,
        addresses=addresses,
        dead=np.concatenate([each.dead + start for each, start in zip(fragments, starts[:-1], strict=True)]),
    )


def _concatenated(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
