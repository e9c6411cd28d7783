"""However a row that failed is mended: versions before list it, versions since don't, and records don't pile up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import lancelike
from lancelike.errors import ReadOnlyTableError
from lancelike.storage import Dataset, Location
from tests.lifecycle.spies import (
    Refused,
    Spy,
    contents,
    create_docs,
    expected,
    make_spy,
    make_table,
    rows_of,
    vector_of,
)

ROWS = [*rows_of(0, 8), {"id": 8, "text": "poison 8"}, {"id": 9, "text": "poison 9"}]


def fix(spy: Spy) -> None:
    spy.forget()
    spy.refuse(lambda text: None)


@pytest.fixture
def spy(tmp_path: Path) -> Spy:
    return make_spy(tmp_path)


@pytest.fixture
def table(tmp_path: Path, spy: Spy) -> lancelike.Table:
    """Two of its rows wait; the function embeds every text by now."""
    table = make_table(tmp_path, spy)
    table.add(ROWS, on_embedding_error="quarantine")
    fix(spy)
    return table


def listed(table: lancelike.Table, column: str = "vector") -> list[str]:
    """The inputs listed, which must be those of the rows without a vector that `verify` finds."""
    errors = table.embedding_errors()
    row_ids = [row["row_id"] for row in table.verify().to_pylist() if row["vector_column"] == column]
    assert sorted(errors["row_id"].to_pylist()) == sorted(row_ids)
    assert set(errors["vector_column"].to_pylist()) <= {column}
    texts = {row["_rowid"]: row["text"] for row in table.search().with_row_id(True).to_list()}
    assert [texts[row["row_id"]] for row in errors.to_pylist()] == errors["input"].to_pylist()
    return sorted(errors["input"].to_pylist())


def records(table: lancelike.Table) -> int:
    """How many failures are on disk."""
    return Dataset.open(Location(Path(table.uri).parent / "_lancelike/failures"), table.name).count_rows()


def merge(table: lancelike.Table, rows: list[dict[str, Any]]) -> object:
    return table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)


def other_spy(table: lancelike.Table) -> Spy:
    spy = make_spy(Path(table.uri).parent, dim=4)
    fix(spy)
    return spy


def delete_and_add(table: lancelike.Table) -> None:
    table.delete("id >= 8")
    table.add(ROWS[8:])


def drop_and_add_column(table: lancelike.Table) -> None:
    function = table.embedding_functions["vector"].function
    table.drop_columns("vector")
    table.add_embedding("vector", function, "text")


def replace_table(table: lancelike.Table) -> None:
    db = lancelike.connect(Path(table.uri).parent)
    db.create_table("docs", ROWS, schema=table.model(), mode="overwrite")


WAYS: dict[str, Callable[[lancelike.Table], object]] = {
    "retry_failed": lambda table: table.retry_failed(),
    "refresh": lambda table: table.refresh(),
    "update": lambda table: table.update("id >= 8", {"text": "well"}),
    "update to the same text": lambda table: table.update("id >= 8", values_sql={"text": "text"}),
    "update of the vector": lambda table: table.update("id >= 8", {"vector": [1.0] * 8}),
    "update to no text": lambda table: table.update("id >= 8", {"text": None}),
    "merge": lambda table: merge(table, rows_of(5, 12, "merged")),
    "merge of the same text": lambda table: merge(table, ROWS),
    "merge of vectors": lambda table: merge(table, [{"id": i, "vector": [1.0] * 8} for i in (8, 9)]),
    "delete": lambda table: table.delete("id >= 8"),
    "delete and add": delete_and_add,
    "overwrite": lambda table: table.add(rows_of(0, 3), mode="overwrite"),
    "reembed": lambda table: table.reembed("vector", other_spy(table)),
    "drop and add_embedding": drop_and_add_column,
    "create_table": replace_table,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_version_before_lists_what_waits_in_it(way: str, table: lancelike.Table, spy: Spy) -> None:
    before = table.version
    WAYS[way](table)
    table = lancelike.connect(Path(table.uri).parent).open_table("docs")
    mended = table.version
    assert listed(table) == []
    table.checkout(before)
    assert listed(table) == ["poison 8", "poison 9"]
    table.checkout(mended)
    assert listed(table) == []
    table.restore(before)
    assert listed(table) == ["poison 8", "poison 9"]
    assert table.health().failed == 2
    assert table.retry_failed().rows == 2
    assert listed(table) == []
    assert contents(table) == expected(ROWS)
    assert len(spy.sent) == len(set(spy.sent)), "what was paid for is not paid for again"


def test_versions_list_what_waits_in_each(table: lancelike.Table) -> None:
    both = table.version
    table.update("id = 8", {"text": "well"})
    one = table.version
    table.tags.create("one", one)
    table.retry_failed()
    table.add([{"id": 10, "text": "poison 10"}, {"id": 11, "text": "poison 11"}])
    none = table.version
    waiting: dict[int | str, list[str]] = {
        both: ["poison 8", "poison 9"],
        one: ["poison 9"],
        "one": ["poison 9"],
        none: [],
    }
    for version, inputs in waiting.items():
        table.checkout(version)
        assert listed(table) == inputs
    table.restore("one")
    assert listed(table) == ["poison 9"]
    table.restore(both)
    assert listed(table) == ["poison 8", "poison 9"]
    table.restore(none)
    assert listed(table) == []


def test_a_branch_and_a_clone_of_a_version_before_list_what_waits_in_it(table: lancelike.Table) -> None:
    before = table.version
    table.retry_failed()
    trial = table.branches.create("trial", from_version=before)
    assert (listed(trial), listed(table)) == (["poison 8", "poison 9"], [])
    trial.update("id = 8", {"text": "well"})
    started = trial.version
    assert trial.retry_failed().rows == 1
    trial.restore(started)
    assert listed(trial) == ["poison 9"]
    table.checkout(("main", before))
    assert listed(table) == ["poison 8", "poison 9"]
    db = lancelike.connect(Path(table.uri).parent)
    copied = db.clone_table("copied", db.open_table("docs").uri, source_version=before, is_shallow=False)
    assert listed(copied) == ["poison 8", "poison 9"]


@pytest.mark.parametrize("column", ["vector", "embedding"])
def test_columns_are_renamed_on_the_way(column: str, table: lancelike.Table) -> None:
    before = table.version
    if column != "vector":
        table.alter_columns({"path": "vector", "rename": column})
        assert listed(table, column) == ["poison 8", "poison 9"]
        table.restore(before)
        assert listed(table) == ["poison 8", "poison 9"]
        table.alter_columns({"path": "vector", "rename": column})
    renamed = table.version
    assert table.retry_failed().rows == 2
    assert listed(table, column) == []
    table.restore(renamed)
    assert listed(table, column) == ["poison 8", "poison 9"]
    table.alter_columns({"path": "text", "rename": "body"})
    assert table.embedding_errors()["source_column"].to_pylist() == ["body", "body"]
    assert table.retry_failed().rows == 2
    table.restore(before)
    assert listed(table) == ["poison 8", "poison 9"]


def test_a_migration_that_is_undone_brings_back_what_waited(table: lancelike.Table) -> None:
    table.reembed("vector", other_spy(table))
    assert listed(table) == []
    table.rollback_embedding("vector")
    assert listed(table) == ["poison 8", "poison 9"]
    assert table.retry_failed().rows == 2
    assert contents(table) == expected(ROWS)


def test_a_row_that_was_left_out_is_listed_until_it_is_written(tmp_path: Path, spy: Spy) -> None:
    table = make_table(tmp_path, spy, data=rows_of(0, 3))
    table.add([{"id": 7, "text": "poison 7"}], on_embedding_error="quarantine")
    table.add([{"id": 8, "text": "poison 7"}], on_embedding_error="drop")
    waiting = table.version
    fix(spy)
    table.retry_failed()
    assert table.embedding_errors().num_rows == 0
    table.restore(waiting)
    assert listed(table) == ["poison 7"]


def test_a_row_that_fails_again_is_kept_once(tmp_path: Path, spy: Spy) -> None:
    table = make_table(tmp_path, spy)
    table.add(ROWS, on_embedding_error="quarantine")
    for attempts in range(2, 6):
        assert table.retry_failed().failed == 2
        assert set(table.embedding_errors()["attempts"].to_pylist()) == {attempts}
        assert records(table) == 2


@pytest.mark.parametrize("call", ["optimize", "cleanup_old_versions"])
def test_records_go_with_the_versions_that_need_them(call: str, table: lancelike.Table) -> None:
    def clean_up(**options: Any) -> None:
        if call == "optimize":
            table.optimize(cleanup_older_than=timedelta(0), **options)
        else:
            table.cleanup_old_versions(timedelta(0), **options)

    clean_up(delete_unverified=True)
    assert records(table) == 2, "they wait"
    table.tags.create("waiting", table.version)
    table.update("id = 8", {"text": "well"})
    table.retry_failed()
    clean_up(delete_unverified=True)
    assert records(table) == 2, "they wait in a version that is kept"
    table.tags.delete("waiting")
    clean_up()
    assert records(table) == 2, "another process may be about to write rows that failed this week"
    clean_up(delete_unverified=True)
    assert records(table) == 0
    assert contents(table) == expected([*ROWS[:8], {"id": 8, "text": "well"}, ROWS[9]])


def test_a_record_that_one_row_of_many_needs_is_kept(table: lancelike.Table) -> None:
    before = table.version
    table.tags.create("waiting", before)
    table.retry_failed()
    table.delete("id = 8")
    table.add(rows_of(20, 30))
    table.compact_files()
    table.cleanup_old_versions(timedelta(0), delete_unverified=True)
    table.restore("waiting")
    assert listed(table) == ["poison 8", "poison 9"]
    table.update("id = 8", {"vector": vector_of("given")})
    table.delete("id = 8")
    table.tags.delete("waiting")
    table.cleanup_old_versions(timedelta(0), delete_unverified=True)
    assert (records(table), listed(table)) == (1, ["poison 9"])


def test_rows_left_out_stay_listed(tmp_path: Path, spy: Spy) -> None:
    table = create_docs(lancelike.connect(tmp_path / "db"), spy)
    table.add(ROWS, on_embedding_error="drop")
    table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
    assert table.embedding_errors()["row_id"].to_pylist() == [None, None]


def test_a_handle_that_has_not_seen_the_failures_retries_them(table: lancelike.Table, spy: Spy) -> None:
    folder = Path(table.uri).parent
    (folder.parent / "same").symlink_to(folder)
    elsewhere = lancelike.connect(folder.parent / "same").open_table("docs")
    spy.refuse(lambda text: Refused("no") if "poison" in text else None)
    elsewhere.add([{"id": 10, "text": "poison 10"}], on_embedding_error="quarantine")
    fix(spy)
    assert table.retry_failed().rows == 3
    assert listed(table) == []


def test_a_past_version_is_read_only_before_anything_is_embedded(table: lancelike.Table, spy: Spy) -> None:
    table.checkout(table.version)
    with pytest.raises(ReadOnlyTableError):
        table.retry_failed()
    assert spy.sent == []
