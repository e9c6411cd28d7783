"""Words that everyone shares: closed sets of strings, array types, and what writes return."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

DistanceType: TypeAlias = Literal["l2", "cosine", "dot", "hamming"]
"""`l2` is the *squared* Euclidean distance, `cosine` is 1 - cosine similarity, `dot` is 1 - dot product."""
OnBadVectors: TypeAlias = Literal["error", "drop", "fill", "null"]
QueryType: TypeAlias = Literal["auto", "vector", "fts", "hybrid"]
WriteMode: TypeAlias = Literal["append", "overwrite"]
CreateMode: TypeAlias = Literal["create", "overwrite"]

Vector1D: TypeAlias = NDArray[np.float32]
"""One embedding, shape (ndims,)."""
Vectors: TypeAlias = NDArray[np.float32]
"""Embeddings, shape (n, ndims), one row per input in the inputs' order."""

Rows: TypeAlias = Any
"""Whatever `add` takes: dicts, models, pandas, polars, Arrow, Lance, Hugging Face, or an iterator of these."""
ProgressCallback: TypeAlias = Callable[[dict[str, Any]], object]
StorageOptions: TypeAlias = dict[str, str]
JSON: TypeAlias = dict[str, Any]
Names: TypeAlias = Iterable[str]


@dataclass(frozen=True, slots=True)
class AddResult:
    """What `Table.add` did: the version its one commit made."""

    version: int


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What `Table.delete` did."""

    num_deleted_rows: int
    version: int


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What `Table.update` did."""

    rows_updated: int
    version: int


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What `Table.merge_insert` did; `num_attempts` counts commits tried, 1 without conflict."""

    version: int
    num_updated_rows: int = 0
    num_inserted_rows: int = 0
    num_deleted_rows: int = 0
    num_attempts: int = 1
    num_rows: int = 0
