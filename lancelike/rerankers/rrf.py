"""Reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence

from lancelike.errors import QueryError
from lancelike.rerankers.rank_fusion import RankFusion


class RRFReranker(RankFusion):
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): the sum of `1 / (K + place)`, places from 1.

    Args:
        K: The larger, the less a first place counts over a tenth.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.

    Raises:
        QueryError: *K* is below 1, or there is no such *return_score*.
    """

    def __init__(self, K: int = 60, return_score: str = "relevance") -> None:  # noqa: N803 - the paper's name, and LanceDB's
        if K <= 0:
            raise QueryError(f"K must be greater than 0, got {K}")
        super().__init__(return_score)
        self.K = self._constant = K

    def __str__(self) -> str:
        return f"RRFReranker(K={self.K})"

    def _weights(self, lists: int) -> Sequence[float]:
        return [1.0] * lists

    def _hybrid_weights(self) -> Sequence[float]:
        return self._weights(2)
