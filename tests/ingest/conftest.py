"""An embedding function whose calls can be counted, and small tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import PrivateAttr

from lancelike.embeddings import EmbeddingFunctionConfig, TextEmbeddingFunction
from lancelike.storage import Dataset, Location

NDIMS = 4


def vector_of_text(text: str) -> list[float]:
    """What `Counted` makes of *text*: its length and some of its letters, so that equality shows."""
    return [float(len(text)), *(float(ord(letter)) for letter in f"{text}   "[:3])]


class Counted(TextEmbeddingFunction):
    """Remembers each request; raises for a text that holds "boom"."""

    batch_size: int = 256
    max_retries: int = 0
    size: int = NDIMS
    _requests: list[list[str]] = PrivateAttr(default_factory=list)

    def ndims(self) -> int:
        return self.size

    def generate_embeddings(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self._requests.append(list(texts))
        if any("boom" in text for text in texts):
            raise TypeError("can't embed boom")
        return np.array([[*vector_of_text(text), 0, 0, 0][: self.size] for text in texts], np.float32)

    @property
    def requests(self) -> list[list[str]]:
        return self._requests

    @property
    def sent(self) -> list[str]:
        return [text for request in self._requests for text in request]


class Untouchable:
    """A function that a test expects nobody to use."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the function was touched: {name}")


@pytest.fixture
def function() -> Counted:
    return Counted()


@pytest.fixture
def binding(function: Counted) -> EmbeddingFunctionConfig:
    return EmbeddingFunctionConfig("vector", "text", function)


@pytest.fixture
def schema() -> pa.Schema:
    return pa.schema(
        [("id", pa.int64()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), NDIMS))],
        metadata={b"kept": b"yes"},
    )


@pytest.fixture
def location(tmp_path: Path) -> Location:
    return Location(str(tmp_path))


@pytest.fixture
def make_dataset(location: Location) -> Callable[..., Dataset]:
    def make(reader: pa.RecordBatchReader, name: str = "t") -> Dataset:
        return Dataset.create(location, name, reader)

    return make
