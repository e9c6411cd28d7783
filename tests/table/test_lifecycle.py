"""Vectors follow their sources, whatever writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lancelike
from lancelike.embeddings import EmbeddingFunctionConfig, TextEmbeddingFunction, get_registry, register
from lancelike.errors import SchemaError
from lancelike.pydantic import LanceModel, Vector
from tests.table.conftest import Doc, hashing


def vector_of(text: str) -> np.ndarray[Any, Any]:
    vector: np.ndarray[Any, Any] = np.asarray(hashing.compute_source_embeddings([text]))[0]
    return vector


def stored(table: lancelike.Table, id_: int) -> dict[str, Any]:
    [row] = table.search().where(f"id = {id_}").to_list()
    return row


def test_add_embeds_and_search_by_text_finds(docs: lancelike.Table) -> None:
    assert docs.search("hello world").limit(1).to_list()[0]["id"] == 0
    np.testing.assert_allclose(stored(docs, 2)["vector"], vector_of("compress a file"), atol=1e-6)


def test_rows_that_carry_vectors_keep_them_and_the_others_are_filled(docs: lancelike.Table) -> None:
    given = [0.0] * 31 + [1.0]
    docs.add([{"id": 10, "text": "mine", "vector": given}, {"id": 11, "text": "yours", "vector": None}])
    assert stored(docs, 10)["vector"] == given
    np.testing.assert_allclose(stored(docs, 11)["vector"], vector_of("yours"), atol=1e-6)


def test_a_null_source_gives_a_null_vector(docs: lancelike.Table) -> None:
    docs.add([{"id": 10, "text": None}])
    assert stored(docs, 10)["vector"] is None


def test_update_of_the_source_changes_the_vector_in_the_same_commit(docs: lancelike.Table) -> None:
    before = docs.version
    result = docs.update(where="id = 0", values={"text": "zebra"})
    assert (result.rows_updated, result.version) == (1, docs.version)
    np.testing.assert_allclose(stored(docs, 0)["vector"], vector_of("zebra"), atol=1e-6)
    docs.checkout(before)
    assert stored(docs, 0)["text"] == "hello world"
    np.testing.assert_allclose(stored(docs, 0)["vector"], vector_of("hello world"), atol=1e-6)


def test_update_by_sql_embeds_what_the_expression_gave(docs: lancelike.Table) -> None:
    docs.update(where="id < 2", values_sql={"text": "concat(text, ' again')"})
    np.testing.assert_allclose(stored(docs, 1)["vector"], vector_of("goodbye moon again"), atol=1e-6)
    np.testing.assert_allclose(stored(docs, 2)["vector"], vector_of("compress a file"), atol=1e-6)


def test_update_of_another_column_leaves_the_vector(docs: lancelike.Table) -> None:
    docs.update(where="id = 1", values={"id": 100})
    np.testing.assert_allclose(stored(docs, 100)["vector"], vector_of("goodbye moon"), atol=1e-6)


def test_merge_inserts_updates_and_embeds(docs: lancelike.Table) -> None:
    merge = docs.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    result = merge.execute([{"id": 1, "text": "good morning"}, {"id": 50, "text": "new"}])
    assert (result.num_updated_rows, result.num_inserted_rows, result.num_deleted_rows) == (1, 1, 0)
    np.testing.assert_allclose(stored(docs, 1)["vector"], vector_of("good morning"), atol=1e-6)
    np.testing.assert_allclose(stored(docs, 50)["vector"], vector_of("new"), atol=1e-6)


def test_merge_by_source_deletes(docs: lancelike.Table) -> None:
    merge = docs.merge_insert("id").when_not_matched_by_source_delete("id > 2")
    assert merge.execute([{"id": 0, "text": "hello world"}]).num_deleted_rows == 2
    assert docs.count_rows() == 3


def test_overwrite_keeps_the_schema_and_its_functions(docs: lancelike.Table) -> None:
    docs.add([{"id": 7, "text": "only me"}], mode="overwrite")
    assert docs.count_rows() == 1
    assert docs.search("only me").limit(1).to_list()[0]["_distance"] == pytest.approx(0, abs=1e-6)


def test_adding_nothing_is_fine(docs: lancelike.Table) -> None:
    docs.add([])
    assert docs.count_rows() == 5


def test_a_reopened_table_embeds(tmp_path: Path) -> None:
    lancelike.connect(tmp_path).create_table("docs", schema=Doc).add([{"id": 1, "text": "a b"}])
    table = lancelike.connect(tmp_path).open_table("docs")
    assert table.embedding_functions["vector"].function.ndims() == 32
    table.add([{"id": 2, "text": "c d"}])
    assert table.search("c d").limit(1).to_list()[0]["id"] == 2


def test_one_vector_from_two_fields(db: lancelike.DBConnection) -> None:
    class Page(LanceModel):
        title: str
        body: str | None
        vector: Vector(32) = hashing.VectorField(template="{title}\n{body}")  # type: ignore[valid-type]

    table = db.create_table("pages", [{"title": "A", "body": "one two"}], schema=Page)
    [row] = table.search("A\none two").limit(1).to_list()
    assert row["_distance"] == pytest.approx(0, abs=1e-6)
    table.update(where="title = 'A'", values={"title": "B"})
    [row] = table.search("B\none two").limit(1).to_list()
    assert row["_distance"] == pytest.approx(0, abs=1e-6)


def test_a_table_declared_with_arrow_and_a_binding(db: lancelike.DBConnection) -> None:
    config = EmbeddingFunctionConfig(vector_column="v", source_column="text", function=hashing)
    table = db.create_table("t", [{"text": "x y"}, {"text": "z"}], embedding_functions=[config])
    assert table.search("z").limit(1).to_list()[0]["text"] == "z"


def test_renaming_columns_keeps_the_binding(docs: lancelike.Table) -> None:
    docs.alter_columns({"path": "text", "rename": "body"}, {"path": "vector", "rename": "v"})
    docs.add([{"id": 9, "body": "renamed"}])
    assert docs.search("renamed").limit(1).to_list()[0]["id"] == 9


def test_dropping_the_source_leaves_search_by_text(docs: lancelike.Table) -> None:
    docs.drop_columns(["text"])
    assert docs.search("hello world").limit(1).to_list()[0]["id"] == 0
    docs.add([{"id": 8, "vector": vector_of("brought")}])
    assert docs.search("brought").limit(1).to_list()[0]["id"] == 8


def test_dropping_the_vector_drops_its_function(docs: lancelike.Table) -> None:
    docs.drop_columns(["vector"])
    assert docs.embedding_functions == {}
    docs.add([{"id": 8, "text": "plain"}])
    assert docs.count_rows() == 6


def test_the_model_of_a_stored_table_declares_it_again(docs: lancelike.Table, tmp_path: Path) -> None:
    again = lancelike.connect(tmp_path / "other").create_table("docs", schema=docs.model())
    again.add([{"id": 1, "text": "hello"}])
    assert again.search("hello").limit(1).to_pydantic(docs.model())[0].id == 1  # type: ignore[attr-defined]


def test_another_function_under_exist_ok_is_refused(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    other = get_registry().get("hash").create(dim=32, query_prompt="q: ")

    class Doc2(LanceModel):
        id: int
        text: str | None = other.SourceField()
        vector: Vector(32) = other.VectorField()  # type: ignore[valid-type]

    assert db.create_table("docs", schema=Doc, exist_ok=True).count_rows() == 5
    with pytest.raises(SchemaError, match="Provided schema does not match"):
        db.create_table("docs", schema=Doc2, exist_ok=True)


def test_vectors_go_in_and_rows_come_out_where_the_function_is_unknown(db: lancelike.DBConnection) -> None:
    @register("soon-forgotten")
    class Forgotten(TextEmbeddingFunction):
        def ndims(self) -> int:
            return 2

        def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            return [[len(text), 1.0] for text in texts]

    function = Forgotten.create()
    config = EmbeddingFunctionConfig(vector_column="vector", source_column="text", function=function)
    db.create_table("t", [{"text": "abc"}], embedding_functions=[config])
    get_registry()._functions.pop("soon-forgotten")
    table = db.open_table("t")
    table.add([{"text": "brought", "vector": [7.0, 1.0]}])
    assert table.search([7.0, 1.0]).limit(1).to_list()[0]["text"] == "brought"
    with pytest.raises(lancelike.errors.EmbeddingFunctionUnavailable, match="soon-forgotten"):
        table.search("abc").to_list()
    with pytest.raises(lancelike.errors.EmbeddingFunctionUnavailable, match="soon-forgotten"):
        table.add([{"text": "abc"}])
    assert table.count_rows() == 2
