"""Distances as a first pass finds them, in int8 or float32, and the most that they are off.

A float32 dot product of n terms, summed in any order, is off by no more than n u / (1 - n u) times the sum of the
terms' absolute values, u = 2**-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1).
Codes of int8 are multiplied exactly; a value is off from its code times the scale s by no more than s / 2, and so a
vector of n values by s sqrt(n) / 2 in length, which bounds what a dot product is off by (Cauchy and Schwarz). A vector
of float64 is rounded to float32 for both: no further off than by the sums' last few terms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.held import SMALLEST_SQUARED_NORM
from lancelike.types import DistanceType

UNIT_ROUNDOFF = 2.0**-24
SLACK = 1.02
"""On bounds, for what is rounded while they are computed and compared."""
UNDERFLOW = 1e-37
"""What one product can lose by being too small for float32."""
ROUNDED_TERMS = 4
"""Terms of a sum that are off by as much as rounding its values to float32."""


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
        largest = squared_norms.max(axis=1, initial=0).astype(np.float64)
        self._longest = np.sqrt(largest * (1 + 2 * self._gamma) + self._underflow)
        self._largest_scale = self._scales.max(axis=1, initial=0).astype(np.float64)
        self._error_terms = self._terms_of_float_error()

    def by_codes(
        self, products: NDArray[np.float32], scales: NDArray[np.float32], lengths: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Distances by the *products* of codes, which are overwritten.

        Args:
            products: Of the queries' codes and those of the rows, shape (m, rows).
            scales: What the queries' codes are to be multiplied by, shape (m,).
            lengths: The queries'.
        """
        products *= self._scales
        if self._metric == "l2":
            products *= np.float32(-2) * scales[:, np.newaxis]
            products += self.squared_norms
            products += (lengths**2).astype(np.float32)[:, np.newaxis]
            return products
        by = -scales
        if self._metric == "cosine":
            by /= lengths.astype(np.float32)
        products *= by[:, np.newaxis]
        products += np.float32(1)
        return products

    def by_floats(
        self, products: NDArray[np.float32], squared_norms: NDArray[np.float32], lengths: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Distances by the float32 *products* of queries and rows, which are overwritten.

        Args:
            products: Of any shape.
            squared_norms: Of their rows, of that shape.
            lengths: Of their queries, of that shape.
        """
        if self._metric == "l2":
            products *= np.float32(-2)
            products += squared_norms
            products += (lengths**2).astype(np.float32)
            return products
        if self._metric == "cosine":
            products /= lengths_of(squared_norms)
            products /= lengths.astype(np.float32)
        return np.subtract(np.float32(1), products, out=products)

    def float_error(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """The most that distances by floats are off from queries of *lengths*, shape (m,), all rounding included."""
        constant, linear, square = self._error_terms
        error: NDArray[np.float64] = (square * lengths + linear) * lengths + constant
        return error

    def _terms_of_float_error(self) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """What `float_error` is made of, each by its power of the query's length."""
        gamma, longest, u = self._gamma, self._longest, UNIT_ROUNDOFF
        if self._metric == "cosine":  # gamma of the dot product, half of it of the root of the squared norm
            constant = 2 * gamma + 20 * u + self._underflow / SMALLEST_SQUARED_NORM
            return np.full_like(longest, SLACK * constant), np.zeros_like(longest), 0.0
        if self._metric == "dot":
            return np.full_like(longest, SLACK * (8 * u + self._underflow)), SLACK * (gamma + 8 * u) * longest, 0.0
        constant = (gamma + 12 * u) * longest**2 + 3 * self._underflow
        return SLACK * constant, SLACK * (2 * gamma + 24 * u) * longest, SLACK * 12 * u

    def most_coding_error(self, lengths: NDArray[np.float64], lost: NDArray[np.float64]) -> NDArray[np.float64]:
        """No less than any of `coding_error`, which takes as long to compute for all rows as the first pass.

        Args:
            lengths: The queries'.
            lost: Length of what its code leaves out of each query.
        """
        error: NDArray[np.float64] = (lengths + lost) * (math.sqrt(self._ndims) / 2) * self._largest_scale
        if self._metric == "cosine":  # the largest scale of a vector of unit length
            error = (error + lost) / np.maximum(lengths, math.sqrt(SMALLEST_SQUARED_NORM))
        else:
            error = (error + self._longest * lost) * (2 if self._metric == "l2" else 1)
        return SLACK**2 * error

    def coding_error(
        self,
        lengths: NDArray[np.float64],
        lost: NDArray[np.float64],
        scales: NDArray[np.float32],
        squared_norms: NDArray[np.float32],
        owners: NDArray[np.intp],
    ) -> NDArray[np.float32]:
        """The most that the code of each of some rows, and that of its query, are to blame for; rounding adds to it.

        Args:
            lengths: The queries'.
            lost: Length of what its code leaves out of each query.
            scales: The rows'.
            squared_norms: The rows'.
            owners: Which of the queries each row is looked at by.
        """
        row_lengths, of_scale = lengths_of(squared_norms), (lengths + lost) * (SLACK * math.sqrt(self._ndims) / 2)
        error: NDArray[np.float32] = scales * of_scale.astype(np.float32)[owners]
        error += row_lengths * (SLACK * lost).astype(np.float32)[owners]
        if self._metric == "cosine":
            error /= row_lengths * lengths.astype(np.float32)[owners]
        elif self._metric == "l2":
            error *= np.float32(2)
        return error


def lengths_of(squared_norms: NDArray[np.float32]) -> NDArray[np.float32]:
    """The lengths of vectors; of those too short to be squared, that from which on they are not."""
    lengths: NDArray[np.float32] = np.sqrt(np.maximum(squared_norms, np.float32(SMALLEST_SQUARED_NORM)))
    return lengths


def lengths_of_queries(queries: NDArray[Any]) -> NDArray[np.float64]:
    """The lengths of *queries*, shape (m, ndims)."""
    wide = queries.astype(np.float64)
    if len(wide) == 1:
        return np.array([math.sqrt(wide[0] @ wide[0])])
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return lengths
