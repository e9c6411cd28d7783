"""Rows are found by the values of their key columns, as a dict would find them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancelike.storage.row_keys import RowsByKey, row_keys

KINDS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int8(), [-1, 0, 1, 127]),
    (pa.int64(), [-(2**63), -1, 0, 1, 2**63 - 1]),
    (pa.uint64(), [0, 1, 2**64 - 1]),
    (pa.float32(), [0.0, 0.5, -0.5, 1e30]),
    (pa.bool_(), [False, True]),
    (pa.string(), ["", "a", "b", "ab", "é" * 40]),
    (pa.large_string(), ["", "a", "b"]),
    (pa.string_view(), ["", "a", "b" * 20]),
    (pa.binary(), [b"", b"a", b"\0"]),
    (pa.binary(2), [b"ab", b"ba"]),
    (pa.date32(), [date(1960, 1, 1), date(2026, 11, 21)]),
    (pa.timestamp("us"), [datetime(1960, 1, 1), datetime(2026, 11, 21)]),
    (pa.decimal128(10, 2), [Decimal("1.10"), Decimal("-1.10")]),
    (pa.dictionary(pa.int8(), pa.string()), ["a", "b"]),
    (pa.struct([("a", pa.int64())]), [{"a": 1}, {"a": 2}]),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_only_equal_values_share_a_key(kind: pa.DataType, values: list[Any]) -> None:
    column = pa.array([None, *values, *values], kind)
    keys, has_key = row_keys([column])
    assert has_key.tolist() == [False] + [True] * 2 * len(values)
    first, second = keys[1 : 1 + len(values)], keys[1 + len(values) :]
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first, axis=0)) == len(values)
    np.testing.assert_array_equal(row_keys([column.slice(2)])[0], keys[2:])
    assert len(row_keys([column.slice(0, 0)])[0]) == 0


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, "", "a", "b"])), max_size=8), max_size=8))
def test_rows_are_found_as_in_a_dict(batches: list[list[tuple[int, str | None]]]) -> None:
    fields = pa.schema([("n", pa.int64()), ("s", pa.string())])
    rows, expected, number = RowsByKey(fields), dict[tuple[int, str], int](), 0
    keyed = 0
    for batch in batches:
        rows.add(as_batch(batch, fields))
        for n, s in batch:
            if s is not None:
                expected[n, s] = number
                keyed += 1
            number += 1
    asked = [(n, s) for n in range(7) for s in (None, "", "a", "b")]
    found = rows.find(as_batch(asked, fields)).tolist()
    assert found == [-1 if s is None else expected.get((n, s), -1) for n, s in asked]
    assert rows.are_distinct == (keyed == len(expected))
    assert rows.find(as_batch(asked, fields)).tolist() == found


def test_new_rows_may_have_other_types_than_the_key() -> None:
    rows = RowsByKey(pa.schema([("n", pa.int64())]))
    rows.add(pa.record_batch({"n": pa.array([3, 4], pa.int64())}))
    assert rows.find(pa.record_batch({"n": pa.array([4, 5, None], pa.int16())})).tolist() == [1, -1, -1]


def as_batch(rows: list[tuple[int, str | None]], fields: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [[], []]
    return pa.record_batch([pa.array(list(c), f.type) for c, f in zip(columns, fields, strict=True)], schema=fields)
