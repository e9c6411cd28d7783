from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lancelike.ingest import infer_schema, read_batches


def inferred(data: Any) -> pa.Schema:
    schema, source = infer_schema(read_batches(data))
    assert sum(len(batch) for batch in source.batches) == (data.height if hasattr(data, "height") else len(data))
    return schema


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("vector", [[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
        ("vector", [np.ones(3), np.ones(3)], pa.list_(pa.float32(), 3)),
        ("my_Vector_2", [[1, 2], [3, 4]], pa.list_(pa.uint8(), 2)),
        ("vector", [[1, 256], [3, 4]], pa.list_(pa.float32(), 2)),
        ("vector", [[1, -1], [3, 4]], pa.list_(pa.float32(), 2)),
        ("embeddings", [[1.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
        ("embedding", [None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
        ("vec", [[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float64())),
        ("vector_names", [["a"], ["b"]], pa.list_(pa.string())),
        ("vector", ["a", "b"], pa.string()),
        ("vector", [[], []], pa.list_(pa.null())),
        ("a", [1, None], pa.int64()),
    ],
    ids=repr,
)
def test_types_follow_names_and_values(name: str, values: list[Any], kind: pa.DataType) -> None:
    assert inferred([{name: value} for value in values]) == pa.schema([(name, kind)])


def test_a_frame_gives_the_same_types_as_its_rows() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "vector": [np.ones(2), np.zeros(2)]})
    assert inferred(frame).field("vector").type == pa.list_(pa.float32(), 2)
    assert inferred(frame).metadata is None


def test_the_first_length_counts_among_those_as_common() -> None:
    schema, _ = infer_schema(read_batches([{"vector": [1.0, 2.5]}, {"vector": [1.0]}, {"vector": []}]))
    assert schema.field("vector").type == pa.list_(pa.float32(), 2)


def test_arrow_vectors_keep_their_type() -> None:
    kind = pa.list_(pa.float64(), 2)
    assert inferred(pa.table({"vector": pa.array([[1, 2]], kind)})).field("vector").type == kind


def test_view_layouts_become_plain_ones() -> None:
    schema = inferred(pl.DataFrame({"text": ["a"], "tags": [["x"]]}))
    assert schema.field("text").type in (pa.string(), pa.large_string())
    assert schema.field("tags").type.value_type in (pa.string(), pa.large_string())


def test_metadata_of_the_data_is_kept_but_for_pandas_own() -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({b"embedding_functions": b"[]", b"pandas": b"{}"})
    assert inferred(table).metadata == {b"embedding_functions": b"[]"}


def test_a_stream_of_single_rows_is_looked_at_beyond_the_first() -> None:
    batches = (pa.record_batch({"vector": pa.array([value])}) for value in ([1.0], [1.0, 2.0], [3.0, 4.0]))
    schema, source = infer_schema(read_batches(batches))
    assert schema.field("vector").type == pa.list_(pa.float32(), 2)
    assert [list(batch.rows) for batch in source.batches] == [[0], [1], [2]]
