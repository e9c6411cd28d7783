"""Vectors under their keys as rows of Arrow, and back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.ledger.keys import to_arrow
from lancelike.storage.key_index import Keys


def to_rows(keys: Keys, vectors: Sequence[NDArray[Any]]) -> pa.Table:
    """*vectors*, of one length and number type, under *keys*: columns `key` and `vector`."""
    return pa.table({"key": to_arrow(keys), "vector": _to_column(vectors)})


def to_vectors(column: pa.ChunkedArray) -> list[NDArray[Any]]:
    """The vectors in a column that `to_rows` made."""
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        flat = array.flatten().to_numpy(zero_copy_only=False)
        return list(flat.reshape(len(array), array.type.list_size))
    size = array.type.value_type.list_size
    flat = array.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    offsets = np.asarray(array.offsets) - array.offsets[0].as_py()
    return [flat[start:end] for start, end in pairwise(offsets)]


def joined(vectors: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The numbers of all *vectors*, at least one, in one array of one dimension."""
    dtype, *others = {vector.dtype for vector in vectors}
    if dtype.isnative and not others:
        with suppress(TypeError):  # one of them is not in one piece
            buffers: Sequence[Any] = vectors
            return np.frombuffer(b"".join(buffers), dtype)  # in half the time that numpy takes
    return np.concatenate(vectors, axis=None)


def _to_column(vectors: Sequence[NDArray[Any]]) -> pa.Array:
    first = vectors[0]
    item = pa.from_numpy_dtype(first.dtype)
    if first.ndim == 1:
        return pa.FixedSizeListArray.from_arrays(pa.array(joined(vectors)), type=pa.list_(item, len(first)))
    rows = np.concatenate(vectors)
    inner = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), type=pa.list_(item, rows.shape[1]))
    offsets = np.concatenate([[0], np.cumsum([len(vector) for vector in vectors])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), inner)
