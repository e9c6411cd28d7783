"""Indices that can't be built say which setting must be what, and leave the table as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import QueryError
from lancelike.index import HnswPq, HnswSq, IvfFlat, IvfPq, IvfRq, IvfSq

ROWS, NDIMS = 300, 24


def floats(dtype: Any = np.float32, ndims: int = NDIMS) -> pa.Array:
    numbers = np.random.default_rng(0).integers(0, 255, ROWS * ndims).astype(dtype)
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers), ndims)


def several(dtype: Any = np.float32, ndims: int = NDIMS) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(range(0, ROWS + 1, 3), pa.int32()), floats(dtype, ndims))


def table_of(folder: Path, vectors: pa.Array, name: str = "vector") -> lancelike.Table:
    return lancelike.connect(folder).create_table("t", pa.table({"id": pa.array(range(len(vectors))), name: vectors}))


@pytest.mark.parametrize("ndims", [NDIMS, 20])
@pytest.mark.parametrize(
    "kind", [np.float32, np.float16, np.float64, np.uint8, "several"], ids=lambda kind: getattr(kind, "__name__", kind)
)
def test_with_no_arguments_every_kind_of_vector_is_indexed(kind: Any, ndims: int, tmp_path: Path) -> None:
    table = table_of(tmp_path, several(ndims=ndims) if kind == "several" else floats(kind, ndims), "embedding")
    table.create_index()
    stats = table.index_stats("embedding_idx")
    assert stats is not None
    assert stats.num_indexed_rows == len(table)
    assert stats.distance_type == {np.uint8: "hamming", "several": "cosine"}.get(kind, "l2")
    asked = table.head(8)["embedding"][7].as_py()
    for cache in (None, 0):  # from memory, and through Lance
        again = lancelike.connect(tmp_path, vector_cache_bytes=cache).open_table("t")
        assert again.search(asked).limit(1).to_list()[0]["id"] == 7


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (IvfPq(num_partitions=-1), "num_partitions is a whole number, at least 1, not -1"),
        (IvfPq(num_partitions=2.5), "num_partitions is a whole number, at least 1, not 2.5"),  # type: ignore[arg-type]
        (IvfSq(target_partition_size=0), "target_partition_size is a whole number, at least 1, not 0"),
        (IvfPq(num_sub_vectors=0), "num_sub_vectors is a whole number, at least 1, not 0"),
        (IvfPq(num_sub_vectors=7), "num_sub_vectors=7 doesn't divide the 24 numbers of a vector"),
        (IvfPq(num_sub_vectors=3, num_bits=4), "num_sub_vectors must be even with num_bits=4, not 3"),
        (IvfPq(num_bits=3), "num_bits is one of 4, 8, not 3"),
        (HnswPq(num_bits=16), "num_bits is one of 4, 8, not 16"),
        (IvfRq(num_bits=10), "num_bits is one of 1, 2, 3, 4, 5, 6, 7, 8, 9, not 10"),
        (HnswSq(m=-5), "m is a whole number, at least 1, not -5"),
        (IvfRq(distance_type="euclid"), "distance_type is one of l2, euclidean, cosine, dot, hamming, not 'euclid'"),  # type: ignore[arg-type]
        (IvfFlat(distance_type="hamming"), "distance_type must be 'l2', 'cosine' or 'dot' for vectors of float"),
        ("cosine", "config is one of the classes in lancelike.index, as IvfRq(), not 'cosine'"),
    ],
    ids=str,
)
def test_a_setting_that_does_not_fit_is_named(config: Any, problem: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, floats())
    version = table.version
    with pytest.raises(QueryError) as raised:
        table.create_index("vector", config=config)
    assert problem in str(raised.value)
    assert (table.version, table.list_indices()) == (version, [])


@pytest.mark.parametrize(
    ("vectors", "config", "problem"),
    [
        (several(), IvfRq(num_bits=2), "where a row has several vectors, they must be of floats, and distance_type='c"),
        (several(np.uint8), IvfFlat(distance_type="hamming"), "where a row has several vectors, they must be of flo"),
        (floats(np.uint8), IvfFlat(), "distance_type must be 'hamming' for vectors of uint8, not 'l2'"),
        (floats(np.uint8), IvfPq(distance_type="hamming"), "vectors of uint8 are indexed whole, by IvfFlat(distance"),  # type: ignore[arg-type]
        (floats(ndims=20), IvfRq(), "RaBitQ takes vectors of a length that 8 divides, and these have 20; take IvfSq"),
    ],
    ids=["several, l2", "several of bits", "bits, l2", "bits, PQ", "RaBitQ of 20"],
)
def test_a_kind_that_does_not_suit_the_column_is_told(
    vectors: pa.Array, config: Any, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(QueryError) as raised:
        table_of(tmp_path, vectors).create_index("vector", config=config)
    assert problem in str(raised.value)


def test_a_vector_that_is_near_nothing_is_told(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).standard_normal((10 * ROWS, NDIMS), dtype=np.float32)
    numbers[7] = 3e38
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), NDIMS)
    table = table_of(tmp_path, vectors)
    with pytest.raises(QueryError, match="a number in it is infinite, or so large that its distances are"):
        table.create_index()
    assert table.list_indices() == []
