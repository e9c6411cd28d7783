"""Small Lance datasets that lie beside a table and share its fate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

import pyarrow as pa

from lancelike.errors import TableExistsError, TableNotFoundError
from lancelike.ledger.tidying import MANY_FRAGMENTS, cleanup, merge_small_files, tolerated
from lancelike.query.plan import Scan
from lancelike.storage import Dataset, Location

_MOST_FILE_BYTES = 1 << 28


class BesideTable:
    """What is remembered of one table's rows, in a dataset of its own that is made when there is something.

    Args:
        location: The table's database, or the place of one of its branches.
        table: The table's name.
    """

    directory: str
    """Where such datasets are, below the database."""

    def __init__(self, location: Location, table: str) -> None:
        self._location, self._table = location.child(self.directory), table

    def forget(self) -> None:
        """Delete every record, as when the table is dropped."""
        if self._location.exists(self._table):
            self._location.drop(self._table)

    def copy_from(self, other: Self) -> None:
        """Take over every record of *other*, as when its table is cloned."""
        if (dataset := other._open()) is not None:
            Dataset.create(self._location, self._table, dataset.read(Scan()))

    def rename(self, table: str) -> None:
        """Follow the table to its new name."""
        if self._location.exists(self._table):
            self._location.rename(self._table, table)

    def _open(self) -> Dataset | None:
        """The dataset at its latest version; None if there is none."""
        if self._location.is_known_to_lack(self._table):
            return None
        try:
            return Dataset.open(self._location, self._table)
        except TableNotFoundError:
            return None

    def _append(self, rows: pa.Table) -> None:
        dataset = self._open()
        if dataset is None:
            try:
                Dataset.create(self._location, self._table, rows)
                return
            except TableExistsError:
                dataset = Dataset.open(self._location, self._table)
        dataset.append(rows)
        if len(dataset.fragments()) >= MANY_FRAGMENTS:
            with tolerated(f"tidying the failures of table {self._table!r}"):
                merge_small_files(dataset, _MOST_FILE_BYTES)
                cleanup(dataset)


def older_than(at: datetime) -> str:
    """SQL that finds the records from before *at*."""
    return f"at < timestamp '{at.astimezone(UTC).isoformat()}'"
