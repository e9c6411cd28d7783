"""A column's values for every row, written beside the rows and made the table's in one commit.

Each fragment gets one more data file. One commit then names these files, and the schema in which the column is new, or
stands in place of another; until then nobody sees them. A column that takes another's place is a field of its own to
Lance, so an index on the old one ends with it, and the old values stay where they were.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from lance import LanceDataset, LanceOperation
from lance.dataset import Index
from lance.fragment import DataFile, FragmentMetadata
from lance.schema import LanceSchema
from numpy.typing import NDArray

from lancelike.calls import current_call
from lancelike.errors import ColumnNotFoundError, SchemaError
from lancelike.storage.blob_scans import with_values
from lancelike.storage.dataset import Dataset
from lancelike.storage.fitting import ids_within
from lancelike.storage.fragments import FragmentFiles, addresses_of
from lancelike.storage.indexable import default_sub_vectors
from lancelike.storage.pulling import Pull, callers_errors
from lancelike.storage.read_ahead import read_ahead_bytes
from lancelike.storage.reindexing import IndexSettings, attach, build, create, indices_on, kept_indices
from lancelike.storage.transactions import commit
from lancelike.types import StorageOptions

Make: TypeAlias = Callable[[pa.RecordBatch], pa.Array]
Metadata: TypeAlias = Mapping[bytes, bytes]
ChangeMetadata: TypeAlias = Callable[[Metadata], Metadata]

_ATTEMPTS = 1000
_NO_FIELD = -2
"""What Lance puts in a data file's list of fields for one that is not to be read any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnSpec:
    """A column to be filled.

    Attributes:
        field: Its name, type, nullability and metadata.
        read: The columns that its values are made from, blobs as large_binary; `_rowid` comes with them.
        make: Turns a batch of these, at most *batch_size* rows, into as many values.
        replaces: Whether it takes the place of the column of its name; otherwise it comes last.
        batch_size: Most rows that *make* sees at once.
    """

    field: pa.Field
    read: Sequence[str]
    make: Make
    replaces: bool = False
    batch_size: int = 2048


@dataclass(frozen=True, slots=True)
class Reuse:
    """Values of a column that was replaced, which are in the table's files still.

    Attributes:
        field_ids: Its fields, as Lance numbers them, in preorder.
        fragments: Ids of the fragments whose rows are to have these values again.
    """

    field_ids: tuple[int, ...]
    fragments: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Written:
    """One fragment's values, on disk: of the rows with these addresses. The file's fields count from 0."""

    of: FragmentFiles
    addresses: NDArray[np.uint64]
    file: DataFile


@dataclass
class ColumnFill:
    """Fills one column; `write` and `commit` may be called again on a newer version after a conflict.

    What was written for a fragment is used again unless the fragment's files changed: rows deleted since do no harm.

    Attributes:
        spec: The column.
        errors: Raises what Lance raises as errors of our tree.
        reuse: Values that need not be made; None: all are.
    """

    spec: ColumnSpec
    errors: Callable[[], AbstractContextManager[None]]
    reuse: Reuse | None = None
    _written: dict[int, _Written] = field(default_factory=dict)
    _pull: Pull | None = None

    @property
    def error(self) -> BaseException | None:
        """What *make* raised, or None."""
        return self._pull.error if self._pull else None

    def write(self, dataset: LanceDataset) -> None:
        """Write the values of each fragment of *dataset* that has none yet."""
        for each in dataset.get_fragments():
            metadata = each.metadata
            if self._is_reused(metadata) or self._has(dataset, metadata):
                continue
            addresses = addresses_of(dataset, metadata.id)
            file = self._write_fragment(dataset, metadata.id)
            self._written[metadata.id] = _Written(FragmentFiles.of(metadata), addresses, file)

    def files(self) -> dict[int, str]:
        """Path of the file written for each fragment."""
        return {number: written.file.path for number, written in self._written.items()}

    def commit(
        self,
        dataset: LanceDataset,
        metadata: Metadata,
        storage_options: StorageOptions | None,
        *,
        detached: bool = False,
    ) -> LanceDataset:
        """The version of *dataset* that has the column and *metadata*; all its fragments must be written."""
        first = dataset.max_field_id + 1
        schema = schema_with(dataset.lance_schema, self.spec.field, first, metadata, replaces=self.spec.replaces)
        fragments = [self._filled(each.metadata, first) for each in dataset.get_fragments()]
        operation = LanceOperation.Merge(fragments, schema)
        return commit(dataset, operation, storage_options, detached=detached)

    def _is_reused(self, fragment: FragmentMetadata) -> bool:
        return self.reuse is not None and fragment.id in self.reuse.fragments

    def _has(self, dataset: LanceDataset, fragment: FragmentMetadata) -> bool:
        written, files = self._written.get(fragment.id), FragmentFiles.of(fragment)
        if written is None or written.of.data != files.data:
            return False
        # where an earlier version was restored, rows are back for which nothing was made
        return written.of == files or bool(np.isin(addresses_of(dataset, fragment.id), written.addresses).all())

    def _filled(self, fragment: FragmentMetadata, first: int) -> FragmentMetadata:
        """*fragment* with the column's file, whose fields are numbered from *first*."""
        old = self.reuse.field_ids if self.reuse else ()
        if self._is_reused(fragment):
            numbers = {number: first + place for place, number in enumerate(old)}
            return replace(fragment, files=[_renumbered(file, numbers) for file in fragment.files])
        written = self._written[fragment.id].file
        files = [_renumbered(file, dict.fromkeys(old, _NO_FIELD)) for file in fragment.files]
        new = _renumbered(written, {number: first + number for number in written.fields})
        return replace(fragment, files=[*files, new])

    def _write_fragment(self, dataset: LanceDataset, number: int) -> DataFile:
        name = f"{self.spec.field.name}__{uuid.uuid4().hex[:8]}"
        schema = pa.schema([self.spec.field.with_name(name)])
        self._pull = Pull(pa.RecordBatchReader.from_batches(schema, self._values(dataset, number, schema)))
        written, lance_schema = dataset.get_fragment(number).merge_columns(self._pull.reader)
        file, first = written.files[-1], lance_schema.field(name).id()
        return _renumbered(file, {each: each - first for each in file.fields})

    def _values(self, dataset: LanceDataset, number: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for batch in self._rows(dataset, number):
            yield pa.RecordBatch.from_arrays([self.spec.make(batch)], schema=schema)

    def _rows(self, dataset: LanceDataset, number: int) -> Iterator[pa.RecordBatch]:
        with self.errors():
            yield from _reader(self.spec, dataset, number)


def rows_for(dataset: Dataset, spec: ColumnSpec) -> Iterator[pa.RecordBatch]:
    """The rows that *spec* would make values for, in the batches in which filling it reads them."""
    shown = dataset.lance
    for fragment in shown.get_fragments():
        with dataset.errors():
            yield from _reader(spec, shown, fragment.fragment_id)


def _reader(spec: ColumnSpec, dataset: LanceDataset, fragment_id: int) -> pa.RecordBatchReader:
    return dataset.scanner(
        columns=list(spec.read),
        fragments=[dataset.get_fragment(fragment_id)],
        **with_values(dataset.schema, spec.read, spec.batch_size),
        with_row_id=True,
        scan_in_order=True,
        io_buffer_size=read_ahead_bytes(dataset),
    ).to_reader()


def add_column(dataset: Dataset, spec: ColumnSpec, metadata: ChangeMetadata) -> None:
    """Fill the new column *spec*, and show it with what *metadata* makes of the schema's metadata, in one commit.

    Raises:
        SchemaError: The column is there already, perhaps since another process added it meanwhile.
        Exception: What the column's maker raised, as itself; nothing is changed then.
    """
    fill = ColumnFill(spec, dataset.errors)

    def run(latest: LanceDataset) -> None:
        _check_columns(spec, latest)
        with current_call().before_commit():
            fill.write(latest)
        _commit(fill, latest, metadata, dataset)

    with callers_errors(fill):
        dataset.change(run, attempts=_ATTEMPTS, timeout_s=math.inf)


def replace_column(dataset: Dataset, spec: ColumnSpec, metadata: ChangeMetadata, tag: str) -> None:
    """Fill *spec*, and put it in its namesake's place with new metadata in one commit; *tag* names the version before.

    Vector indices on the column are built again, with their settings, before that commit, and attached in the next.

    Raises:
        Exception: What the column's maker raised, as itself; nothing is changed then.
    """
    fill, name = ColumnFill(spec, dataset.errors), spec.field.name
    settings: list[IndexSettings] = []
    built: list[Index] = []
    covered: dict[int, str] = {}

    def run(latest: LanceDataset) -> None:
        nonlocal settings
        _check_columns(spec, latest)
        with current_call().before_commit():
            fill.write(latest)
            if not covered:
                settings = [_fitting(each, spec.field.type) for each in indices_on(latest, name)]
                built.extend(_built(fill, latest, metadata, dataset, settings))
                covered.update(fill.files())
        _tag(latest, tag)
        _commit(fill, latest, metadata, dataset)

    with callers_errors(fill):
        dataset.change(run, attempts=_ATTEMPTS, timeout_s=math.inf)
    files = fill.files()
    _attach(dataset, name, built, {each for each, path in covered.items() if files.get(each) == path})
    ensure_indices(dataset, name, settings)


def restore_column(
    dataset: Dataset, spec: ColumnSpec, metadata: ChangeMetadata, past: Dataset, sources: Sequence[str]
) -> None:
    """Put the column as *past* has it in its namesake's place, with its indices.

    Fragments whose files still hold its values and those of *sources* have these again, without being read; *spec*
    makes the values of the others.
    """
    name, then = spec.field.name, past.lance
    fill = ColumnFill(spec, dataset.errors)

    def run(latest: LanceDataset) -> None:
        _check_columns(spec, latest)
        if past.branch == dataset.branch:  # files of another branch lie elsewhere
            fill.reuse = _reusable(then, latest, name, sources)
        with current_call().before_commit():
            fill.write(latest)
        _commit(fill, latest, metadata, dataset)

    with callers_errors(fill):
        dataset.change(run, attempts=_ATTEMPTS, timeout_s=math.inf)
    if fill.reuse:
        _attach(dataset, name, kept_indices(then, name), set(fill.reuse.fragments))
    ensure_indices(dataset, name, indices_on(then, name))


def ensure_indices(dataset: Dataset, column: str, settings: Sequence[IndexSettings]) -> None:
    """Build those of the vector indices *settings* that *column* lacks."""

    def run(latest: LanceDataset) -> None:
        there = {each.name for each in indices_on(latest, column)}
        for each in settings:
            if each.name not in there:
                fitting = _fitting(each, latest.schema.field(column).type)
                create(latest, column, fitting)

    if settings:
        dataset.change(run)


def vector_indices(dataset: Dataset, column: str) -> list[IndexSettings]:
    """The settings of the vector indices on *column* in the version shown."""
    with dataset.errors():
        return indices_on(dataset.lance, column)


def _check_columns(spec: ColumnSpec, latest: LanceDataset) -> None:
    """See that *spec* fits the columns there are by now: another process may have changed them."""
    names = latest.schema.names
    if not spec.replaces and spec.field.name in names:
        raise SchemaError(f"column {spec.field.name!r} is there already")
    for name in (*spec.read, *([spec.field.name] if spec.replaces else [])):
        if name not in names:
            raise ColumnNotFoundError(name, names)


def _commit(fill: ColumnFill, latest: LanceDataset, metadata: ChangeMetadata, dataset: Dataset) -> None:
    changed = metadata(latest.schema.metadata or {})
    latest._ds = fill.commit(latest, changed, dataset.location.storage_options)._ds


def _built(
    fill: ColumnFill,
    latest: LanceDataset,
    metadata: ChangeMetadata,
    dataset: Dataset,
    settings: Sequence[IndexSettings],
) -> list[Index]:
    """The indices on the column as it will be, made on a version that nobody sees."""
    if not settings:
        return []
    changed = metadata(latest.schema.metadata or {})
    hidden = fill.commit(latest, changed, dataset.location.storage_options, detached=True)
    return [index for each in settings for index in build(hidden, fill.spec.field.name, each)]


def _attach(dataset: Dataset, column: str, indices: Sequence[Index], fragments: set[int]) -> None:
    def run(latest: LanceDataset) -> None:
        field = latest.lance_schema.field(column).id()
        there = {each.fragment_id for each in latest.get_fragments()}
        latest._ds = attach(latest, indices, field, fragments & there, dataset.location.storage_options)._ds

    if indices:
        dataset.change(run, attempts=_ATTEMPTS, timeout_s=math.inf)


def _tag(latest: LanceDataset, tag: str) -> None:
    change = latest.tags.update if tag in latest.tags.list() else latest.tags.create
    change(tag, latest.version)


def _fitting(settings: IndexSettings, kind: pa.DataType) -> IndexSettings:
    ndims = (kind if pa.types.is_fixed_size_list(kind) else kind.value_type).list_size
    return settings.for_vectors_of(ndims, default_sub_vectors(ndims))


def _reusable(then: LanceDataset, now: LanceDataset, column: str, sources: Sequence[str]) -> Reuse:
    """The fragments of *now* that have the values of *column* and *sources* in the same files as *then*."""
    old = field_ids(then.lance_schema, column)
    wanted = {*old, *(number for source in sources for number in field_ids(then.lance_schema, source))}
    before = {each.fragment_id: _holders(each.metadata, wanted) for each in then.get_fragments()}
    after = {each.fragment_id: _holders(each.metadata, wanted) for each in now.get_fragments()}
    return Reuse(old, frozenset(each for each, holders in after.items() if holders and before.get(each) == holders))


def _holders(fragment: FragmentMetadata, fields: set[int]) -> set[tuple[str, int]]:
    return {(file.path, number) for file in fragment.files for number in file.fields if number in fields}


def schema_with(
    schema: LanceSchema, new: pa.Field, first: int, metadata: Metadata, *, replaces: bool = False
) -> LanceSchema:
    """*schema* with *metadata* and the field *new*, numbered from *first*, last or in place of its namesake.

    A Lance schema made from Arrow numbers its fields from 0, which would cut the other columns off from their files and
    indices. So the fields are put together in the form in which Lance pickles them, one protobuf message each in
    preorder, where a number given again replaces the one before.
    """
    build, (_, *fields) = schema.__reduce__()
    _, (_, *made) = LanceSchema.from_pyarrow(pa.schema([new])).__reduce__()
    parents = [-1, *_parents(LanceSchema.from_pyarrow(pa.schema([new])).fields()[0])]
    made = [
        message + _number(3, first + place) + (_number(4, first + parent) if parent >= 0 else b"")
        for place, (message, parent) in enumerate(zip(made, parents, strict=True))
    ]
    start, end = _span(schema, new.name) if replaces else (len(fields), len(fields))
    text = json.dumps({key.decode(): list(value) for key, value in metadata.items()})
    built: LanceSchema = build(text, *fields[:start], *made, *fields[end:])
    return built


def field_ids(schema: LanceSchema, name: str) -> tuple[int, ...]:
    """Numbers of the column *name* and the fields within it, in preorder."""
    return tuple(ids_within(schema.field(name)))


def _parents(parent: Any) -> Iterator[int]:
    for child in parent.children():
        yield parent.id()
        yield from _parents(child)


def _span(schema: LanceSchema, name: str) -> tuple[int, int]:
    """First and one past the last place of the column *name* among all fields in preorder."""
    start = 0
    for each in schema.fields():
        length = len(list(ids_within(each)))
        if each.name() == name:
            return start, start + length
        start += length
    raise KeyError(name)


def _number(tag: int, value: int) -> bytes:
    """A protobuf field of that *tag* with an unsigned number."""
    encoded = bytearray([tag << 3])
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _renumbered(file: DataFile, numbers: Mapping[int, int]) -> DataFile:
    return DataFile(
        file.path,
        [numbers.get(each, each) for each in file.fields],
        file.column_indices,
        file.file_major_version,
        file.file_minor_version,
        file.file_size_bytes,
        file.base_id,
    )
