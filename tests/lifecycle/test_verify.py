"""No vector stays behind its source unnoticed, whoever changed it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, get_registry, register
from lancelike.errors import EmbeddingError, ReadOnlyTableError
from lancelike.ledger.canaries import TEXT_CANARIES
from lancelike.pydantic import LanceModel, Vector

SENT: list[str] = []
NDIMS = 8


def vector_of(text: str) -> list[float]:
    return [float(x) for x in np.random.default_rng([*text.encode(), 1]).standard_normal(NDIMS).astype(np.float32)]


def sent() -> list[str]:
    """Texts sent since the last call, in order of the alphabet, without those that only check the model."""
    texts = sorted(text for text in SENT if text not in TEXT_CANARIES)
    SENT.clear()
    return texts


@pytest.fixture(autouse=True)
def _function() -> Iterator[None]:
    @register("verified")
    class Verified(TextEmbeddingFunction):
        def ndims(self) -> int:
            return NDIMS

        def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            SENT.extend(texts)
            if "poison" in texts:
                raise ValueError("poison")
            return [vector_of(text) for text in texts]

    SENT.clear()
    yield
    get_registry()._functions.pop("verified", None)


@pytest.fixture
def theirs(tmp_path: Path) -> Any:
    """The database as LanceDB opens it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LanceDB's own, at import
        import lancedb
        from lancedb.embeddings import EmbeddingFunctionRegistry, TextEmbeddingFunction

        @EmbeddingFunctionRegistry.get_instance().register("verified")
        class Theirs(TextEmbeddingFunction):  # type: ignore[misc]  # LanceDB's classes are untyped here
            def ndims(self) -> int:
                return NDIMS

            def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
                return [vector_of(text) for text in texts]

    return lancedb.connect(tmp_path)


def make_table(folder: Path | str, rows: list[dict[str, Any]] | None = None, **options: Any) -> lancelike.Table:
    function = get_registry().get("verified").create(max_retries=0)

    class Doc(LanceModel):
        id: int
        n: int | None = None
        text: str | None = function.SourceField(default=None)
        vector: Vector(NDIMS) = function.VectorField()  # type: ignore[valid-type]  # made per call

    table = lancelike.connect(folder, **options).create_table("docs", schema=Doc)
    table.add([{"id": i, "text": f"text {i}"} for i in range(10)] if rows is None else rows)
    sent()
    return table


def stale(table: lancelike.Table) -> dict[int, str]:
    """Reason by id."""
    rows = table.to_lance().scanner(columns=["id"], with_row_id=True).to_table().to_pylist()
    ids = {row["_rowid"]: row["id"] for row in rows}
    return {ids[row["row_id"]]: row["reason"] for row in table.verify().to_pylist()}


def in_step(table: lancelike.Table) -> bool:
    rows = table.to_arrow().to_pylist()
    return all(row["vector"] == (None if row["text"] is None else vector_of(row["text"])) for row in rows)


def foreign(table: lancelike.Table) -> Any:
    """The table as another program opens it."""
    return lance.dataset(table.uri)


def test_an_update_takes_text_and_vector_along_in_one_version(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    before = table.version
    table.update(where="id = 1", values={"text": "zebra"})
    assert table.version == before + 1
    table.update(where="id = 2", values_sql={"text": "upper(text)"})
    assert in_step(table)
    assert sent() == ["TEXT 2", "zebra"]
    table.checkout(before)
    assert in_step(table)


def test_what_another_program_changed_is_found_and_mended_alone(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    foreign(table).update({"text": "'zebra ' || cast(id as string)"}, where="id in (3, 5)")
    assert stale(table) == {3: "source changed", 5: "source changed"}
    assert table.verify().schema.names == ["row_id", "vector_column", "source_column", "reason"]
    assert table.verify()["source_column"].to_pylist() == ["text", "text"]
    before = table.version
    receipt = table.refresh()
    assert table.version == before + 1
    assert (receipt.rows, receipt.texts, receipt.embedded) == (2, 2, 2)
    assert sent() == ["zebra 3", "zebra 5"]
    assert stale(table) == {}
    assert in_step(table)
    assert table.refresh().rows == 0
    assert table.version == before + 1


def test_a_stale_row_stays_found_when_we_write_other_columns_to_it(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    foreign(table).update({"text": "'zebra'"}, where="id = 3")
    table.update(where="true", values_sql={"n": "n + 1"})
    table.merge_insert("id").when_matched_update_all().execute([{"id": 3, "n": 7}])
    table.add([{"id": 11, "text": "new"}])
    assert stale(table) == {3: "source changed"}
    table.update(where="id = 3", values={"text": "lion"})
    assert stale(table) == {}
    assert in_step(table)


def test_our_own_writes_raise_no_alarm(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    table.add([{"id": 20, "text": "given", "vector": [1.0] * NDIMS}, {"id": 21, "vector": [2.0] * NDIMS}])
    table.add([{"id": 22}])
    table.update(where="id = 20", values={"text": "given anew", "vector": [1.0] * NDIMS})
    table.update(where="id = 0", values={"text": None})
    table.update(where="id = 1", values={"vector": [3.0] * NDIMS})
    table.update(values_sql={"n": "n + 1"})
    upsert = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    upsert.execute([{"id": 2, "text": "merged", "n": 0}, {"id": 30, "text": "inserted", "n": 0}])
    table.merge_insert("id").when_matched_update_all().execute([{"id": 4, "n": 9}])
    table.merge_insert("id").when_matched_update_all().execute([{"id": 5, "vector": [4.0] * NDIMS}])
    table.delete("id = 6")
    table.create_index("id")
    middle = table.version
    table.add_columns({"twice": "n * 2"})
    table.alter_columns({"path": "text", "rename": "body"})
    table.compact_files()
    table.optimize()
    table.checkout(middle)
    assert stale(table) == {}
    table.checkout_latest()
    assert stale(table) == {}
    table.restore(middle)
    assert stale(table) == {}
    table.add([{"id": 40, "text": "after"}], mode="overwrite")
    assert stale(table) == {}
    assert table.refresh().rows == 0


def test_a_given_vector_is_in_step_until_its_source_changes(tmp_path: Path) -> None:
    table = make_table(tmp_path, [{"id": 1, "text": "mine", "vector": [1.0] * NDIMS}], ledger_bytes=0)
    assert stale(table) == {}
    foreign(table).update({"n": "5"})
    table.checkout_latest()
    assert stale(table) == {}
    foreign(table).update({"text": "'other'"})
    table.checkout_latest()
    assert stale(table) == {1: "source changed"}
    table.refresh()
    assert sent() == ["other"]
    assert stale(table) == {}


def test_rows_without_a_vector_are_found(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    rows = pa.table({"id": [11, 12], "n": [0, 0], "text": pa.array(["bare", None])})
    nulls = pa.nulls(2, table.schema.field("vector").type)
    lance.write_dataset(rows.append_column("vector", nulls).cast(table.schema), table.uri, mode="append")
    table.checkout_latest()
    assert stale(table) == {11: "no vector"}
    assert table.refresh().embedded == 1
    assert sent() == ["bare"]
    assert in_step(table)


def test_another_programs_rows_with_vectors_are_taken_as_given(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    row = pa.table({"id": [3, 11], "n": [0, 0], "text": ["new 3", "new 11"], "vector": [[1.0] * NDIMS, [2.0] * NDIMS]})
    merge = foreign(table).merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    merge.execute(row.cast(table.schema))
    table.checkout_latest()
    assert stale(table) == {}
    partial = pa.table({"id": [4, 3], "text": ["again", "new 3"]})
    foreign(table).merge_insert("id").when_matched_update_all().execute(partial)
    table.checkout_latest()
    assert stale(table) == {4: "source changed"}


def test_a_source_taken_away_takes_its_vector_along(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    foreign(table).update({"text": "null"}, where="id = 3")
    table.checkout_latest()
    assert stale(table) == {3: "source changed"}
    assert table.refresh().texts == 0
    assert in_step(table)
    assert sent() == []


def test_a_change_taken_back_is_no_change(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    foreign(table).update({"text": "'zebra'"}, where="id = 3")
    foreign(table).update({"text": "'text 3'"}, where="id = 3")
    table.checkout_latest()
    assert stale(table) == {}


def test_rows_rewritten_whole_with_their_old_vectors_are_found(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    rows = foreign(table).to_table()
    texts = [f"TEXT {i}" if i in (2, 4) else f"text {i}" for i in range(10)]
    changed = rows.set_column(rows.schema.get_field_index("text"), rows.schema.field("text"), pa.array(texts))
    lance.write_dataset(changed, table.uri, mode="overwrite")
    table.checkout_latest()
    assert stale(table) == {2: "source changed", 4: "source changed"}
    table.refresh()
    assert sent() == ["TEXT 2", "TEXT 4"]
    assert in_step(table)


def test_found_after_compaction_and_after_the_old_versions_are_gone(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    foreign(table).update({"text": "'zebra'"}, where="id = 3")
    foreign(table).optimize.compact_files()
    table.checkout_latest()
    assert stale(table) == {3: "source changed"}
    foreign(table).cleanup_old_versions(timedelta(0), delete_unverified=True)
    table.checkout_latest()
    assert len(table.list_versions()) == 1
    assert stale(table) == {3: "source changed"}
    table.refresh()
    assert sent() == ["zebra"]
    assert in_step(table)


def given(folder: Path, **options: Any) -> lancelike.Table:
    return make_table(
        folder, [{"id": i, "text": f"text {i}", "vector": [float(i)] * NDIMS} for i in range(5)], **options
    )


@pytest.mark.parametrize("clean", ["optimize", "cleanup_old_versions"])
def test_our_own_cleanup_keeps_what_it_would_forget(clean: str, tmp_path: Path) -> None:
    table = given(tmp_path, ledger_bytes=0)
    for turn in range(2):
        foreign(table).update({"text": f"'zebra {turn}'"}, where="id = 3")
        foreign(table).update({"n": "5"})
        table.checkout_latest()
        if clean == "optimize":
            table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        else:
            table.cleanup_old_versions(timedelta(0), delete_unverified=True)
        assert len(table.list_versions()) <= 2
        assert stale(table) == {3: "source changed"}
        table.add([{"id": 10 + turn, "text": "late", "vector": [9.0] * NDIMS}])
        table.update(where="id = 3", values={"n": 1})
        assert stale(table) == {3: "source changed"}
    table.alter_columns({"path": "text", "rename": "body"}, {"path": "vector", "rename": "v"})
    assert stale(table) == {3: "source changed"}
    assert table.refresh().rows == 1
    assert sent() == ["zebra 1"]
    assert stale(table) == {}
    table.cleanup_old_versions(timedelta(0), delete_unverified=True)
    assert stale(table) == {}


@pytest.mark.parametrize("clean", ["optimize", "cleanup_old_versions"])
def test_a_cleanup_by_a_handle_that_has_not_seen_the_last_versions_forgets_nothing(clean: str, tmp_path: Path) -> None:
    table = given(tmp_path)
    (tmp_path / "same").symlink_to(Path(table.uri).parent)
    elsewhere = lancelike.connect(tmp_path / "same").open_table(table.name)
    for _ in range(3):
        table.update(where="id = 3", values={"n": 1})
    if clean == "optimize":
        elsewhere.optimize(cleanup_older_than=timedelta(0))
    else:
        elsewhere.cleanup_old_versions(timedelta(0))
    assert stale(elsewhere) == {}


@pytest.mark.parametrize("ledger_bytes", [0, 1 << 30])
def test_what_another_programs_cleanup_hides_is_said_to_be_unknown(ledger_bytes: int, tmp_path: Path) -> None:
    table = given(tmp_path, ledger_bytes=ledger_bytes)
    table.add([{"id": 7, "text": "made"}, {"id": 8, "text": None}])
    sent()
    foreign(table).update({"text": "'zebra'"}, where="id = 3")
    foreign(table).cleanup_old_versions(timedelta(0), delete_unverified=True)
    table.checkout_latest()
    doubtful = {*range(5), *([] if ledger_bytes else [7])}
    assert stale(table) == dict.fromkeys(doubtful, "unknown")
    assert table.health().stale == 0
    assert any("refresh(unknown=True)" in line for line in table.health().advice)
    assert table.refresh().rows == 0
    foreign(table).update({"text": "'lion'"}, where="id = 4")
    table.checkout_latest()
    assert stale(table)[4] == "source changed"
    assert table.refresh().rows == 1
    assert sent() == ["lion"]
    table.cleanup_old_versions(timedelta(0), delete_unverified=True)
    left = doubtful - ({4} if ledger_bytes else set())
    assert stale(table) == dict.fromkeys(left, "unknown"), "what was not known is not fine for being cleaned up again"
    table.refresh(unknown=True)
    assert stale(table) == {}
    assert in_step(table)
    table.cleanup_old_versions(timedelta(0), delete_unverified=True)
    foreign(table).update({"text": "'again'"}, where="id = 1")
    table.checkout_latest()
    table.cleanup_old_versions(timedelta(0), delete_unverified=True)
    assert stale(table)[1] in ({"source changed"} if ledger_bytes else {"source changed", "unknown"})


def test_a_restore_brings_staleness_back(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    foreign(table).update({"text": "'zebra'"}, where="id = 3")
    table.checkout_latest()
    bad = table.version
    table.update(where="id = 3", values={"text": "lion"})
    assert stale(table) == {}
    table.restore(bad)
    assert stale(table) == {3: "source changed"}


def test_templates_follow_each_of_their_columns(tmp_path: Path) -> None:
    function = get_registry().get("verified").create()

    class Page(LanceModel):
        id: int
        title: str
        body: str
        vector: Vector(NDIMS) = function.VectorField(template="{title}: {body}")  # type: ignore[valid-type]

    table = lancelike.connect(tmp_path).create_table("docs", schema=Page)
    table.add([{"id": i, "title": f"t{i}", "body": f"b{i}"} for i in range(3)])
    sent()
    foreign(table).update({"title": "'T'"}, where="id = 1")
    table.checkout_latest()
    assert stale(table) == {1: "source changed"}
    assert table.verify()["source_column"].to_pylist() == ["title, body"]
    table.refresh()
    assert sent() == ["T: b1"]


def test_each_of_two_vector_columns_is_mended_where_it_is_stale(tmp_path: Path) -> None:
    function = get_registry().get("verified").create()

    class Two(LanceModel):
        id: int
        a: str = function.SourceField()
        b: str = function.SourceField()
        va: Vector(NDIMS) = function.VectorField(source="a")  # type: ignore[valid-type]
        vb: Vector(NDIMS) = function.VectorField(source="b")  # type: ignore[valid-type]

    table = lancelike.connect(tmp_path).create_table("docs", schema=Two)
    table.add([{"id": i, "a": f"a{i}", "b": f"b{i}", "vb": [float(i)] * NDIMS} for i in range(4)])
    sent()
    foreign(table).update({"a": "'x'"}, where="id = 1")
    foreign(table).update({"b": "'y'"}, where="id = 2")
    table.checkout_latest()
    found = table.verify().to_pylist()
    assert [(row["vector_column"], row["source_column"]) for row in found] == [("va", "a"), ("vb", "b")]
    assert table.refresh().rows == 2
    assert sent() == ["x", "y"]
    rows = {row["id"]: row for row in table.to_arrow().to_pylist()}
    assert rows[1]["vb"] == [1.0] * NDIMS
    assert rows[2]["vb"] == vector_of("y")


def test_a_refused_source_changes_nothing_or_is_set_aside(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    foreign(table).update({"text": "'poison'"}, where="id = 3")
    foreign(table).update({"text": "'good'"}, where="id = 4")
    table.checkout_latest()
    before = table.version
    with pytest.raises(EmbeddingError, match="poison"):
        table.refresh()
    assert table.version == before
    table.refresh(on_embedding_error="quarantine")
    assert stale(table) == {3: "no vector"}


def test_a_past_version_is_verified_as_it_was(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    good = table.version
    foreign(table).update({"text": "'zebra'"}, where="id = 3")
    table.checkout_latest()
    bad = table.version
    table.refresh()
    table.checkout(good)
    assert stale(table) == {}
    table.checkout(bad)
    assert stale(table) == {3: "source changed"}
    with pytest.raises(ReadOnlyTableError):
        table.refresh()


def test_in_memory(tmp_path: Path) -> None:
    table = make_table("memory://")
    assert stale(table) == {}


def test_what_lancedb_changed_is_found(tmp_path: Path, theirs: Any) -> None:
    table = make_table(tmp_path)
    same = theirs.open_table("docs")
    same.update(where="id = 3", values={"text": "zebra"})
    same.merge_insert("id").when_matched_update_all().execute(pa.table({"id": [4], "text": ["lion"]}))
    same.add([{"id": 50, "n": 0, "text": "theirs", "vector": [1.0] * NDIMS}])
    table.checkout_latest()
    assert stale(table) == {3: "source changed"}
    table.refresh()
    assert sent() == ["zebra"]


def test_a_table_of_theirs_without_stable_row_ids(tmp_path: Path, theirs: Any) -> None:
    binding = b'[{"name": "verified", "model": {}, "source_column": "text", "vector_column": "vector"}]'
    schema = pa.schema(
        {"id": pa.int64(), "n": pa.int64(), "text": pa.string(), "vector": pa.list_(pa.float32(), NDIMS)},
        {b"embedding_functions": binding},
    )
    rows = [{"id": i, "n": 0, "text": f"text {i}", "vector": [float(i)] * NDIMS} for i in range(10)]
    lance.write_dataset(pa.Table.from_pylist(rows, schema), tmp_path / "docs.lance")
    same = theirs.open_table("docs")
    same.update(where="id = 3", values={"text": "zebra"})
    same.update(where="id = 5", values={"n": 3})
    table = lancelike.connect(tmp_path).open_table("docs")
    assert not table.to_lance().has_stable_row_ids
    assert stale(table) == {3: "source changed"}
    table.compact_files()
    assert stale(table) == {3: "source changed"}
    table.refresh()
    assert sent() == ["zebra"]
    assert stale(table) == {}
