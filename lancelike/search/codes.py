"""Dot products of int8 codes: of queries with rows held, each row read once for all queries that ask for it."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lancelike.search.looks import Looks
from lancelike.search.rough import lengths_of_queries
from lancelike.storage.held import HeldVectors
from lancelike.storage.products import multiply

MOST_CODE = 127
"""The largest of int8."""


@dataclass(frozen=True, slots=True, eq=False)
class CodedQueries:
    """Queries as rows are coded.

    Attributes:
        codes: int8, shape (m, ndims).
        scales: What the codes of each are to be multiplied by.
        lost: Length of what its code leaves out of each query.
    """

    codes: NDArray[np.int8]
    scales: Sequence[float]
    lost: Sequence[float]

    @classmethod
    def of(cls, queries: NDArray[np.float64]) -> CodedQueries:
        """*queries*, shape (m, ndims), coded."""
        scales = [each / MOST_CODE or 1.0 for each in np.abs(queries).max(axis=1, initial=0).tolist()]
        by = np.array(scales)[:, np.newaxis]
        codes = np.rint(queries / by)
        return cls(codes.astype(np.int8), scales, lengths_of_queries(queries - codes * by))

    def only(self, queries: slice) -> CodedQueries:
        """Those of *queries*."""
        return CodedQueries(self.codes[queries], self.scales[queries], self.lost[queries])


def dot_products(held: HeldVectors, codes: NDArray[np.int8], looks: Looks) -> NDArray[np.float32]:
    """Dot products of each of *codes*, shape (m, ndims), with the codes of the rows that it looks at.

    Rows that several look at by the same run are multiplied by all of theirs at once.

    Args:
        held: The rows.
        codes: int8, shape (m, ndims).
        looks: Runs for each of *codes*, each within a block, unless all look at all rows.

    Returns:
        float32, shape (m, looks.width), 0 where there is no row.
    """
    firsts = held.starts.tolist()
    if looks.is_whole:
        products = np.empty((looks.count, looks.width), np.float32)
        for block, start in zip(held.codes, firsts, strict=False):
            multiply(codes, block, products[:, start : start + len(block)])
        return products
    products = np.zeros((looks.count, looks.width), np.float32)
    asked: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    runs = (looks.owners, looks.starts, looks.sizes, looks.places)
    for query, start, size, place in zip(*(each.tolist() for each in runs), strict=True):
        asked[start, size].append((query, place))
    flat = products.ravel()
    for (start, size), askers in asked.items():
        owner = bisect(firsts, start) - 1
        rows = held.codes[owner][start - firsts[owner] : start - firsts[owner] + size]
        if len(askers) == 1:
            [(query, place)] = askers
            multiply(codes[query : query + 1], rows, flat[np.newaxis, place : place + size])
            continue
        found = np.empty((len(askers), size), np.float32)
        multiply(codes[[query for query, _ in askers]], rows, found)
        for its, (_, place) in zip(found, askers, strict=True):
            flat[place : place + size] = its
    return products
