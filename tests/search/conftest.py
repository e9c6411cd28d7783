"""Tables of vectors to search, on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from lancelike.query import (
    LanceEmptyQueryBuilder,
    LanceFtsQueryBuilder,
    LanceHybridQueryBuilder,
    LanceQueryBuilder,
    LanceVectorQueryBuilder,
    query_from,
)
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.search import Searcher
from lancelike.storage.dataset import Dataset
from lancelike.storage.location import Location

NDIMS = 8
ROWS = 200

Make = Callable[[pa.Table], Dataset]
Search = Callable[..., Any]


def vectors_column(vectors: NDArray[Any]) -> pa.Array:
    """A fixed-size list column of the array's rows."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


BUILDERS: dict[str, type[LanceQueryBuilder]] = {
    "scan": LanceEmptyQueryBuilder,
    "vector": LanceVectorQueryBuilder,
    "fts": LanceFtsQueryBuilder,
    "hybrid": LanceHybridQueryBuilder,
}


def search(
    dataset: Dataset, what: Any = None, column: str | None = None, *bindings: EmbeddingFunctionConfig, **kind: Any
) -> Any:
    """The builder that a table's `search` makes."""
    query = query_from(what, column, **kind)
    return BUILDERS[query.query_type](Searcher(dataset, bindings), query)


def squared_distances(vectors: NDArray[Any], query: NDArray[Any]) -> NDArray[Any]:
    """What Lance calls l2."""
    distances: NDArray[Any] = ((vectors.astype(np.float64) - query) ** 2).sum(axis=1)
    return distances


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Stores a table and returns its dataset."""
    location, names = Location(tmp_path), iter(range(100))

    def store(table: pa.Table) -> Dataset:
        return Dataset.create(location, f"t{next(names)}", table.to_reader())

    return store


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    return np.random.default_rng(7).random((ROWS, NDIMS), dtype=np.float32)


@pytest.fixture
def docs(make: Make, vectors: NDArray[np.float32]) -> Dataset:
    """200 rows with ids, texts and vectors."""
    texts = [f"text {i}" for i in range(ROWS)]
    return make(pa.table({"id": range(ROWS), "text": texts, "vector": vectors_column(vectors)}))
