"""Everything that `add` takes, as one stream of numbered Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from lancelike.errors import BadDataError, shorten
from lancelike.ingest.batch import Batch
from lancelike.ingest.kinds import fixed_bytes
from lancelike.ingest.media import SOURCE, has_media, media_field, to_sources
from lancelike.ingest.scans import scan
from lancelike.ingest.values import to_array
from lancelike.schema.arrow import model_to_row, models_to_columns
from lancelike.schema.model import LanceModel
from lancelike.types import Rows

CHUNK_ROWS = 10_000
"""Rows converted at a time: enough to work by columns, few enough to stay small."""
MEDIA_CHUNK_ROWS = 256
"""Rows with images or sounds converted at a time, whose files may be read for it."""

MOST_ROWS = 16_384
"""Rows in one batch; larger ones are sliced, so that what is computed beside them stays small."""
BATCH_BYTES = 9 << 20
"""Bytes in one batch, if that is 1 024 rows or more. Lance writes vectors in pages of 8 MB or more, and first joins
what comes in smaller parts; what is no larger is still in the cache when it is written, in memory used again."""
SLICE_BYTES = 3 << 20
"""The same for rows that are in memory as Arrow: a slice is nothing new, and is looked at in a processor's cache, which
makes up for what Lance joins."""
_FEWEST_ROWS = 1_024

NO_SCHEMA = "Cannot create table from empty list without a schema"
TAKEN = (
    "rows are a list of dicts or of LanceModels, a pandas or polars frame, Arrow data, a Lance or Hugging Face "
    "dataset, or an iterator of these"
)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Rows, not yet read.

    Attributes:
        schema: The columns that the rows have.
        batches: The rows, once.
        num_rows: How many, where that is known before reading.
        settled: Whether *schema* holds for all rows; else it is what the first of them tell.
        num_bytes: What the rows take, if they are all in memory as Arrow has them; else None.
    """

    schema: pa.Schema
    batches: Iterator[Batch]
    num_rows: int | None = None
    settled: bool = True
    num_bytes: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    """Record batches from one object, with the schema if the object says it."""

    schema: pa.Schema | None
    batches: Iterator[pa.RecordBatch]
    num_rows: int | None = None
    num_bytes: int | None = None


def read_batches(data: Rows, schema: pa.Schema | None = None) -> Source:
    """*data* as a stream of batches, pulled as they are asked for.

    Args:
        data: What `Table.add` takes.
        schema: The table's schema, so that Python values become its types; None infers types.

    Raises:
        BadDataError: *data* is one row instead of many, or nothing that holds rows; and, while the batches are
            pulled, a row that can't be converted.
    """
    if isinstance(data, Source):
        return data
    stream = _open(data, schema)
    if stream.schema is not None:
        size = BATCH_BYTES if stream.num_bytes is None else SLICE_BYTES
        return Source(stream.schema, _number(stream.batches, size), stream.num_rows, num_bytes=stream.num_bytes)
    first = next(stream.batches, None)
    if first is None and schema is None:
        raise BadDataError(NO_SCHEMA)
    if first is None:
        return Source(schema, iter(()), 0)
    return Source(first.schema, _number(chain([first], stream.batches)), stream.num_rows, settled=False)


def _number(batches: Iterable[pa.RecordBatch], size: int = BATCH_BYTES) -> Iterator[Batch]:
    start = 0
    for data in batches:
        end, step = start + data.num_rows, _rows_of(data.nbytes / max(1, data.num_rows), MOST_ROWS, size)
        for first in range(start, end, step):
            yield Batch(data.slice(first - start, step), range(first, min(first + step, end)))
        start = end
        del data  # else it is in memory while the next one is made; the others on the way don't hold it either


def _open(data: Any, schema: pa.Schema | None) -> _Stream:
    _refuse_one_row(data)
    if isinstance(data, pa.RecordBatch):
        return _Stream(data.schema, iter([data]), data.num_rows, data.nbytes)
    if isinstance(data, pa.Table):
        return _Stream(data.schema, iter(data.to_batches()), data.num_rows, data.nbytes)
    if isinstance(data, pa.RecordBatchReader):
        return _Stream(data.schema, iter(data))
    library = type(data).__module__.partition(".")[0]
    for owner, attribute, read in _BY_LIBRARY:
        if library == owner and hasattr(data, attribute):
            return read(data, schema)
    for attribute, reader in _BY_PROTOCOL:
        if hasattr(data, attribute):
            opened = reader(data)
            return _Stream(opened.schema, iter(opened))
    if isinstance(data, list | tuple):
        return _read_list(data, schema)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | bytearray | np.ndarray):
        return _read_iterable(data, schema)
    raise BadDataError(f"{shorten(data)} holds no rows", value=data, hint=TAKEN)


def _refuse_one_row(data: Any) -> None:
    if isinstance(data, BaseModel):
        raise BadDataError("Cannot add a single LanceModel to a table. Use a list.")
    if isinstance(data, Mapping) and not hasattr(data, "with_format"):  # a DatasetDict is a mapping too
        raise BadDataError("Cannot create or add rows from a single dictionary. Use a list of dictionaries instead.")


# -- frames and datasets of other libraries, known by their module so that none is imported ---------------------------


def _read_pandas(frame: Any, schema: pa.Schema | None) -> _Stream:
    names = [str(name) for name in frame.columns]
    _refuse_twins(names)
    fields = _fields(schema)

    def batches() -> Iterator[pa.RecordBatch]:
        step = _chunk_rows(schema)
        for start in range(0, len(frame), step):
            part = frame.iloc[start : start + step]
            arrays = [_series_to_array(part.iloc[:, i], name, fields.get(name), start) for i, name in enumerate(names)]
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    return _in_memory(batches(), len(frame), schema, names)


def _series_to_array(series: Any, name: str, field: pa.Field | None, first_row: int) -> pa.Array:
    if series.dtype != object:
        try:
            array = pa.array(series, from_pandas=True)
        except (TypeError, pa.ArrowException) as error:
            problem = f"values of {series.dtype} have no type of Arrow's ({error})"
            raise BadDataError(problem, column=name, hint="convert the column first, with astype") from error
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    values = series.tolist()
    missing = series.isna().to_numpy()
    if missing.any():
        values = [None if gone else value for value, gone in zip(values, missing, strict=True)]
    return to_array(values, name, field, first_row)


def _read_polars(frame: Any, schema: pa.Schema | None) -> _Stream:
    for name, kind in frame.schema.items():
        if kind.is_object():  # polars hands on the addresses of its objects
            raise BadDataError(
                f"values of {kind} have no type of Arrow's", column=name, hint="convert the column first"
            )
    reader = pa.RecordBatchReader.from_stream(frame)
    return _Stream(reader.schema, iter(reader), len(frame))


def _read_lazy_polars(frame: Any, schema: pa.Schema | None) -> _Stream:
    frames = frame.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True)
    return _Stream(None, _read_items(iter(frames), schema))


def _read_hugging_face(dataset: Any, schema: pa.Schema | None) -> _Stream:
    tables = dataset.with_format("arrow").iter(CHUNK_ROWS)
    batches = (batch.replace_schema_metadata(None) for table in tables for batch in table.to_batches())
    return _Stream(None, batches, getattr(dataset, "num_rows", None))


def _read_splits(splits: Any, schema: pa.Schema | None) -> _Stream:
    def batches() -> Iterator[pa.RecordBatch]:
        for split, dataset in splits.items():
            for batch in _read_hugging_face(dataset, schema).batches:
                yield batch.append_column("split", pa.array([str(split)] * batch.num_rows, pa.string()))

    counts: list[Any] = [getattr(dataset, "num_rows", None) for dataset in splits.values()]
    return _Stream(None, batches(), None if None in counts else sum(counts))


_BY_LIBRARY: tuple[tuple[str, str, Callable[[Any, pa.Schema | None], _Stream]], ...] = (
    ("pandas", "iloc", _read_pandas),
    ("polars", "iter_rows", _read_polars),
    ("polars", "collect_batches", _read_lazy_polars),
    ("datasets", "keys", _read_splits),
    ("datasets", "with_format", _read_hugging_face),
)


_BY_PROTOCOL: tuple[tuple[str, Callable[[Any], pa.RecordBatchReader]], ...] = (
    ("scanner", lambda dataset: scan(dataset, BATCH_BYTES, _FEWEST_ROWS)),
    ("to_reader", lambda scanner: scanner.to_reader()),
    ("__arrow_c_stream__", pa.RecordBatchReader.from_stream),
    ("__arrow_c_array__", lambda array: pa.record_batch(array).to_reader()),
)


# -- Python rows, and lists and iterators of anything ----------------------------------------------------------------


def _read_list(data: Sequence[Any], schema: pa.Schema | None) -> _Stream:
    if not data:
        return _Stream(schema, iter(()), 0)
    if not all_are(data, Mapping, BaseModel):
        return _read_iterable(data, schema)
    if schema is None and isinstance(data[0], LanceModel):
        schema = type(data[0]).to_arrow_schema()
        return _Stream(schema, _read_items(iter(data), schema), len(data))
    step = _chunk_rows(schema)
    chunks = (data[start : start + step] for start in range(0, len(data), step))
    return _in_memory(_convert_chunks(chunks, schema), len(data), schema, _names(data))


def all_are(items: Iterable[Any], *kinds: type) -> bool:
    """Whether each of *items* is of one of *kinds*; each type among them is looked at once."""
    return all(issubclass(kind, kinds) for kind in set(map(type, items)))


def _read_iterable(data: Iterable[Any], schema: pa.Schema | None) -> _Stream:
    items = iter(data)
    first = list(islice(items, 1))
    if schema is None and first and isinstance(first[0], LanceModel):
        declared = type(first[0]).to_arrow_schema()
        return _Stream(declared, _read_items(chain(first, items), declared))
    return _Stream(None, _read_items(chain(first, items), schema))


def _in_memory(
    batches: Iterator[pa.RecordBatch], num_rows: int, schema: pa.Schema | None, names: Sequence[str]
) -> _Stream:
    """Rows that are all at hand: without a schema their types are settled over all of them, not the first few."""
    if schema is not None:
        known = pa.schema([schema.field(name) for name in names if name in schema.names])
        return _Stream(known if len(known) == len(names) else None, batches, num_rows)
    converted = list(batches)
    if not converted:
        return _Stream(None, iter(()), 0)
    unified = unify([batch.schema for batch in converted])
    return _Stream(unified, iter(converted), num_rows)


def unify(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """One schema for batches that differ, with the widest type of each column.

    Raises:
        BadDataError: A column has types that go together in no way.
    """
    try:
        return pa.unify_schemas(list(schemas), promote_options="permissive")
    except pa.ArrowException as error:
        raise BadDataError(f"the rows differ in type: {error}", hint="give the table a schema") from error


def _read_items(items: Iterator[Any], schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    """Batches of whatever *items* are; rows that follow each other are converted together."""
    rows: list[Any] = []
    start, most = 0, _chunk_rows(schema)
    for item in items:
        if isinstance(item, Mapping | BaseModel):
            rows.append(item)
            if len(rows) < most:
                continue
        if rows:
            yield rows_to_batch(rows, schema, start)
            start, rows = start + len(rows), []
        if not isinstance(item, Mapping | BaseModel):
            for batch in _read_item(item, schema, start):
                yield batch
                start += batch.num_rows
    if rows:
        yield rows_to_batch(rows, schema, start)


def _read_item(item: Any, schema: pa.Schema | None, first_row: int) -> Iterator[pa.RecordBatch]:
    """Batches of *item*, whose rows are numbered from *first_row* in errors."""
    try:
        yield from _open(item, schema).batches
    except BadDataError as error:
        raise BadDataError(
            error.problem,
            row=first_row + (error.row or 0),
            column=error.column,
            value=error.value,
            hint=error.hint,
        ) from error


def _convert_chunks(chunks: Iterable[Sequence[Any]], schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    start = 0
    for rows in chunks:
        yield rows_to_batch(rows, schema, start)
        start += len(rows)


def rows_to_batch(rows: Sequence[Any], schema: pa.Schema | None, first_row: int) -> pa.RecordBatch:
    """Dicts or models as one record batch, with a column for every key that one of them has.

    Args:
        rows: At least one.
        schema: The table's schema, for the types of the columns it has.
        first_row: Position of the first row in the caller's data.
    """
    fields = _fields(schema)
    columns = _columns(rows)
    names = list(columns)
    media = {name: media_field(values, name) for name, values in columns.items() if name not in fields}
    suggested = {name: field.with_type(SOURCE) for name, field in media.items() if field is not None}
    arrays = [_to_array(columns[name], name, fields.get(name), media.get(name), first_row) for name in names]
    if not names:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))
    made = [suggested.get(name) or pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(made))


def _to_array(
    values: Sequence[Any], name: str, field: pa.Field | None, media: pa.Field | None, first_row: int
) -> pa.Array:
    array = to_array(values, name, field or media, first_row)
    if field is not None or media is None:
        return array
    return array if array.type == SOURCE else to_sources(array)  # whether one is still to be read may differ by batch


def _to_dict(row: Any) -> Any:
    return model_to_row(row) if isinstance(row, BaseModel) else row


def _names(rows: Sequence[Any]) -> list[str]:
    """Keys of *rows*, in order of first appearance; models are all like the first."""
    if isinstance(rows[0], BaseModel):
        return _keys([_to_dict(rows[0])])
    return _keys(rows if all_are(rows, dict) else [_to_dict(row) for row in rows])


def _columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """The values of dicts or models, at least one, by column; None where a row lacks one."""
    if all_are(rows, BaseModel) and (columns := models_to_columns(rows)) is not None:
        return columns
    names = list(_to_dict(rows[0]))
    if set(map(type, rows)) == {dict} and set(map(len, rows)) == {len(names)}:
        with suppress(KeyError):
            return {name: list(map(itemgetter(name), rows)) for name in _checked(names)}
    dicts = rows if all_are(rows, dict) else [_to_dict(row) for row in rows]
    return {name: [row.get(name) for row in dicts] for name in _keys(dicts)}


def _keys(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    names = list(rows[0])
    if set(chain.from_iterable(rows)) != set(names):
        names = list(dict.fromkeys(chain.from_iterable(rows)))
    return _checked(names)


def _checked(names: list[Any]) -> list[str]:
    for name in names:
        if not isinstance(name, str):
            raise BadDataError(f"{name!r} can't name a column", value=name, hint="use text for the keys of a row")
    return names


def _chunk_rows(schema: pa.Schema | None) -> int:
    if schema is None:
        return CHUNK_ROWS
    return MEDIA_CHUNK_ROWS if has_media(schema) else _rows_of(sum(map(fixed_bytes, schema.types)), CHUNK_ROWS)


def _rows_of(row_bytes: float, most: int, size: int = BATCH_BYTES) -> int:
    """Rows of *row_bytes* each that make a batch."""
    return most if row_bytes * most <= size else max(_FEWEST_ROWS, int(size / row_bytes))


def _fields(schema: pa.Schema | None) -> dict[str, pa.Field]:
    return {} if schema is None else {field.name: field for field in schema}


def _refuse_twins(names: Sequence[str]) -> None:
    twins = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twins:
        raise BadDataError("there are two columns of this name", column=twins[0], hint="rename one of them")
