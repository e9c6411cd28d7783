"""Vectors that the ledger knows to be of a source, which clear a row of suspicion, or show whose vector it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import EmbeddingError
from lancelike.ingest import source_inputs
from lancelike.ledger import Ledger
from lancelike.ledger.keys import input_keys
from lancelike.ledger.ledger import FunctionLedger
from lancelike.lifecycle.prints import NO_ROWS, read_rows, to_arrays, vector_keys
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.storage import Dataset
from lancelike.storage.key_index import KeyIndex


@dataclass(frozen=True)
class KnownVectors:
    """Vectors that one function made of known inputs, for one binding."""

    binding: EmbeddingFunctionConfig
    ledger: FunctionLedger

    def not_cleared(self, dataset: Dataset, row_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Those of *row_ids* whose vector is not known to be that of their source."""
        names = [*self.binding.source_columns, self.binding.vector_column]
        left = [batch["_rowid"].to_numpy()[~self.in_step(batch)] for batch in read_rows(dataset, row_ids, names)]
        return np.sort(np.concatenate([NO_ROWS, *left]))

    def in_step(self, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which of *rows* have the very vector that was made of their source."""
        keys = input_keys(self.ledger.fingerprint, "source", source_inputs(rows, self.binding))
        places = self.ledger.find(keys)
        known = np.flatnonzero(places >= 0)
        vectors = to_arrays(rows.column(self.binding.vector_column))
        in_step = np.zeros(rows.num_rows, bool)
        for place, made in zip(known, self.ledger.take(places[known].tolist()), strict=True):
            in_step[place] = _same(made, vectors[place])
        return in_step

    def made_of_another(self, dataset: Dataset, row_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Those of *row_ids*, none of which is in step, whose vector the function made: of another source then."""
        if not len(row_ids):
            return row_ids
        made = self.made_vectors(_dtype(dataset.schema.field(self.binding.vector_column).type))
        found = [NO_ROWS]
        for batch in read_rows(dataset, row_ids, [self.binding.vector_column]):
            is_made = made.find(vector_keys(batch.column(self.binding.vector_column))) >= 0
            found.append(batch["_rowid"].to_numpy()[is_made])
        return np.sort(np.concatenate(found))

    def made_vectors(self, dtype: np.dtype[Any]) -> KeyIndex:
        """Prints of all vectors in the ledger, as a column of *dtype* holds them."""
        made = KeyIndex(self.ledger.folder)
        for vectors in self.ledger.vectors():
            prints = input_keys("", "vector", [vector.astype(dtype).tobytes() for vector in vectors])
            made.add(prints, np.zeros(len(prints), np.int64))
        return made


def known_vectors(binding: EmbeddingFunctionConfig, ledger: Ledger | None) -> KnownVectors | None:
    """What *ledger* has of the binding's function; None if that is nothing, or the function can't be made here."""
    if ledger is None:
        return None
    try:
        of_function = ledger.of(binding.function.ready())
    except (EmbeddingError, ImportError):  # the function can't be made here: what it made can't be told
        return None
    return None if of_function is None else KnownVectors(binding, of_function)


def _same(made: NDArray[Any] | None, stored: NDArray[Any] | None) -> bool:
    if made is None or stored is None:
        return False
    return bool(np.array_equal(made.astype(stored.dtype), stored))


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    while pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return dtype
