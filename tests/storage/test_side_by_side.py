from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pyarrow as pa
import pytest

from lancelike.calls import Call, CalledOff, running
from lancelike.errors import SchemaChangedError
from lancelike.query.plan import Scan
from lancelike.storage import Dataset, Location
from tests.storage.rows import rows

PATIENCE_S = 30


class CallerError(Exception):
    """Something a user's generator raises."""


def stream(table: pa.Table, *, at_end: Callable[[], object] = lambda: None) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches(max_chunksize=7)
        at_end()

    return pa.RecordBatchReader.from_batches(table.schema, batches())


def raising(problem: str, after: Event | None = None) -> Callable[[], None]:
    def fail() -> None:
        assert after is None or after.wait(PATIENCE_S)
        raise CallerError(problem)

    return fail


def stored(dataset: Dataset) -> list[int]:
    found: list[int] = dataset.read(Scan(columns=["id"]))["id"].to_pylist()
    return found


def files(dataset: Dataset) -> set[str]:
    return {path.name for path in (Path(dataset.uri) / "data").iterdir()}


@pytest.fixture
def empty(any_location: Location) -> Dataset:
    return Dataset.create(any_location, "a", rows(0))


def test_parts_are_one_commit_with_rows_in_their_order(empty: Dataset) -> None:
    version = empty.append(stream(rows(20)), rows(30, start=20), stream(rows(10, start=50)))
    assert version == empty.version == 2
    assert stored(empty) == list(range(60))
    assert [fragment.count_rows() for fragment in empty.lance.get_fragments()] == [20, 30, 10]
    row_ids = empty.lance.to_table(columns=["id"], with_row_id=True)["_rowid"].to_pylist()
    assert row_ids == sorted(row_ids)
    assert empty.lance.read_transaction(version).transaction_properties["lancelike"] == "write"


def test_rows_that_others_added_meanwhile_are_kept(dataset: Dataset) -> None:
    def others_write() -> None:
        Dataset.open(Location(Path(dataset.uri).parent), "a").append(rows(5, start=900))

    dataset.append(rows(10, start=100), stream(rows(10, start=110), at_end=others_write))
    assert sorted(stored(dataset)) == [*range(120), *range(900, 905)]


def test_many_write_side_by_side_at_a_time(dataset: Dataset) -> None:
    starts = range(1_000, 1_800, 100)
    threads = [
        Thread(target=dataset.append, args=(stream(rows(50, start=start)), stream(rows(50, start=start + 50))))
        for start in starts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(stored(dataset)) == [*range(100), *range(1_000, 1_800)]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_part_that_fails_leaves_nothing_of_the_others(dataset: Dataset, part: int) -> None:
    before, version = files(dataset), dataset.version
    readers = [stream(rows(40, start=100 + 40 * each)) for each in range(3)]
    readers[part] = stream(rows(20), at_end=raising("no more"))
    with pytest.raises(CallerError, match="no more"):
        dataset.append(*readers)
    assert dataset.version == version
    assert files(dataset) == before


def test_of_several_problems_the_first_rows_is_raised(dataset: Dataset) -> None:
    second_failed = Event()

    def fail_second() -> None:
        second_failed.set()
        raise CallerError("second")

    first = stream(rows(40), at_end=raising("first", after=second_failed))
    with pytest.raises(CallerError, match="first"):
        dataset.append(first, stream(rows(20), at_end=fail_second))


def test_parts_after_one_that_failed_are_read_no_further(dataset: Dataset) -> None:
    first_failed, read = Event(), 0

    def fail_first() -> None:
        first_failed.set()
        raise CallerError("first")

    def endless() -> Iterator[pa.RecordBatch]:
        nonlocal read
        assert first_failed.wait(PATIENCE_S)
        while True:
            read += 1
            yield rows(10).to_batches()[0]

    second = pa.RecordBatchReader.from_batches(rows(1).schema, endless())
    with pytest.raises(CallerError, match="first"):
        dataset.append(stream(rows(10), at_end=fail_first), second)
    assert read


def test_a_call_that_is_called_off_while_parts_are_written_leaves_nothing(dataset: Dataset) -> None:
    before, version, call = files(dataset), dataset.version, Call()
    with running(call), pytest.raises(CalledOff):
        dataset.append(rows(40), stream(rows(40), at_end=call.call_off))
    assert dataset.version == version
    assert files(dataset) == before


def test_columns_that_were_added_meanwhile_are_noticed(dataset: Dataset) -> None:
    def others_add_a_column() -> None:
        Dataset.open(Location(Path(dataset.uri).parent), "a").add_columns({"n": "1"})

    with pytest.raises(SchemaChangedError):
        dataset.append(rows(10), stream(rows(10), at_end=others_add_a_column))
    assert dataset.count_rows() == 100
