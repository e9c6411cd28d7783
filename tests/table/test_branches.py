"""Branches: handles of their own, and all that is promised of vectors holds on them too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lancelike
from lancelike.embeddings import get_registry
from lancelike.errors import (
    BranchNotFoundError,
    QueryError,
    ReadOnlyTableError,
    SchemaError,
    TableClosedError,
    VersionNotFoundError,
)
from lancelike.index import BTree
from tests.lifecycle.spies import Spy, create_docs, make_spy


def test_a_branch_and_main_go_their_own_ways(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    trial = docs.branches.create("trial")
    trial.add([{"id": 9, "text": "only here"}])
    docs.delete("id < 2")
    assert (trial.count_rows(), docs.count_rows()) == (6, 3)
    assert trial.search("only here").limit(1).to_list()[0]["id"] == 9
    assert docs.search("only here").limit(10).where("id = 9").to_list() == []
    assert (trial.current_branch(), docs.current_branch()) == ("trial", None)
    assert db.open_table("docs", branch="trial").count_rows() == 6
    assert list(docs.branches.list()) == ["trial"]


def test_handles_on_a_branch_see_each_others_writes(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    trial = docs.branches.create("trial")
    other = db.open_table("docs", branch="trial")
    trial.update(where="id = 1", values={"text": "changed"})
    assert other.search("changed").limit(1).to_list()[0]["id"] == 1
    assert other.version == trial.version > docs.version


def test_every_kind_of_write_goes_to_the_branch(docs: lancelike.Table) -> None:
    before = docs.to_arrow()
    trial = docs.branches.create("trial")
    trial.add([{"id": 9, "text": "nine"}])
    trial.update(where="id = 0", values={"text": "zero"})
    trial.delete("id = 1")
    merge = trial.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    merge.execute([{"id": 2, "text": "two"}, {"id": 10, "text": "ten"}])
    trial.add_columns({"length": "length(text)"})
    trial.create_index("id", config=BTree())
    trial.optimize()
    rows = {row["id"]: row["text"] for row in trial.to_arrow().to_pylist()}
    assert rows == {0: "zero", 2: "two", 3: "read a file", 4: "sort a list of numbers", 9: "nine", 10: "ten"}
    assert trial.verify().num_rows == 0
    assert docs.to_arrow() == before
    assert docs.list_indices() == []


def test_a_branch_begins_where_it_is_told(docs: lancelike.Table) -> None:
    first = docs.version
    docs.delete("id < 3")
    docs.tags.create("small", docs.version)
    docs.delete("true")
    assert docs.branches.create("old", from_version=first).count_rows() == 5
    assert docs.branches.create("tagged", from_ref="small").count_rows() == 2
    twig = docs.branches.create("twig", from_ref="old")
    twig.delete("id = 0")
    assert docs.branches.list()["twig"]["parent_branch"] == "old"
    assert (twig.count_rows(), docs.branches.checkout("old").count_rows()) == (4, 5)


def test_checkout_takes_branches_and_versions_of_them(docs: lancelike.Table) -> None:
    trial = docs.branches.create("trial")
    begun = trial.version
    trial.add([{"id": 9, "text": "nine"}])
    trial.tags.create("nine", trial.version)
    docs.checkout("trial")
    docs.add([{"id": 10, "text": "ten"}])
    assert (docs.current_branch(), docs.count_rows()) == ("trial", 7)
    docs.checkout(("trial", begun))
    assert docs.count_rows() == 5
    docs.checkout(begun)
    with pytest.raises(ReadOnlyTableError):
        docs.delete("true")
    docs.checkout_latest()
    assert (docs.current_branch(), docs.count_rows()) == ("trial", 7)
    docs.checkout((None, None))
    assert (docs.current_branch(), docs.count_rows()) == (None, 5)
    docs.checkout("nine")
    assert (docs.current_branch(), docs.count_rows()) == ("trial", 6)
    docs.checkout("main")
    assert docs.current_branch() is None


def test_open_table_pins_a_version_of_a_branch(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    trial = docs.branches.create("trial")
    begun = trial.version
    trial.delete("true")
    pinned = db.open_table("docs", branch="trial", version=begun)
    assert pinned.count_rows() == 5
    with pytest.raises(ReadOnlyTableError):
        pinned.delete("true")
    assert docs.branches.checkout("trial", version=begun).count_rows() == 5
    assert db.open_table("docs", branch="main").current_branch() is None


def test_restore_stays_on_the_branch(docs: lancelike.Table) -> None:
    docs.tags.create("full", docs.version)
    trial = docs.branches.create("trial")
    begun = trial.version
    trial.delete("true")
    trial.restore(begun)
    assert (trial.count_rows(), trial.current_branch()) == (5, "trial")
    with pytest.raises(QueryError, match="'full' is on branch 'main', not on 'trial'"):
        trial.restore("full")


def test_names_that_are_not_there(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    docs.branches.create("trial")
    for call in (
        lambda: docs.branches.checkout("nope"),
        lambda: docs.branches.delete("nope"),
        lambda: db.open_table("docs", branch="nope"),
        lambda: docs.checkout(("nope", None)),
    ):
        with pytest.raises(BranchNotFoundError, match="no branch 'nope'; it has trial"):
            call()
    with pytest.raises(VersionNotFoundError):
        docs.checkout("nope")
    with pytest.raises(VersionNotFoundError):
        docs.branches.create("other", from_ref="nope")
    with pytest.raises(VersionNotFoundError):
        docs.branches.checkout("trial", version=99)


@pytest.mark.parametrize("name", ["main", "", "two words", "../up"])
def test_names_that_no_branch_can_have(docs: lancelike.Table, name: str) -> None:
    with pytest.raises(QueryError, match="can't be named so"):
        docs.branches.create(name)


def test_a_name_is_taken_once(docs: lancelike.Table) -> None:
    docs.branches.create("trial")
    with pytest.raises(QueryError, match="a branch 'trial' already"):
        docs.branches.create("trial")


def test_deleting_a_branch_closes_its_handles_only(docs: lancelike.Table) -> None:
    trial = docs.branches.create("trial")
    trial.tags.create("kept", trial.version)
    with pytest.raises(QueryError, match="delete those first"):
        docs.branches.delete("trial")
    docs.tags.delete("kept")
    docs.branches.delete("trial")
    with pytest.raises(TableClosedError):
        trial.count_rows()
    assert docs.count_rows() == 5
    assert docs.branches.create("trial").count_rows() == 5


def test_dropping_the_table_closes_its_branches(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    trial = docs.branches.create("trial")
    db.drop_table("docs")
    with pytest.raises(TableClosedError):
        trial.count_rows()


# -- what is promised of vectors ---------------------------------------------------------------------------------------


@pytest.fixture
def spy(tmp_path: Path) -> Spy:
    return make_spy(tmp_path)


@pytest.fixture
def spied(spy: Spy, db: lancelike.DBConnection) -> lancelike.Table:
    return create_docs(db, spy, "spied", [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}])


def test_a_branch_pays_for_nothing_twice(spied: lancelike.Table, spy: Spy) -> None:
    trial = spied.branches.create("trial")
    trial.add([{"id": 3, "text": "one"}, {"id": 4, "text": "three"}])
    assert spied.add([{"id": 5, "text": "three"}]).embedding.embedded == 0
    assert sorted(spy.sent) == ["one", "three", "two"]


def test_rows_that_failed_come_along_and_are_retried_apart(spied: lancelike.Table, spy: Spy) -> None:
    spied.add([{"id": 3, "text": "poison"}], on_embedding_error="quarantine")
    trial = spied.branches.create("trial")
    spied.delete("id = 3")
    assert trial.embedding_errors()["input"].to_pylist() == ["poison"]
    assert spied.embedding_errors().num_rows == 0
    spy.refuse(lambda text: None)
    assert trial.retry_failed().embedded == 1
    assert trial.embedding_errors().num_rows == trial.verify().num_rows == 0


def test_verify_and_refresh_see_what_others_did_to_the_branch(spied: lancelike.Table) -> None:
    trial = spied.branches.create("trial")
    stranger = trial.to_lance()
    stranger.update({"text": "'uno'"}, where="id = 1")
    trial.checkout_latest()
    assert trial.verify()["reason"].to_pylist() == ["source changed"]
    assert spied.verify().num_rows == 0
    assert trial.refresh().embedded == 1
    assert trial.verify().num_rows == 0


@pytest.mark.parametrize("branch_first", [True, False])
def test_a_model_is_changed_on_a_branch_and_brought_back(
    db: lancelike.DBConnection, docs: lancelike.Table, branch_first: bool
) -> None:
    vectors = docs.to_arrow()["vector"]
    other = get_registry().get("hash").create(dim=16)
    trial = docs.branches.create("trial") if branch_first else docs
    trial.reembed("vector", other)
    trial = trial if branch_first else docs.branches.create("trial")
    trial.add([{"id": 9, "text": "nine"}])
    assert trial.schema.field("vector").type.list_size == 16
    trial.rollback_embedding("vector")
    assert trial.to_arrow().slice(0, 5)["vector"].combine_chunks() == vectors.combine_chunks()
    assert trial.verify().num_rows == 0
    assert trial.search("nine").limit(1).to_list()[0]["id"] == 9
    if not branch_first:
        docs.rollback_embedding("vector")
        assert docs.to_arrow()["vector"].combine_chunks() == vectors.combine_chunks()


def test_what_a_branch_knows_goes_with_its_table(spied: lancelike.Table, spy: Spy, db: lancelike.DBConnection) -> None:
    trial = spied.branches.create("trial")
    trial.add([{"id": 3, "text": "poison"}], on_embedding_error="quarantine")
    db.drop_table("spied")
    again = create_docs(db, spy, "spied", [{"id": 3, "text": "fine"}])
    assert again.branches.create("trial").embedding_errors().num_rows == 0


def test_a_table_with_branches_keeps_its_name(tmp_path: Path) -> None:
    """Lance stores where the rows are that a branch shares: a rename would lose them."""
    db = lancelike.connect(tmp_path / "db")
    table = db.create_table("t", [{"id": 1}])
    table.branches.create("trial")
    with pytest.raises(SchemaError, match="while it has branches"):
        db.rename_table("t", "u")
    assert table.branches.checkout("trial").count_rows() == 1
    table.branches.delete("trial")
    db.rename_table("t", "u")


def test_branches_are_found_by_another_process(docs: lancelike.Table, tmp_path: Path) -> None:
    if not (tmp_path / "db").exists():
        pytest.skip("in memory")
    docs.branches.create("team/trial").delete("id = 0")
    code = f"import lancelike; t = lancelike.connect({str(tmp_path / 'db')!r}).open_table('docs', branch='team/trial')"
    done = subprocess.run([sys.executable, "-c", f"{code}; print(len(t))"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "4"
