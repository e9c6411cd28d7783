"""Distances as a first pass finds them, in int8 or float32, and the most that they are off.

A float32 dot product of n terms, summed in any order, is off by no more than n u / (1 - n u) times the sum of the
terms' absolute values, u = 2**-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1).
Codes of int8 are multiplied exactly; a value is off from its code times the scale s by no more than s / 2, and so a
vector of n values by s sqrt(n) / 2 in length, which bounds what a dot product is off by (Cauchy and Schwarz). A vector
of float64 is rounded to float32 for both: no further off than by the sums' last few terms.

What there is one of for a query is a float, and several are a list: out of cold caches numpy takes 10 to 20 us for what
Python does in one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.held import SMALLEST_SQUARED_NORM
from lancelike.storage.vectors import Positions
from lancelike.types import DistanceType

UNIT_ROUNDOFF = 2.0**-24
SLACK = 1.02
"""On bounds, for what is rounded while they are computed and compared."""
UNDERFLOW = 1e-37
"""What one product can lose by being too small for float32."""
ROUNDED_TERMS = 4
"""Terms of a sum that are off by as much as rounding its values to float32."""

Term = TypeVar("Term")


class RoughDistances:
    """Distances of rows from several queries.

    Args:
        metric: l2, cosine or dot.
        ndims: Of the vectors.
        scales: The rows' as `HeldVectors.scales`, shape (m, rows), or (1, rows) where all queries look at the same.
        squared_norms: As the scales.

    Attributes:
        squared_norms: As given.
    """

    def __init__(
        self, metric: DistanceType, ndims: int, scales: NDArray[np.float32], squared_norms: NDArray[np.float32]
    ) -> None:
        self._metric, self._ndims, terms = metric, ndims, ndims + ROUNDED_TERMS
        self._gamma = terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)
        self._underflow = ndims * UNDERFLOW
        self.squared_norms = squared_norms
        self._scales = scales / lengths_of(squared_norms) if metric == "cosine" else scales  # of unit vectors
        largest = squared_norms.max(axis=1, initial=0).tolist()
        self._longest = [math.sqrt(each * (1 + 2 * self._gamma) + self._underflow) for each in largest]
        self._largest_scales: list[float] = self._scales.max(axis=1, initial=0).tolist()
        self._error_terms = [self._terms_of_float_error(each) for each in self._longest]

    def by_codes(
        self, products: NDArray[np.float32], scales: Sequence[float], lengths: Sequence[float]
    ) -> NDArray[np.float32]:
        """Distances by the *products* of codes, which are overwritten.

        Args:
            products: Of the queries' codes and those of the rows, shape (m, rows).
            scales: What each query's codes are to be multiplied by.
            lengths: Each query's.
        """
        products *= self._scales
        if self._metric == "l2":
            products *= down([-2 * scale for scale in scales])
            products += self.squared_norms
            products += down([length * length for length in lengths])
            return products
        if self._metric == "cosine":
            scales = [scale / length if length else 0.0 for scale, length in zip(scales, lengths, strict=True)]
        products *= down([-scale for scale in scales])
        products += 1
        return products

    def by_floats(
        self,
        products: NDArray[np.float32],
        squared_norms: NDArray[np.float32],
        lengths: float | NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Distances by the float32 *products* of queries and rows, which are overwritten.

        Args:
            products: Of any shape.
            squared_norms: Of their rows, of that shape.
            lengths: Of their queries, of that shape, or that of the one query.
        """
        if self._metric == "l2":
            products *= -2
            products += squared_norms
            products += lengths * lengths
            return products
        if self._metric == "cosine":
            products /= lengths_of(squared_norms)
            products /= lengths
        return np.subtract(1, products, out=products)

    def float_error(self, lengths: Sequence[float]) -> list[float]:
        """The most that distances by floats are off from each of the queries of *lengths*, all rounding included."""
        terms = _for_each(self._error_terms, lengths)
        return [(square * length + linear) * length + constant for length, (constant, linear, square) in terms]

    def _terms_of_float_error(self, longest: float) -> tuple[float, float, float]:
        """What `float_error` is made of, each by its power of the query's length; *longest* is that of the rows."""
        gamma, u = self._gamma, UNIT_ROUNDOFF
        if self._metric == "cosine":  # gamma of the dot product, half of it of the root of the squared norm
            return SLACK * (2 * gamma + 20 * u + self._underflow / SMALLEST_SQUARED_NORM), 0.0, 0.0
        if self._metric == "dot":
            return SLACK * (8 * u + self._underflow), SLACK * (gamma + 8 * u) * longest, 0.0
        constant = (gamma + 12 * u) * longest**2 + 3 * self._underflow
        return SLACK * constant, SLACK * (2 * gamma + 24 * u) * longest, SLACK * 12 * u

    def most_coding_error(self, lengths: Sequence[float], lost: Sequence[float]) -> list[float]:
        """No less than any of `coding_error`, which takes as long to compute for all rows as the first pass.

        Args:
            lengths: The queries'.
            lost: Length of what its code leaves out of each query.
        """
        of_rows = list(zip(self._longest, self._largest_scales, strict=True))
        return [
            SLACK**2 * self._most_coding_error(length, its, *largest)
            for its, (length, largest) in zip(lost, _for_each(of_rows, lengths), strict=True)
        ]

    def _most_coding_error(self, length: float, lost: float, longest: float, largest_scale: float) -> float:
        error = (length + lost) * (math.sqrt(self._ndims) / 2) * largest_scale
        if self._metric == "cosine":  # the largest scale of a vector of unit length
            return (error + lost) / max(length, math.sqrt(SMALLEST_SQUARED_NORM))
        return (error + longest * lost) * (2 if self._metric == "l2" else 1)

    def coding_error(
        self,
        lengths: Sequence[float],
        lost: Sequence[float],
        scales: NDArray[np.float32],
        squared_norms: NDArray[np.float32],
        owners: Positions,
    ) -> NDArray[np.float32]:
        """The most that the code of each of some rows, and that of its query, are to blame for; rounding adds to it.

        Args:
            lengths: The queries'.
            lost: Length of what its code leaves out of each query.
            scales: The rows'.
            squared_norms: The rows'.
            owners: Which of the queries each row is looked at by.
        """
        by_scale = SLACK * math.sqrt(self._ndims) / 2
        of_scale = [(length + its) * by_scale for length, its in zip(lengths, lost, strict=True)]
        row_lengths = lengths_of(squared_norms)
        error: NDArray[np.float32] = scales * of_owners(of_scale, owners)
        error += row_lengths * of_owners([SLACK * its for its in lost], owners)
        if self._metric == "cosine":
            error /= row_lengths * of_owners(lengths, owners)
        elif self._metric == "l2":
            error *= 2
        return error


def down(values: Sequence[float]) -> float | NDArray[np.float32]:
    """*values*, one for each row of a matrix, as what this is multiplied by, or compared with."""
    return values[0] if len(values) == 1 else np.array(values, np.float32)[:, np.newaxis]


def of_owners(values: Sequence[float], owners: Positions) -> float | NDArray[np.float32]:
    """For each of *owners* its one of *values*; if there is one, that."""
    return values[0] if len(values) == 1 else np.array(values, np.float32)[owners]


def lengths_of(squared_norms: NDArray[np.float32]) -> NDArray[np.float32]:
    """The lengths of vectors; of those too short to be squared, that from which on they are not."""
    lengths: NDArray[np.float32] = np.sqrt(np.maximum(squared_norms, np.float32(SMALLEST_SQUARED_NORM)))
    return lengths


def lengths_of_queries(queries: NDArray[Any]) -> list[float]:
    """The lengths of *queries*, shape (m, ndims)."""
    wide = queries.astype(np.float64, copy=False)
    return [math.sqrt(each.dot(each)) for each in wide]


def _for_each(of_rows: list[Term], lengths: Sequence[float]) -> Iterable[tuple[float, Term]]:
    """The *lengths* of queries, and what there is of the rows that each looks at, or of those that all do."""
    return zip(lengths, of_rows if len(of_rows) == len(lengths) else of_rows * len(lengths), strict=True)
