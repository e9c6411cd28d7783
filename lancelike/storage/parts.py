"""Reading vectors into memory: the rows of a fragment, or those of an index's segment, which lie by its partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from lance import LanceDataset
from lance.fragment import LanceFragment
from numpy.typing import NDArray

from lancelike.query.plan import VectorColumn, flat_batch_rows
from lancelike.storage.held import LARGEST_SQUARED_NORM, SMALLEST_SQUARED_NORM, Positions
from lancelike.storage.ivf import NOWHERE, IvfIndex

READ_AHEAD_BYTES = 32 << 20
"""Bytes that Lance reads from local files before they are copied. It would else read a whole column ahead, into memory
that it can't use again: 200 000 x 384 took 231 ms at best with this bound, 406 without it, Lance's own search 202."""
CHUNK_BYTES = 512 << 10
"""Vectors that are copied, measured and coded before the next, so that a core's cache holds them meanwhile: coding
200 000 x 384 took 72 ms in chunks of this size, 350 in chunks of 4 MiB."""
SAMPLE = 1024
"""Rows of a segment that are looked up to see that the index's centroids are those of its partitions."""

FragmentKey: TypeAlias = tuple[int, int, tuple[str, ...]]
"""Id of the fragment, of the field, and the files that hold the field's values: these say what the vectors are."""

_GONE = "gone"
"""In place of a deletion file: the fragment is not in the version."""


class UnsuitedError(Exception):
    """A fragment has values that only Lance's scan is to judge."""

    def __init__(self, fragment_id: int) -> None:
        super().__init__(fragment_id)
        self.fragment_id = fragment_id


@dataclass(frozen=True, slots=True)
class FragmentState:
    """What may change of a fragment while its vectors don't."""

    row_id_meta: Any
    deletion: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows as they were when they were read, and which of them are deleted in some version.

    Attributes:
        sources: The fragments that they are of, as they are in that version.
        missing: Positions of rows without a vector.
        deleted: Positions of rows that are deleted.
        offsets: Where each partition of the index begins, and the last ends; rows after that are in none. None: they
            lie in the fragment's order.
    """

    sources: Mapping[FragmentKey, FragmentState]
    vectors: NDArray[np.float32]
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    squared_norms: NDArray[np.float32]
    row_ids: NDArray[np.uint64]
    addresses: NDArray[np.uint64]
    missing: Positions
    deleted: Positions
    offsets: Positions | None

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What takes memory."""
        beside = (self.scales, self.squared_norms, self.row_ids, self.addresses, self.missing, self.deleted)
        return self.vectors, self.codes, *beside

    @property
    def dead(self) -> Positions:
        """Positions of rows that no search may find."""
        dead: Positions = np.union1d(self.missing, self.deleted)
        return dead


def bytes_of(num_rows: int, ndims: int) -> int:
    """What vectors take in memory, with all that is held of them.

    Values and codes; scale, squared norm, row id and address, in the part and again in the version; place by address.
    """
    return num_rows * (5 * ndims + 2 * (4 + 4 + 8 + 8) + 8)


def keyed(shown: LanceDataset, column: VectorColumn) -> dict[FragmentKey, LanceFragment]:
    """The fragments by what makes their vectors, in the order of their ids and so of their rows' addresses."""
    field_id = shown.lance_schema.field(column.name).id()
    fragments = sorted(shown.get_fragments(), key=lambda each: each.fragment_id)
    return {(each.fragment_id, field_id, _files(each, field_id)): each for each in fragments}


def _files(fragment: LanceFragment, field_id: int) -> tuple[str, ...]:
    metadata = fragment.metadata
    files = [f"{file.base_id} {file.path}" for file in metadata.files if field_id in file.fields]
    return (*files, *map(str, metadata.overlays))


def still_true(
    shown: LanceDataset, there: Mapping[FragmentKey, LanceFragment], parts: Mapping[Any, Part]
) -> dict[Any, Part]:
    """*parts* with the rows deleted that are deleted in *shown*; without those that lack rows, or would be half dead.

    Args:
        shown: The version.
        there: Its fragments.
        parts: Each has a fragment that is there.
    """
    same = {
        name: part
        for name, part in parts.items()
        if all(part.sources[key].row_id_meta == there[key].metadata.row_id_meta for key in part.sources if key in there)
    }
    changes = {name: _changed(part, there) for name, part in same.items()}
    changed = {key for keys in changes.values() for key in keys if key in there}
    if not any(changes.values()):
        return same
    live = np.empty(0, np.uint64)
    if changed:
        fragments = [there[key] for key in sorted(changed)]
        live = addresses_in(shown.scanner(columns=[], fragments=fragments, with_row_address=True).to_table())
    checked = {name: _with_live(part, changes[name], there, live) for name, part in same.items()}
    return {name: part for name, part in checked.items() if part is not None}


def _changed(part: Part, there: Mapping[FragmentKey, LanceFragment]) -> list[FragmentKey]:
    return [key for key, state in part.sources.items() if state.deletion != _deletion(there, key)]


def _deletion(there: Mapping[FragmentKey, LanceFragment], key: FragmentKey) -> str | None:
    return there[key].deletion_file() if key in there else _GONE


def _with_live(
    part: Part, changed: Sequence[FragmentKey], there: Mapping[FragmentKey, LanceFragment], live: NDArray[np.uint64]
) -> Part | None:
    """*part* with all rows of fragments that *changed* deleted but those *live*."""
    if not changed:
        return part
    ids = np.array([key[0] for key in changed], np.uint64)
    is_changed = np.isin(part.addresses >> np.uint64(32), ids)
    is_live = np.isin(part.addresses, live, assume_unique=True) & is_changed
    is_deleted = np.zeros(len(is_live), np.bool_)
    is_deleted[part.deleted] = True
    is_deleted[is_changed] = ~is_live[is_changed]
    if np.count_nonzero(is_live) != np.count_nonzero(np.isin(live >> np.uint64(32), ids)):
        return None
    if 2 * np.count_nonzero(is_deleted) > len(is_deleted):
        return None
    states = {key: replace(state, deletion=_deletion(there, key)) for key, state in part.sources.items()}
    return replace(part, sources=states, deleted=np.flatnonzero(is_deleted))


def read_fragments(
    shown: LanceDataset, fragments: Mapping[FragmentKey, LanceFragment], column: VectorColumn, check: Callable[[], None]
) -> dict[FragmentKey, Part]:
    """The rows of each of *fragments*, read in one scan.

    Raises:
        UnsuitedError: A vector is infinite, has a null in it, or is too long or short for float32 to square.
    """
    if not fragments:
        return {}
    readers = {key[0]: _Reader({key: each}, column) for key, each in fragments.items()}
    for batch in _batches(shown, fragments.values(), column):
        check()
        ids = addresses_in(batch) >> np.uint64(32)
        cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        for start, stop in pairwise(cuts):
            if stop > start:
                readers[int(ids[start])].take(batch.slice(start, stop - start))
    return {key: readers[key[0]].finish() for key in fragments}


def read_segment(
    shown: LanceDataset,
    fragments: Mapping[FragmentKey, LanceFragment],
    column: VectorColumn,
    index: IvfIndex,
    check: Callable[[], None],
) -> Part:
    """The rows of a segment's *fragments*, partition by partition.

    Raises:
        UnsuitedError: As for `read_fragments`.
    """
    stable = bool(shown.has_stable_row_ids)
    rows = shown.scanner(
        columns=[], fragments=list(fragments.values()), with_row_id=stable, with_row_address=True, scan_in_order=True
    ).to_table()
    addresses = addresses_in(rows)
    partitions = index.partitions_of(rows["_rowid"].to_numpy() if stable else addresses)
    count = len(index.centroids)
    order = np.argsort(np.where(partitions == NOWHERE, count, partitions), kind="stable")
    slots = np.empty_like(order)
    slots[order] = np.arange(len(order))
    reader = _Reader(fragments, column, slots)
    for batch in _batches(shown, fragments.values(), column):
        check()
        reader.take(batch)
    part = reader.finish()
    if not np.array_equal(part.addresses[slots], addresses):
        raise UnsuitedError(next(iter(fragments))[0])
    if not _agrees(part, partitions[order], index):
        return part
    sizes = np.bincount(partitions[partitions != NOWHERE], minlength=count)
    return replace(part, offsets=np.concatenate([np.zeros(1, np.intp), np.cumsum(sizes)]))


def _agrees(part: Part, partitions: NDArray[np.int32], index: IvfIndex) -> bool:
    """Whether rows are in the partition whose centroid is nearest to them, nearly always."""
    listed = np.setdiff1d(np.flatnonzero(partitions != NOWHERE), part.missing, assume_unique=True)
    if not len(listed):
        return False
    sample = listed[:: max(1, len(listed) // SAMPLE)]
    return bool(np.mean(index.nearest_partitions(part.vectors[sample]) == partitions[sample]) > 0.9)


def _batches(shown: LanceDataset, fragments: Iterable[LanceFragment], column: VectorColumn) -> Iterator[pa.RecordBatch]:
    scanner = shown.scanner(
        columns=[column.name],
        fragments=list(fragments),
        with_row_id=bool(shown.has_stable_row_ids),
        with_row_address=True,
        scan_in_order=True,
        batch_size=flat_batch_rows(column),
        io_buffer_size=None if "://" in shown.uri else READ_AHEAD_BYTES,
    )
    yield from scanner.to_batches()


class _Reader:
    """Gathers the rows of a part, each at its slot, or in the order in which they come."""

    def __init__(
        self, fragments: Mapping[FragmentKey, LanceFragment], column: VectorColumn, slots: Positions | None = None
    ) -> None:
        num_rows = sum(int(each.metadata.num_rows) for each in fragments.values())
        self._sources = {
            key: FragmentState(each.metadata.row_id_meta, each.deletion_file()) for key, each in fragments.items()
        }
        self._fragment_id = next(iter(fragments))[0]
        self._column, self._slots = column, slots
        self._vectors = np.empty((num_rows, column.ndims), np.float32)
        self._codes = np.empty((num_rows, column.ndims), np.int8)
        self._scales = np.empty(num_rows, np.float32)
        self._squared_norms = np.empty(num_rows, np.float32)
        self._addresses = np.empty(num_rows, np.uint64)
        self._row_ids = self._addresses
        self._missing: list[Positions] = []
        self._filled = 0

    def take(self, batch: pa.RecordBatch) -> None:
        start, column = self._filled, batch[self._column.name]
        self._filled += batch.num_rows
        if (values := _values(column)) is None or self._filled > len(self._vectors):
            raise UnsuitedError(self._fragment_id)
        places: slice | Positions = slice(start, self._filled)
        if self._slots is not None:
            places = self._slots[places]
        vectors, is_null = values.reshape(batch.num_rows, -1), column.is_null().to_numpy(zero_copy_only=False)
        rows = max(1, CHUNK_BYTES // (4 * self._column.ndims))
        for first in range(0, batch.num_rows, rows):
            chunk = slice(first, first + rows)
            at = slice(start + first, start + min(first + rows, batch.num_rows))
            self._keep(vectors[chunk], is_null[chunk], at if self._slots is None else self._slots[at])
        self._addresses[places] = addresses_in(batch)
        if "_rowid" in batch.schema.names:
            if self._row_ids is self._addresses:
                self._row_ids = np.empty_like(self._addresses)
            self._row_ids[places] = batch["_rowid"].to_numpy()

    def _keep(self, values: NDArray[Any], is_null: NDArray[np.bool_], places: slice | Positions) -> None:
        in_place = isinstance(places, slice)
        vectors = self._vectors[places] if in_place else np.empty(values.shape, np.float32)
        vectors[:] = values
        vectors[is_null] = 0
        norms = np.einsum("ij,ij->i", vectors, vectors)
        if np.isnan(norms).any():
            is_null = is_null | np.isnan(vectors).any(axis=1)
            vectors[is_null] = norms[is_null] = 0
        if not _can_be_squared(vectors, norms):
            raise UnsuitedError(self._fragment_id)
        if is_null.any():
            self._missing.append(np.arange(len(self._vectors))[places][is_null])
        self._squared_norms[places] = norms
        self._codes[places], self._scales[places] = coded(vectors)
        if not in_place:
            self._vectors[places] = vectors

    def finish(self) -> Part:
        if self._filled < len(self._vectors):
            raise UnsuitedError(self._fragment_id)
        return Part(
            sources=self._sources,
            vectors=self._vectors,
            codes=self._codes,
            scales=self._scales,
            squared_norms=self._squared_norms,
            row_ids=self._row_ids,
            addresses=self._addresses,
            missing=np.sort(np.concatenate(self._missing)) if self._missing else np.empty(0, np.intp),
            deleted=np.empty(0, np.intp),
            offsets=None,
        )


def coded(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """*vectors*, shape (n, ndims), by their scales and rounded, so that int8 holds them; and the scales.

    A scale is a 127th of the largest absolute value, so that no value times its scale is off by more than half of it.
    """
    codes = np.abs(vectors)
    scales: NDArray[np.float32] = codes.max(axis=1, initial=0) / np.float32(127)
    np.divide(vectors, np.where(scales > 0, scales, np.float32(1))[:, np.newaxis], out=codes)
    return np.rint(codes, out=codes), scales


def addresses_in(rows: pa.Table | pa.RecordBatch) -> NDArray[np.uint64]:
    """`_rowaddr` of each row."""
    addresses: NDArray[np.uint64] = rows["_rowaddr"].to_numpy()
    return addresses


def _values(column: pa.FixedSizeListArray) -> NDArray[Any] | None:
    """The numbers of all vectors in a row, anything where a vector is null; None if one has a null in it."""
    ndims = column.type.list_size
    values = column.values.slice(column.offset * ndims, len(column) * ndims)
    if values.null_count > column.null_count * ndims:
        return None
    array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array


def _can_be_squared(vectors: NDArray[np.float32], squared_norms: NDArray[np.float32]) -> bool:
    """Whether no product of two values vanishes or overflows that matters; zero itself is fine."""
    if len(squared_norms) == 0:
        return True
    return (
        bool(squared_norms.max() <= LARGEST_SQUARED_NORM) and not vectors[squared_norms < SMALLEST_SQUARED_NORM].any()
    )
