from __future__ import annotations

from typing import Any

from lancelike.cli.tabular import aligned, cut, one_line, terminal_width, widest_that_fits


def test_columns_are_aligned_under_their_names() -> None:
    rows: list[dict[str, Any]] = [{"name": "a", "n": 1}, {"name": "longer", "n": None}]
    assert list(aligned(rows, 80)) == ["name    n", "a       1", "longer"]


def test_nothing_for_no_rows() -> None:
    assert list(aligned([], 80)) == []


def test_the_widest_columns_are_cut_first() -> None:
    rows = [{"key": "short", "text": "x" * 100}]
    lines = list(aligned(rows, 40, indent="  "))
    assert max(map(len, lines)) == 40
    assert lines[1].startswith("  short  xxx")
    assert lines[1].endswith("x…")


def test_a_narrow_terminal_leaves_every_column_eight_characters() -> None:
    rows = [{"a": "x" * 50, "b": "y" * 50}]
    assert list(aligned(rows, 5))[1] == "xxxxxxx…  yyyyyyy…"


def test_limit_of_widths() -> None:
    assert widest_that_fits([5, 5], 100) == 8
    assert widest_that_fits([5, 40], 30) == 25
    assert widest_that_fits([30, 40], 50) == 25
    assert widest_that_fits([30, 40], 70) == 40


def test_values_on_one_line() -> None:
    assert one_line(None) == ""
    assert one_line(0.123456) == "0.1235"
    assert one_line("two\n  lines") == "two lines"
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"


def test_nothing_is_cut_in_a_pipe() -> None:
    """Tests run with their output captured, as in a pipe."""
    assert terminal_width() > 10**6
