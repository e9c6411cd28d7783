"""LanceDB's small functions."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from lancelike.util import (
    batch_to_tensor,
    batch_to_tensor_dict,
    batch_to_tensor_rows,
    flatten_columns,
    get_uri_scheme,
    join_uri,
    tbl_to_tensor,
    value_to_sql,
)


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [
        ("/a/b", "file"),
        ("relative", "file"),
        ("file:///a", "file"),
        (r"c:\a", "file"),
        ("s3://bucket/a", "s3"),
        ("s3a://bucket/a", "s3"),
        ("gs://bucket", "gs"),
        ("memory://", "memory"),
    ],
)
def test_schemes(uri: str, scheme: str) -> None:
    assert get_uri_scheme(uri) == scheme


def test_parts_are_joined_below_their_base() -> None:
    assert join_uri(Path("/a"), "b", "c.lance") == Path("/a/b/c.lance")
    assert join_uri("/a/", "b") == "/a/b"
    assert join_uri("s3://bucket/db/", "b/", "c") == "s3://bucket/db/b/c"
    assert join_uri("s3://bucket/db?region=x", "b") == "s3://bucket/db/b?region=x"


def test_columns_become_one_tensor() -> None:
    table = pa.table({"a": [1, 2, 3], "b": [4, 5, 6]})
    assert tbl_to_tensor(table).tolist() == [[1, 2, 3], [4, 5, 6]]
    (batch,) = table.to_batches()
    assert batch_to_tensor(batch).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert [row.tolist() for row in batch_to_tensor_rows(batch)] == [[1, 4], [2, 5], [3, 6]]
    with pytest.raises(ValueError, match="combine_chunks"):
        tbl_to_tensor(pa.concat_tables([table, table]))


def test_rows_become_dicts_of_tensors() -> None:
    vectors = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2))
    batch = pa.record_batch({"id": [1, 2], "even": [False, True], "vector": vectors})
    rows = batch_to_tensor_dict(batch)
    assert [row["id"].item() for row in rows] == [1, 2]
    assert rows[1]["even"].item() is True
    assert torch.equal(rows[1]["vector"], torch.tensor([3.0, 4.0]))
    (second,) = batch_to_tensor_dict(batch.slice(1))
    assert second["vector"].tolist() == [3.0, 4.0]


def test_what_no_tensor_holds_is_named() -> None:
    with pytest.raises(TypeError, match=r"column 's' of type string"):
        batch_to_tensor_dict(pa.record_batch({"s": ["x"]}))
    with pytest.raises(TypeError, match="column 'n' has nulls"):
        batch_to_tensor_dict(pa.record_batch({"n": [1, None]}))


def test_functions_of_the_query_layer_are_here_too() -> None:
    assert value_to_sql("it's") == "'it''s'"
    assert flatten_columns(pa.table({"a": [{"b": 1}]}), True).column_names == ["a.b"]
