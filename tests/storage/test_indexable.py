"""What index suits a column and a table, when nothing is said."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.index import BTree, IvfFlat, IvfRq, IvfSq
from lancelike.storage.indexable import default_column, default_config, default_partition_size, default_sub_vectors


def vectors_of(ndims: int, kind: pa.DataType | None = None) -> pa.DataType:
    return pa.list_(kind or pa.float32(), ndims)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (vectors_of(384), IvfRq(num_bits=2)),
        (vectors_of(8, pa.float16()), IvfRq(num_bits=2)),
        (pa.list_(vectors_of(16)), IvfRq(distance_type="cosine", num_bits=2)),
        (pa.list_(vectors_of(100)), IvfSq(distance_type="cosine")),
        (vectors_of(100), IvfSq()),
        (vectors_of(16, pa.uint8()), IvfFlat(distance_type="hamming")),
        (pa.string(), BTree()),
    ],
)
def test_by_type(kind: pa.DataType, config: Any) -> None:
    assert default_config(pa.schema({"a": kind}), "a") == config
    assert default_config(pa.schema({"s": pa.struct({"a": kind})}), "s.a") == config


@pytest.mark.parametrize(
    ("names", "column"),
    [(["vector"], "vector"), (["embedding"], "embedding"), (["image", "vector"], "vector"), ([], "vector")],
)
def test_the_column_that_is_meant_where_none_is_named(names: list[str], column: str) -> None:
    schema = pa.schema({"id": pa.int64(), **dict.fromkeys(names, vectors_of(8))})
    assert default_column(schema) == column


def test_none_of_several_columns_is_meant() -> None:
    with pytest.raises(QueryError, match="say which column to index: 'image', 'text' hold vectors"):
        default_column(pa.schema({"image": vectors_of(8), "text": vectors_of(8)}))


@pytest.mark.parametrize("column", ["b", "s.b", "a.b"])
def test_a_column_that_is_not_there(column: str) -> None:
    with pytest.raises(ColumnNotFoundError, match=r"no column|not found"):
        default_config(pa.schema({"a": pa.int64(), "s": pa.struct({"a": pa.int64()})}), column)


@pytest.mark.parametrize(
    ("rows", "size"), [(0, 256), (100_000, 256), (262_144, 256), (1_000_000, 500), (1_000_000_000, 15_811)]
)
def test_rows_of_a_partition(rows: int, size: int) -> None:
    assert default_partition_size(rows, 8) == size


@pytest.mark.parametrize(("rows", "ndims"), [(2_000_000, 384), (100_000_000, 384), (200_000, 1536), (5_000_000, 1536)])
def test_partitions_are_so_few_that_lance_compares_rows_with_all_centroids(rows: int, ndims: int) -> None:
    partitions = rows / default_partition_size(rows, ndims)
    assert 0.99 * 1_000_000 < math.ceil(partitions) * ndims < 1_000_000


def test_partitions_that_would_be_too_large_are_not_made() -> None:
    assert default_partition_size(1_000_000_000, 384) == 15_811
    assert default_partition_size(10_000_000, 1536) == 1_581


@pytest.mark.parametrize(
    ("ndims", "pieces"), [(384, 24), (1536, 96), (100, 10), (24, 3), (16, 1), (8, 1), (7, 1), (2, 1), (97, 1)]
)
def test_pieces_of_product_quantization(ndims: int, pieces: int) -> None:
    assert default_sub_vectors(ndims) == pieces
