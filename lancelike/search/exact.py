"""The nearest of vectors in memory: a first pass in int8 or float32 over all, then float64 over those that may be it.

The first pass leaves out no row that belongs to the answer: its error is bounded (`rough`), and each row that the bound
does not rule out is measured anew. Several queries are ranked by the same calls, which cost each of them less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.search.codes import CodedQueries, dot_products
from lancelike.search.looks import Looks
from lancelike.search.rough import RoughDistances, down, lengths_of_queries, of_owners
from lancelike.storage.held import LARGEST_SQUARED_NORM, SMALLEST_SQUARED_NORM, HeldVectors
from lancelike.storage.vectors import FEW_BYTES, Positions
from lancelike.types import DistanceType

CHUNK_BYTES = 64 << 20
"""Of float64 copies of candidates, made at a time."""
MOST_CODED_NDIMS = 1 << 16
"""Of vectors whose codes have products that int32 holds."""
FULL_SCAN_SHARE = 32
"""A query compares with all rows if one in so many is asked for: finding and copying one costs as much as that."""
BLOCK_BYTES = 1 << 20
"""Vectors multiplied at a time, in a core's cache."""
QUERIES_AT_ONCE = 16
"""Queries whose codes are multiplied by those of all rows in one pass over these."""
MOST_PRODUCTS = 8 << 20
"""Products that are kept at once for more queries than that, which together read each row once."""
RANKED_AT_ONCE = 1 << 17
"""Of them that are ranked at once, so that a core's cache holds them meanwhile."""
JUDGED_SINGLY = 32
"""Times k: of more rows that codes leave, the error of each one's own code leaves fewer."""
NARROWED = 8
"""Times k: of more candidates than that, float32 leaves fewer to be measured in float64."""
GROUP = 64
"""Rows of which the first pass looks at the nearest only, to bound how far away the k-th may be."""
FAR = 1e38
"""Further than any row that can be found."""


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Rows in order, nearest first.

    Attributes:
        positions: Where they are in `HeldVectors`.
        distances: As Lance defines them, computed in float64 and rounded once.
    """

    positions: Positions
    distances: NDArray[np.float32]


def can_rank(queries: NDArray[Any]) -> bool:
    """Whether the bounds hold for *queries*, shape (m, ndims): none is too long or too short to be squared."""
    for length in lengths_of_queries(queries):
        if length and not SMALLEST_SQUARED_NORM <= length * length <= LARGEST_SQUARED_NORM:
            return False
    return True


def nearest(
    held: HeldVectors,
    queries: NDArray[Any],
    metric: DistanceType,
    k: int,
    *,
    looks: Looks | None = None,
    among: Positions | None = None,
    lower: float | None = None,
    upper: float | None = None,
) -> list[Nearest]:
    """The *k* rows nearest to each query; of rows at the same distance, that with the lowest row id first.

    Args:
        held: The rows.
        queries: Shape (m, ndims); `can_rank` holds.
        metric: l2, cosine or dot. By cosine, a vector of zeros is near nothing.
        k: Rows wanted, at least 1.
        looks: What each query looks at; None: all rows.
        among: Positions of the only rows to look at, ascending; None is all.
        lower: Least distance.
        upper: Distance that all must be below.
    """
    if looks is None and among is not None and _is_worth_copying(len(among), held.num_rows, len(queries)):
        part = nearest(held.subset(among), queries, metric, k, lower=lower, upper=upper)
        return [Nearest(among[one.positions], one.distances) for one in part]
    looks = looks or Looks.whole(len(queries), held.num_rows)
    ranker, out, found = Ranker(held, metric, k, lower, upper), _left_out(held, among), list[Nearest]()
    if len(queries) <= QUERIES_AT_ONCE:
        return list(ranker.rank(queries, looks, out))
    step = max(QUERIES_AT_ONCE, MOST_PRODUCTS // max(1, looks.width))
    for start in range(0, len(queries), step):
        group = slice(start, start + step)
        found += ranker.rank(queries[group], looks.only(group), out)
    return found


class Ranker:
    """Ranks the rows held by queries, several at a time.

    Args:
        held: The rows.
        metric: l2, cosine or dot.
        k: Rows wanted.
        lower: Least distance.
        upper: Distance that all must be below.
    """

    def __init__(
        self, held: HeldVectors, metric: DistanceType, k: int, lower: float | None, upper: float | None
    ) -> None:
        self._held, self._metric, self._k = held, metric, k
        self._lower = None if lower is None or lower == -np.inf else np.float32(lower)
        self._upper = None if upper is None or upper == np.inf else np.float32(upper)

    def rank(self, queries: NDArray[Any], looks: Looks, out: NDArray[np.bool_] | None) -> Iterator[Nearest]:
        """The nearest to each of *queries* of the rows that it looks at.

        Args:
            queries: Shape (m, ndims).
            looks: Theirs.
            out: Which of the rows held can't be found, shape (rows,); None: each can.
        """
        if looks.is_whole and len(queries) == 1 and (vectors := _few_floats(self._held, queries)) is not None:
            asked = self._asked(queries, looks)
            yield from self._ranked(asked, *self._near_by_floats(asked, vectors, queries, out))
            return
        wide = queries.astype(np.float64, copy=False)
        coded = CodedQueries.of(wide) if queries.shape[1] <= MOST_CODED_NDIMS else None
        products = None if coded is None else dot_products(self._held, coded.codes, looks)
        step = max(1, RANKED_AT_ONCE // max(1, looks.width))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            asked = self._asked(wide[part], looks.only(part))
            if coded is None or products is None:
                near = self._all(asked, out)
            else:
                near = self._near_by_codes(asked, coded.only(part), products[part], out)
            yield from self._ranked(asked, *near)

    def _asked(self, queries: NDArray[Any], looks: Looks) -> _Asked:
        wide, rough = queries.astype(np.float64, copy=False), self._rough(looks)
        lengths = lengths_of_queries(wide)
        return _Asked(wide, lengths, looks, rough, rough.float_error(lengths))

    def _rough(self, looks: Looks) -> RoughDistances:
        held, metric = self._held, self._metric
        known: RoughDistances | None = held.rough.get(metric) if looks.is_whole else None
        if known is not None:
            return known
        scales, squared_norms = looks.lay_out(held.scales, 0), looks.lay_out(held.squared_norms, 0)
        rough = RoughDistances(metric, held.ndims, scales, squared_norms)
        if looks.is_whole:
            held.rough[metric] = rough
        return rough

    def _all(self, asked: _Asked, out: NDArray[np.bool_] | None) -> tuple[Positions, Positions]:
        """The queries' numbers and the positions of all rows that they look at."""
        distances = self._hide(np.zeros((asked.count, asked.looks.width), np.float32), asked, out)
        return asked.looks.rows(np.flatnonzero(distances == 0))

    def _near_by_floats(
        self, asked: _Asked, vectors: NDArray[np.float32], query: NDArray[np.float32], out: NDArray[np.bool_] | None
    ) -> tuple[Positions, Positions]:
        """As `_near_by_codes`, of one *query* and all *vectors* held: no other first pass of few takes less time."""
        products = np.vecdot(vectors, query)[np.newaxis]
        distances = asked.rough.by_floats(products, asked.rough.squared_norms, asked.lengths[0])
        places = self.candidates(self._hide(distances, asked, out), asked.float_error)
        return asked.looks.rows(places)

    def _near_by_codes(
        self, asked: _Asked, coded: CodedQueries, products: NDArray[np.float32], out: NDArray[np.bool_] | None
    ) -> tuple[Positions, Positions]:
        """The queries' numbers and the positions of rows that may be nearest to them, by the *products* of codes."""
        rough, lengths, held = asked.rough, asked.lengths, self._held
        distances = self._hide(rough.by_codes(products, coded.scales, lengths), asked, out)
        errors = map(add, rough.most_coding_error(lengths, coded.lost), asked.float_error)
        places = self.candidates(distances, list(errors))
        owners, positions = asked.looks.rows(places)
        if len(places) <= JUDGED_SINGLY * self._k * asked.count:
            return owners, positions
        scales, squared_norms = held.scales[positions], held.squared_norms[positions]
        by_row = rough.coding_error(lengths, coded.lost, scales, squared_norms, owners)
        by_row += of_owners(asked.float_error, owners)
        near = self._narrowed(distances.ravel()[places], by_row, owners, asked.count)
        return owners[near], positions[near]

    def _hide(
        self, distances: NDArray[np.float32], asked: _Asked, out: NDArray[np.bool_] | None
    ) -> NDArray[np.float32]:
        """*distances*, infinite for rows that can't be found, and where there is no row."""
        if out is not None:
            np.copyto(distances, np.float32(np.inf), where=asked.looks.lay_out(out, True))
        if self._metric == "cosine":
            np.copyto(distances, np.float32(np.inf), where=asked.rough.squared_norms == 0)
        asked.looks.fill_rest(distances, np.inf)
        return distances

    def _ranked(self, asked: _Asked, owners: Positions, positions: Positions) -> Iterator[Nearest]:
        """The nearest of the rows at *positions*, by exact distance from the queries *owners*, which ascend."""
        if len(positions) > NARROWED * self._k * asked.count:
            distances = asked.rough.by_floats(
                _float_products(self._held, positions, asked.queries, owners),
                self._held.squared_norms[positions],
                of_owners(asked.lengths, owners),
            )
            errors = np.full(len(owners), of_owners(asked.float_error, owners))
            near = self._narrowed(distances, errors, owners, asked.count)
            owners, positions = owners[near], positions[near]
        exact = self._exact(asked, owners, positions)
        rounded = exact.astype(np.float32)
        order = np.lexsort((self._held.row_ids[positions], exact, owners))
        if self._lower is not None:
            order = order[rounded[order] >= self._lower]
        if self._upper is not None:
            order = order[rounded[order] < self._upper]
        ends = [len(order)] if asked.count == 1 else owners[order].searchsorted(np.arange(1, asked.count + 1)).tolist()
        for start, stop in pairwise([0, *ends]):
            its = order[start : min(stop, start + self._k)]
            yield Nearest(positions[its], rounded[its])

    def _exact(self, asked: _Asked, owners: Positions, positions: Positions) -> NDArray[np.float64]:
        rows = max(1, CHUNK_BYTES // (8 * self._held.ndims))
        if len(positions) > rows:
            parts = [slice(start, start + rows) for start in range(0, len(positions), rows)]
            return np.concatenate([self._exact(asked, owners[part], positions[part]) for part in parts])
        vectors = self._held.values.at(positions).astype(np.float64)
        return _distances(vectors, asked.queries if asked.count == 1 else asked.queries[owners], self._metric)

    def _narrowed(self, distances: NDArray[Any], errors: NDArray[Any], owners: Positions, count: int) -> Positions:
        """Which of some rows may be among the nearest to those of *count* queries that they belong to, ascending.

        Args:
            distances: Shape (rows,).
            errors: The most that they are off, shape (rows,).
            owners: Which query each belongs to, ascending.
            count: Queries.
        """
        if count == 1:
            return self.candidates(distances[np.newaxis], errors[np.newaxis])
        totals = np.bincount(owners, minlength=count)
        width = int(totals.max())
        places = owners * width + np.arange(len(owners)) - (np.cumsum(totals) - totals)[owners]
        all_distances, all_errors = np.full((count, width), np.inf), np.zeros((count, width))
        all_distances.ravel()[places], all_errors.ravel()[places] = distances, errors
        is_near = np.zeros(count * width, np.bool_)
        is_near[self.candidates(all_distances, all_errors)] = True
        return np.flatnonzero(is_near[places])

    def candidates(self, rough: NDArray[Any], errors: Sequence[float] | NDArray[Any]) -> Positions:
        """Places of the rows that may be among the nearest, ascending: those no further than the k-th may be.

        Args:
            rough: Distances, shape (m, rows); infinite for rows that can't be.
            errors: The most that they are off, shape (m, rows), or one for each of the m.
        """
        if self._lower is None and not isinstance(errors, np.ndarray):
            bounds = zip(_bounds_of_kth(rough, self._k), errors, strict=True)
            farthest = [min(self._farthest(bound + error) + error, FAR) for bound, error in bounds]
            places: Positions = (rough <= down(farthest)).ravel().nonzero()[0]
            return places
        by_row = errors if isinstance(errors, np.ndarray) else np.array(errors)[:, np.newaxis]
        at_most: NDArray[Any] = rough + by_row
        if self._lower is not None:
            at_most[rough < self._lower + by_row] = np.inf
        farthest = [self._farthest(bound) for bound in _bounds_of_kth(at_most, self._k)]
        near = rough - by_row <= np.array(farthest)[:, np.newaxis]
        if self._lower is not None:
            near &= rough >= self._lower - by_row
        return np.flatnonzero(near)

    def _farthest(self, of_kth: float) -> float:
        return min(of_kth, FAR if self._upper is None else min(float(self._upper), FAR))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Queries, shape (count, ndims), with their lengths, what they look at, and their rough distances from it.

    Attributes:
        float_error: The most that distances by float32 are off from each query, rounding included.
    """

    queries: NDArray[np.float64]
    lengths: Sequence[float]
    looks: Looks
    rough: RoughDistances
    float_error: Sequence[float]

    @property
    def count(self) -> int:
        return len(self.queries)


def exact_distances(vectors: NDArray[Any], queries: NDArray[Any], metric: DistanceType) -> NDArray[np.float64]:
    """Distances of *vectors*, shape (n, ndims), from *queries*, one or as many, in float64."""
    distances, rows = np.empty(len(vectors)), max(1, CHUNK_BYTES // (8 * vectors.shape[1]))
    wide = np.atleast_2d(queries.astype(np.float64))
    for start in range(0, len(vectors), rows):
        some = slice(start, start + rows)
        distances[some] = _distances(vectors[some].astype(np.float64), wide if len(wide) == 1 else wide[some], metric)
    return distances


def _distances(vectors: NDArray[np.float64], queries: NDArray[np.float64], metric: DistanceType) -> NDArray[np.float64]:
    if metric == "l2":
        vectors -= queries
        squares: NDArray[np.float64] = np.vecdot(vectors, vectors)
        return squares
    products: NDArray[np.float64] = np.vecdot(vectors, queries)
    if metric == "dot":
        return 1 - products
    squared = np.vecdot(vectors, vectors) * np.vecdot(queries, queries)
    cosines: NDArray[np.float64] = products / np.sqrt(squared)
    return 1 - cosines


def _few_floats(held: HeldVectors, queries: NDArray[Any]) -> NDArray[np.float32] | None:
    """All vectors held, if these are few, of float32 like *queries*, and in one place."""
    vectors = held.values.matrix
    if vectors is None or vectors.nbytes > FEW_BYTES or not vectors.dtype == queries.dtype == np.float32:
        return None
    return vectors


def _float_products(
    held: HeldVectors, positions: Positions, queries: NDArray[Any], owners: Positions
) -> NDArray[np.float32]:
    """Dot products of the rows at *positions* with the queries *owners*, which ascend, in float32."""
    products, step = np.empty(len(positions), np.float32), max(1, BLOCK_BYTES // (4 * held.ndims))
    ends = np.searchsorted(owners, np.arange(len(queries) + 1)).tolist()
    for query, (first, end) in zip(queries.astype(np.float32, copy=False), pairwise(ends), strict=True):
        for start in range(first, end, step):
            some = slice(start, min(start + step, end))
            vectors = held.values.at(positions[some]).astype(np.float32, copy=False)
            np.vecdot(vectors, query, out=products[some])
    return products


def _is_worth_copying(wanted: int, num_rows: int, num_queries: int) -> bool:
    """Whether to compare with a copy of the rows *wanted*, rather than with all."""
    return FULL_SCAN_SHARE * wanted + num_queries * wanted < num_queries * num_rows


def _left_out(held: HeldVectors, among: Positions | None) -> NDArray[np.bool_] | None:
    """Which rows can't be found; None: each can, but for what a metric has against it."""
    if among is None and not len(held.dead):
        return None
    out = np.full(held.num_rows, among is not None)
    if among is not None:
        out[among] = False
    out[held.dead] = True
    return out


def _bounds_of_kth(distances: NDArray[Any], k: int) -> list[float]:
    """For each row of *distances*, one that at least *k* are within, and not many more; infinite if it has fewer."""
    count, width = distances.shape
    if width < k:
        return [math.inf] * count
    groups = width // GROUP
    if groups >= 8 * k:  # k groups have one within the k-th smallest of the groups' nearest
        distances = distances[:, : groups * GROUP].reshape(count, GROUP, groups).min(axis=1)
    else:
        distances = distances.copy()
    distances.partition(k - 1, axis=1)
    bounds: list[float] = distances[:, k - 1].tolist()
    return bounds
