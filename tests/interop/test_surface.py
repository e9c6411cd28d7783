"""LanceDB's local surface is ours, save what the page of differences says with its reason."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.interop.surface import gaps

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
HEADING = "## Names that are not here"
IN_CODE = re.compile(r"`([^`]+)`")


def allowed() -> dict[str, str]:
    """The patterns of names that the page lists, each with its reason."""
    section = PAGE.read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    rows = [line.strip("|\n ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {pattern: reason for names, reason in rows for pattern in IN_CODE.findall(names)}


@pytest.fixture(scope="module")
def found() -> set[str]:
    return gaps()


def test_every_gap_is_listed_with_its_reason(found: set[str]) -> None:
    reasons = allowed()
    unlisted = sorted(gap for gap in found if not any(fnmatchcase(gap, pattern) for pattern in reasons))
    assert not unlisted, f"LanceDB has {', '.join(unlisted)}: make them, or list them in {PAGE.name} with the reason"
    assert all(len(reason) > 10 for reason in reasons.values())


def test_every_listed_name_is_a_gap(found: set[str]) -> None:
    closed = sorted(pattern for pattern in allowed() if not any(fnmatchcase(gap, pattern) for gap in found))
    assert not closed, f"{', '.join(closed)} are there now: take them off the list in {PAGE.name}"


@pytest.mark.parametrize(
    "name", ["table.Table.add", "connect", "embeddings.registry", "index.IvfPq", "db.DBConnection"]
)
def test_what_is_there_is_no_gap(found: set[str], name: str) -> None:
    assert name not in found


def test_a_new_gap_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees a method that goes missing, a parameter that does, and a whole name."""
    import lancelike.index
    import lancelike.table.versioning

    monkeypatch.delattr(lancelike.table.versioning.Versioning, "restore")
    monkeypatch.delattr(lancelike.index, "BTree")
    monkeypatch.setattr(lancelike.table.Table, "count_rows", lambda self: 0)
    assert {"table.LanceTable.restore", "index.BTree", "table.LanceTable.count_rows(filter)"} <= gaps()
