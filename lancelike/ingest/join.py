"""Columns joined to a table's rows by key."""

from __future__ import annotations

from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from lancelike.errors import BadDataError, ColumnNotFoundError, SchemaError
from lancelike.ingest.media import as_stored, stores_media
from lancelike.ingest.read import read_batches
from lancelike.ingest.sources import read_sources
from lancelike.ledger import Embedder
from lancelike.schema.model import LanceModel
from lancelike.storage import Dataset
from lancelike.types import Rows


def join_columns(
    dataset: Dataset, other: Rows, left_on: str, right_on: str, schema: pa.Schema | type[LanceModel] | None = None
) -> int:
    """Add the columns of *other* to the rows of *dataset* that have the same key; the new version.

    Args:
        dataset: The table.
        other: Rows with the column *right_on*, each value once; all are held in memory.
        left_on: The table's key; rows whose key *other* lacks get nulls.
        right_on: *other*'s key.
        schema: What *other* is, where that can't be seen from it.

    Raises:
        BadDataError: Two rows of *other* have the same key.
        ColumnNotFoundError: One side lacks its key.
        SchemaError: The table has a column of one of those names.
    """
    declared = schema if schema is None or isinstance(schema, pa.Schema) else schema.to_arrow_schema()
    source = read_batches(other, declared)
    media = {field.name: field for field in declared or () if stores_media(field)}
    stored = pa.schema([media.get(field.name) or as_stored(field) for field in source.schema])
    read = read_sources(source.batches, stored, (), Embedder())
    batches = (pa.Table.from_batches([each.data]) for each in read)
    rows = pa.concat_tables(chain([stored.empty_table()], batches), promote_options="permissive")
    for name, names in ((left_on, dataset.schema.names), (right_on, rows.schema.names)):
        if name not in names:
            raise ColumnNotFoundError(name, names)
    if taken := sorted(({*rows.schema.names} - {right_on}) & {*dataset.schema.names}):
        raise SchemaError(f"column {taken[0]!r} is there already; leave it out, or rename it first")
    _check_distinct(rows.column(right_on), right_on)
    return dataset.join(rows, left_on, right_on)


def _check_distinct(keys: pa.ChunkedArray, column: str) -> None:
    counts = pc.value_counts(keys.drop_null())
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        key = twice.field("values")[0].as_py()
        raise BadDataError(
            f"several rows have the key {key!r}, so that which to join is open", column=column, hint="leave one of each"
        )
