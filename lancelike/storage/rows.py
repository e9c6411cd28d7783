"""Columns in memory, beside vectors: what the rows that a search found have in them, without asking Lance."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance.fragment import LanceFragment
from numpy.typing import NDArray

from lancelike.query.comparison import Comparison, Operator
from lancelike.schema.blobs import is_blob_like_field
from lancelike.storage.dataset import Dataset
from lancelike.storage.parts import addresses_in
from lancelike.storage.read_ahead import read_ahead_bytes

TAKES_BEFORE_READING = 10
"""Answers whose rows Lance reads by id before their columns are read to be held. Ten rows of id and text take it 0.4 to
0.7 ms, and all 200 000 of them 10 ms; from memory ten take 0.02."""

BATCH_BYTES = 4 << 20
"""Of columns, read at a time. Of values of 400 kB Lance read all of 1 500 rows at once, 600 MB, for the first few."""
MOST_BATCH_ROWS = 8192
ROWS_TRIED = 16
"""Rows of which it is seen how many make that much."""

_COMPARES: Mapping[Operator, Callable[[pa.Array, pa.Scalar], pa.Array]] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}

_ID_BITS = np.uint64(32)
_PLACES = pa.int64()
_TAKE, _WITHOUT_CHECK = pc.get_function("take"), pc.TakeOptions(boundscheck=False)
"""As `take` of a batch does, but for what that looks up each time: 33 us for 54 out of a cold cache."""

FEW = 16
"""Rows that are put together as slices: ten of two columns take 3 us longer than by `take` in a loop, and 60 less out
of cold caches."""

_Files: TypeAlias = tuple[str, ...]
_FragmentName: TypeAlias = tuple[int, _Files]
"""Id, and the files that hold its values."""


class _TooLargeError(Exception):
    """Columns take more than they may; the largest of them is that of a field with this id."""

    def __init__(self, field_id: int) -> None:
        super().__init__(field_id)
        self.field_id = field_id


@dataclass(frozen=True, slots=True, eq=False)
class _Fragment:
    """Rows of a fragment: those that were not deleted when they were read.

    Attributes:
        addresses: Of the rows, ascending.
        columns: Their values, by the id of the field.
        deletion: The file that names the rows deleted then; None without any.
        batches: Several columns as one batch, of which Arrow takes rows by one call.
    """

    addresses: NDArray[np.uint64]
    columns: Mapping[int, pa.Array]
    deletion: str | None
    batches: dict[tuple[int, ...], pa.RecordBatch] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return int(self.addresses.nbytes) + sum(int(column.nbytes) for column in self.columns.values())

    def take(self, addresses: NDArray[np.uint64], field_ids: Sequence[int]) -> list[pa.Array] | None:
        """The values of the rows at *addresses*; None if not all are held."""
        if (batch := self._batch(tuple(field_ids))) is None:
            return None
        places = self.addresses.searchsorted(addresses)
        if self.addresses.take(places, mode="clip").tobytes() != addresses.tobytes():
            return None
        if len(places) <= FEW:
            return list(pa.concat_batches([batch.slice(place, 1) for place in places.tolist()]).columns)
        at = pa.Array.from_buffers(_PLACES, len(places), [None, pa.py_buffer(places)])
        return list(_TAKE.call([batch, at], _WITHOUT_CHECK).columns)

    def _batch(self, field_ids: tuple[int, ...]) -> pa.RecordBatch | None:
        """Columns *field_ids*; None if not all are held."""
        if field_ids not in self.batches:
            columns = [self.columns[field_id] for field_id in field_ids if field_id in self.columns]
            if len(columns) < len(field_ids):
                return None
            self.batches[field_ids] = pa.RecordBatch.from_arrays(columns, list(map(str, field_ids)))
        return self.batches[field_ids]

    def places(self, key: int, operator: Operator, value: pa.Scalar) -> pa.Array:
        """Of the rows whose field *key* compares so with *value*."""
        return pc.indices_nonzero(_COMPARES[operator](self.columns[key], value))


@dataclass(frozen=True, slots=True)
class _Version:
    """What a version of a table has that can be held."""

    fragments: Mapping[int, _FragmentName]
    deletions: Mapping[_FragmentName, str | None]
    """The file that names the rows deleted of each fragment."""
    field_ids: Mapping[str, int]
    """Of the columns that Lance's scan and its reading by id give alike, and that are values only."""


_versions: WeakKeyDictionary[Dataset, _Version] = WeakKeyDictionary()


class HeldRows:
    """Columns of a table's rows, fragment by fragment: each is read once, and serves every version that has it."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._reading = threading.Lock()
        self._fragments: dict[_FragmentName, _Fragment] = {}
        self._too_large: set[int] = set()
        self._takes = 0

    def take(self, dataset: Dataset, addresses: NDArray[np.uint64], names: Sequence[str]) -> dict[str, pa.Array] | None:
        """Columns *names* of the rows at *addresses*, in their order; None if something of that is not held.

        Args:
            dataset: A handle that stays at its version.
            addresses: At least one.
            names: Of columns.
        """
        shown = _version(dataset)
        field_ids = [shown.field_ids[name] for name in names if name in shown.field_ids]
        if len(field_ids) < len(names):
            return None
        if len(shown.fragments) == 1:
            [only] = shown.fragments.values()
            columns = self._of_fragment(only, addresses, field_ids)
            return None if columns is None else dict(zip(names, columns, strict=True))
        ids = addresses >> _ID_BITS
        first = int(ids[0])
        if (ids == first).all():
            columns = self._of_fragment(shown.fragments[first], addresses, field_ids)
            return None if columns is None else dict(zip(names, columns, strict=True))
        taken: list[list[pa.Array]] = []
        places: list[NDArray[np.intp]] = []
        for fragment, its in _groups(ids):
            columns = self._of_fragment(shown.fragments[fragment], addresses[its], field_ids)
            if columns is None:
                return None
            taken.append(columns)
            places.append(its)
        back = pa.array(np.argsort(np.concatenate(places)))
        joined = [pa.concat_arrays(parts).take(back) for parts in zip(*taken, strict=True)]
        return dict(zip(names, joined, strict=True))

    def _of_fragment(
        self, name: _FragmentName, addresses: NDArray[np.uint64], field_ids: Sequence[int]
    ) -> list[pa.Array] | None:
        fragment = self._fragments.get(name)
        return None if fragment is None else fragment.take(addresses, field_ids)

    def where(self, dataset: Dataset, wanted: Comparison, names: Sequence[str]) -> dict[str, pa.Array] | None:
        """Columns *names* of the rows that are *wanted*, in order; None if something of that is not held.

        Args:
            dataset: A handle that stays at its version.
            wanted: Of any column.
            names: Of columns, at least one.
        """
        if (places := self._places(dataset, wanted, names)) is None:
            return None
        field_ids = _version(dataset).field_ids
        found = [[fragment.columns[field_ids[name]].take(its) for name in names] for fragment, its in places]
        columns = found[0] if len(found) == 1 else map(pa.concat_arrays, zip(*found, strict=True))
        return dict(zip(names, columns, strict=True))

    def addresses_where(self, dataset: Dataset, wanted: Comparison) -> NDArray[np.uint64] | None:
        """Addresses of the rows that are *wanted*; None if the column is not held, or of other rows too.

        Args:
            dataset: A handle that stays at its version.
            wanted: Of any column.
        """
        if (places := self._places(dataset, wanted)) is None:
            return None
        return np.concatenate([fragment.addresses[its.to_numpy()] for fragment, its in places])

    def _places(
        self, dataset: Dataset, wanted: Comparison, names: Sequence[str] = ()
    ) -> list[tuple[_Fragment, pa.Array]] | None:
        """The fragments, all of whose rows are held with columns *names*, and where in each the rows *wanted* are."""
        if not self._fragments:
            return None
        shown = _version(dataset)
        if (fragments := self._whole(shown, [wanted.column, *names])) is None:
            return None
        key = shown.field_ids[wanted.column]
        if (value := _scalar(fragments[0].columns[key].type, wanted)) is None:
            return None
        return [(fragment, fragment.places(key, wanted.operator, value)) for fragment in fragments]

    def _whole(self, shown: _Version, names: Iterable[str]) -> list[_Fragment] | None:
        """All fragments, if they are held with columns *names* and the same rows deleted."""
        field_ids = {shown.field_ids.get(name) for name in names}
        fragments = []
        for name, deletion in shown.deletions.items():
            held = self._fragments.get(name)
            if held is None or held.deletion != deletion or not held.columns.keys() >= field_ids:
                return None
            fragments.append(held)
        return fragments or None

    def holds_all(self, dataset: Dataset, names: Sequence[str]) -> bool:
        """Whether `where` has columns *names* of all rows, and of no others."""
        return self._whole(_version(dataset), names) is not None

    def holds(self, dataset: Dataset, names: Sequence[str]) -> bool:
        """Whether `take` has columns *names* of every row."""
        shown = _version(dataset)
        held = [self._fragments.get(name) for name in shown.fragments.values()]
        field_ids = [shown.field_ids.get(name) for name in names]
        return all(each is not None and each.columns.keys() >= set(field_ids) for each in held)

    def is_wanted(self, dataset: Dataset, names: Sequence[str]) -> bool:
        """Whether so many answers had to be read by Lance that columns *names* should be held, if they can be."""
        self._takes += 1
        if self._takes < TAKES_BEFORE_READING or self._reading.locked():
            return False
        field_ids = _version(dataset).field_ids
        return all(name in field_ids and field_ids[name] not in self._too_large for name in names)

    def read(
        self, dataset: Dataset, names: Iterable[str], most_bytes: int, check: Callable[[], None] = lambda: None
    ) -> None:
        """Hold columns *names*, but for those that hold more than values, or are too large, and let go of older rows.

        Args:
            dataset: A handle that stays at its version.
            names: Of columns.
            most_bytes: To hold in all.
            check: Called now and then; may raise to end this.
        """
        with self._reading, dataset.errors():
            self._takes = 0
            shown = _version(dataset)
            field_ids = {name: shown.field_ids[name] for name in names if name in shown.field_ids}
            self._keep({name: each for name, each in self._fragments.items() if name in shown.fragments.values()})
            while wanted := {name: its for name, its in field_ids.items() if its not in self._too_large}:
                try:
                    self._keep(self._read(dataset, shown, wanted, most_bytes, check))
                except _TooLargeError as error:
                    self._too_large.add(error.field_id)
                else:
                    return

    def _read(
        self,
        dataset: Dataset,
        shown: _Version,
        wanted: Mapping[str, int],
        most_bytes: int,
        check: Callable[[], None],
    ) -> dict[_FragmentName, _Fragment]:
        """All fragments with columns *wanted*, those read that lack one."""
        held = self._fragments
        lacking = {
            name[0]: name
            for name in shown.fragments.values()
            if name not in held
            or held[name].deletion != shown.deletions[name]
            or not held[name].columns.keys() >= set(wanted.values())
        }
        room = most_bytes - sum(each.nbytes for name, each in held.items() if name not in lacking.values())
        there = [each for each in dataset.lance.get_fragments() if each.fragment_id in lacking]
        read = dict(held)
        for fragment_id, addresses, columns in _read_fragments(dataset, there, wanted, room, check):
            name = lacking[fragment_id]
            if name in held and np.array_equal(held[name].addresses, addresses):
                columns = {**held[name].columns, **columns}
            read[name] = _Fragment(addresses, columns, shown.deletions[name])
        return read

    def _keep(self, fragments: dict[_FragmentName, _Fragment]) -> None:
        self._fragments = fragments
        self.nbytes = sum(each.nbytes for each in fragments.values())


def can_be_held(field: pa.Field) -> bool:
    """Whether the values of *field* are all that there is to it: no blob, dictionary, or type of an extension."""
    kind = field.type
    if is_blob_like_field(field) or b"ARROW:extension:name" in (field.metadata or {}):
        return False
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_dictionary(kind):
        return False
    return all(can_be_held(kind.field(i)) for i in range(kind.num_fields))


def _version(dataset: Dataset) -> _Version:
    if (known := _versions.get(dataset)) is not None:
        return known
    with dataset.errors():
        shown = dataset.lance
        names = {(each.fragment_id, _files(each)): each for each in shown.get_fragments()}
        known = _versions[dataset] = _Version(
            {name[0]: name for name in names},
            {name: each.deletion_file() for name, each in names.items()},
            {field.name: shown.lance_schema.field(field.name).id() for field in shown.schema if can_be_held(field)},
        )
    return known


def _files(fragment: LanceFragment) -> _Files:
    metadata = fragment.metadata
    return (*(f"{file.base_id} {file.path}" for file in metadata.files), *map(str, metadata.overlays))


def _scalar(kind: pa.DataType, wanted: Comparison) -> pa.Scalar | None:
    """What a column of type *kind* is compared with; None where that is for Lance to say."""
    is_text = isinstance(wanted.value, str)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) if is_text else pa.types.is_integer(kind)):
        return None
    try:
        return pa.scalar(wanted.value, kind)
    except (pa.ArrowInvalid, OverflowError):
        return None


def _groups(ids: NDArray[np.uint64]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each of *ids* once, with its places."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    cuts = [0, *(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist(), len(ids)]
    for start, stop in pairwise(cuts):
        yield int(ordered[start]), order[start:stop]


def _read_fragments(
    dataset: Dataset,
    fragments: Sequence[LanceFragment],
    wanted: Mapping[str, int],
    most_bytes: int,
    check: Callable[[], None],
) -> Iterator[tuple[int, NDArray[np.uint64], dict[int, pa.Array]]]:
    """Id, addresses and columns of each of *fragments* that has rows.

    Raises:
        _TooLargeError: Together they take more than *most_bytes*.
    """
    if not fragments:
        return
    sizes: Counter[int] = Counter()
    batches: list[pa.RecordBatch] = []
    scanner = dataset.lance.scanner(
        columns=list(wanted),
        fragments=list(fragments),
        with_row_address=True,
        scan_in_order=True,
        batch_size=_rows_at_a_time(fragments, list(wanted)),
        io_buffer_size=read_ahead_bytes(dataset.lance),
    )
    for batch in scanner.to_batches():
        check()
        batches.append(batch)
        sizes.update({field_id: batch[name].nbytes for name, field_id in wanted.items()})
        if sizes.total() > most_bytes:
            raise _TooLargeError(sizes.most_common(1)[0][0])
    rows = pa.Table.from_batches(batches, schema=scanner.projected_schema)
    addresses = addresses_in(rows)
    for fragment_id, places in _groups(addresses >> _ID_BITS):
        part = rows.slice(places[0], len(places))
        columns = {field_id: _whole(part[name]) for name, field_id in wanted.items()}
        yield fragment_id, addresses[places], columns


def _rows_at_a_time(fragments: Sequence[LanceFragment], names: list[str]) -> int:
    """Rows of `BATCH_BYTES`, by what some of the largest of *fragments* take; no more than Lance's own number."""
    largest = max(fragments, key=lambda each: int(each.metadata.num_rows))
    places = np.linspace(0, largest.metadata.num_rows, ROWS_TRIED, endpoint=False, dtype=np.intp)
    some = largest.take(np.unique(places).tolist(), columns=names)
    return int(min(max(1, BATCH_BYTES * some.num_rows // max(1, some.nbytes)), MOST_BATCH_ROWS))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
