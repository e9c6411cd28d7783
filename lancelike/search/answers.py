"""Rows that a search in memory found, as a table: made of what is in memory, or read from Lance by id."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.query.plan import DISTANCE, QUERY_INDEX, ROW_ID, Scan
from lancelike.schema.blobs import schema_has_blob_field
from lancelike.search.exact import Nearest
from lancelike.search.target import MOST_WAYS, facts_of
from lancelike.search.ways import OURS, ROW_ADDRESS, PreparedSearch
from lancelike.storage.dataset import Dataset
from lancelike.storage.held import HeldVectors
from lancelike.storage.memory import VectorCache
from lancelike.storage.vectors import Positions


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What the rows of an answer have, whatever the filter.

    Attributes:
        schema: Theirs.
        fields: Name and type of each of its fields.
        read: The columns asked for that are not made of vectors and their places: names, or expressions by name.
        vectors: The column whose vectors are at hand: one a row, not in a struct; None: they are read as others are.
        is_batch: Whether they are of several queries.
    """

    schema: pa.Schema
    fields: tuple[tuple[str, pa.DataType], ...]
    read: list[str] | dict[str, str]
    vectors: str | None
    is_batch: bool

    def at_hand(
        self, held: HeldVectors, positions: Positions, dataset: Dataset, cache: VectorCache
    ) -> Mapping[str, pa.Array] | None:
        """What the rows at *positions* have in the columns to be read, if it is in memory; empty if none is."""
        columns = self.read
        if not columns or not len(positions):
            return {}
        if isinstance(columns, dict):
            return None
        return cache.rows(dataset, held.addresses[positions], columns)

    def take(self, row_ids: NDArray[np.uint64], dataset: Dataset) -> pa.Table:
        """What the rows have in the columns to be read; Lance reads one that answers several queries once."""
        if not self.is_batch:
            return dataset.take_row_ids(row_ids.tolist(), self.read)
        distinct, places = np.unique(row_ids, return_inverse=True)
        return dataset.take_row_ids(distinct.tolist(), self.read).take(pa.array(places))

    def table(
        self,
        held: HeldVectors,
        found: Sequence[Nearest],
        positions: Positions,
        columns: pa.Table | Mapping[str, pa.Array],
    ) -> pa.Table:
        """The rows *found*, at *positions*, with *columns* that were read."""
        arrays = []
        for name, kind in self.fields:
            if name == DISTANCE:
                array = _made(joined([one.distances for one in found]), kind)
            elif name == self.vectors:
                array = _made(held.values.at(positions), kind)
            elif name == ROW_ID:
                array = _made(held.row_ids[positions], kind)
            elif name == ROW_ADDRESS:
                array = _made(held.addresses[positions], kind)
            elif name == QUERY_INDEX:
                counts = [len(one.positions) for one in found]
                array = _made(np.repeat(np.arange(len(found), dtype=np.int32), counts), kind)
            else:
                array = columns[name] if len(columns) else pa.array([], kind)
            arrays.append(array)
        return pa.Table.from_arrays(arrays, schema=self.schema)


def shape_of(way: PreparedSearch, vector: NDArray[Any], held: HeldVectors, dataset: Dataset) -> Shape:
    """That of the rows that *way*'s scan gives for *vector*, found out once for the vectors *held*."""
    query = way.query
    columns = tuple(query.columns.items()) if isinstance(query.columns, Mapping) else tuple(query.columns or ())
    asked = columns, query.with_row_id, query.with_row_address, way.is_batch
    shape: Shape | None = held.kept.get(asked)
    if shape is None:
        scan = way.scan(vector)
        schema = _plain_schema(scan, way, dataset) or dataset.output_schema(replace(scan, filter=None))
        fields = tuple((field.name, field.type) for field in schema)
        shape = Shape(schema, fields, read_columns(way, dataset), _vectors_at_hand(way), way.is_batch)
        remember(held, asked, shape)
    return shape


def remember(held: HeldVectors, what: Hashable, found: object) -> None:
    """Keep what was *found* out for the vectors *held*."""
    if len(held.kept) >= MOST_WAYS:
        held.kept.clear()
    held.kept[what] = found


def read_columns(way: PreparedSearch, dataset: Dataset) -> list[str] | dict[str, str]:
    """The columns asked for that are not made of vectors and their places: names, or expressions by name."""
    columns = way.query.columns
    if isinstance(columns, Mapping):
        return {name: expression for name, expression in columns.items() if name not in OURS}
    made = (*OURS, _vectors_at_hand(way))
    return [name for name in columns or facts_of(dataset).names if name not in made]


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """All of *parts*, at least one, one after the other."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _vectors_at_hand(way: PreparedSearch) -> str | None:
    column = way.column
    is_plain = not column.multivector and "." not in column.name
    return column.name if is_plain and not isinstance(way.query.columns, Mapping) else None


def _plain_schema(scan: Scan, way: PreparedSearch, dataset: Dataset) -> pa.Schema | None:
    """The scan's schema, if the table's fields are all there is to it: Lance takes a millisecond to say it."""
    schema = dataset.schema
    columns = scan.columns or [*schema.names, DISTANCE]
    is_plain = not isinstance(columns, Mapping) and len(set(columns)) == len(columns)
    if not is_plain or not {*schema.names, DISTANCE}.issuperset(columns):
        return None
    if way.is_batch or schema_has_blob_field(schema):
        return None
    fields = [pa.field(DISTANCE, pa.float32()) if name == DISTANCE else schema.field(name) for name in columns]
    asked = {ROW_ID: scan.with_row_id, ROW_ADDRESS: scan.with_row_address}
    ids = [pa.field(name, pa.uint64()) for name, is_asked in asked.items() if is_asked]
    return pa.schema([*fields, *ids], metadata=schema.metadata)


def _made(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """*values*, none of them missing, as an array of type *kind*: a vector for each row of a matrix."""
    if values.ndim == 2:
        elements = _made(values.reshape(-1), kind.value_type)
        return pa.Array.from_buffers(kind, len(values), [None], children=[elements])
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])
