"""Writers that meet: threads of one process, processes of one machine, on a disk and on an object store."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import lance
import pyarrow as pa
import pytest

from lancelike.errors import CommitConflictError, TableExistsError
from lancelike.query.plan import Scan
from lancelike.storage import Dataset, Location, maintenance
from tests.storage.rows import ids, rows
from tests.storage.workers import append_rows, count_in_child, upsert

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(params=["path", "s3"])
def shared_location(request: pytest.FixtureRequest) -> Location:
    """A database that other processes reach."""
    location: Location = request.getfixturevalue("location" if request.param == "path" else "s3_location")
    return location


def test_appends_from_threads_all_count(any_location: Location) -> None:
    dataset = Dataset.create(any_location, "a", rows(0))
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda each: dataset.append(rows(10, start=10 * each)), range(20)))
    assert sorted(versions) == list(range(2, 22))
    assert ids(dataset) == list(range(200))
    assert dataset.version == 21


def test_readers_never_fail_while_others_write(dataset: Dataset) -> None:
    stop = threading.Event()
    counts: list[int] = []

    def read() -> None:
        while not stop.is_set():
            dataset.refresh()
            counts.append(dataset.read(Scan(columns=["id"])).num_rows)

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for each in range(10):
            dataset.append(rows(10, start=1000 + 10 * each))
            dataset.delete(f"id = {each}")
        stop.set()
        for reader in readers:
            reader.result()
    assert set(counts) <= set(range(90, 211))
    assert dataset.count_rows() == 190


def test_appends_from_processes_all_count(shared_location: Location) -> None:
    dataset = Dataset.create(shared_location, "a", rows(0))
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        arguments = [(shared_location.uri, shared_location.storage_options, 1000 * each, 5) for each in range(2)]
        for done in [pool.submit(append_rows, *each) for each in arguments]:
            assert len(done.result()) == 5
        dataset.append(rows(10, start=5000))
    assert dataset.count_rows() == 110
    assert len(set(ids(dataset))) == 110


def test_a_child_sees_what_its_parent_wrote(dataset: Dataset) -> None:
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        assert pool.submit(count_in_child, dataset.location.uri).result() == 100


def test_one_of_several_creators_wins(any_location: Location) -> None:
    barrier = threading.Barrier(4)

    def create(_: int) -> str:
        barrier.wait()
        try:
            Dataset.create(any_location, "a", rows(5))
        except TableExistsError:
            return "exists"
        return "made"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == ["exists", "exists", "exists", "made"]
    assert Dataset.open(any_location, "a").count_rows() == 5


def test_a_table_made_while_another_is_under_way_stays(any_location: Location) -> None:
    def overtaken() -> Iterator[pa.RecordBatch]:
        yield from rows(3).to_batches()
        Dataset.create(any_location, "a", rows(5))

    with pytest.raises(TableExistsError):
        Dataset.create(any_location, "a", pa.RecordBatchReader.from_batches(rows(1).schema, overtaken()))
    assert ids(Dataset.open(any_location, "a")) == list(range(5))
    assert any_location.list_tables() == ["a"]


@pytest.mark.parametrize("already_there", [0, 50])
def test_upserts_of_the_same_keys_from_threads_leave_one_row_each(any_location: Location, already_there: int) -> None:
    dataset = Dataset.create(any_location, "a", rows(already_there))
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda each: dataset.merge(
                    ["id"], rows(200, seed=each), when_matched_update_all=True, when_not_matched_insert_all=True
                ),
                range(4),
            )
        )
    assert ids(dataset) == list(range(200))


@pytest.mark.parametrize("already_there", [0, 50])
def test_upserts_of_the_same_keys_from_processes_leave_one_row_each(
    shared_location: Location, already_there: int
) -> None:
    dataset = Dataset.create(shared_location, "a", rows(already_there))
    with ProcessPoolExecutor(4, mp_context=SPAWN) as pool:
        done = [
            pool.submit(upsert, shared_location.uri, shared_location.storage_options, each, 200) for each in range(8)
        ]
        for each in done:
            each.result()
    dataset.refresh()
    assert ids(dataset) == list(range(200))


def test_deletes_and_updates_that_meet_are_replayed(dataset: Dataset) -> None:
    def work(each: int) -> None:
        dataset.delete(f"id % 10 = {each}")
        dataset.update({"text": "'new'"}, f"id % 10 = {each + 5}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(5)))
    assert ids(dataset) == [each for each in range(100) if each % 10 >= 5]
    assert len(ids(dataset, "text = 'new'")) == 50


def test_schema_changes_and_appends_meet(dataset: Dataset) -> None:
    with ThreadPoolExecutor(2) as pool:
        changed = pool.submit(dataset.replace_metadata, {b"k": b"v"})
        for each in range(5):
            dataset.append(rows(1, start=1000 + each))
        changed.result()
    assert dataset.schema.metadata == {b"k": b"v"}
    assert dataset.count_rows() == 105


def test_compaction_meets_deletes(dataset: Dataset) -> None:
    for each in range(5):
        dataset.append(rows(10, start=100 + 10 * each))
    with ThreadPoolExecutor(2) as pool:
        compacted = pool.submit(maintenance.optimize, dataset)
        for each in range(5):
            dataset.delete(f"id = {each}")
        compacted.result()
    assert ids(dataset) == list(range(5, 150))


def test_an_append_to_a_table_overwritten_meanwhile_is_a_conflict(dataset: Dataset) -> None:
    stale = dataset.lance
    lance.write_dataset(rows(3), dataset.uri, mode="overwrite")
    with pytest.raises(CommitConflictError, match="nothing of this write is visible"), dataset.errors():
        lance.write_dataset(rows(5), stale, mode="append")
