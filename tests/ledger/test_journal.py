"""What was paid for is on disk before it is in the ledger, and gets there whatever happens to who paid."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lancelike.errors import StorageError
from lancelike.ledger.claims import MUTEX
from lancelike.ledger.journal import Journal
from lancelike.ledger.keys import input_keys
from lancelike.ledger.ledger import FunctionLedger
from lancelike.storage import Location
from lancelike.storage.key_index import Keys
from tests.ledger.conftest import vectors

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks on files")


def keys_of(*values: Any) -> Keys:
    return input_keys("f", "source", values)


def ledger_at(folder: Path) -> FunctionLedger:
    return FunctionLedger(Location(folder), "f", 1 << 30)


def note(ledger: FunctionLedger, *starts: int) -> Journal:
    """Claim 0 to 99, and note ten of them from each of *starts*."""
    claim = ledger.claims.take(keys_of(*range(100)))
    journal = Journal(ledger, claim, 0)
    for start in starts:
        journal.add(keys_of(*range(start, start + 10)), vectors(10, start))
    return journal


def copied(folder: Path, to: Path) -> Path:
    """The folder as a killed process leaves it: locks are not copied."""
    return Path(shutil.copytree(folder, to))


def claim_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.claims/*") if path.name != MUTEX]


def known(folder: Path, count: int = 100) -> list[int]:
    return [i for i, is_known in enumerate(ledger_at(folder).knows(keys_of(*range(count)))) if is_known]


def test_notes_are_found_by_whoever_comes_after(tmp_path: Path) -> None:
    note(ledger_at(tmp_path / "db"), 0, 10)
    left = copied(tmp_path / "db", tmp_path / "left")
    heir = ledger_at(left)
    assert [float(vector[0]) for vector in heir.recall(keys_of(*range(20))) if vector is not None] == list(range(20))
    assert claim_files(left) == []
    assert heir.claims.take(keys_of(*range(100))).mine.all()
    assert len(claim_files(tmp_path / "db")) == 1, "the living one's is left alone"
    assert known(tmp_path / "db") == []


def test_a_torn_note_is_as_if_not_written(tmp_path: Path) -> None:
    journal = note(ledger_at(tmp_path / "db"))
    [file] = claim_files(tmp_path / "db")
    ends = [file.stat().st_size]
    for start in (0, 10, 20):
        journal.add(keys_of(*range(start, start + 10)), vectors(10, start))
        ends.append(file.stat().st_size)
    for size, expected in ((5, 0), (ends[0] + 1, 0), (ends[1] - 1, 0), (ends[2], 20), (ends[3] - 1, 20)):
        left = copied(tmp_path / "db", tmp_path / f"cut at {size}")
        os.truncate(next(iter(claim_files(left))), size)
        assert known(left) == list(range(expected))
        assert claim_files(left) == []


def test_a_damaged_note_is_as_if_not_written(tmp_path: Path) -> None:
    note(ledger_at(tmp_path / "db"), 0, 10)
    left = copied(tmp_path / "db", tmp_path / "left")
    with next(iter(claim_files(left))).open("r+b") as file:
        file.seek(-40, os.SEEK_END)
        file.write(b"\xff" * 8)
    assert known(left) == list(range(10))


def test_recorded_it_is_in_the_ledger_once(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "db")
    journal = note(ledger, 0, 10)
    journal.record()
    assert sum(map(len, ledger.vectors())) == 20
    [file] = claim_files(tmp_path / "db")
    journal._claim.release()  # type: ignore[union-attr]
    assert not file.exists()
    assert sum(map(len, ledger_at(tmp_path / "db").vectors())) == 20


def test_what_could_not_be_recorded_stays_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_at(tmp_path / "db")
    journal = note(ledger, 0, 10)

    def refuse(*_: Any) -> None:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(FunctionLedger, "record", refuse)
    with pytest.raises(StorageError):
        journal.record()
    monkeypatch.undo()
    journal._claim.release()  # type: ignore[union-attr]
    assert len(claim_files(tmp_path / "db")) == 1
    assert known(tmp_path / "db") == list(range(20))
    assert ledger.knows(keys_of(*range(20))).all()


def test_a_note_that_does_not_fit_is_recorded_at_once(tmp_path: Path) -> None:
    script = f"""
import resource, sys
from pathlib import Path
from tests.ledger.test_journal import ledger_at, note
sys.dont_write_bytecode = True  # half a file of it would be left for the next process
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
ledger = ledger_at(Path({str(tmp_path / "db")!r}))
note(ledger, 0, 10, 20)
print(sum(map(len, ledger.vectors())))
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(shown.stdout) == 30
    assert known(tmp_path / "db") == list(range(30))


def test_another_models_notes_go_with_its_vectors(tmp_path: Path) -> None:
    note(ledger_at(tmp_path / "db"), 0)
    left = copied(tmp_path / "db", tmp_path / "left")
    ledger_at(left).renew()
    assert known(left) == []
