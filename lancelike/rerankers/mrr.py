"""Mean reciprocal rank."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lancelike.errors import QueryError
from lancelike.rerankers.rank_fusion import RankFusion


class MRRReranker(RankFusion):
    """The mean of `1 / place` over the lists, places from 1; a list that a row is not in counts as 0.

    Args:
        weight_vector: What the list of the search by vector counts, from 0 to 1.
        weight_fts: What that of the full-text search counts; the two make 1. Several searches by vector count alike.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.

    Raises:
        QueryError: A weight is out of range, the two don't make 1, or there is no such *return_score*.
    """

    def __init__(self, weight_vector: float = 0.5, weight_fts: float = 0.5, return_score: str = "relevance") -> None:
        for name, weight in (("weight_vector", weight_vector), ("weight_fts", weight_fts)):
            if not 0 <= weight <= 1:
                raise QueryError(f"{name} must be between 0.0 and 1.0, got {weight}")
        if not math.isclose(weight_vector + weight_fts, 1, abs_tol=1e-6):
            raise QueryError(f"weight_vector + weight_fts must equal 1.0, got {weight_vector} + {weight_fts}")
        super().__init__(return_score)
        self.weight_vector, self.weight_fts = weight_vector, weight_fts

    def __str__(self) -> str:
        return f"MRRReranker(weight_vector={self.weight_vector}, weight_fts={self.weight_fts})"

    def _weights(self, lists: int) -> Sequence[float]:
        return [1 / lists] * lists

    def _hybrid_weights(self) -> Sequence[float]:
        return [self.weight_vector, self.weight_fts]
