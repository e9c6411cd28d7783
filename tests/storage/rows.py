"""Small tables to store, and what to look for in them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lancelike.query.plan import Scan
from lancelike.storage import Dataset

DIM = 16


def rows(count: int = 100, *, start: int = 0, seed: int = 0) -> pa.Table:
    """`id`, `text` ("text 7"), `tags` and a `vector` of DIM random numbers for each row."""
    ids = range(start, start + count)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "text": pa.array([f"text {each}" for each in ids], pa.string()),
            "tags": pa.array([[f"tag{each % 3}"] for each in ids], pa.list_(pa.string())),
            "vector": vectors(np.random.default_rng(seed).normal(size=(count, DIM))),
        }
    )


def vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    flat = pa.array(np.asarray(values, dtype=np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def ids(dataset: Dataset, where: str | None = None) -> list[int]:
    return sorted(dataset.read(Scan(columns=["id"], filter=where))["id"].to_pylist())


def nearest(dataset: Dataset, query: np.ndarray, k: int = 3, **settings: object) -> list[int]:
    scan = Scan(
        columns=["id", "_distance"],
        nearest={"column": "vector", "q": query.astype(np.float32), "k": k, **settings},
    )
    found: list[int] = dataset.read(scan)["id"].to_pylist()
    return found
