"""A value for a column, as an update sets it: stored as `add` would, or refused with the error that it would raise."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lancelike.errors import BadDataError, BadVectorError
from lancelike.ingest.aligning import align
from lancelike.ingest.batch import Batch
from lancelike.ingest.media import holds_media, value_for
from lancelike.ingest.values import to_array
from lancelike.ingest.vectors import fit_vectors
from lancelike.media.limits import DEFAULT, MediaLimits
from lancelike.query.predicates import value_to_sql
from lancelike.schema.blobs import takes_blobs


def literal_for(field: pa.Field, value: Any, limits: MediaLimits = DEFAULT) -> str:
    """The SQL literal that sets *value* in the column *field*, which then has it exactly.

    Args:
        field: The column.
        value: The value.
        limits: Bounds on what is read of an image's or sound's path or URL.

    Raises:
        BadDataError: It has another type, would lose something, or is null in a column that has no nulls.
        BadVectorError: It is a vector that doesn't fit the column.
    """
    given = value_for(field, value, limits)
    if given is None and not field.nullable:
        raise BadDataError("null in a column that is declared not null", column=field.name)
    if given is None or holds_media(field) or takes_blobs(field):
        return value_to_sql(given)
    try:
        return value_to_sql(_exactly(field, given))
    except BadVectorError as error:
        raise BadVectorError(error.problem, column=field.name, value=value) from error
    except BadDataError as error:
        raise BadDataError(error.problem, column=field.name, value=value, hint=error.hint) from error


def _exactly(field: pa.Field, value: Any) -> Any:
    """*value* as Python has it when it comes back from the column *field*."""
    schema = pa.schema([field])
    given = pa.RecordBatch.from_arrays([to_array([value], field.name, field, 0)], [field.name])
    (row,) = fit_vectors(align([Batch(given, range(1))], schema, []), schema, [])
    return row.data.column(0)[0].as_py()
