"""Tables made of a version of another."""

from __future__ import annotations

from pathlib import Path

import pytest

import lancelike
from lancelike.embeddings import get_registry
from lancelike.errors import QueryError, TableExistsError, TableNotFoundError, VersionNotFoundError
from lancelike.index import BTree
from tests.lifecycle.spies import create_docs, make_spy


@pytest.mark.parametrize("shallow", [True, False])
def test_a_clone_is_a_table_of_its_own(db: lancelike.DBConnection, docs: lancelike.Table, shallow: bool) -> None:
    docs.create_index("id", config=BTree())
    clone = db.clone_table("clone", docs.uri, is_shallow=shallow)
    assert clone.to_arrow() == docs.to_arrow()
    assert list(clone.embedding_functions) == ["vector"]
    clone.add([{"id": 9, "text": "nine"}])
    clone.update(where="id = 0", values={"text": "changed"})
    docs.delete("id = 1")
    assert (clone.count_rows(), docs.count_rows()) == (6, 4)
    assert clone.search("changed").limit(1).to_list()[0]["id"] == 0
    assert clone.verify().num_rows == 0
    assert sorted(db.list_tables().tables) == ["clone", "docs"]


def test_a_version_or_a_tag_is_cloned(db: lancelike.DBConnection, docs: lancelike.Table) -> None:
    first = docs.version
    docs.tags.create("full", first)
    docs.delete("id > 0")
    assert db.clone_table("a", docs.uri, source_version=first).count_rows() == 5
    assert db.clone_table("b", docs.uri, source_tag="full").count_rows() == 5
    assert db.clone_table("c", docs.uri).count_rows() == 1
    with pytest.raises(VersionNotFoundError):
        db.clone_table("d", docs.uri, source_version=99)
    with pytest.raises(ValueError, match="one of source_version= and source_tag="):
        db.clone_table("d", docs.uri, source_version=1, source_tag="full")
    assert "d" not in db


def test_names_and_places_that_are_refused(db: lancelike.DBConnection, docs: lancelike.Table) -> None:
    with pytest.raises(TableExistsError):
        db.clone_table("docs", docs.uri)
    with pytest.raises((TableNotFoundError, QueryError)):
        db.clone_table("other", "nowhere.lance")
    assert db.list_tables().tables == ["docs"]


def test_a_deep_clone_outlives_its_source(tmp_path: Path) -> None:
    source = lancelike.connect(tmp_path / "one").create_table("t", [{"id": 1}, {"id": 2}])
    target = lancelike.connect(tmp_path / "two")
    target.clone_table("t", source.uri, is_shallow=False)
    lancelike.connect(tmp_path / "one").drop_table("t")
    assert lancelike.connect(tmp_path / "two").open_table("t").count_rows() == 2


def test_a_branch_is_cloned_by_its_address(tmp_path: Path) -> None:
    db = lancelike.connect(tmp_path / "db")
    trial = db.create_table("t", [{"id": 1}]).branches.create("trial")
    trial.add([{"id": 2}])
    assert db.clone_table("u", trial.uri).count_rows() == 2


@pytest.mark.parametrize("shallow", [True, False])
def test_what_was_paid_and_what_failed_come_along(db: lancelike.DBConnection, tmp_path: Path, shallow: bool) -> None:
    spy = make_spy(tmp_path)
    docs = create_docs(db, spy, "docs", [{"id": 1, "text": "one"}])
    docs.add([{"id": 2, "text": "poison"}], on_embedding_error="quarantine")
    clone = db.clone_table("clone", docs.uri, is_shallow=shallow)
    assert clone.embedding_errors()["input"].to_pylist() == ["poison"]
    assert clone.add([{"id": 3, "text": "one"}]).embedding.embedded == 0
    spy.refuse(lambda text: None)
    assert clone.retry_failed().embedded == 1
    assert (clone.verify().num_rows, docs.embedding_errors().num_rows) == (0, 1)


@pytest.mark.parametrize("shallow", [True, False])
def test_the_model_of_a_clone_is_changed_and_brought_back(
    db: lancelike.DBConnection, docs: lancelike.Table, shallow: bool
) -> None:
    vectors = docs.to_arrow()["vector"].combine_chunks()
    clone = db.clone_table("clone", docs.uri, is_shallow=shallow)
    clone.reembed("vector", get_registry().get("hash").create(dim=16))
    assert clone.schema.field("vector").type.list_size == 16
    clone.rollback_embedding("vector")
    assert clone.to_arrow()["vector"].combine_chunks() == docs.to_arrow()["vector"].combine_chunks() == vectors
    clone.optimize()
    assert clone.verify().num_rows == 0
