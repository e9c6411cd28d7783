"""The nearest of rows that have several vectors each, in memory.

A row's distance is the sum, over the vectors of the query, of the distance of the row's vector that is nearest to it
(MaxSim: Khattab and Zaharia, ColBERT, 2020).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.search.codes import CodedQueries, dot_products
from lancelike.search.exact import BLOCK_BYTES, QUERIES_AT_ONCE, Nearest, Ranker, exact_distances
from lancelike.search.hamming import bit_distances, smallest
from lancelike.search.looks import Looks
from lancelike.search.rough import RoughDistances, lengths_of_queries
from lancelike.storage.held import HeldVectors
from lancelike.storage.vectors import Positions, Vectors
from lancelike.types import DistanceType

SERIAL_VALUES = 8192
"""Values of a matrix that OpenBLAS multiplies by a vector in the calling thread: it takes others along from 9216 on.
Reading the vectors is what takes time: one thread took 13 ms for 200 000 of 384 dimensions on 2 busy cores, two 31."""


def nearest_rows(
    held: HeldVectors,
    query: NDArray[Any],
    metric: DistanceType,
    k: int,
    *,
    among: Positions | None = None,
    lower: float | None = None,
    upper: float | None = None,
) -> Nearest:
    """The *k* rows nearest to *query*; of rows at the same distance, that with the lowest row id first.

    Args:
        held: The rows; its `firsts` say which vectors are whose.
        query: Shape (m, ndims); unless the metric is hamming, `can_rank` holds.
        metric: By cosine, a row that has a vector of zeros is near nothing, as Lance has it.
        k: Rows wanted, at least 1.
        among: First positions of the only rows to look at, ascending; None is all.
        lower: Least distance.
        upper: Distance that all must be below.

    Returns:
        First positions of the rows.
    """
    firsts = np.empty(0, np.intp) if held.firsts is None else held.firsts
    if not len(firsts):
        return Nearest(firsts, np.empty(0, np.float32))
    out = _left_out(held, firsts, among, metric)
    if metric == "hamming":
        distances = np.minimum.reduceat(bit_distances(held, query), firsts, axis=1).sum(axis=0, dtype=np.float32)
        distances[out] = np.inf
        rows = smallest(distances, held.row_ids[firsts], k, lower, upper)
        return Nearest(firsts[rows.positions], rows.distances)
    near = _candidates(held, firsts, out, query, metric, Ranker(held, metric, k, lower, upper))
    view, starts = _view(held, firsts, near)
    if len(near):
        near = near[_fine_candidates(view, starts, query, metric, Ranker(view, metric, k, lower, upper))]
        view, starts = _view(held, firsts, near)
    rows = smallest(_exact(view, starts, query, metric), held.row_ids[firsts[near]], k, lower, upper)
    return Nearest(firsts[near[rows.positions]], rows.distances)


def _left_out(held: HeldVectors, firsts: Positions, among: Positions | None, metric: DistanceType) -> NDArray[np.bool_]:
    """Which rows can't be found."""
    out = np.zeros(held.num_rows, np.bool_)
    out[held.dead] = True
    out = out[firsts]
    if metric == "cosine":
        out |= np.logical_or.reduceat(held.squared_norms == 0, firsts)
    if among is not None:
        allowed = np.zeros(held.num_rows, np.bool_)
        allowed[among] = True
        out |= ~allowed[firsts]
    return out


def _candidates(
    held: HeldVectors,
    firsts: Positions,
    out: NDArray[np.bool_],
    query: NDArray[Any],
    metric: DistanceType,
    ranker: Ranker,
) -> Positions:
    """Which rows may be among the nearest, by the codes of their vectors, ascending."""
    rough = RoughDistances(metric, held.ndims, held.scales[np.newaxis], held.squared_norms[np.newaxis])
    distances, error = np.zeros(len(firsts)), 0.0
    for start in range(0, len(query), QUERIES_AT_ONCE):
        vectors = query[start : start + QUERIES_AT_ONCE]
        coded, lengths = CodedQueries.of(vectors.astype(np.float64, copy=False)), lengths_of_queries(vectors)
        products = dot_products(held, coded.codes, Looks.whole(len(vectors), held.num_rows))
        for one in (slice(i, i + 1) for i in range(len(vectors))):  # a core's cache holds what is made of one
            [its] = rough.by_codes(products[one], coded.scales[one], lengths[one])
            distances += np.minimum.reduceat(its, firsts)
        error += sum(rough.most_coding_error(lengths, coded.lost)) + sum(rough.float_error(lengths))
    distances[out] = np.inf
    return ranker.candidates(distances[np.newaxis], [error])


def _fine_candidates(
    view: HeldVectors, starts: Positions, query: NDArray[Any], metric: DistanceType, ranker: Ranker
) -> Positions:
    """Which rows may be among the nearest, by their vectors in float32, ascending."""
    rough = RoughDistances(metric, view.ndims, view.scales[np.newaxis], view.squared_norms[np.newaxis])
    distances, lengths = np.zeros(len(starts)), lengths_of_queries(query)
    for vector, length in zip(query, lengths, strict=True):
        its = rough.by_floats(_float_products(view, vector), view.squared_norms, length)
        distances += np.minimum.reduceat(its, starts)
    return ranker.candidates(distances[np.newaxis], [sum(rough.float_error(lengths))])


def _float_products(held: HeldVectors, query: NDArray[Any]) -> NDArray[np.float32]:
    """Dot products of all rows with *query* in float32."""
    products, narrow = np.empty(held.num_rows, np.float32), query.astype(np.float32)
    step, rows = max(1, BLOCK_BYTES // (4 * len(query))), max(1, SERIAL_VALUES // len(query))
    for start in range(0, held.num_rows, step):
        block = held.values.at(slice(start, start + step)).astype(np.float32, copy=False)
        whole = len(block) // rows * rows
        out = products[start : start + len(block)]
        np.matmul(block[:whole].reshape(-1, rows, len(query)), narrow, out=out[:whole].reshape(-1, rows))
        np.matmul(block[whole:], narrow, out=out[whole:])
    return products


def _view(held: HeldVectors, firsts: Positions, rows: Positions) -> tuple[HeldVectors, Positions]:
    """The vectors of *rows*, copied, and where those of each begin."""
    counts = np.append(firsts[1:], held.num_rows)[rows] - firsts[rows]
    starts = np.cumsum(counts) - counts
    view = held.subset(np.arange(counts.sum()) + np.repeat(firsts[rows] - starts, counts))
    return replace(view, values=Vectors((view.values.at(slice(None)),))), starts


def _exact(view: HeldVectors, starts: Positions, query: NDArray[Any], metric: DistanceType) -> NDArray[np.float32]:
    """The distances of the rows whose vectors begin at *starts*."""
    if not len(starts):
        return np.empty(0, np.float32)
    vectors = view.values.at(slice(None))
    nearest = [np.minimum.reduceat(exact_distances(vectors, each, metric), starts) for each in query]
    distances: NDArray[np.float32] = np.sum(nearest, axis=0).astype(np.float32)
    return distances
