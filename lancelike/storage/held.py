"""Vectors of one version of a table as searches in memory see them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.vectors import Positions, Vectors
from lancelike.types import DistanceType

SMALLEST_SQUARED_NORM, LARGEST_SQUARED_NORM = 1e-20, 1e30
"""Beyond these, products of float32 vanish or overflow, and what Lance then answers is its own affair."""


KS = (10, 30, 100, 300, 1000)
"""Numbers of nearest whose places were looked for to learn how many rows it takes to find them."""


@dataclass(frozen=True, slots=True)
class RowsNeeded:
    """Rows to look at, partition by partition, those with the nearest centroids first, to find nearly all the nearest.

    Attributes:
        rows: For each of `KS`.
    """

    rows: tuple[int, ...]

    def of(self, k: int) -> int:
        """For the *k* nearest: as for the next of `KS`, beyond the last in proportion."""
        if k > KS[-1]:
            return self.rows[-1] * k // KS[-1]
        return self.rows[bisect_left(KS, k)]

    @classmethod
    def together(cls, segments: Sequence[tuple[RowsNeeded | None, int]]) -> RowsNeeded | None:
        """In several segments of an index, which have the same centroids; None if it isn't known of most of their rows.

        Args:
            segments: What each needs, if that is known, and its rows: one that is small needs its share.
        """
        known = [(each.rows, num_rows) for each, num_rows in segments if each is not None]
        of_known, of_all = sum(num_rows for _, num_rows in known), sum(num_rows for _, num_rows in segments)
        if 2 * of_known <= of_all:
            return None
        together = zip(*(rows for rows, _ in known), strict=True)
        return cls(tuple(-(-sum(each) * of_all // of_known) for each in together))


@dataclass(frozen=True, slots=True, eq=False)
class Partitions:
    """How an IVF index divides the rows held.

    Attributes:
        index: Its name.
        metric: What it measures.
        centroids: float32, shape (partitions, ndims); of unit vectors where the metric is cosine.
        half_squared_norms: Of the centroids, shape (partitions,).
        offsets: For each of the index's segments, the position where each partition begins, and the last one ends;
            shape (segments, partitions + 1).
        rest: First position and end of each run of rows that the index covers, and that are in no partition held;
            shape (runs, 2).
        tail: The same of rows that the index doesn't cover.
        needed: Rows of them that hold the nearest, where that was found out.
    """

    index: str
    metric: DistanceType
    centroids: NDArray[np.float32]
    half_squared_norms: NDArray[np.float32]
    offsets: Positions
    rest: Positions
    tail: Positions
    needed: RowsNeeded | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HeldVectors:
    """The vectors of one column in one version of a table.

    A row's *position* counts all rows here: block after block, and in a block as its fragments' rows lie, or by the
    partitions of an index. A row of several vectors has as many positions, one after the other; without any, one.

    Attributes:
        values: The vectors, as the column's type has them.
        codes: Blocks, each of shape (rows, ndims): int8, vectors divided by their scale and rounded; of a column of
            bytes, uint8, the vectors themselves.
        starts: Position of each block's first row, and the number of rows at the end.
        scales: float32, shape (rows,): a 127th of the largest absolute value of the vector.
        squared_norms: float32, shape (rows,).
        row_ids: Lance's `_rowid`, shape (rows,).
        addresses: Lance's `_rowaddr`, shape (rows,).
        by_address: Positions by ascending address; None if that is their own order.
        dead: Positions of rows that no search may find, ascending: deleted, or without a vector.
        firsts: Of a column with several vectors a row, the first position of each row; else None.
        partitions: Those of the column's IVF index, if there is one.
        kept: For whoever searches: what a way to ask found out about them.
        rough: For whoever searches: by the metric, what distances are roughly found by.
    """

    values: Vectors
    codes: tuple[NDArray[Any], ...]
    starts: Positions
    scales: NDArray[np.float32]
    squared_norms: NDArray[np.float32]
    row_ids: NDArray[np.uint64]
    addresses: NDArray[np.uint64]
    by_address: Positions | None
    dead: Positions
    firsts: Positions | None = None
    partitions: Partitions | None = None
    kept: dict[Any, Any] = field(default_factory=dict)
    rough: dict[DistanceType, Any] = field(default_factory=dict)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What takes memory."""
        beside: list[NDArray[Any]] = [self.scales, self.squared_norms, self.row_ids, self.addresses, self.dead]
        beside += [each for each in (self.by_address, self.firsts) if each is not None]
        if self.partitions is not None:
            beside += [self.partitions.centroids, self.partitions.offsets]
        return (*self.values.arrays, *self.codes, *beside)

    @property
    def ndims(self) -> int:
        """Values of a vector."""
        return int(self.codes[0].shape[1])

    @property
    def num_rows(self) -> int:
        """Rows held, the dead among them."""
        return int(self.starts[-1])

    def positions(self, addresses: NDArray[np.uint64]) -> Positions:
        """The first positions of the rows with these addresses, ascending; rows that are not held are left out."""
        places = np.searchsorted(self.addresses, addresses, sorter=self.by_address)
        found = places < self.num_rows
        places, addresses = places[found], addresses[found]
        positions = places if self.by_address is None else self.by_address[places]
        return np.sort(positions[self.addresses[positions] == addresses])

    def subset(self, positions: Positions) -> HeldVectors:
        """The rows at *positions*, which ascend, their codes in one block, to be ranked: they have no addresses."""
        return HeldVectors(
            values=self.values.only(positions),
            codes=(_gathered(self.codes, self.starts, positions),),
            starts=np.array([0, len(positions)], np.intp),
            scales=self.scales[positions],
            squared_norms=self.squared_norms[positions],
            row_ids=self.row_ids[positions],
            addresses=self.addresses[:0],
            by_address=None,
            dead=np.flatnonzero(np.isin(positions, self.dead)) if len(self.dead) else self.dead,
        )


def _gathered(blocks: tuple[NDArray[Any], ...], starts: Positions, positions: Positions) -> NDArray[Any]:
    cuts = np.searchsorted(positions, starts)
    parts = [
        block[positions[cut:end] - start]
        for block, start, cut, end in zip(blocks, starts[:-1], cuts[:-1], cuts[1:], strict=True)
        if end > cut
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts or [blocks[0][:0]])
