"""Answers whose blobs are read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from lancelike.query.plan import ROW_ID
from lancelike.query.query import Projection
from lancelike.query.results import Answer, BlobPath
from lancelike.schema.blobs import blobs_within, field_at
from lancelike.storage.blobs import StoredColumn
from lancelike.storage.dataset import Dataset


def blobs_among(schema: pa.Schema, columns: Projection | None) -> dict[BlobPath, str]:
    """The blobs of *schema*, also those within structs, that are among what is asked for, by where they are to be."""
    named = schema.names if columns is None else columns
    asked = named if isinstance(named, Mapping) else {name: name for name in named}
    plain = {name: sql.replace("`", "") for name, sql in asked.items()}
    return {
        (name, *within): ".".join((of, *within))
        for name, of in plain.items()
        if (field := field_at(schema, of)) is not None
        for within in blobs_within(field)
    }


def with_stored(dataset: Dataset, rows: pa.Table, blobs: Mapping[BlobPath, str], *, hides_row_id: bool) -> Answer:
    """*rows* of the version that *dataset* shows, with what reads *blobs*; their ids are in *rows*."""
    row_ids = rows[ROW_ID].to_pylist()
    stored = {path: StoredColumn(dataset, of, row_ids, _described(rows, path)) for path, of in blobs.items()}
    return Answer(rows.drop_columns([ROW_ID]) if hides_row_id else rows, stored)


def _described(rows: pa.Table, path: BlobPath) -> pa.ChunkedArray:
    """Where Lance keeps the blobs at *path*, which are null where a struct around them is."""
    return pc.struct_field(rows[path[0]], list(path[1:])) if path[1:] else rows[path[0]]
