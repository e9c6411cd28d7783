"""Which rows go together, and in what order: numbers in, numbers out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.errors import QueryError

Numbers = NDArray[np.int64]

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large splits are: exactly one of the three is given.

    Attributes:
        ratios: Shares of all rows, 1 at most together.
        counts: Rows.
        fixed: How many splits of the same size.

    Raises:
        QueryError: None, or several, are given; or they make no sizes.
    """

    ratios: Sequence[float] | None = None
    counts: Sequence[int] | None = None
    fixed: int | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.ratios, self.counts, self.fixed)) != 1:
            raise QueryError("Exactly one of 'ratios', 'counts', or 'fixed' must be provided")
        if self.ratios is not None and sum(self.ratios) > 1 + _ROUNDING:
            raise QueryError(f"Split percentages must sum to 1.0 or less, not {sum(self.ratios)}")
        if min(self.ratios or self.counts or [self.fixed or 0]) < (1 if self.fixed is not None else 0):
            raise QueryError("a split's size must not be negative, and there must be at least one split")

    def of(self, num_rows: int) -> list[int]:
        """Rows in each split of *num_rows*; what is left over is in none.

        Raises:
            QueryError: There are not so many rows.
        """
        if self.counts is not None:
            if sum(self.counts) > num_rows:
                raise QueryError(f"Split counts specified {sum(self.counts)} rows but only {num_rows} are available")
            return list(self.counts)
        if self.ratios is None:
            return [num_rows // (self.fixed or 1)] * (self.fixed or 1)
        sizes = [int(ratio * num_rows + _ROUNDING) for ratio in self.ratios]
        if sum(self.ratios) > 1 - _ROUNDING:  # the first splits take one each of what rounding left
            for split in range(num_rows - sum(sizes)):
                sizes[split % len(sizes)] += 1
        return sizes


def in_sequence(sizes: Sequence[int], num_rows: int) -> Numbers:
    """The split of each row, when the first rows make the first split; -1 for rows in none."""
    splits = np.full(num_rows, -1, np.int64)
    splits[: sum(sizes)] = np.repeat(np.arange(len(sizes)), sizes)
    return splits


def shuffled(num_rows: int, seed: int | None, clump_size: int | None) -> Numbers:
    """Row numbers in random order; with *clump_size*, so many neighbours stay together, in order.

    Raises:
        QueryError: *clump_size* is below 1.
    """
    if clump_size is not None and clump_size < 1:
        raise QueryError(f"clump_size is a number of rows from 1, not {clump_size}")
    size = clump_size or 1
    clumps = np.random.default_rng(seed).permutation(-(-num_rows // size))
    rows = (clumps[:, None] * size + np.arange(size)).ravel()
    return rows[rows < num_rows].astype(np.int64)


def by_hash(rows: Iterable[Sequence[Any]], weights: Sequence[int], discard_weight: int) -> Numbers:
    """The split of each of *rows* by what it holds, so that it is the same whatever other rows there are.

    Args:
        rows: The values to hash, of each row.
        weights: Shares of the splits.
        discard_weight: Share of the rows that are in none, marked -1.

    Raises:
        QueryError: A weight is negative, or all are 0.
    """
    if min([*weights, discard_weight]) < 0 or not sum(weights):
        raise QueryError(f"split weights are numbers from 0, not all of them 0; got {list(weights)}")
    of_bucket = np.repeat([*range(len(weights)), -1], [*weights, discard_weight])
    buckets = [_hash(row) % len(of_bucket) for row in rows]
    return np.asarray(of_bucket[buckets] if buckets else [], np.int64)


def _hash(row: Sequence[Any]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(tuple(row)).encode(), digest_size=8).digest(), "little")
