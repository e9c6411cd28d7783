"""Reading rows by offset or row id."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from lancelike.query.query import Projection
from lancelike.query.take import Take
from lancelike.search.deadline import Deadline
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

    def _columns(self, take: Take) -> Projection | None:
        extra = [name for name, wanted in (("_rowid", take.with_row_id), ("_rowaddr", take.with_row_address)) if wanted]
        if isinstance(take.columns, Mapping):
            return {**take.columns, **{name: name for name in extra}}
        if not extra:
            return take.columns
        names = self._dataset.schema.names if take.columns is None else list(take.columns)
        return [*names, *(name for name in extra if name not in names)]
