from __future__ import annotations

import collections
import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from lancelike.errors import BadDataError
from lancelike.ingest import read_batches
from lancelike.ingest.read import BATCH_BYTES, SLICE_BYTES
from lancelike.pydantic import LanceModel, Vector

DICTS: list[dict[str, Any]] = [{"id": i, "text": f"t{i}", "vector": np.full(3, i, np.float32)} for i in range(5)]
SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), 3))])


class Bare(BaseModel):
    id: int
    text: str
    vector: list[float]


class Doc(LanceModel):
    id: int
    text: str
    vector: Vector(3)  # type: ignore[valid-type]


def table() -> pa.Table:
    vectors = pa.array([row["vector"] for row in DICTS], SCHEMA.field("vector").type)
    return pa.table([pa.array(range(5)), pa.array([row["text"] for row in DICTS]), vectors], schema=SCHEMA)


def arrow_dataset(tmp_path: Path) -> Any:
    pa.dataset.write_dataset(table(), tmp_path / "arrow", format="ipc")
    return pa.dataset.dataset(tmp_path / "arrow", format="ipc")


def lance_dataset(tmp_path: Path) -> Any:
    return lance.write_dataset(table(), tmp_path / "d.lance")


def hugging_face() -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset(table())


def models() -> list[Doc]:
    return [Doc(id=row["id"], text=row["text"], vector=row["vector"].tolist()) for row in DICTS]


KINDS: dict[str, Callable[[Path], Any]] = {
    "dicts": lambda _: DICTS,
    "tuple of dicts": lambda _: tuple(DICTS),
    "models": lambda _: models(),
    "plain models": lambda _: [Bare(**model.model_dump()) for model in models()],
    "pandas": lambda _: pd.DataFrame(DICTS),
    "polars": lambda _: pl.from_arrow(table()),
    "lazy polars": lambda _: pl.from_arrow(table()).lazy(),
    "arrow table": lambda _: table(),
    "record batch": lambda _: table().to_batches()[0],
    "reader": lambda _: table().to_reader(2),
    "list of record batches": lambda _: table().to_batches(2),
    "list of tables": lambda _: [table().slice(0, 2), table().slice(2)],
    "arrow dataset": arrow_dataset,
    "arrow scanner": lambda tmp_path: arrow_dataset(tmp_path).scanner(),
    "lance dataset": lance_dataset,
    "lance scanner": lambda tmp_path: lance_dataset(tmp_path).scanner(),
    "hugging face": lambda _: hugging_face(),
    "hugging face, shuffled": lambda _: hugging_face().select([0, 1, 2, 3, 4]),
    "hugging face, streamed": lambda _: hugging_face().to_iterable_dataset(),
    "generator of dicts": lambda _: (row for row in DICTS),
    "generator of models": lambda _: (row for row in models()),
    "generator of batches": lambda _: (batch for batch in table().to_batches(2)),
    "generator of lists": lambda _: (DICTS[i : i + 2] for i in (0, 2, 4)),
    "generator of frames": lambda _: (pd.DataFrame(DICTS[i : i + 2]) for i in (0, 2, 4)),
    "dicts, then a batch": lambda _: [*DICTS[:3], table().slice(3)],
}


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["without schema", "with schema"])
@pytest.mark.parametrize("kind", KINDS)
def test_reads_every_kind(kind: str, schema: pa.Schema | None, tmp_path: Path) -> None:
    source = read_batches(KINDS[kind](tmp_path), schema)
    assert source.schema.names == ["id", "text", "vector"]
    rows, positions = [], []
    for batch in source.batches:
        rows += batch.data.to_pylist()
        positions += list(batch.rows)
    assert [(row["id"], row["text"], row["vector"]) for row in rows] == [
        (row["id"], row["text"], row["vector"].tolist()) for row in DICTS
    ]
    assert positions == list(range(5))


def test_splits_of_a_hugging_face_dataset_are_named() -> None:
    datasets = pytest.importorskip("datasets")
    splits = datasets.DatasetDict(train=hugging_face(), test=hugging_face().select([1]))
    source = read_batches(splits)
    rows = [row for batch in source.batches for row in batch.data.to_pylist()]
    assert [row["split"] for row in rows] == ["train"] * 5 + ["test"]
    assert source.num_rows == 6


def test_a_single_row_is_refused_in_known_words() -> None:
    with pytest.raises(ValueError, match=r"^Cannot create or add rows from a single dictionary\. Use a list of dicti"):
        read_batches(DICTS[0])
    with pytest.raises(ValueError, match=r"^Cannot add a single LanceModel to a table\. Use a list\.$"):
        read_batches(models()[0])


def test_an_empty_list_needs_a_schema() -> None:
    with pytest.raises(ValueError, match="Cannot create table from empty list without a schema"):
        read_batches([])
    with pytest.raises(ValueError, match="Cannot create table from empty list without a schema"):
        read_batches(iter(()))
    assert list(read_batches([], SCHEMA).batches) == []
    assert list(read_batches(iter(()), SCHEMA).batches) == []


@pytest.mark.parametrize("data", [5, "rows", b"rows", None, np.zeros((2, 2))], ids=repr)
def test_what_holds_no_rows_is_refused(data: Any) -> None:
    with pytest.raises(BadDataError, match="holds no rows; rows are a list of dicts"):
        read_batches(data, SCHEMA)


def test_an_item_that_is_no_row_is_named() -> None:
    with pytest.raises(BadDataError, match="row 2: 7 holds no rows") as error:
        list(read_batches([*DICTS[:2], 7], SCHEMA).batches)
    assert (error.value.row, error.value.value) == (2, 7)
    with pytest.raises(BadDataError, match="row 0: None holds no rows"):
        read_batches(iter([None]), SCHEMA)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "seventeen"),
        ("id", 1.5),
        ("id", True),
        ("id", 1 << 70),
        ("text", 17),
        ("text", ["a"]),
        ("vector", "abc"),
        ("vector", ["a", "b", "c"]),
        ("vector", 5),
    ],
    ids=repr,
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_wrong_type_names_row_column_and_value(column: str, value: Any, streamed: bool) -> None:
    rows = [{"id": i, "text": "x", "vector": [1.0, 2.0, 3.0]} for i in range(30)]
    rows[17] = {**rows[17], column: value}
    rows[25] = {**rows[25], column: value}
    data: Any = iter(rows) if streamed else rows
    with pytest.raises(BadDataError) as error:
        list(read_batches(data, SCHEMA).batches)
    assert (error.value.row, error.value.column, error.value.value) == (17, column, value)
    assert f"row 17, column {column!r}: {value!r} is not" in str(error.value)
    assert "convert it first" in error.value.hint


def test_rows_are_numbered_across_chunks_and_frames() -> None:
    rows = [{"id": i} for i in range(25_000)]
    rows[23_456] = {"id": "x"}  # type: ignore[dict-item]
    with pytest.raises(BadDataError) as error:
        list(read_batches(rows, SCHEMA).batches)
    assert error.value.row == 23_456
    frames = (pd.DataFrame({"id": [1, 2]}), pd.DataFrame({"id": [3, "x"]}, dtype=object))
    with pytest.raises(BadDataError) as error:
        list(read_batches(frames, SCHEMA).batches)
    assert error.value.row == 3


def test_types_that_do_not_go_together_name_the_first_that_differs() -> None:
    with pytest.raises(BadDataError, match="row 1, column 'a': 'x' does not go with the rows before"):
        read_batches([{"a": 1}, {"a": "x"}])


def test_without_a_schema_types_are_settled_over_all_rows() -> None:
    rows: list[dict[str, Any]] = [{"a": None} for _ in range(10_000)] + [{"a": 1}, {"a": 1.5, "b": "late"}]
    source = read_batches(rows)
    assert source.schema == pa.schema([("a", pa.float64()), ("b", pa.string())])


def test_a_key_that_some_rows_lack_is_null_there() -> None:
    (batch,) = read_batches([{"id": 1}, {"text": "a"}], SCHEMA).batches
    assert batch.data.to_pylist() == [{"id": 1, "text": None}, {"id": None, "text": "a"}]


def test_rows_without_any_key_are_still_rows() -> None:
    (batch,) = read_batches([{}, {}], SCHEMA).batches
    assert len(batch) == 2


def test_keys_must_be_text() -> None:
    with pytest.raises(BadDataError, match="5 can't name a column"):
        list(read_batches([{5: 1}], SCHEMA).batches)


class Colour(enum.Enum):
    RED = "red"


class Rich(LanceModel):
    key: uuid.UUID
    colour: Colour
    notes: dict[str, Any]
    price: Decimal
    day: dt.date
    at: dt.datetime
    tags: list[str]


def test_dicts_may_hold_what_models_hold() -> None:
    row: dict[str, Any] = {
        "key": uuid.UUID(int=7),
        "colour": Colour.RED,
        "notes": {"a": [1, 2]},
        "price": Decimal("1.50"),
        "day": dt.date(2024, 2, 3),
        "at": dt.datetime(2024, 2, 3, 4, 5),
        "tags": ["x", "y"],
    }
    schema = Rich.to_arrow_schema()
    (of_dict,) = read_batches([row], schema).batches
    (of_model,) = read_batches([Rich(**row)], schema).batches
    assert of_dict.data.to_pylist() == of_model.data.to_pylist()


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (pa.int64(), 3.0, 3),
        (pa.int32(), np.int64(3), 3),
        (pa.float32(), 3, 3.0),
        (pa.float64(), Decimal("1.5"), 1.5),
        (pa.float16(), np.float32(1.5), 1.5),
        (pa.date32(), "2024-02-03", dt.date(2024, 2, 3)),
        (pa.timestamp("us"), "2024-02-03T04:05:06", dt.datetime(2024, 2, 3, 4, 5, 6)),
        (pa.date32(), dt.datetime(2024, 2, 3), dt.date(2024, 2, 3)),
        (pa.string(), uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (pa.list_(pa.int64()), [1.0, 2], [1, 2]),
        (pa.list_(pa.list_(pa.float32())), np.ones((2, 2)), [[1.0, 1.0], [1.0, 1.0]]),
        (pa.struct([("a", pa.int64()), ("b", pa.string())]), {"a": 1}, {"a": 1, "b": None}),
    ],
    ids=repr,
)
def test_values_that_lose_nothing_are_converted(kind: pa.DataType, value: Any, stored: Any) -> None:
    (batch,) = read_batches([{"a": value}, {"a": None}], pa.schema([("a", kind)])).batches
    assert batch.data.column("a").to_pylist() == [stored, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.date32(), dt.datetime(2024, 2, 3, 4)),
        (pa.list_(pa.int64()), [1.5]),
        (pa.struct([("a", pa.int64())]), {"a": 1.5}),
        (pa.struct([("a", pa.int64())]), {"a": 1, "z": 2}),
        (pa.list_(pa.struct([("a", pa.string())])), [{"a": "x", "z": 2}]),
        (pa.timestamp("us"), "soon"),
        (pa.uint8(), 256),
        (pa.int64(), float("nan")),
    ],
    ids=repr,
)
def test_values_that_would_lose_something_are_refused(kind: pa.DataType, value: Any) -> None:
    with pytest.raises(BadDataError, match="row 1, column 'a'"):
        list(read_batches([{"a": None}, {"a": value}], pa.schema([("a", kind)])).batches)


def test_an_unknown_nested_key_is_named() -> None:
    schema = pa.schema([("a", pa.struct([("x", pa.int64())]))])
    with pytest.raises(BadDataError, match="no field 'z' in it; the fields are x"):
        list(read_batches([{"a": {"x": 1, "z": 2}}], schema).batches)


def test_pandas_missing_values_are_null() -> None:
    frame = pd.DataFrame({"id": [1.0, np.nan], "text": ["a", None], "vector": [np.ones(3), None]})
    (batch,) = read_batches(frame, SCHEMA).batches
    assert batch.data.to_pylist() == [
        {"id": 1.0, "text": "a", "vector": [1.0, 1.0, 1.0]},
        {"id": None, "text": None, "vector": None},
    ]


@pytest.mark.parametrize("series", [pd.Series([1j, 2]), pd.Series(pd.arrays.SparseArray([0, 1]))], ids=str)
def test_a_pandas_type_that_arrow_lacks_is_named(series: Any) -> None:
    with pytest.raises(BadDataError, match=r"column 's': values of \S+.* have no type of Arrow's"):
        list(read_batches(pd.DataFrame({"s": series})).batches)


def test_twin_columns_are_refused() -> None:
    with pytest.raises(BadDataError, match="column 'a': there are two columns of this name"):
        read_batches(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_stream_is_pulled_as_it_is_asked_for() -> None:
    pulled: list[int] = []

    def stream() -> Iterator[pa.RecordBatch]:
        for i in range(1_000):
            pulled.append(i)
            yield pa.record_batch({"id": [i]})

    source = read_batches(stream(), SCHEMA)
    assert pulled == [0]
    next(source.batches)
    next(source.batches)
    assert len(pulled) <= 3


def test_an_error_of_the_callers_generator_is_its_own() -> None:
    def stream() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(read_batches(stream(), SCHEMA).batches)


def test_large_batches_are_sliced_without_copying() -> None:
    data = pa.table({"id": np.arange(40_000)})
    batches = list(read_batches(data, SCHEMA).batches)
    assert [len(batch) for batch in batches] == [16_384, 16_384, 7_232]
    assert batches[1].row(0) == 16_384
    assert batches[0].data.column(0).buffers()[1].address == data.column(0).chunk(0).buffers()[1].address


def test_batches_of_wide_rows_are_sliced_to_a_few_megabytes() -> None:
    wide = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(5_000 * 512, np.float32)), 512)
    table = pa.table({"vector": wide})
    batches = list(read_batches(table).batches)
    assert [len(batch) for batch in batches] == [1_536, 1_536, 1_536, 392]
    assert [batch.row(0) for batch in batches] == [0, 1_536, 3_072, 4_608]
    assert max(batch.data.nbytes for batch in batches) == SLICE_BYTES
    assert next(read_batches(table.to_reader()).batches).data.nbytes == BATCH_BYTES
    schema = pa.schema({"vector": pa.list_(pa.float32(), 2_048)})
    dicts = [{"vector": np.full(2_048, number, np.float32)} for number in range(2_500)]
    converted = list(read_batches(dicts, schema).batches)
    assert [len(batch) for batch in converted] == [1_152, 1_152, 196]
    assert converted[2].data.column(0)[0].as_py()[0] == converted[2].row(0) == 2_304


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32, ">f4"])
@pytest.mark.parametrize("layout", ["whole", "strided", "mixed"])
def test_numpy_vectors_of_any_layout_keep_their_numbers(dtype: Any, layout: str) -> None:
    grid = np.arange(24).astype(dtype).reshape(4, 6)
    vectors = [grid[0, :3], grid[3, 1:4]]
    if layout == "strided":
        vectors += [grid[:3, 1], grid[1, ::2], grid[2, ::-2]]
    elif layout == "mixed":
        vectors.append(grid[1, :3].astype(np.float64))
    source = read_batches([{"vector": vector} for vector in vectors], SCHEMA)
    found = [value for batch in source.batches for value in batch.data.column("vector").to_pylist()]
    assert found == [vector.tolist() for vector in vectors]


@given(st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=30), st.booleans())
def test_numpy_vectors_of_any_length_survive(lengths: list[int | None], with_schema: bool) -> None:
    vectors = [None if length is None else np.arange(length, dtype=np.float32) for length in lengths]
    rows = [{"id": i, "vector": vector} for i, vector in enumerate(vectors)]
    source = read_batches(rows or [{"id": 0, "vector": None}], SCHEMA if with_schema else None)
    found = [value for batch in source.batches for value in batch.data.column("vector").to_pylist()]
    assert found == ([None if vector is None else vector.tolist() for vector in vectors] or [None])


NUMBER = st.one_of(st.floats(width=32, allow_nan=False), st.integers(-(2**24), 2**24), st.booleans())
LIST = st.lists(NUMBER, min_size=3, max_size=3)


@given(st.lists(st.one_of(st.none(), LIST, LIST.map(tuple), st.lists(NUMBER, max_size=4)), min_size=1))
def test_lists_of_numbers_of_any_length_survive(values: list[Any]) -> None:
    source = read_batches([{"vector": value} for value in values], SCHEMA)
    found = [value for batch in source.batches for value in batch.data.column("vector").to_pylist()]
    assert found == [None if value is None else list(value) for value in values]


@given(st.lists(st.dictionaries(st.sampled_from(["id", "text", "more"]), st.none()), min_size=1))
def test_dicts_with_any_keys_have_a_column_for_each(rows: list[dict[str, Any]]) -> None:
    rows = [{key: f"{key} {number}" for key in row} for number, row in enumerate(rows)]
    [batch] = read_batches(rows).batches
    keys = dict.fromkeys(key for row in rows for key in row)
    assert batch.data.to_pylist() == [{key: row.get(key) for key in keys} for row in rows]


def test_dicts_that_make_what_they_lack_are_left_as_they_are() -> None:
    rows = [{"id": 0, "text": "a"}, collections.defaultdict(str, id=1, more="b")]
    [batch] = read_batches(rows).batches
    assert batch.data.to_pylist() == [{"id": 0, "text": "a", "more": None}, {"id": 1, "text": None, "more": "b"}]
    assert list(rows[1]) == ["id", "more"]
