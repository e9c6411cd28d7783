from __future__ import annotations

from itertools import chain

import numpy as np
import pyarrow as pa
import pytest

from lancelike.ingest import Source, read_batches
from lancelike.ingest.parts import MOST_PARTS, PART_BYTES, in_parts
from lancelike.processors import usable_processors


def numbers(count: int, *, chunk: int | None = None) -> pa.Table:
    table = pa.table({"id": pa.array(range(count), pa.int64())})
    return pa.Table.from_batches(table.to_batches(max_chunksize=chunk), table.schema)


def read(part: Source) -> tuple[list[int], list[int]]:
    """The values of a part, and the positions that they have in the caller's data."""
    batches = list(part.batches)
    values = [value for batch in batches for value in batch.data["id"].to_pylist()]
    return values, [int(row) for batch in batches for row in batch.rows]


@pytest.mark.parametrize("chunk", [1, 7, 50, None])
@pytest.mark.parametrize("most", [2, 3, 5])
def test_parts_follow_each_other_and_are_about_as_long(chunk: int | None, most: int) -> None:
    parts = in_parts(read_batches(numbers(101, chunk=chunk)), most)
    assert len(parts) == most
    values, rows = zip(*map(read, parts), strict=True)
    assert [*chain(*values)] == [*chain(*rows)] == list(range(101))
    lengths = [len(each) for each in values]
    assert lengths == [part.num_rows for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_a_slice_of_a_table_is_read_from_its_own_first_row() -> None:
    parts = in_parts(read_batches(numbers(100, chunk=30).slice(25, 50)), 2)
    assert [read(part) for part in parts] == [
        (list(range(25, 50)), list(range(25))),
        (list(range(50, 75)), list(range(25, 50))),
    ]


def test_there_are_no_more_parts_than_rows() -> None:
    assert len(in_parts(read_batches(numbers(2)), 5)) == 2
    assert len(in_parts(read_batches(numbers(0)), 5)) == 1


def test_what_is_not_in_memory_as_arrow_is_one_part() -> None:
    table = numbers(10)
    for data in (table.to_reader(), table.to_pylist(), iter(table.to_batches())):
        source = read_batches(data, table.schema)
        assert in_parts(source, 2) == [source]


def test_few_bytes_are_one_part_and_many_one_for_each_processor() -> None:
    few = read_batches(pa.table({"id": np.zeros(2 * PART_BYTES // 8 - 1, np.int64)}))
    assert len(in_parts(few, None)) == 1
    many = read_batches(pa.table({"id": np.zeros(2 * PART_BYTES // 8, np.int64)}))
    assert len(in_parts(many, None)) == min(2, MOST_PARTS, usable_processors())
    assert len(in_parts(many, 1)) == 1
