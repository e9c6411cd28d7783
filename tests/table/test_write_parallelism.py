"""Rows in memory as Arrow, written to several files side by side, are the rows that one file would have."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import BadDataError, BadVectorError
from lancelike.ingest.parts import PART_BYTES
from lancelike.processors import usable_processors
from tests.table.conftest import TEXTS, Doc

DIM = 8
SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), DIM))])


def vectors(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)


def arrow(values: np.ndarray[Any, Any], *, chunk: int | None = None, start: int = 0) -> pa.Table:
    ids = range(start, start + len(values))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), DIM)
    table = pa.table([pa.array(ids, pa.int64()), pa.array([f"row {each}" for each in ids]), flat], schema=SCHEMA)
    return pa.Table.from_batches(table.to_batches(max_chunksize=chunk), SCHEMA)


@pytest.fixture
def table(db: lancelike.DBConnection) -> lancelike.Table:
    return db.create_table("rows", schema=SCHEMA)


def fragments(table: lancelike.Table) -> list[int]:
    return [each.count_rows() for each in table.to_lance().get_fragments()]


FORMS: dict[str, Callable[[pa.Table], Any]] = {
    "whole": lambda rows: rows,
    "in chunks": lambda rows: pa.Table.from_batches(rows.to_batches(max_chunksize=7), rows.schema),
    "sliced": lambda rows: pa.concat_tables([rows.slice(0, 5), rows]).slice(5),
    "a batch": lambda rows: rows.combine_chunks().to_batches()[0],
    "columns in another order": lambda rows: rows.select(["vector", "text", "id"]),
    "a dictionary of texts": lambda rows: rows.set_column(1, "text", rows["text"].dictionary_encode()),
    "vectors in float64": lambda rows: rows.set_column(2, "vector", rows["vector"].cast(pa.list_(pa.float64(), DIM))),
    "lists of any length": lambda rows: rows.set_column(2, "vector", rows["vector"].cast(pa.list_(pa.float32()))),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_any_form_come_back_in_their_order(table: lancelike.Table, form: str) -> None:
    rows = arrow(vectors(50))
    table.add(FORMS[form](rows), write_parallelism=3)
    assert fragments(table) == [16, 17, 17]
    assert table.to_arrow().combine_chunks() == rows.combine_chunks()
    assert table.version == 2


@pytest.mark.parametrize("write_parallelism", [1, 2, None])
def test_few_rows_are_one_file_unless_more_are_asked_for(table: lancelike.Table, write_parallelism: int | None) -> None:
    table.add(arrow(vectors(10)), write_parallelism=write_parallelism)
    assert len(fragments(table)) == (write_parallelism or 1)


def test_many_rows_are_written_side_by_side(tmp_path: Path) -> None:
    values = pa.array(np.arange(2 * PART_BYTES // 4, dtype=np.float32))
    rows = pa.table({"vector": pa.FixedSizeListArray.from_arrays(values, 1024)})
    table = lancelike.connect(tmp_path).create_table("rows", schema=rows.schema)
    table.add(rows)
    assert len(fragments(table)) == min(2, usable_processors())
    assert table.to_arrow() == rows


@pytest.mark.parametrize("bad", [3, 40, 49])
@pytest.mark.parametrize("chunk", [None, 7])
def test_the_first_bad_vector_is_named_wherever_it_is(table: lancelike.Table, bad: int, chunk: int | None) -> None:
    values = vectors(50)
    values[[bad, 49], 2] = np.nan
    with pytest.raises(BadVectorError, match="NaN") as error:
        table.add(arrow(values, chunk=chunk), write_parallelism=4)
    assert (error.value.row, error.value.column) == (bad, "vector")
    assert table.count_rows() == 0
    assert table.version == 1


def test_a_vector_of_another_length_is_named(table: lancelike.Table) -> None:
    lists = [*vectors(20).tolist(), [1.0, 2.0], *vectors(19).tolist()]
    rows = pa.table({"id": range(40), "vector": pa.array(lists, pa.list_(pa.float32()))})
    with pytest.raises(BadVectorError, match="length 2") as error:
        table.add(rows, write_parallelism=2)
    assert error.value.row == 20


def test_bad_vectors_are_dropped_filled_or_nulled_in_every_part(table: lancelike.Table) -> None:
    values = vectors(40)
    values[[5, 30], 0] = np.nan
    table.add(arrow(values), on_bad_vectors="drop", write_parallelism=2)
    assert fragments(table) == [19, 19]
    assert table.to_arrow()["id"].to_pylist() == [each for each in range(40) if each not in (5, 30)]
    table.add(arrow(values, start=100), on_bad_vectors="fill", fill_value=9.0, write_parallelism=2)
    assert [table.search().where(f"id = {each}").to_list()[0]["vector"][0] for each in (105, 130)] == [9.0, 9.0]
    table.add(arrow(values, start=200), on_bad_vectors="null", write_parallelism=2)
    assert [row["id"] for row in table.search().where("vector IS NULL").to_list()] == [205, 230]


def test_a_null_in_a_column_that_takes_none_is_named(db: lancelike.DBConnection) -> None:
    table = db.create_table("rows", schema=pa.schema([pa.field("n", pa.int64(), nullable=False)]))
    with pytest.raises(BadDataError) as error:
        table.add(pa.table({"n": pa.array([*range(30), None, 5])}), write_parallelism=2)
    assert (error.value.row, error.value.column) == (30, "n")
    assert table.count_rows() == 0


def test_no_rows_are_no_parts(table: lancelike.Table) -> None:
    table.add(SCHEMA.empty_table(), write_parallelism=2)
    assert table.count_rows() == 0


def test_computed_columns_are_computed_in_every_part(table: lancelike.Table) -> None:
    table.add_columns(computed={"twice": "id * 2"})
    table.add(arrow(vectors(20)), write_parallelism=2)
    assert table.to_arrow()["twice"].to_pylist() == list(range(0, 40, 2))


def test_rows_that_a_function_embeds_are_one_stream(docs: lancelike.Table) -> None:
    rows = pa.table({"id": range(10, 15), "text": TEXTS})
    receipt = docs.add(rows, write_parallelism=2).embedding
    assert (receipt.rows, receipt.reused) == (5, 5)
    assert fragments(docs) == [5, 5]
    assert docs.search("hello world").limit(1).to_pydantic(Doc)[0].text == "hello world"


def test_the_receipt_and_progress_count_all_rows(table: lancelike.Table) -> None:
    assert table.add(arrow(vectors(500), chunk=3), write_parallelism=4).embedding.rows == 500
    told: list[dict[str, Any]] = []
    table.add(arrow(vectors(50), chunk=10), progress=told.append, write_parallelism=2)
    assert [each["output_rows"] for each in told] == [10, 20, 30, 40, 50, 50]


def test_adds_at_the_same_time_keep_the_rows_of_all(table: lancelike.Table) -> None:
    def add(start: int) -> None:
        table.add(arrow(vectors(40), start=start), write_parallelism=2)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(0, 400, 40)))
    assert sorted(table.to_arrow()["id"].to_pylist()) == list(range(400))


def test_overwriting_replaces_the_rows(table: lancelike.Table) -> None:
    table.add(arrow(vectors(30)), write_parallelism=2)
    table.add(arrow(vectors(20), start=100), mode="overwrite", write_parallelism=2)
    assert table.to_arrow()["id"].to_pylist() == list(range(100, 120))


@pytest.mark.parametrize("write_parallelism", [0, -1])
def test_no_writers_at_all_are_refused(table: lancelike.Table, write_parallelism: int) -> None:
    with pytest.raises(ValueError, match="write_parallelism"):
        table.add(arrow(vectors(3)), write_parallelism=write_parallelism)
