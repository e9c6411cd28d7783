"""A stand-in for a provider of embeddings: cheap vectors, counted as they are paid for, slow or failing on demand.

It needs numpy alone, since Chroma's process has nothing of lancelike.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NDIMS = 384
REQUEST_TEXTS = 100
"""Most texts in one request, as providers have it."""

_WORDS = np.random.default_rng(7).standard_normal((2, 4096, NDIMS), dtype=np.float32)


class Service:
    """Answers texts with vectors.

    Attributes:
        paid: Texts in the requests that were answered.
        latency_s: Time that a request takes.
        fails_at: The request that would bring `paid` beyond this fails, once; None: none does.
    """

    def __init__(self) -> None:
        self.paid = 0
        self.latency_s = 0.0
        self.fails_at: int | None = None

    def embed(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """One vector for each of *texts*, by as many requests as that takes, one after the other."""
        return [
            vector
            for start in range(0, len(texts), REQUEST_TEXTS)
            for vector in self._request(texts[start : start + REQUEST_TEXTS])
        ]

    def _request(self, texts: Sequence[str]) -> NDArray[np.float32]:
        time.sleep(self.latency_s)
        if self.fails_at is not None and self.paid + len(texts) > self.fails_at:
            self.fails_at = None
            raise RuntimeError("the service is down")
        self.paid += len(texts)
        sums = np.array([zlib.crc32(text.encode()) for text in texts])
        vectors: NDArray[np.float32] = _WORDS[0, sums % 4096] + _WORDS[1, (sums >> 12) % 4096]
        return vectors
