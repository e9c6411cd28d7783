"""What the page on planning says of more rows than were measured."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("lancedb")

from benchmarks.growth import Built, Measured, Searched
from benchmarks.planning import PLANNED, Fit, choices_table, fitted_table, section

SIZES = [10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000]


def measured(rows: int, build_s: float) -> Measured:
    built = Built(1_500 * rows, 120 * rows, rows // 256, build_s, 10**6 + 100 * rows)
    searched = Searched(461 * rows, 130 * rows, 650 * rows, 1_500 * rows, 2e-8 * rows, 1e-3, 1.0, 3e-3, 0.95)
    return Measured(rows, built, searched)


def test_a_fit_to_a_power_is_that_power_and_misses_nothing() -> None:
    fit = Fit.of([measured(rows, 3e-4 * rows**1.25) for rows in SIZES], lambda each: each.built.build_s)
    assert fit.exponent == pytest.approx(1.25)
    assert fit.factor == pytest.approx(3e-4)
    assert fit.error < 1e-9
    assert fit.at(10_000_000) == pytest.approx(3e-4 * 10_000_000**1.25)


def test_a_fit_says_by_how_much_it_misses() -> None:
    """One size that took twice as long as the others say."""
    sizes = [measured(rows, 1e-5 * rows * (2 if rows == SIZES[-1] else 1)) for rows in SIZES]
    row = next(row for row in fitted_table(sizes).rows if row[0] == "building the index")
    assert row[3] == "-50%", "what those before the largest foretell of it"
    assert 0.2 < float(row[2].rstrip("%")) / 100 < 0.5
    assert 1 < float(row[1]) < 1.5


def test_every_planned_size_has_an_index_and_what_it_takes_to_hold_it() -> None:
    sizes = [measured(rows, 1e-5 * rows) for rows in SIZES]
    rows = {row[0]: row[1:] for row in choices_table(sizes).rows}
    assert rows["rows"] == [f"{each:,}" for each in PLANNED]
    partitions = [int(cell.replace(",", "")) for cell in rows["its partitions"]]
    assert partitions[0] * 384 < 1_000_000, "no graph of centroids"
    assert partitions[2] == pytest.approx(2 * math.sqrt(1e9), rel=0.01)
    assert rows["held by `connect()` alone"] == ["no", "no", "no"]
    assert rows["building the index, by its fit"][0] == "100 s"


def test_the_page_can_be_made_of_any_sizes() -> None:
    page = str(section([measured(rows, 1e-5 * rows) for rows in SIZES]))
    assert all(f"**{title}**" in page for title in ("Measured", "Fitted", "Foretold", "What to choose"))
