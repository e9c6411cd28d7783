from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancelike.embeddings import EmbeddingFunctionConfig
from lancelike.errors import BadDataError, BadVectorError
from lancelike.ingest import Batch, align, fit_vectors, read_batches
from lancelike.types import OnBadVectors

NAN = float("nan")
VECTOR = pa.list_(pa.float32(), 2)
SCHEMA = pa.schema([("id", pa.int64()), ("vector", VECTOR)])
BINDING = EmbeddingFunctionConfig("vector", "text", object())


def fit(
    data: Any,
    schema: pa.Schema = SCHEMA,
    on_bad_vectors: OnBadVectors = "error",
    fill_value: float = 0.0,
    bindings: Any = (),
) -> list[Batch]:
    batches = align(read_batches(data, schema).batches, schema, bindings)
    return list(fit_vectors(batches, schema, bindings, on_bad_vectors, fill_value))


def vectors(batches: list[Batch], column: str = "vector") -> list[Any]:
    for batch in batches:
        batch.data.validate(full=True)
    return [value for batch in batches for value in batch.data.column(column).to_pylist()]


def rows(values: list[Any]) -> list[dict[str, Any]]:
    return [{"id": i, "vector": value} for i, value in enumerate(values)]


BAD: dict[str, Any] = {
    "too short": [1.0],
    "too long": [1.0, 2.0, 3.0],
    "empty": [],
    "with NaN": [1.0, NAN],
    "all NaN": [NAN, NAN],
    "with None": [1.0, None],
    "too large": [1.0, 1e300],
    "null": None,
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_vectors_are_handled_as_asked(kind: str) -> None:
    bad = BAD[kind]
    data = rows([[5.0, 6.0], bad, [7.0, 8.0]])
    with pytest.raises(BadVectorError) as error:
        fit(data)
    assert (error.value.row, error.value.column) == (1, "vector")
    assert "on_bad_vectors='drop'" in error.value.hint
    dropped = fit(data, on_bad_vectors="drop")
    assert vectors(dropped) == [[5.0, 6.0], [7.0, 8.0]]
    assert list(dropped[0].rows) == [0, 2]
    assert vectors(fit(data, on_bad_vectors="null")) == [[5.0, 6.0], None, [7.0, 8.0]]
    filled = vectors(fit(data, on_bad_vectors="fill", fill_value=9.0))[1]
    kept = [number for number in (bad or [])[:2] if number is not None and number == number and number < 1e100]
    assert filled == [*kept, 9.0, 9.0][:2]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([1.0], "a vector of length 1 where the column's are 2 long"),
        ([NAN, 1.0], "a vector with NaN"),
        ([1e300, 1.0], "a vector with numbers too large"),
        (None, "a vector is null"),
    ],
)
def test_the_error_says_what_is_wrong(bad: Any, words: str) -> None:
    with pytest.raises(BadVectorError, match=f"row 2, column 'vector': {words}"):
        fit(rows([[1.0, 2.0], [1.0, 2.0], bad]))


def test_infinity_passes() -> None:
    data = pa.table({"id": [0], "vector": pa.array([[float("inf"), -float("inf")]], VECTOR)})
    assert vectors(fit(data)) == [[float("inf"), -float("inf")]]


def test_a_clean_column_is_passed_on_without_a_copy() -> None:
    data = pa.table({"id": [0, 1], "vector": pa.array([[1, 2], [3, 4]], VECTOR)}, schema=SCHEMA)
    (batch,) = fit(data)
    before, after = data.column("vector").chunk(0), batch.data.column("vector")
    assert before.values.buffers()[1].address == after.values.buffers()[1].address


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1, 2], [3, 4]], pa.list_(pa.float64())),
        pa.array([[1, 2], [3, 4]], pa.large_list(pa.int64())),
        pa.array([[1, 2], [3, 4]], pa.list_(pa.float16(), 2)),
        pa.array([[9, 9], [1, 2], [3, 4]], pa.list_(pa.float64(), 2)).slice(1),
        pa.array([[9], [1, 2], [3, 4]], pa.list_(pa.int8())).slice(1),
        pa.array([[1, 2], [3, 4]], pa.list_view(pa.float32())),
        pa.array([[1, 2], [3, 4]], pa.list_(pa.field("element", pa.float32(), nullable=False), 2)),
    ],
    ids=lambda values: str(values.type),
)
def test_other_layouts_become_the_columns_type(values: pa.Array) -> None:
    batches = fit(pa.table({"id": [0, 1], "vector": values}))
    assert vectors(batches) == [[1.0, 2.0], [3.0, 4.0]]
    assert batches[0].data.schema == SCHEMA


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_every_float_type_is_checked(kind: pa.DataType) -> None:
    schema = pa.schema([("vector", pa.list_(kind, 2))])
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.array([1, 2, np.nan, 4], kind.to_pandas_dtype())), 2)
    assert vectors(fit(pa.table({"vector": column}), schema, "drop")) == [[1.0, 2.0]]


def test_each_half_precision_number_is_told_from_nan() -> None:
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    schema = pa.schema([("vector", pa.list_(pa.float16(), 1))])
    column = pa.FixedSizeListArray.from_arrays(pa.array(numbers), 1)
    for part in (column.filter(pa.array(~np.isnan(numbers))), column.filter(pa.array(np.signbit(numbers)))):
        kept = fit(pa.table({"vector": part}), schema, "drop")
        expected = part.flatten().to_numpy()
        assert np.array_equal(
            np.concatenate([each.data["vector"].flatten() for each in kept]), expected[~np.isnan(expected)]
        )
    for number in numbers[np.isnan(numbers)]:
        alone = pa.FixedSizeListArray.from_arrays(pa.array(np.array([number], np.float16)), 1)
        assert fit(pa.table({"vector": alone}), schema, "drop") == []


@pytest.mark.parametrize("under", [0.0, NAN], ids=["a number", "NaN"])
def test_nulls_among_whole_vectors_are_kept_whatever_lies_under_them(under: float) -> None:
    numbers = pa.array(np.array([1, 2, under, under, 5, 6, 7, 8], np.float32))
    column = pa.FixedSizeListArray.from_arrays(numbers, 2, mask=pa.array([False, True, False, False]))
    data = pa.table({"id": range(3), "vector": column.slice(1)})
    expected = [None, [5.0, 6.0], [7.0, 8.0]]
    assert vectors(fit(data, on_bad_vectors="null")) == expected
    schema = pa.schema([*SCHEMA, ("text", pa.string())])
    assert vectors(fit(data, schema, bindings=[BINDING])) == expected
    assert vectors(fit(data, on_bad_vectors="drop")) == expected[1:]
    for policy in ("error", "null"):
        strict = pa.schema([pa.field("id", pa.int64()), pa.field("vector", VECTOR, nullable=False)])
        with pytest.raises(BadDataError) as error:
            fit(data, strict, policy)
        assert (error.value.row, error.value.column) == (0, "vector")


def test_integer_vectors_take_integers_only() -> None:
    schema = pa.schema([("vector", pa.list_(pa.uint8(), 2))])
    assert vectors(fit([{"vector": [1, 255]}, {"vector": np.array([1.0, 2.0])}], schema)) == [[1, 255], [1, 2]]
    for bad in ([1, 256], [1, -1], [1, 1.5]):
        with pytest.raises(BadVectorError, match=r"row 1, column 'vector': .* does not fit fixed_size_list<"):
            fit([{"vector": [0, 0]}, {"vector": bad}], schema)
    assert vectors(fit([{"vector": [1]}, {"vector": [1, None]}], schema, "fill", 7)) == [[1, 7], [1, 7]]


def test_null_in_a_bound_column_waits_to_be_embedded() -> None:
    data = rows([None, [1.0, 2.0]])
    for policy in ("error", "drop", "fill", "null"):
        assert vectors(fit(data, on_bad_vectors=policy, bindings=[BINDING])) == [None, [1.0, 2.0]]


def test_a_column_left_out_or_wholly_null_is_null() -> None:
    assert vectors(fit([{"id": 1}])) == [None]
    assert vectors(fit([{"id": 1, "vector": None}])) == [None]
    assert vectors(fit([{"id": 1}], on_bad_vectors="drop")) == [None]


def test_null_is_an_error_where_the_column_takes_none() -> None:
    schema = pa.schema([pa.field("vector", VECTOR, nullable=False), ("id", pa.int64())])
    with pytest.raises(BadDataError, match="row 0, column 'vector': null in a column that takes none"):
        fit([{"id": 1}], schema)
    with pytest.raises(BadDataError, match="row 1, column 'vector': null in a column that takes none"):
        fit(rows([[1.0, 2.0], [NAN, 2.0]]), schema, "null")


@pytest.mark.parametrize("value", ["text", 5, True], ids=repr)
def test_what_is_no_vector_is_an_error_whatever_the_policy(value: Any) -> None:
    data = pa.table({"id": [0, 1], "vector": pa.array([None, value])})
    with pytest.raises(BadDataError, match=r"row 1, column 'vector': .* is not a vector; give 2 numbers"):
        fit(data, on_bad_vectors="drop")


def test_lists_of_text_are_no_vectors() -> None:
    with pytest.raises(BadDataError, match="is not a vector"):
        fit(pa.table({"id": [0], "vector": [["a", "b"]]}))


def test_short_lists_of_floats_without_the_name_are_plain_values() -> None:
    schema = pa.schema([("box", pa.list_(pa.float32(), 2))])
    box = pa.array([[NAN, 1.0], None], VECTOR)
    assert len(fit(pa.table({"box": box}), schema)) == 1
    with pytest.raises(BadDataError, match="row 1, column 'box'"):
        fit([{"box": [1.0, 2.0]}, {"box": [1.0]}], schema)


def test_long_lists_of_floats_are_vectors_by_any_name() -> None:
    schema = pa.schema([("v", pa.list_(pa.float32(), 10))])
    with pytest.raises(BadVectorError, match="row 1, column 'v'"):
        fit([{"v": np.zeros(10)}, {"v": np.full(10, np.nan)}], schema)


def test_a_batch_of_which_nothing_is_left_is_left_out() -> None:
    assert fit(rows([[NAN, 1.0]]), on_bad_vectors="drop") == []


def test_policies_are_checked_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="on_bad_vectors is one of 'error', 'drop', 'fill', 'null', not 'keep'"):
        fit_vectors(iter(()), SCHEMA, (), "keep")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`fill_value` must not be None"):
        fit_vectors(iter(()), SCHEMA, (), "fill", None)  # type: ignore[arg-type]


class TestMultivectors:
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(VECTOR))])

    def test_any_number_of_vectors_a_row(self) -> None:
        values = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]], []]
        assert vectors(fit(rows(values), self.schema)) == values
        assert vectors(fit(rows([np.ones((3, 2)), np.zeros((1, 2))]), self.schema)) == [[[1.0, 1.0]] * 3, [[0.0, 0.0]]]

    @pytest.mark.parametrize("bad", [[[1.0, 2.0], [3.0]], [[NAN, 2.0]], [[1.0, None]], [[1.0, 2.0, 3.0]], None])
    def test_one_bad_vector_makes_a_row_bad(self, bad: Any) -> None:
        data = rows([[[1.0, 2.0]], bad, [[7.0, 8.0], [9.0, 9.0]]])
        with pytest.raises(BadVectorError, match="row 1, column 'vector': a vector"):
            fit(data, self.schema)
        assert vectors(fit(data, self.schema, "drop")) == [[[1.0, 2.0]], [[7.0, 8.0], [9.0, 9.0]]]
        assert vectors(fit(data, self.schema, "null")) == [[[1.0, 2.0]], None, [[7.0, 8.0], [9.0, 9.0]]]

    def test_filling(self) -> None:
        data = rows([[[1.0], [NAN, 2.0]], [[1.0, 2.0]]])
        assert vectors(fit(data, self.schema, "fill", 9.0)) == [[[1.0, 9.0], [9.0, 2.0]], [[1.0, 2.0]]]


numbers = st.one_of(st.none(), st.just(NAN), st.floats(-10, 10, width=32))
any_vectors = st.lists(st.one_of(st.none(), st.lists(numbers, max_size=4)), min_size=1, max_size=20)


def is_good(vector: Any) -> bool:
    return vector is not None and len(vector) == 2 and all(n is not None and n == n for n in vector)


@given(any_vectors, st.sampled_from([pa.list_(pa.float32()), pa.large_list(pa.float64())]), st.integers(0, 3))
def test_dropping_keeps_just_the_good_rows_and_their_numbers(values: list[Any], kind: pa.DataType, start: int) -> None:
    column = pa.array(values, kind).slice(start)
    data = pa.table({"id": np.arange(len(values))[start:], "vector": column})
    good = [(i, value) for i, value in enumerate(values[start:]) if is_good(value)]
    batches = fit(data, on_bad_vectors="drop") if any(value is not None for value in values[start:]) else []
    assert [row for batch in batches for row in batch.rows] == [i for i, _ in good]
    assert vectors(batches) == [value for _, value in good]
