"""Reading rows by offset or row id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from lancelike.query.plan import ROW_ID
from lancelike.query.predicates import quote_identifier
from lancelike.query.query import Projection
from lancelike.query.results import Answer
from lancelike.query.take import Take
from lancelike.schema.blobs import field_at
from lancelike.search.deadline import Deadline
from lancelike.search.stored import blobs_among, with_stored
from lancelike.storage.dataset import Dataset


class Taker:
    """Takes rows of a table as it stands when each take is run."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def take(self, take: Take, timeout_s: float | None = None) -> pa.Table:
        """The rows that *take* names, in its order.

        Raises:
            QueryError: The table has no row at an offset.
            ColumnNotFoundError: A column isn't there.
            QueryTimeoutError: It took longer than *timeout_s*.
        """
        read = self._dataset.take if take.by == "offset" else self._dataset.take_row_ids
        return Deadline(timeout_s).run(lambda: read(take.numbers, self._columns(take)))

    def answer(self, take: Take, timeout_s: float | None = None) -> Answer:
        """The rows of `take`, with what reads their blobs."""
        blobs = blobs_among(self._dataset.schema, take.columns)
        if not blobs:
            return Answer(self.take(take, timeout_s))
        shown = self._dataset.frozen()
        rows = Taker(shown).take(replace(take, with_row_id=True), timeout_s)
        hides_row_id = not take.with_row_id and ROW_ID not in (take.columns or ())
        return with_stored(shown, rows, blobs, hides_row_id=hides_row_id)

    def _columns(self, take: Take) -> Projection | None:
        extra = [name for name, wanted in (("_rowid", take.with_row_id), ("_rowaddr", take.with_row_address)) if wanted]
        columns = _named_as_asked(take.columns, self._dataset.schema)
        if isinstance(columns, Mapping):
            return {**columns, **{name: name for name in extra}}
        if not extra:
            return columns
        names = self._dataset.schema.names if columns is None else list(columns)
        return [*names, *(name for name in extra if name not in names)]


def _named_as_asked(columns: Projection | None, schema: pa.Schema) -> Projection | None:
    """*columns* so that a field within a struct comes under the path it is asked by, as from a scan."""
    if columns is None or isinstance(columns, Mapping):
        return columns
    paths = {name: name.replace("`", "") for name in columns}
    if not any("." in path and field_at(schema, path) is not None for path in paths.values()):
        return columns
    return {name: ".".join(map(quote_identifier, path.split("."))) for name, path in paths.items()}
