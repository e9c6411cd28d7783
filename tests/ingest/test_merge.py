from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lancelike.embeddings import EmbeddingFunctionConfig
from lancelike.errors import BadDataError, BadVectorError, ColumnNotFoundError, EmbeddingError
from lancelike.ingest import MergeClauses, ingest, merge_rows
from lancelike.pydantic import LanceModel, Vector
from tests.ingest.conftest import NDIMS, Counted, Untouchable, vector_of_text

UPSERT = MergeClauses(on=("id",), when_matched_update_all=True, when_not_matched_insert_all=True)
GIVEN = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture
def schema() -> pa.Schema:
    vector = pa.list_(pa.float32(), NDIMS)
    return pa.schema([("id", pa.int64()), ("text", pa.string()), ("stars", pa.int64()), ("vector", vector)])


@pytest.fixture
def dataset(schema: pa.Schema, make_dataset: Any) -> Any:
    rows = [{"id": i, "text": f"text{i}", "stars": i} for i in range(3)]
    return make_dataset(ingest(rows, schema, [EmbeddingFunctionConfig("vector", "text", Counted())]))


@pytest.fixture
def untouchable() -> EmbeddingFunctionConfig:
    return EmbeddingFunctionConfig("vector", "text", Untouchable())


def rows_of(dataset: Any) -> list[tuple[Any, ...]]:
    return sorted(tuple(row.values()) for row in dataset.lance.to_table().to_pylist())


def test_an_upsert_embeds_what_it_brings(dataset: Any, binding: EmbeddingFunctionConfig, function: Counted) -> None:
    result = merge_rows(dataset, [binding], UPSERT, [{"id": 2, "text": "ab", "stars": 9}, {"id": 3, "text": "c"}])
    assert (result.num_updated_rows, result.num_inserted_rows) == (1, 1)
    assert rows_of(dataset)[2:] == [(2, "ab", 9, vector_of_text("ab")), (3, "c", None, vector_of_text("c"))]
    assert function.sent == ["ab", "c"]


def test_vectors_given_are_kept(dataset: Any, untouchable: EmbeddingFunctionConfig) -> None:
    merge_rows(dataset, [untouchable], UPSERT, [{"id": 2, "text": "ab", "stars": 1, "vector": GIVEN}])
    assert rows_of(dataset)[2] == (2, "ab", 1, GIVEN)


def test_without_the_source_vectors_are_left_alone(dataset: Any, untouchable: EmbeddingFunctionConfig) -> None:
    merge_rows(dataset, [untouchable], UPSERT, [{"id": 1, "stars": 50}, {"id": 7, "stars": 70}])
    assert rows_of(dataset) == [
        (0, "text0", 0, vector_of_text("text0")),
        (1, "text1", 50, vector_of_text("text1")),
        (2, "text2", 2, vector_of_text("text2")),
        (7, None, 70, None),
    ]


def test_the_source_without_other_columns_leaves_those_alone(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    merge_rows(dataset, [binding], UPSERT, [{"id": 1, "text": "ab"}])
    assert rows_of(dataset)[1] == (1, "ab", 1, vector_of_text("ab"))


def test_the_vector_alone_may_be_replaced_but_not_by_null(dataset: Any, untouchable: EmbeddingFunctionConfig) -> None:
    merge_rows(dataset, [untouchable], UPSERT, [{"id": 1, "vector": GIVEN}])
    assert rows_of(dataset)[1] == (1, "text1", 1, GIVEN)
    with pytest.raises(BadVectorError, match="row 1, column 'vector': a vector is null"):
        merge_rows(dataset, [untouchable], UPSERT, [{"id": 1, "vector": GIVEN}, {"id": 2, "vector": None}])


def test_models_are_merged_whole(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    class Row(LanceModel):
        id: int
        text: str
        stars: int
        vector: Vector(NDIMS) = None  # type: ignore[valid-type]

    merge_rows(dataset, [binding], UPSERT, [Row(id=1, text="ab", stars=5)])
    assert rows_of(dataset)[1] == (1, "ab", 5, vector_of_text("ab"))


def test_rows_that_the_data_lacks_can_go(dataset: Any, untouchable: EmbeddingFunctionConfig) -> None:
    clauses = MergeClauses(on=("id",), when_not_matched_by_source_delete=True, by_source_condition="id > 0")
    result = merge_rows(dataset, [untouchable], clauses, [{"id": 1}])
    assert result.num_deleted_rows == 1
    assert [row[0] for row in rows_of(dataset)] == [0, 1]


def test_conditions_reach_the_merge(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    clauses = MergeClauses(
        on=("id",), when_matched_update_all=True, when_matched_where="target.stars > 1", use_index=False
    )
    data = [{"id": i, "text": "new", "stars": 0} for i in range(3)]
    assert merge_rows(dataset, [binding], clauses, data).num_updated_rows == 1
    assert [row[1] for row in rows_of(dataset)] == ["text0", "text1", "new"]


def test_a_missing_key_is_named(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    with pytest.raises(BadDataError, match="column 'id': the rows lack the merge's key"):
        merge_rows(dataset, [binding], UPSERT, [{"text": "a"}])
    with pytest.raises(ColumnNotFoundError, match="no column 'nokey'"):
        merge_rows(dataset, [binding], MergeClauses(on=("nokey",)), [{"id": 1}])


def test_a_column_that_the_table_lacks_is_named(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    with pytest.raises(BadDataError, match="column 'z': the table has no such column"):
        merge_rows(dataset, [binding], UPSERT, [{"id": 1, "z": 1}])


def test_part_of_a_template_is_not_enough(dataset: Any) -> None:
    function = Counted()
    binding = EmbeddingFunctionConfig("vector", None, function, "{text} {stars}")
    with pytest.raises(BadDataError, match="column 'stars': 'vector' is made from this column too, and the rows lack"):
        merge_rows(dataset, [binding], UPSERT, [{"id": 1, "text": "a"}])
    merge_rows(dataset, [binding], UPSERT, [{"id": 1, "text": "a", "vector": GIVEN}])
    merge_rows(dataset, [binding], UPSERT, [{"id": 2, "text": "a", "stars": 5}])
    assert function.sent == ["a 5"]


def test_a_failing_function_merges_nothing(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    before = rows_of(dataset)
    with pytest.raises(EmbeddingError) as error:
        merge_rows(dataset, [binding], UPSERT, [{"id": 1, "text": "boom"}])
    assert (error.value.row, error.value.column) == (0, "text")
    dataset.refresh()
    assert rows_of(dataset) == before


def test_no_rows_are_no_error(dataset: Any, untouchable: EmbeddingFunctionConfig) -> None:
    result = merge_rows(dataset, [untouchable], UPSERT, [])
    assert (result.num_updated_rows, result.num_inserted_rows) == (0, 0)
