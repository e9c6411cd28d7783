from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lancelike.embeddings import EmbeddingFunctionConfig
from lancelike.errors import ColumnNotFoundError, EmbeddingError, QueryError
from lancelike.ingest import ingest, update_rows
from tests.ingest.conftest import Counted, Untouchable, vector_of_text


@pytest.fixture
def dataset(schema: pa.Schema, make_dataset: Any) -> Any:
    rows = [{"id": i, "text": f"text{i}"} for i in range(10)]
    return make_dataset(ingest(rows, schema, [EmbeddingFunctionConfig("vector", "text", Counted())]))


def rows_of(dataset: Any) -> dict[int, tuple[str | None, Any]]:
    return {row["id"]: (row["text"], row["vector"]) for row in dataset.lance.to_table().to_pylist()}


def test_a_vector_follows_its_source_in_the_same_commit(
    dataset: Any, binding: EmbeddingFunctionConfig, function: Counted
) -> None:
    before = dataset.version
    result = update_rows(dataset, lambda _: [binding], {"text": "'new ' || text"}, "id < 3")
    assert (result.rows_updated, result.version) == (3, before + 1)
    for row, (text, vector) in rows_of(dataset).items():
        assert text == (f"new text{row}" if row < 3 else f"text{row}")
        assert vector == vector_of_text(text)
    assert sorted(function.sent) == ["new text0", "new text1", "new text2"]


def test_without_a_filter_every_row_is_updated(
    dataset: Any, binding: EmbeddingFunctionConfig, function: Counted
) -> None:
    assert update_rows(dataset, lambda _: [binding], {"text": "'same'"}).rows_updated == 10
    assert function.sent == ["same"]
    assert set(map(str, rows_of(dataset).values())) == {str(("same", vector_of_text("same")))}


def test_a_source_made_null_makes_its_vector_null(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    update_rows(dataset, lambda _: [binding], {"text": "NULL"}, "id = 1")
    assert rows_of(dataset)[1] == (None, None)


def test_a_row_whose_source_stays_the_same_keeps_its_vector(
    schema: pa.Schema, make_dataset: Any, binding: EmbeddingFunctionConfig, function: Counted
) -> None:
    given = [1.0, 2.0, 3.0, 4.0]
    rows = [
        {"id": 0, "text": None, "vector": given},
        {"id": 1, "text": "low", "vector": given},
        {"id": 2, "text": "UP"},
    ]
    dataset = make_dataset(ingest(rows, schema, [binding]))
    assert update_rows(dataset, lambda _: [binding], {"text": "lower(text)"}).embedding.texts == 1
    assert rows_of(dataset) == {0: (None, given), 1: ("low", given), 2: ("up", vector_of_text("up"))}
    assert function.sent == ["UP", "up"]
    update_rows(dataset, lambda _: [binding], {"text": "'low'"}, "id < 2")
    assert rows_of(dataset) == {0: ("low", vector_of_text("low")), 1: ("low", given), 2: ("up", vector_of_text("up"))}


def test_a_vector_that_is_missing_is_made_though_its_source_stays_the_same(
    dataset: Any, binding: EmbeddingFunctionConfig
) -> None:
    update_rows(dataset, lambda _: [binding], {"vector": "NULL"}, "id = 1")
    assert rows_of(dataset)[1] == ("text1", None)
    update_rows(dataset, lambda _: [binding], {"text": "text"})
    assert rows_of(dataset)[1] == ("text1", vector_of_text("text1"))


def test_other_columns_need_no_function(dataset: Any) -> None:
    binding = EmbeddingFunctionConfig("vector", "text", Untouchable())
    assert update_rows(dataset, lambda _: [binding], {"id": "id + 100"}, "id = 1").rows_updated == 1
    assert rows_of(dataset)[101] == ("text1", vector_of_text("text1"))


def test_a_vector_given_with_its_source_wins(dataset: Any) -> None:
    binding = EmbeddingFunctionConfig("vector", "text", Untouchable())
    values = {"text": "'new'", "vector": "[1.0, 2.0, 3.0, 4.0]"}
    assert update_rows(dataset, lambda _: [binding], values, "id = 1").rows_updated == 1
    assert rows_of(dataset)[1] == ("new", [1.0, 2.0, 3.0, 4.0])


def test_a_failing_function_changes_nothing(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    before, version = rows_of(dataset), dataset.version
    with pytest.raises(EmbeddingError) as error:
        update_rows(dataset, lambda _: [binding], {"text": "'boom'"}, "id = 1")
    assert (error.value.row, error.value.column) == (None, "text")
    dataset.refresh()
    assert (rows_of(dataset), dataset.version) == (before, version)


def test_no_row_that_matches_is_no_error(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    assert update_rows(dataset, lambda _: [binding], {"text": "'x'"}, "id = 99").rows_updated == 0


def test_unknown_columns_and_bad_sql_are_errors(dataset: Any, binding: EmbeddingFunctionConfig) -> None:
    with pytest.raises((ColumnNotFoundError, QueryError)):
        update_rows(dataset, lambda _: [binding], {"text": "nothing"}, "id = 1")
    with pytest.raises((ColumnNotFoundError, QueryError)):
        update_rows(dataset, lambda _: [binding], {"text": "'a'"}, "nowhere = 1")


def test_a_template_follows_any_of_its_columns(make_dataset: Any, schema: pa.Schema) -> None:
    function = Counted()
    schema = schema.insert(1, pa.field("title", pa.string()))
    binding = EmbeddingFunctionConfig("vector", None, function, "{title}: {text}")
    dataset = make_dataset(ingest([{"id": 1, "title": "A", "text": "b"}], schema, [binding]))
    update_rows(dataset, lambda _: [binding], {"text": "'c'"})
    assert function.sent == ["A: b", "A: c"]
    assert dataset.lance.to_table()["vector"].to_pylist() == [vector_of_text("A: c")]
