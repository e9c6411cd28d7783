"""A function that counts, and where its ledger is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import PrivateAttr

from lancelike.embeddings import TextEmbeddingFunction
from lancelike.storage import Location


class Counting(TextEmbeddingFunction):
    """Vectors of the text's length; remembers what it was sent."""

    batch_size: int = 10
    max_retries: int = 0
    dim: int = 4
    api_key: str | None = None
    flavour: str = "plain"
    _sent: list[list[str]] = PrivateAttr(default_factory=list)

    def ndims(self) -> int:
        return self.dim

    def generate_embeddings(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self._sent.append(list(texts))
        if bad := [text for text in texts if "bad" in text]:
            raise ValueError(f"refused: {bad[0]}")
        return np.array([[len(text), *range(1, self.dim)] for text in texts], np.float32).reshape(-1, self.dim)

    @property
    def requests(self) -> list[list[str]]:
        return self._sent


@pytest.fixture(params=["disk", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return Location("memory://" if request.param == "memory" else tmp_path / "db")


@pytest.fixture
def function() -> Counting:
    return Counting()


def vectors(count: int, value: float = 0.0, dim: int = 4) -> list[Any]:
    """Arrays that differ."""
    return [np.full(dim, value + i, np.float32) for i in range(count)]
