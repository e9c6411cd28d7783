"""The embedding ledger: what was paid for, kept by what it was paid for.

One append-only Lance dataset for each function's fingerprint, under `_lancelike/ledger/` beside the tables. A row is a
key of an input and its vector. What is in it is never asked for again: that is how a killed run resumes, how unchanged
rows cost nothing, and how a text that another table holds is reused.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.embeddings import EmbeddingFunction
from lancelike.errors import TableExistsError, TableNotFoundError
from lancelike.ledger.fingerprint import fingerprint
from lancelike.ledger.keys import KeyIndex, Keys, from_arrow, to_arrow
from lancelike.query.plan import Scan
from lancelike.storage import Dataset, Location, maintenance

DIRECTORY = "_lancelike/ledger"
DEFAULT_BYTES = 4 << 30
"""Bound on one function's ledger: 2.7 million vectors of 384 dimensions."""

_MANY_FRAGMENTS = 64
_KEPT_VERSIONS = timedelta(hours=1)
"""Old versions only serve readers that are at work; an hour is long for one."""


class Ledger:
    """The ledgers of a database's functions.

    Args:
        location: The database.
        max_bytes: Bound on each function's ledger; 0 keeps none, so that nothing is reused or resumed.
    """

    def __init__(self, location: Location, max_bytes: int = DEFAULT_BYTES) -> None:
        self._location = location.child(DIRECTORY)
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._functions: dict[str, FunctionLedger] = {}

    def of(self, function: EmbeddingFunction) -> FunctionLedger | None:
        """The ledger of *function*; None if none is kept."""
        if self.max_bytes <= 0:
            return None
        mark = fingerprint(function)
        with self._lock:
            if mark not in self._functions:
                self._functions[mark] = FunctionLedger(self._location, mark, self.max_bytes)
            return self._functions[mark]


class FunctionLedger:
    """Vectors of one function, by key. Safe to use from several threads and processes.

    Attributes:
        fingerprint: The function's.
    """

    def __init__(self, location: Location, mark: str, max_bytes: int) -> None:
        self.fingerprint = mark
        self._location, self._max_bytes = location, max_bytes
        self._lock = threading.RLock()
        self._dataset: Dataset | None = None
        self._index = KeyIndex()
        self._fragments: set[int] = set()

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """Where the vector of each of *keys* is, for `take`; -1 where there is none. Sees other processes' entries."""
        with self._lock:
            self._catch_up()
            return self._index.find(keys)

    def take(self, places: Sequence[int]) -> list[NDArray[Any] | None]:
        """The vectors at *places* that `find` gave; None for one that was pruned since."""
        if not len(places):
            return []
        assert self._dataset is not None
        wanted = np.asarray(places)
        distinct, of_wanted = np.unique(wanted, return_inverse=True)
        rows = self._dataset.rows_by_id(distinct.tolist(), ["vector"])
        vectors = _to_arrays(rows["vector"])
        found = dict(zip(rows["_rowid"].to_pylist(), vectors, strict=True))
        return [found.get(int(distinct[i])) for i in of_wanted]

    def record(self, keys: Keys, vectors: Sequence[NDArray[Any]]) -> None:
        """Make *vectors* durable under *keys*, in one commit."""
        if not len(keys):
            return
        rows = pa.table({"key": to_arrow(keys), "vector": _to_column(vectors)})
        with self._lock:
            if self._open() is None and self._create(rows):
                return
            dataset = self._open()
            assert dataset is not None
            dataset.append(rows)

    def tidy(self) -> None:
        """Merge small files, and drop the oldest entries beyond the bound."""
        with self._lock:
            dataset = self._open()
            if dataset is None:
                return
            if len(dataset.fragments()) > _MANY_FRAGMENTS:
                maintenance.compact_files(dataset)
                maintenance.cleanup_old_versions(dataset, _KEPT_VERSIONS, delete_unverified=False)
            self._prune(dataset)

    def _prune(self, dataset: Dataset) -> None:
        sizes = dataset.fragments()
        excess, oldest = sum(sizes.values()) - self._max_bytes, []
        for fragment, size in sorted(sizes.items()):
            if excess <= 0:
                break
            oldest.append(fragment)
            excess -= size
        if oldest:
            dataset.drop_fragments(oldest)

    def _catch_up(self) -> None:
        dataset = self._open()
        if dataset is None:
            return
        dataset.refresh()
        fragments = set(dataset.fragments())
        if not fragments >= self._fragments:  # pruned or compacted
            self._index, self._fragments = KeyIndex(), set()
        new = tuple(sorted(fragments - self._fragments))
        if new:
            rows = dataset.read(Scan(columns=["key"], with_row_id=True, fragments=new))
            self._index.add(from_arrow(rows["key"]), rows["_rowid"].to_numpy().astype(np.int64))
            self._fragments = fragments

    def _open(self) -> Dataset | None:
        if self._dataset is None:
            try:
                self._dataset = Dataset.open(self._location, self.fingerprint)
            except TableNotFoundError:
                return None
        return self._dataset

    def _create(self, rows: pa.Table) -> bool:
        """Make the dataset of *rows*, unless another process just did."""
        try:
            self._dataset = Dataset.create(self._location, self.fingerprint, rows)
        except TableExistsError:
            return False
        return True


def _to_column(vectors: Sequence[NDArray[Any]]) -> pa.Array:
    first = vectors[0]
    item = pa.from_numpy_dtype(first.dtype)
    if first.ndim == 1:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors)), type=pa.list_(item, len(first)))
    rows = np.concatenate(vectors)
    inner = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), type=pa.list_(item, rows.shape[1]))
    offsets = np.concatenate([[0], np.cumsum([len(vector) for vector in vectors])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), inner)


def _to_arrays(column: pa.ChunkedArray) -> list[NDArray[Any]]:
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        flat = array.flatten().to_numpy(zero_copy_only=False)
        return list(flat.reshape(len(array), array.type.list_size))
    size = array.type.value_type.list_size
    flat = array.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    offsets = np.asarray(array.offsets) - array.offsets[0].as_py()
    return [flat[start:end] for start, end in pairwise(offsets)]
