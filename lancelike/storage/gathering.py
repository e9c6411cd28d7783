"""Vectors that are read, gathered: with their codes, norms and ids, in the order in which a part holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from lance.fragment import LanceFragment
from numpy.typing import NDArray

from lancelike.query.plan import VectorColumn
from lancelike.storage.held import LARGEST_SQUARED_NORM, SMALLEST_SQUARED_NORM
from lancelike.storage.parts import FragmentKey, FragmentState, Part, TooLargeError, UnsuitedError, addresses_in
from lancelike.storage.vectors import Positions, Vectors

CHUNK_BYTES = 512 << 10
"""Vectors, as float32, that are measured and coded before the next, so that a core's cache holds them meanwhile: coding
200 000 x 384 took 72 ms in chunks of this size, 350 in chunks of 4 MiB."""
GROWTH = 1.5
"""Times that room for vectors grows where their number isn't known."""


@dataclass(slots=True)
class Room:
    """How much may still be gathered.

    Attributes:
        vectors: How many.
        check: Called now and then; may raise to end the reading.
    """

    vectors: int
    check: Callable[[], None]

    def take(self, count: int) -> None:
        """Make use of room for *count* vectors.

        Raises:
            TooLargeError: There is none.
        """
        self.check()
        self.vectors -= count
        if self.vectors < 0:
            raise TooLargeError


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """`_rowaddr` and `_rowid` of rows, which ascend by address; one array where they are the same."""

    addresses: NDArray[np.uint64]
    row_ids: NDArray[np.uint64]

    @classmethod
    def of(cls, rows: pa.Table | pa.RecordBatch) -> Ids:
        """Those of *rows*."""
        addresses = addresses_in(rows)
        return cls(addresses, rows["_rowid"].to_numpy() if "_rowid" in rows.schema.names else addresses)

    def only(self, places: slice | Positions) -> Ids:
        """Those at *places*."""
        addresses = self.addresses[places]
        return Ids(addresses, addresses if self.row_ids is self.addresses else self.row_ids[places])


class Gatherer:
    """Gathers the rows of a part, each at its slot, or in the order in which they come.

    Args:
        fragments: Whose rows.
        column: Whose vectors.
        room: For how many.
        slots: For each row in the order in which they come, where it goes; None: nowhere else.
    """

    def __init__(
        self,
        fragments: Mapping[FragmentKey, LanceFragment],
        column: VectorColumn,
        room: Room,
        slots: Positions | None = None,
    ) -> None:
        self._states = {
            key: FragmentState(each.metadata.row_id_meta, each.deletion_file()) for key, each in fragments.items()
        }
        self._fragment_id = next(iter(fragments))[0]
        self._column, self._room, self._slots = column, room, slots
        self._num_rows = rows = sum(int(each.metadata.num_rows) for each in fragments.values())
        self._dtype = column.dtype
        self._is_of_bytes = self._dtype == np.uint8
        self._codes = np.empty((rows, column.ndims), np.uint8 if self._is_of_bytes else np.int8)
        self._scales, self._squared_norms = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
        self._addresses = np.empty(rows, np.uint64)
        self._row_ids = self._addresses
        self._mapped: list[NDArray[Any]] = []
        self._copied = np.empty((0, column.ndims), self._dtype)
        self._owners = np.empty(rows if slots is not None else 0, np.int32)
        self._places = np.empty(len(self._owners), np.intp)
        self._missing: list[Positions] = []
        self._filled = self._num_copied = 0

    def take(self, batch: pa.RecordBatch) -> None:
        """Gather the rows of *batch*, of a scan."""
        column, ids = batch[self._column.name], Ids.of(batch)
        if self._column.multivector:
            if column.flatten().null_count:
                raise UnsuitedError(self._fragment_id)
            column, counts = _flattened(column)
            ids = ids.only(np.repeat(np.arange(len(counts)), counts))
        if (values := _values(column)) is None:
            raise UnsuitedError(self._fragment_id)
        self._make_room(len(ids.addresses))
        first = self._filled
        self._put_ids(ids)
        is_null = column.is_null().to_numpy(zero_copy_only=False)
        if not self._is_of_bytes:
            self._copy(values, first)
        for start, stop in self._chunks(len(values)):
            self._measure(values[start:stop], is_null[start:stop], self._at(first + start, first + stop))

    def take_mapped(self, ids: Ids, vectors: Vectors) -> None:
        """Gather the rows *ids*, whose *vectors* are in a mapped file, in order; before any that are copied."""
        [source], places = vectors.sources, vectors.where
        if not len(self._places):
            self._owners, self._places = np.empty(self._num_rows, np.int32), np.empty(self._num_rows, np.intp)
        first = self._filled
        self._put_ids(ids)
        at = self._at(first, self._filled)
        self._owners[at], self._places[at] = len(self._mapped), places
        self._mapped.append(source)
        none = np.zeros(len(places), np.bool_)
        for start, stop in self._chunks(len(places)):
            self._room.take(stop - start)
            values = _in_file(source, places[start:stop])
            self._measure(values, none[start:stop], self._at(first + start, first + stop))

    def finish(self) -> Part:
        """All that was gathered.

        Raises:
            UnsuitedError: There were fewer rows than the fragments have.
        """
        if self._filled < self._num_rows:
            raise UnsuitedError(self._fragment_id)
        self._trim()
        missing = np.sort(np.concatenate(self._missing)) if self._missing else np.empty(0, np.intp)
        return Part(
            sources=self._states,
            vectors=self._vectors(),
            codes=self._codes,
            scales=self._scales,
            squared_norms=self._squared_norms,
            row_ids=self._row_ids,
            addresses=self._addresses,
            missing=missing,
            deleted=np.empty(0, np.intp),
            offsets=None,
        )

    def _vectors(self) -> Vectors:
        if self._is_of_bytes:
            return Vectors((self._codes,))
        sources = (*self._mapped, self._copied) if self._num_copied or not self._mapped else tuple(self._mapped)
        if not len(self._places):
            return Vectors(sources)
        return Vectors(sources, self._owners if len(sources) > 1 else None, self._places)

    def _chunks(self, count: int) -> Iterator[tuple[int, int]]:
        rows = max(1, CHUNK_BYTES // (4 * self._column.ndims))
        return ((start, min(start + rows, count)) for start in range(0, count, rows))

    def _at(self, start: int, stop: int) -> slice | Positions:
        return slice(start, stop) if self._slots is None else self._slots[start:stop]

    def _put_ids(self, ids: Ids) -> None:
        start, self._filled = self._filled, self._filled + len(ids.addresses)
        if self._filled > len(self._codes):
            raise UnsuitedError(self._fragment_id)
        at = self._at(start, self._filled)
        self._addresses[at] = ids.addresses
        if ids.row_ids is not ids.addresses:
            if self._row_ids is self._addresses:
                self._row_ids = np.empty_like(self._addresses)
            self._row_ids[at] = ids.row_ids

    def _copy(self, values: NDArray[Any], first: int) -> None:
        start, self._num_copied = self._num_copied, self._num_copied + len(values)
        if not len(self._copied):
            self._copied = np.empty((len(self._codes) - first, self._column.ndims), self._dtype)
        self._copied[start : self._num_copied] = values
        if len(self._places):
            at = self._at(first, first + len(values))
            self._owners[at], self._places[at] = len(self._mapped), np.arange(start, self._num_copied)

    def _measure(self, values: NDArray[Any], is_null: NDArray[np.bool_], at: slice | Positions) -> None:
        """Code *values* and find their norms; a vector that is null or has NaN in it is missing, and zero."""
        if self._is_of_bytes:
            self._codes[at] = values
        else:
            with np.errstate(over="ignore"):  # what is infinite then is refused
                vectors = values.astype(np.float32, copy=False)
            norms = np.einsum("ij,ij->i", vectors, vectors)
            if np.isnan(norms).any():
                is_nan = np.isnan(vectors).any(axis=1)
                if self._column.multivector and (is_nan & ~is_null).any():  # Lance goes by the row's other vectors
                    raise UnsuitedError(self._fragment_id)
                is_null = is_null | is_nan
            if is_null.any():
                vectors = np.where(is_null[:, np.newaxis], np.float32(0), vectors)
                norms[is_null] = 0
            if not _can_be_squared(vectors, norms):
                raise UnsuitedError(self._fragment_id)
            self._squared_norms[at] = norms
            self._codes[at], self._scales[at] = coded(vectors)
        if is_null.any():
            self._missing.append(np.arange(len(self._codes))[at][is_null])

    def _make_room(self, count: int) -> None:
        self._room.take(count)
        if self._column.multivector and (needed := self._filled + count) > len(self._codes):
            self._resize(max(needed, int(GROWTH * len(self._codes))))

    def _trim(self) -> None:
        if self._filled < len(self._codes):
            self._resize(self._filled)

    def _resize(self, rows: int) -> None:
        """Make all arrays *rows* long; large ones grow where they are."""
        ours: list[NDArray[Any]] = [self._codes, self._scales, self._squared_norms, self._addresses]
        ours += [self._copied] if len(self._copied) else []
        ours += [self._row_ids] if self._row_ids is not self._addresses else []
        for array in ours:
            array.resize((rows, *array.shape[1:]), refcheck=False)


def coded(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """*vectors*, shape (n, ndims), by their scales and rounded, so that int8 holds them; and the scales.

    A scale is a 127th of the largest absolute value, so that no value times its scale is off by more than half of it.
    """
    codes = np.abs(vectors)
    scales: NDArray[np.float32] = codes.max(axis=1, initial=0) / np.float32(127)
    np.divide(vectors, np.where(scales > 0, scales, np.float32(1))[:, np.newaxis], out=codes)
    return np.rint(codes, out=codes), scales


def _in_file(source: NDArray[Any], places: Positions) -> NDArray[Any]:
    """The vectors at *places*, which ascend, of a mapped file: no copy of those that touch."""
    ndims, first, last = source.shape[1], int(places[0]), int(places[-1])
    return source[first : last + 1 : ndims] if last - first == (len(places) - 1) * ndims else source[places]


def _flattened(column: pa.Array) -> tuple[pa.FixedSizeListArray, NDArray[np.intp]]:
    """The vectors of lists, one after the other, and how many each row has; a row without any has one that is null."""
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    vectors, counts = column.flatten(), np.maximum(lengths, 1).astype(np.intp)
    if (lengths > 0).all():
        return vectors, counts
    ends = np.cumsum(lengths)
    places = np.repeat(ends - lengths - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    return vectors.take(pa.array(places, mask=np.repeat(lengths == 0, counts))), counts


def _values(column: pa.FixedSizeListArray) -> NDArray[Any] | None:
    """The vectors, shape (len(column), ndims), anything where one is null; None if one has a null in it."""
    ndims = column.type.list_size
    values = column.values.slice(column.offset * ndims, len(column) * ndims)
    if values.null_count > column.null_count * ndims:
        return None
    if pa.types.is_uint8(values.type):
        values = values.fill_null(0)
    array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array.reshape(len(column), ndims)


def _can_be_squared(vectors: NDArray[np.float32], squared_norms: NDArray[np.float32]) -> bool:
    """Whether no product of two values vanishes or overflows that matters; zero itself is fine."""
    if len(squared_norms) == 0:
        return True
    return (
        bool(squared_norms.max() <= LARGEST_SQUARED_NORM) and not vectors[squared_norms < SMALLEST_SQUARED_NORM].any()
    )
