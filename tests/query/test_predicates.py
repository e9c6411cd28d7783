"""Literals, names and joined filters mean in Lance what their Python values mean."""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelike.errors import QueryError
from lancelike.query.predicates import all_of, quote_identifier, sql_of, value_to_sql
from tests.fuzzing import examples

Finder = Callable[[list[Any], pa.DataType, Any], list[int]]

NAIVE = st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1))
ZONED = st.datetimes(
    min_value=datetime(1700, 1, 2),
    max_value=datetime(2200, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5, minutes=30))]),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def no_negative_zero(value: float) -> bool:
    """Whether Lance tells it from 0.0 depends on the column's width."""
    return value != 0 or math.copysign(1, value) > 0


CASES = {
    "string": (TEXTS, pa.string()),
    "binary": (st.binary(max_size=8), pa.binary()),
    "int64": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "uint64": (st.integers(0, 2**64 - 1), pa.uint64()),
    "int8": (st.integers(-128, 127), pa.int8()),
    "float64": (st.floats(allow_nan=False).filter(no_negative_zero), pa.float64()),
    "float32": (st.floats(allow_nan=False, width=32).filter(no_negative_zero), pa.float32()),
    "bool": (st.booleans(), pa.bool_()),
    "date": (st.dates(), pa.date32()),
    "timestamp": (NAIVE, pa.timestamp("us")),
    "timestamp in UTC": (ZONED, pa.timestamp("us", "UTC")),
    "timestamp in a zone": (ZONED, pa.timestamp("us", "America/New_York")),
    "time": (st.times(), pa.time64("us")),
    "duration": (st.timedeltas(timedelta(days=-1000), timedelta(days=1000)), pa.duration("us")),
    "decimal": (st.decimals(-(10**9), 10**9, places=4), pa.decimal128(20, 4)),
    "list of integers": (st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=4), pa.list_(pa.int64())),
    "list of texts": (st.lists(TEXTS, min_size=1, max_size=3), pa.list_(pa.string())),
    "struct": (
        st.fixed_dictionaries({"x": st.integers(-(2**31), 2**31), "it's": TEXTS}),
        pa.struct([("x", pa.int64()), ("it's", pa.string())]),
    ),
}


@pytest.fixture
def rows_equal_to(tmp_path: Path) -> Finder:
    """Positions of the rows where a column of the given values equals a value, as Lance finds them."""

    def find(values: list[Any], kind: pa.DataType, wanted: Any) -> list[int]:
        table = pa.table({"i": range(len(values)), "v": pa.array(values, kind)})
        dataset = lance.write_dataset(table, tmp_path / f"{uuid.uuid4()}.lance")
        found = dataset.to_table(columns=["i"], filter=f"v = {value_to_sql(wanted)}")
        return found["i"].to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types

    return find


@pytest.mark.hypothesis
@pytest.mark.parametrize("case", CASES)
def test_a_literal_equals_its_value(case: str, rows_equal_to: Finder) -> None:
    values, kind = CASES[case]

    @settings(max_examples=examples(25))
    @given(st.lists(values, min_size=1, max_size=4))
    def check(column: list[Any]) -> None:
        stored = pa.array(column, kind).to_pylist()
        wanted = stored[0]
        same = [i for i, value in enumerate(stored) if value == wanted]
        assert rows_equal_to(column, kind, column[0]) == same

    check()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, pa.int64()),
        (-(2**63), pa.int64()),
        (float("nan"), pa.float64()),
        (float("-inf"), pa.float32()),
        ([], pa.list_(pa.int64())),
        ([None, 3], pa.list_(pa.int64())),
        ([date(2020, 1, 1), date(2021, 1, 1)], pa.list_(pa.date32())),
        ([-(2**63), 1], pa.list_(pa.int64())),
        (["a'", "b"], pa.list_(pa.string())),
        ([True, False], pa.list_(pa.bool_())),
        ([{"a": 1}, {"a": 2}], pa.list_(pa.struct([("a", pa.int64())]))),
        ([[1], [2, 3]], pa.list_(pa.list_(pa.int64()))),
        ([0.5, -1.0], pa.list_(pa.float32(), 2)),
        ({"a": {"b": [1]}}, pa.struct([("a", pa.struct([("b", pa.list_(pa.int64()))]))])),
        (Decimal("12345678901234567890.123"), pa.decimal128(38, 3)),
        (time(1, 2, 3, 4), pa.time64("us")),
        (datetime(2020, 1, 1, tzinfo=UTC), pa.timestamp("us", "UTC")),
        (date(2020, 1, 1), pa.date32()),
        (b"\x00'", pa.binary()),
    ],
)
def test_an_update_stores_the_value(tmp_path: Path, value: Any, kind: pa.DataType) -> None:
    table = pa.table({"id": [1, 2], "v": pa.array([None, None], kind)})
    dataset = lance.write_dataset(table, tmp_path / "t.lance", data_storage_version="2.1")
    dataset.update({"v": value_to_sql(value)}, where="id = 2")
    assert_same(dataset.to_table(filter="id = 2")["v"][0].as_py(), value)


def assert_same(stored: Any, value: Any) -> None:
    if isinstance(value, float) and math.isnan(value):
        assert math.isnan(stored)
    else:
        assert stored == value


class Color(enum.Enum):
    RED = "red"


KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "sql"),
    [
        ("it's", "'it''s'"),
        (True, "TRUE"),
        (np.bool_(False), "FALSE"),
        (np.int8(-3), "-3"),
        (np.float32(0.5), "0.5"),
        (KEY, f"'{KEY}'"),
        (Color.RED, "'red'"),
        (pa.scalar(5, pa.int16()), "5"),
        (pa.scalar(None, pa.string()), "NULL"),
        (np.array([1, 2]), "[1, 2]"),
        ((1, 2), "[1, 2]"),
        (np.datetime64("2020-01-02T03:04:05"), "TIMESTAMP '2020-01-02 03:04:05'"),
        (Decimal("-1.50"), "CAST('-1.50' AS DECIMAL(3,2))"),
        (Decimal("1E+3"), "CAST('1000' AS DECIMAL(4,0))"),
        ({"a": 1, "b": "x"}, "named_struct('a', 1, 'b', 'x')"),
    ],
)
def test_literals(value: Any, sql: str) -> None:
    assert value_to_sql(value) == sql


@pytest.mark.parametrize("value", [object(), 2**64, -(2**63) - 1, Decimal("NaN"), Decimal(f"1.{'1' * 38}"), {1, 2}])
def test_what_has_no_literal_is_an_error(value: Any) -> None:
    with pytest.raises(QueryError):
        value_to_sql(value)


@settings(max_examples=examples(30))
@given(st.text(st.sampled_from("aZ_ -é中'\"(1#"), min_size=1, max_size=8))
def test_quoted_names_reach_their_column(tmp_path: Path, name: str) -> None:
    table = pa.table({"#other": [0, 0], name: [1, 2]})
    dataset = lance.write_dataset(table, tmp_path / f"{uuid.uuid4()}.lance")
    assert dataset.count_rows(f"{quote_identifier(name)} = 2") == 1


@pytest.mark.parametrize("name", ["", "a`b"])
def test_names_that_sql_cannot_say(name: str) -> None:
    with pytest.raises(QueryError, match="rename the column"):
        quote_identifier(name)


def test_filters_are_joined_each_in_its_own_parentheses(tmp_path: Path) -> None:
    dataset = lance.write_dataset(pa.table({"i": range(10)}), tmp_path / "t.lance")
    joined = all_of(["i < 3 OR i > 7", None, "i > 1 OR i = 0"])
    assert joined is not None
    assert dataset.to_table(filter=joined)["i"].to_pylist() == [0, 2, 8, 9]
    assert all_of([]) is None
    assert all_of([None, "a"]) == "a"


@pytest.mark.parametrize(
    ("given", "lances"),
    [
        ('"a" = 1', "`a` = 1"),
        ('source."my col" > target."x"', "source.`my col` > target.`x`"),
        ('"it\'s" = \'say "hi"\'', "`it's` = 'say \"hi\"'"),
        ('"a""b" = 1', '`a"b` = 1'),
        ("a = 'it''s \"b\"' OR `c\"d\"` = 1", "a = 'it''s \"b\"' OR `c\"d\"` = 1"),
        ('a = 1 -- not "b"', 'a = 1 -- not "b"'),
        ("a = 'b'", "a = 'b'"),
    ],
)
def test_names_in_double_quotes_are_names(given: str, lances: str) -> None:
    assert sql_of(given) == lances


def test_no_name_in_double_quotes() -> None:
    with pytest.raises(QueryError, match="an empty text is ''"):
        sql_of('a = ""')
    with pytest.raises(QueryError, match="can't be named"):
        sql_of('"a`b" = 1')
