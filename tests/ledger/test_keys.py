"""Keys tell inputs apart, and their index finds the last number given."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lancelike.ledger.keys import from_arrow, input_keys, to_arrow
from lancelike.storage.key_index import KeyIndex, KeySet

inputs = st.one_of(st.text(), st.binary(), st.integers(), st.lists(st.integers(), max_size=3))


@given(st.lists(inputs, max_size=20))
def test_equal_inputs_and_only_they_share_a_key(values: list[object]) -> None:
    keys = input_keys("f", "source", values)
    distinct_keys = {tuple(key) for key in keys.tolist()}
    assert len(distinct_keys) == len({(type(v).__name__, repr(v)) for v in values})
    np.testing.assert_array_equal(keys, input_keys("f", "source", values))


def test_function_and_role_are_part_of_the_key() -> None:
    keys = {tuple(input_keys(f, r, ["x"])[0].tolist()) for f in ("a", "b") for r in ("source", "query")}
    assert len(keys) == 4


def test_keys_survive_arrow_slices_included() -> None:
    keys = input_keys("f", "source", [str(i) for i in range(10)])
    column = to_arrow(keys)
    np.testing.assert_array_equal(from_arrow(column), keys)
    np.testing.assert_array_equal(from_arrow(column.slice(3, 4)), keys[3:7])
    np.testing.assert_array_equal(from_arrow(pa.chunked_array([column.slice(0, 2), column.slice(2)])), keys)
    assert len(from_arrow(column.slice(0, 0))) == 0


@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=25))
def test_the_index_finds_what_a_dict_would(batches: list[list[int]]) -> None:
    expected: dict[int, int] = {}
    index, number = KeyIndex(), 0
    for batch in batches:
        numbers = np.arange(number, number + len(batch), dtype=np.int64)
        index.add(input_keys("f", "source", batch), numbers)
        expected.update(zip(batch, numbers.tolist(), strict=True))
        number += len(batch)
    found = index.find(input_keys("f", "source", list(range(31))))
    assert found.tolist() == [expected.get(i, -1) for i in range(31)]


@given(st.lists(st.sets(st.integers(0, 60), max_size=12), max_size=25))
def test_a_set_tells_new_keys_as_a_set_would(batches: list[set[int]]) -> None:
    keys, met = KeySet(), set[int]()
    for batch in batches:
        values = list(batch)
        assert keys.meet(input_keys("f", "source", values)).tolist() == [value not in met for value in values]
        met |= batch


def test_keys_that_share_the_first_half_are_told_apart() -> None:
    index = KeyIndex()
    keys = np.array([[7, 1 << 60], [7, 2 << 60]], np.uint64)
    index.add(keys[:1], np.array([(1 << 40) - 1]))
    assert index.find(keys).tolist() == [(1 << 40) - 1, -1]
    index.add(keys[1:], np.array([5]))
    assert index.find(keys[1:]).tolist() == [5]
