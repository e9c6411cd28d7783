"""Writes through a table while another handle changes its columns: no value is lost, and none is out of step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import SchemaChangedError


def numbered(start: int, stop: int) -> pa.Table:
    ids = range(start, stop)
    return pa.table({"id": pa.array(ids, pa.int64()), "n": pa.array(ids, pa.int32())})


def cast(table: lancelike.Table) -> None:
    table.alter_columns({"path": "n", "data_type": pa.int64()})


def drop_and_compute(table: lancelike.Table) -> None:
    table.drop_columns(["n"])
    table.add_columns({"n": "CAST(id AS int)"})


def compute_another(table: lancelike.Table) -> None:
    table.add_columns(computed={"twice": "n * 2"})


CHANGES = [cast, drop_and_compute, compute_another]


@pytest.fixture
def table(tmp_path: Path) -> lancelike.Table:
    return lancelike.connect(tmp_path / "db").create_table("a", numbered(0, 20))


def once(table: lancelike.Table, change: Callable[[lancelike.Table], None]) -> Callable[..., None]:
    """Does *change* when it is first called, through a handle of its own."""
    waiting = [change]

    def call(_: Any = None) -> None:
        if waiting:
            waiting.pop()(lancelike.connect(Path(table.uri).parent).open_table("a"))

    return call


def numbers(table: lancelike.Table) -> dict[int, int]:
    """The values of `n` by `id`; what is computed of them is looked at as well."""
    table.checkout_latest()
    found = table.to_arrow().to_pylist()
    assert all(row.get("twice", row["n"] * 2) == row["n"] * 2 for row in found)
    return {row["id"]: row["n"] for row in found}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_in_memory_are_added_to_the_columns_that_there_are(
    change: Callable[[lancelike.Table], None], table: lancelike.Table
) -> None:
    table.add(numbered(20, 5_000), progress=once(table, change))
    assert numbers(table) == {each: each for each in range(5_000)}


@pytest.mark.parametrize("change", CHANGES)
def test_a_stream_that_is_gone_is_to_be_added_again(
    change: Callable[[lancelike.Table], None], table: lancelike.Table
) -> None:
    in_the_middle = once(table, change)

    def stream() -> Iterator[pa.RecordBatch]:
        for start in range(20, 60, 10):
            yield from numbered(start, start + 10).to_batches()
            if start == 40:
                in_the_middle()

    with pytest.raises(SchemaChangedError, match="nothing is written"):
        table.add(stream())
    assert numbers(table) == {each: each for each in range(20)}
    table.add(stream())
    assert numbers(table) == {each: each for each in range(60)}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_in_memory_are_merged_into_the_columns_that_there_are(
    change: Callable[[lancelike.Table], None], table: lancelike.Table
) -> None:
    upsert = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    upsert.execute(numbered(10, 5_000), progress=once(table, change))
    assert numbers(table) == {each: each for each in range(5_000)}


@pytest.mark.parametrize("change", CHANGES)
def test_an_overwrite_keeps_the_columns_that_there_are(
    change: Callable[[lancelike.Table], None], table: lancelike.Table
) -> None:
    table.add(numbered(0, 5_000), mode="overwrite", progress=once(table, change))
    names, kind = set(table.schema.names), table.schema.field("n").type
    assert numbers(table) == {each: each for each in range(5_000)}
    assert names == set(table.schema.names)
    assert kind == table.schema.field("n").type
