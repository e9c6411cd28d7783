"""Another process commits right before a swap or an overwrite does: all is as if it had done so before that began."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lance import LanceDataset, LanceOperation

import lancelike
from lancelike.errors import LancelikeError, SchemaError
from lancelike.pydantic import LanceModel, Vector
from lancelike.schema.bindings import previous_bindings
from tests.lifecycle.test_swaps import NEW, OLD, function, rows

Verb = Callable[[lancelike.Table], object]

FIRST, PRESENT = function(OLD), function(OLD, "present: ")
NEXT, OTHER = function(NEW, "next: "), function(NEW, "other: ")


def merge(table: lancelike.Table) -> object:
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    return merge.execute(rows(5, 25, "merged"))


SWAPS: dict[str, Verb] = {
    "overwrite": lambda table: table.add(rows(0, 7, "over"), mode="overwrite"),
    "reembed": lambda table: table.reembed("vector", NEXT),
    "rollback": lambda table: table.rollback_embedding("vector"),
    "add_embedding": lambda table: table.add_embedding("second", NEXT, "text"),
}
BETWEEN: dict[str, Verb] = {
    **SWAPS,
    "reembed otherwise": lambda table: table.reembed("vector", OTHER),
    "add": lambda table: table.add(rows(30, 35)),
    "update": lambda table: table.update("id > 12", values_sql={"text": "upper(text)"}),
    "merge": merge,
    "delete": lambda table: table.delete("id < 6"),
    "restore of a deleted row": lambda table: table.restore("whole"),
    "restore of another function": lambda table: table.restore("first"),
    "compaction": lambda table: table.compact_files(),
    "new column": lambda table: table.add_columns({"m": "n + 1"}),
    "source renamed": lambda table: table.alter_columns({"path": "text", "rename": "body"}),
    "vectors renamed": lambda table: table.alter_columns({"path": "vector", "rename": "embedding"}),
    "vectors dropped": lambda table: table.drop_columns("vector"),
}
REFUSED = {
    ("reembed", "reembed"),
    ("reembed", "reembed otherwise"),
    ("reembed", "rollback"),
    ("reembed", "restore of another function"),
    ("reembed", "source renamed"),
    ("rollback", "reembed"),
    ("rollback", "reembed otherwise"),
}
"""Swaps that would replace another function than they began with, or make vectors from a column that is gone."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose table has rows in two fragments, a function to go back to, and a deleted row to restore."""
    folder = tmp_path_factory.mktemp("made")

    class Doc(LanceModel):
        id: int
        text: str | None = FIRST.SourceField(default=None)
        vector: Vector(OLD) | None = FIRST.VectorField(default=None)  # type: ignore[valid-type]  # made per call
        n: int | None = None

    table = lancelike.connect(folder).create_table("docs", schema=Doc)
    table.add(rows(0, 10))
    table.tags.create("first", table.version)
    table.reembed("vector", PRESENT)
    table.add(rows(10, 20))
    table.tags.create("whole", table.version)
    table.delete("id = 3")
    return folder


def copy_of(made: Path, folder: Path) -> lancelike.Table:
    shutil.copytree(made, folder / "db")
    (folder / "same").symlink_to(folder / "db")
    return lancelike.connect(folder / "db").open_table("docs")


def other_process(table: lancelike.Table) -> lancelike.Table:
    """A handle on *table* that shares nothing with it, as another process has."""
    return lancelike.connect(Path(table.uri).parents[1] / "same").open_table(table.name)


def before_commit(kind: type, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Do *action* once, right before Lance is asked to commit an operation of *kind*; empty once it was done."""
    due, commit = [action], LanceDataset.commit

    def committed(base: Any, transaction: Any, **options: Any) -> LanceDataset:
        if due and isinstance(transaction.operation, kind) and not options.get("detached"):
            due.pop()()
        return commit(base, transaction, **options)

    monkeypatch.setattr(LanceDataset, "commit", staticmethod(committed))
    return due


def outcome(verb: Verb, table: lancelike.Table) -> type[Exception] | None:
    try:
        verb(table)
    except LancelikeError as error:
        return type(error)
    return None


def everything(table: lancelike.Table) -> Any:
    """Columns, functions and rows of the latest version, whose vectors must be in step."""
    table.checkout_latest()
    found = sorted(table.to_arrow().to_pylist(), key=lambda row: row["id"])
    functions = {name: (each.source_column, each.function.prefix) for name, each in table.embedding_functions.items()}
    for name, binding in table.embedding_functions.items():
        made = [binding.function.vector_of(row[binding.source_column]) for row in found]
        assert [row[name] for row in found] == made
    assert table.verify().num_rows == 0
    kept = set(previous_bindings(table.schema.metadata).values())
    assert {tag for tag in table.tags.list() if tag.startswith("lancelike-")} >= kept
    return set(table.schema.names), functions, found


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("swap", SWAPS)
def test_a_commit_right_before(
    swap: str, between: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one = copy_of(made, tmp_path / "one by one")
    BETWEEN[between](one_by_one)
    expected = SchemaError if (swap, between) in REFUSED else outcome(SWAPS[swap], one_by_one)

    table = copy_of(made, tmp_path / "raced")
    elsewhere = other_process(table)
    tags = len(table.tags.list())
    kind = LanceOperation.Overwrite if swap == "overwrite" else LanceOperation.Merge
    due = before_commit(kind, lambda: BETWEEN[between](elsewhere), monkeypatch)
    raised = outcome(SWAPS[swap], table)
    assert not due
    assert (raised is None) == (expected is None)
    assert everything(table) == everything(one_by_one)
    assert everything(elsewhere) == everything(one_by_one)
    assert len(table.tags.list()) - tags == len(one_by_one.tags.list()) - tags, "no version is held for nothing"


def test_two_processes_that_add_the_same_column_add_it_once(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = copy_of(made, tmp_path)
    elsewhere = other_process(table)
    before_commit(LanceOperation.Merge, lambda: elsewhere.add_embedding("second", OTHER, "text"), monkeypatch)
    with pytest.raises(SchemaError, match="'second' is there already"):
        table.add_embedding("second", NEXT, "text")
    _, functions, _ = everything(table)
    assert functions["second"] == ("text", "other: ")


def test_computed_columns_of_two_processes_are_added_once(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = copy_of(made, tmp_path)
    elsewhere = other_process(table)
    before_commit(LanceOperation.Merge, lambda: elsewhere.add_columns(computed={"twice": "id * 2"}), monkeypatch)
    with pytest.raises(SchemaError, match="'twice' is there already"):
        table.add_columns(computed={"twice": "id * 3"})
    assert table.count_rows("twice = id * 2") == table.count_rows() == 19


WORKER = """
import sys
import lancelike
from tests.lifecycle.test_swaps import function, rows

table = lancelike.connect(sys.argv[1]).open_table("docs")
for turn in range(6):
    if sys.argv[2] == "overwrite":
        table.add(rows(0, 20 + turn, f"over {turn}"), mode="overwrite")
    elif turn % 2:
        table.rollback_embedding("vector")
    else:
        table.reembed("vector", function(12, f"model {turn}: "))
"""


def test_processes_that_overwrite_and_migrate_at_once(made: Path, tmp_path: Path) -> None:
    table = copy_of(made, tmp_path)
    folder = str(Path(table.uri).parent)
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, folder, verb]) for verb in ("overwrite", "migrate")]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    _, functions, found = everything(table)
    assert functions == {"vector": ("text", "present: ")}
    assert [row["text"] for row in found] == [row["text"] for row in rows(0, 25, "over 5")]
