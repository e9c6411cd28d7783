"""Filters that compare one column with one value."""

from __future__ import annotations

from pathlib import Path

import lance
import pyarrow as pa
import pytest

from lancelike import col
from lancelike.query.comparison import Comparison, comparison_of, is_fixed
from lancelike.query.keywords import KEYWORDS
from lancelike.query.predicates import sql_of


@pytest.mark.parametrize(
    ("condition", "column", "value"),
    [
        ("id = 7", "id", 7),
        (" id=-7 ", "id", -7),
        ("(`the id` = 7)", "the id", 7),
        ("name = 'it''s'", "name", "it's"),
        ("`name` = ''", "name", ""),
        (sql_of(col("id") == 7), "id", 7),
        (sql_of(col("name") == "it's"), "name", "it's"),
    ],
)
def test_what_is_asked_for(condition: str, column: str, value: int | str) -> None:
    assert comparison_of(condition) == Comparison(column, "=", value)


@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
def test_how_it_is_compared(operator: str) -> None:
    found = comparison_of(f"id{operator}7")
    assert found is not None
    assert found.operator == operator
    assert comparison_of("id <> 7") == Comparison("id", "!=", 7)


@pytest.mark.parametrize(
    "condition",
    [
        *(
            "id = 7 AND n = 1",
            "id == 7",
            "id => 7",
            "id = 7.0",
            "id = n",
            "7 = id",
            "id = '7' OR 1 = 1",
            "part.page = 7",
            "",
        ),
        *("(id = 7) OR (n = 1)", "id = 7 -- and more", 'name = "x"', "id = NULL", "lower(name) = 'x'", "id = ٧"),
    ],
)
def test_anything_else_is_for_lance(condition: str) -> None:
    assert comparison_of(condition) is None


def test_no_column_is_taken_for_another_thing_than_by_lance(tmp_path: Path) -> None:
    words = [*sorted(KEYWORDS), "Id", "id"]
    columns = {word: [f"{i}", f"{i + 1}", None] for i, word in enumerate(words)}
    dataset = lance.write_dataset(pa.table(columns), tmp_path / "words.lance")
    for i, word in enumerate(words):
        if comparison_of(f"{word} = '{i}'") is not None:
            assert dataset.scanner(columns=[word], filter=f"{word} = '{i}'").to_table()[word].to_pylist() == [f"{i}"]


@pytest.mark.parametrize(
    "condition",
    [
        "price < 0.1",
        "(kind IN ('a', 'now()')) AND NOT (n BETWEEN 1 AND 2)",
        "title = 'f(x)' OR `now(` = 1",
        '"current_date" > 3',
        "part.page IS NOT NULL",
        "day >= date '2026-01-01'",
    ],
)
def test_what_calls_no_function_is_fixed(condition: str) -> None:
    assert is_fixed(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "at < now()",
        "at < NOW ()",
        "random() < 0.5",
        "NOT random() < 0.5",
        "at > current_timestamp - interval '1 day'",
        "day = CURRENT_DATE",
        "lower(name) = 'x'",
    ],
)
def test_what_calls_one_may_not_be(condition: str) -> None:
    assert not is_fixed(condition)
