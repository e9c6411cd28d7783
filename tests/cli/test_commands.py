from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lancelike
from lancelike.cli import main
from lancelike.embeddings import get_registry
from lancelike.pydantic import LanceModel

words = get_registry().get("hash").create()


class Note(LanceModel):
    id: int
    text: str = words.SourceField()
    vector: list[float] = words.VectorField()


@pytest.fixture
def notes(tmp_path: Path) -> str:
    """A database with a table `notes` of three rows, and an empty table."""
    database = lancelike.connect(tmp_path)
    table = database.create_table("notes", schema=Note)
    texts = ["compress a file", "walk the dog", "boil an egg"]
    table.add([{"id": i, "text": text} for i, text in enumerate(texts)])
    database.create_table("empty", schema=Note)
    return str(tmp_path)


def test_search_prints_the_nearest_rows_first(notes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", notes, "notes", "walk the dog", "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["distance", "id", "text"]
    assert lines[1].split() == ["0.0000", "1", "walk", "the", "dog"]
    assert len(lines) == 5
    assert lines[-1].startswith("2 of 3 rows in ")


def test_search_of_an_empty_table(notes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", notes, "empty", "anything"]) == 0
    assert "0 of 0 rows" in capsys.readouterr().out


def test_tables_tells_rows_columns_and_functions(notes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", notes]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["table", "rows", "columns", "embeds"]
    assert "text -> vector (hash)" in lines[2]
    assert lines[2].split()[:2] == ["notes", "3"]


def test_a_database_without_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no tables in {tmp_path}\n"


def test_an_unknown_table_is_one_line_on_stderr(notes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", notes, "nots", "anything"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("lancelike: Table 'nots' was not found")
    assert captured.out == ""


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SystemExit, match="there is no database"):
        main(["tables", str(missing)])
    assert not missing.exists()


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_limits_that_make_no_sense(limit: str, notes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["search", notes, "notes", "anything", "--limit", limit])
    assert stopped.value.code == 2
    assert "--limit" in capsys.readouterr().err


def test_the_module_is_the_command(notes: str) -> None:
    command = [sys.executable, "-m", "lancelike", "tables", notes]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "notes" in run.stdout
    assert not run.stderr
