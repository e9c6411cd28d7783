"""The nearest of vectors in memory, looked for in partitions of an IVF index, and among the rows that are in none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lancelike.query.query import Query
from lancelike.search.exact import FULL_SCAN_SHARE, Nearest, nearest
from lancelike.search.looks import Looks
from lancelike.storage.held import HeldVectors, Partitions, RowsNeeded
from lancelike.storage.vectors import Positions

LEAST_BYTES = 2 << 20
"""Codes that a query reads at least when it says nothing of partitions, a byte a dimension: 0.1 ms."""
ENOUGH_BYTES = 8 << 20
"""The same where it wasn't found out how many rows hold the nearest: 0.35 ms."""
SMALL = 2.5
"""Times that: a table with fewer rows is read whole. Of 30 000 sentences (MiniLM), the 14 000 in the nearest partitions
gave a recall@10 of 0.98, and took as long as all of them, since to find out which these are takes 0.15 ms."""
ENOUGH_SHARE = 0.02
"""Of the rows, if that is more."""
ENOUGH_PER_RESULT = 50
"""Rows for each of the k, if that is more."""


@dataclass(frozen=True, slots=True)
class Probes:
    """How many partitions a query looks into, nearest first.

    Attributes:
        fewest: At least so many; None: enough for the default effort, which is one of rows.
        most: At most so many; None: no bound. Between the two it goes on until there are k rows.
    """

    fewest: int | None = None
    most: int | None = None

    @classmethod
    def of(cls, query: Query) -> Probes:
        """Those that *query* asks for."""
        return cls(query.minimum_nprobes, query.maximum_nprobes or None)

    def counts(self, rows: NDArray[np.intp], enough: int, k: int) -> NDArray[np.intp]:
        """Partitions that each of m queries looks into.

        Args:
            rows: How many each partition has, in the order of looking, shape (m, partitions).
            enough: Rows to look at if no bound is asked for.
            k: Rows wanted.
        """
        is_exact = self.fewest is not None and self.fewest == self.most
        wanted = 0 if is_exact else k if self.fewest is not None and self.most is not None else enough
        needed: NDArray[np.intp] = (rows.cumsum(axis=1) < wanted).sum(axis=1) + 1
        return np.minimum(np.maximum(needed, self.fewest or 1), min(self.most or rows.shape[1], rows.shape[1]))

    def __str__(self) -> str:
        if self.fewest is None and self.most is None:
            return "auto"
        return str(self.fewest) if self.fewest == self.most else f"{self.fewest or 1}..{self.most or ''}"


def enough_rows(num_rows: int, ndims: int, k: int, needed: RowsNeeded | None = None) -> int:
    """Rows that a query for *k* of *num_rows* looks at when it says nothing of partitions.

    Args:
        num_rows: Of which it may look at all.
        ndims: Of the vectors.
        k: Rows wanted.
        needed: What the rows themselves told, if they were asked.
    """
    if needed is None:
        enough = int(max(ENOUGH_BYTES // ndims, ENOUGH_SHARE * num_rows))
    else:
        enough = max(LEAST_BYTES // ndims, needed.of(k))
    enough = max(enough, ENOUGH_PER_RESULT * k)
    return num_rows if num_rows < SMALL * enough else enough


def nearest_in_partitions(
    held: HeldVectors,
    partitions: Partitions,
    queries: NDArray[np.float32],
    k: int,
    *,
    probes: Probes,
    among: Positions | None = None,
    lower: float | None = None,
    upper: float | None = None,
    with_tail: bool = True,
) -> list[Nearest]:
    """The *k* rows nearest to each query of those that it looks at, in the order of `exact.nearest`.

    Args:
        held: The rows.
        partitions: How the index divides them; its metric ranks.
        queries: Shape (m, ndims).
        k: Rows wanted, at least 1.
        probes: How many partitions to look into.
        among: Positions of the only rows to look at, ascending; None is all.
        lower: Least distance.
        upper: Distance that all must be below.
        with_tail: Look at the rows that the index doesn't cover too, all of them.
    """
    num_rows = held.num_rows if among is None else len(among)
    enough = enough_rows(num_rows, held.ndims, k, partitions.needed)
    if enough == num_rows and with_tail and probes == Probes():
        return nearest(held, queries, partitions.metric, k, among=among, lower=lower, upper=upper)
    ends = partitions.offsets if among is None else among.searchsorted(partitions.offsets)
    sizes = (ends[:, 1:] - ends[:, :-1]).sum(axis=0)
    order = np.argsort(-_nearness(partitions, queries), axis=1)
    counts = probes.counts(sizes[order], enough, k)

    is_whole = (counts == len(sizes)) & with_tail
    whole, parts = np.flatnonzero(is_whole), np.flatnonzero(~is_whole)
    found: dict[int, Nearest] = {}
    if len(whole):
        some = nearest(held, queries[whole], partitions.metric, k, among=among, lower=lower, upper=upper)
        found.update(zip(whole.tolist(), some, strict=True))
    if len(parts):
        chosen = order[parts], counts[parts], with_tail
        some = _nearest_in(held, partitions, queries[parts], k, chosen, among=among, lower=lower, upper=upper)
        found.update(zip(parts.tolist(), some, strict=True))
    return [found[query] for query in range(len(queries))]


def _nearest_in(
    held: HeldVectors,
    partitions: Partitions,
    queries: NDArray[np.float32],
    k: int,
    chosen: tuple[Positions, Positions, bool],
    *,
    among: Positions | None,
    lower: float | None,
    upper: float | None,
) -> list[Nearest]:
    """The nearest of the rows in partitions *chosen*, as `_looks` takes them, by what reads or copies least."""
    metric, looks = partitions.metric, _looks(partitions, *chosen)
    if among is None:
        return nearest(held, queries, metric, k, looks=looks, lower=lower, upper=upper)
    inside = _looks(_only(partitions, among), *chosen)
    read, wanted = int(looks.totals.sum()), int(inside.totals.sum())
    copied_once, copied_singly = FULL_SCAN_SHARE * len(among) + wanted, FULL_SCAN_SHARE * wanted
    if read <= min(copied_once, copied_singly):
        return nearest(held, queries, metric, k, looks=looks, among=among, lower=lower, upper=upper)
    if copied_once < copied_singly:
        found = nearest(held.subset(among), queries, metric, k, looks=inside, lower=lower, upper=upper)
        return [Nearest(among[one.positions], one.distances) for one in found]
    found = []
    for query in range(len(queries)):
        its = slice(query, query + 1)
        rows = np.sort(among[inside.only(its).all_positions()])
        found += nearest(held, queries[its], metric, k, among=rows, lower=lower, upper=upper)
    return found


def _only(partitions: Partitions, among: Positions) -> Partitions:
    """How *partitions* divide the rows at the positions *among*, counted in these."""
    offsets, rest, tail = (among.searchsorted(each) for each in (partitions.offsets, partitions.rest, partitions.tail))
    return replace(partitions, offsets=offsets, rest=rest, tail=tail)


def _nearness(partitions: Partitions, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """How near each centroid is to each query: larger is nearer; shape (m, partitions)."""
    if partitions.metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1)[:, np.newaxis]
    # one by one, so that a query finds the same in company: the product of two matrices is rounded otherwise
    nearness: NDArray[np.float32] = np.matmul(partitions.centroids, queries[:, :, np.newaxis])[:, :, 0]
    if partitions.metric != "dot":
        nearness -= partitions.half_squared_norms
    return nearness


def _looks(partitions: Partitions, order: Positions, counts: Positions, with_tail: bool) -> Looks:
    """The rows of the first *counts* partitions in the *order* of each query, and those that are in none.

    Args:
        partitions: How the index divides the rows.
        order: Partitions, shape (m, partitions).
        counts: Shape (m,).
        with_tail: Look at the rows that the index doesn't cover too.
    """
    is_chosen = np.zeros((len(order), order.shape[1] + 2), np.bool_)  # and none before the first and after the last
    is_chosen[np.arange(len(order))[:, np.newaxis], order + 1] = np.arange(order.shape[1]) < counts[:, np.newaxis]
    owners, edges = (is_chosen[:, 1:] != is_chosen[:, :-1]).nonzero()
    owners, firsts, ends = owners[::2], edges[::2], edges[1::2]  # partitions that touch are one run
    runs = [(owners, offsets[firsts], offsets[ends]) for offsets in partitions.offsets]
    for start, stop in [*partitions.rest.tolist(), *(partitions.tail.tolist() if with_tail else [])]:
        all_queries = np.arange(len(order))
        runs.append((all_queries, np.full_like(all_queries, start), np.full_like(all_queries, stop)))
    owners, starts, stops = (np.concatenate(each) for each in zip(*runs, strict=True))
    filled = stops > starts
    return Looks.of(len(order), owners[filled], starts[filled], (stops - starts)[filled])
