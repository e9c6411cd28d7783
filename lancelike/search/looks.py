"""What several queries look at: runs of rows, those of each query side by side in a row of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.vectors import Positions

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Runs of rows that each of several queries looks at.

    They make a matrix with a row for each query. A *place* counts its elements, row by row; those after a query's last
    run are filled with something.

    Attributes:
        count: Queries.
        width: Rows that the query which looks at most of them looks at.
        totals: Rows that each looks at, shape (count,).
        owners: Which query each run is of, ascending, shape (runs,).
        starts: Position of each run's first row.
        sizes: Rows of each run.
        places: Place of each run's first row.
        is_whole: Whether each query looks at all rows held.
    """

    count: int
    width: int
    totals: Positions
    owners: Positions
    starts: Positions
    sizes: Positions
    places: Positions
    is_whole: bool = False

    @classmethod
    @lru_cache(maxsize=256)
    def whole(cls, count: int, num_rows: int) -> Self:
        """All of *num_rows* rows, for each of *count* queries."""
        owners, starts, sizes = np.arange(count), np.zeros(count, np.intp), np.full(count, num_rows)
        return cls(count, num_rows, sizes, owners, starts, sizes, owners * num_rows, is_whole=True)

    @classmethod
    def of(cls, count: int, owners: Positions, starts: Positions, sizes: Positions) -> Self:
        """These runs, in any order, none of them empty."""
        order = np.argsort(owners, kind="stable")
        owners, starts, sizes = owners[order], starts[order], sizes[order]
        totals = np.bincount(owners, sizes, count).astype(np.intp)
        width, before = int(totals.max(initial=0)), np.cumsum(totals) - totals
        return cls(
            count, width, totals, owners, starts, sizes, owners * width + np.cumsum(sizes) - sizes - before[owners]
        )

    def only(self, queries: slice) -> Looks:
        """Those of *queries*."""
        start, stop, _ = queries.indices(self.count)
        if (start, stop) == (0, self.count):
            return self
        runs = slice(*np.searchsorted(self.owners, [start, stop]).tolist())
        return Looks(
            count=stop - start,
            width=self.width,
            totals=self.totals[start:stop],
            owners=self.owners[runs] - start,
            starts=self.starts[runs],
            sizes=self.sizes[runs],
            places=self.places[runs] - start * self.width,
            is_whole=self.is_whole,
        )

    def lay_out(self, values: NDArray[Value], fill: Any) -> NDArray[Value]:
        """*values* of all rows held as the matrix has them; one row for all queries if these look at all rows."""
        if self.is_whole:
            return values[np.newaxis]
        laid = np.full(self.count * self.width, fill, values.dtype)
        for place, start, size in zip(self.places.tolist(), self.starts.tolist(), self.sizes.tolist(), strict=True):
            laid[place : place + size] = values[start : start + size]
        return laid.reshape(self.count, self.width)

    def fill_rest(self, matrix: NDArray[Any], value: float) -> None:
        """Put *value* where *matrix*, shape (count, width), has no row for a query."""
        if self.is_whole:
            return
        for query, total in enumerate(self.totals.tolist()):
            matrix[query, total:] = value

    def rows(self, places: Positions) -> tuple[Positions, Positions]:
        """The queries and the positions of the rows at *places*."""
        if self.is_whole and self.count == 1:
            return np.zeros(len(places), np.intp), places
        run = self.places.searchsorted(places, side="right") - 1
        return self.owners[run], places - self.places[run] + self.starts[run]

    def all_positions(self) -> Positions:
        """The positions of all rows that the one query looks at."""
        return self.rows(np.arange(int(self.totals[0])))[1]
