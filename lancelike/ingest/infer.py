"""A schema for rows that come without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from operator import itemgetter

import pyarrow as pa
import pyarrow.compute as pc

from lancelike.ingest.batch import Batch
from lancelike.ingest.casts import cast_exactly
from lancelike.ingest.kinds import is_list, is_number, plain, suggests_vector
from lancelike.ingest.media import as_stored
from lancelike.ingest.read import Source, unify

LOOKED_AT_ROWS = 10_000
"""Rows that are read before the schema is settled."""

FOREIGN_METADATA = frozenset({b"pandas", b"huggingface"})


def infer_schema(source: Source) -> tuple[pa.Schema, Source]:
    """The schema a table of these rows gets, and the same rows again.

    Lists of numbers in a column whose name has "vector" or "embedding" in it become vectors of the commonest length:
    of uint8 if the numbers are integers from 0 to 255, else of float32. All other columns keep their type.

    Args:
        source: The rows; the first 10 000 of a stream are read before the answer, and given again.

    Raises:
        BadDataError: The first rows have columns of types that go together in no way.
    """
    seen = _first_batches(source)
    schema = source.schema if source.settled else unify([batch.data.schema for batch in seen])
    fields = [_settle(field, seen) for field in schema]
    metadata = {key: value for key, value in (source.schema.metadata or {}).items() if key not in FOREIGN_METADATA}
    again = replace(source, batches=chain(seen, source.batches))
    return pa.schema(fields, metadata or None), again


def _first_batches(source: Source) -> list[Batch]:
    seen: list[Batch] = []
    for batch in source.batches:
        seen.append(batch)
        if sum(map(len, seen)) >= LOOKED_AT_ROWS:
            break
    return seen


def _settle(field: pa.Field, seen: Sequence[Batch]) -> pa.Field:
    field = as_stored(field)
    is_loose_list = is_list(field.type) and not pa.types.is_fixed_size_list(field.type)
    if not (is_loose_list and suggests_vector(field.name) and is_number(field.type.value_type)):
        return field.with_type(plain(field.type))
    column = _column(field, seen)
    size = _commonest_length(column)
    if size is None:
        return field.with_type(plain(field.type))
    number = pa.uint8() if _are_bytes(column) else pa.float32()
    return field.with_type(pa.list_(number, size))


def _column(field: pa.Field, seen: Sequence[Batch]) -> pa.ChunkedArray:
    parts = [batch.data.column(field.name) for batch in seen if field.name in batch.data.schema.names]
    kind = plain(field.type)
    return pa.chunked_array([cast_exactly(part, kind) for part in parts], kind)


def _commonest_length(column: pa.ChunkedArray) -> int | None:
    lengths = pc.list_value_length(column)
    counted = pc.value_counts(lengths.filter(pc.greater(lengths, 0))).to_pylist()  # in the order they come first
    return max(counted, key=itemgetter("counts"))["values"] if counted else None


def _are_bytes(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_integer(column.type.value_type):
        return False
    bounds = pc.min_max(pc.list_flatten(column)).as_py()
    return bounds["min"] is None or (bounds["min"] >= 0 and bounds["max"] <= 255)
