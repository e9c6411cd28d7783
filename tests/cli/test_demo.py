"""The demo's own steps with the real model, on a part of the corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

import lancelike
from lancelike.cli import demo
from lancelike.cli.asking import nearest
from lancelike.cli.corpus import Entry, collect_docstrings

PARTS = [
    "argparse",
    "bz2",
    "difflib",
    "fnmatch",
    "functools",
    "getopt",
    "glob",
    "gzip",
    "heapq",
    "linecache",
    "lzma",
    "os",
    "queue",
    "sched",
    "threading",
    "zlib",
]


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return [entry for entry in collect_docstrings() if entry.module in PARTS]


@pytest.fixture(scope="module")
def database(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("demo")
    demo.open_table(str(directory), entries)
    return directory


@pytest.fixture
def table(database: Path) -> lancelike.Table:
    return lancelike.connect(database).open_table(demo.TABLE)


def test_rows_are_the_entries(table: lancelike.Table, entries: list[Entry]) -> None:
    assert demo.stored_entries(table) == entries
    assert table.count_rows("vector IS NULL") == 0


def test_an_index_covers_every_row(table: lancelike.Table) -> None:
    (index,) = table.list_indices()
    statistics = table.index_stats(index.name)
    assert index.index_type.upper().replace("_", "") == "IVFPQ"
    assert statistics is not None
    assert statistics.num_unindexed_rows == 0


@pytest.mark.parametrize(
    ("question", "modules"),
    [
        ("how do I compress a file?", {"gzip", "bz2", "lzma", "zlib"}),
        ("run something at a later time", {"sched", "threading"}),
        ("parse command line arguments", {"argparse", "getopt"}),
        ("find files by a pattern such as *.txt", {"glob", "fnmatch"}),
        ("cache the results of a slow function", {"functools"}),
        ("how do I make a priority queue?", {"queue", "heapq"}),
        ("find the difference between two texts", {"difflib"}),
    ],
)
def test_the_first_answer_is_right(table: lancelike.Table, question: str, modules: set[str]) -> None:
    assert question in demo.QUESTIONS
    assert nearest(table, question, 1)[0]["module"] in modules


def test_a_second_run_keeps_the_table(database: Path, entries: list[Entry], capsys: pytest.CaptureFixture[str]) -> None:
    before = lancelike.connect(database).open_table(demo.TABLE).version
    table = demo.open_table(str(database), entries)
    assert table.version == before
    assert "nothing to do" in capsys.readouterr().out


def test_a_changed_corpus_is_embedded_anew(tmp_path: Path, entries: list[Entry]) -> None:
    few = entries[:300]
    demo.open_table(str(tmp_path), few)
    changed = [Entry("new.name", "function", "new", "Something else."), *few[1:]]
    table = demo.open_table(str(tmp_path), changed)
    assert demo.stored_entries(table) == changed
    assert len(table.list_indices()) == 1


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("/somewhere/lancelike/__main__.py", "python -m lancelike"),
        (".venv/bin/not-on-path", ".venv/bin/not-on-path"),
        ("/usr/bin/env", "env"),
    ],
)
def test_the_command_to_ask_more_can_be_pasted(program: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [program, "demo"])
    assert demo.own_command() == command


def test_answers_are_printed_as_a_table(table: lancelike.Table, capsys: pytest.CaptureFixture[str]) -> None:
    demo.print_answers(table, "parse command line arguments")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("parse command line arguments  (")
    assert lines[2].split() == ["distance", "name", "kind", "text"]
    assert len(lines) == 3 + demo.ANSWERS
