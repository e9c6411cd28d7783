"""Small fragments are merged, unless something else is under way."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import lance
import pytest

from lancelike.index import BTree
from lancelike.storage import Dataset, Location
from lancelike.storage.indexing import create_scalar_index
from lancelike.storage.small_fragments import MANY, merge_small_fragments
from tests.storage.rows import ids, rows


def grow(dataset: Dataset, by: int, start: int = 1_000) -> None:
    for number in range(start, start + by):
        dataset.append(rows(1, start=number))


def sizes(dataset: Dataset) -> list[int]:
    return [each.metadata.num_rows for each in dataset.lance.get_fragments()]


def test_many_fragments_of_a_row_become_one(dataset: Dataset) -> None:
    grow(dataset, MANY)
    before = dataset.lance.to_table(with_row_id=True)
    assert merge_small_fragments(dataset)
    assert sizes(dataset) == [100, MANY]
    assert dataset.lance.to_table(with_row_id=True).equals(before)


def test_few_stay_as_they_are(dataset: Dataset) -> None:
    grow(dataset, MANY - 1)
    version = dataset.version
    assert not merge_small_fragments(dataset)
    assert dataset.version == version


def test_a_row_is_written_again_a_few_times_in_all(dataset: Dataset) -> None:
    written = 0
    for start in range(1_000, 1_000 + 32 * 32, 32):
        grow(dataset, 32, start)
        before = {each.fragment_id for each in dataset.lance.get_fragments()}
        merge_small_fragments(dataset)
        written += sum(e.metadata.num_rows for e in dataset.lance.get_fragments() if e.fragment_id not in before)
    assert len(sizes(dataset)) < 2 * 32
    assert written <= 2.5 * 32 * 32
    assert len(ids(dataset)) == 100 + 32 * 32


def test_what_an_index_covers_stays(dataset: Dataset) -> None:
    grow(dataset, MANY)
    create_scalar_index(dataset, "id", BTree())
    assert not merge_small_fragments(dataset)
    grow(dataset, MANY, 5_000)
    assert merge_small_fragments(dataset)
    assert sizes(dataset) == [100, *[1] * MANY, MANY]
    assert ids(dataset, "id >= 5000") == list(range(5_000, 5_000 + MANY))


def test_large_rows_stay(location: Location) -> None:
    wide = rows(1).append_column("bytes", [[b"x" * (3 << 20)]])
    dataset = Dataset.create(location, "wide", wide)
    for _ in range(MANY):
        dataset.append(wide)
    assert not merge_small_fragments(dataset)


def test_nothing_is_merged_beside_a_change(dataset: Dataset) -> None:
    grow(dataset, MANY)

    def change(_: lance.LanceDataset) -> None:
        found = []
        thread = threading.Thread(target=lambda: found.append(merge_small_fragments(dataset)))
        thread.start()
        thread.join()
        assert found == [False]

    dataset.change(change)
    assert merge_small_fragments(dataset)


@pytest.fixture
def change_elsewhere(dataset: Dataset) -> Iterator[None]:
    """Another process is changing the table."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_change_until_told, args=(str(Path(dataset.uri).parent), theirs))
    process.start()
    ours.recv()
    yield
    ours.send("end")
    process.join()


def _change_until_told(database: str, told: multiprocessing.connection.Connection) -> None:
    def change(_: lance.LanceDataset) -> None:
        told.send("begun")
        told.recv()

    Dataset.open(Location(database), "a").change(change)


@pytest.mark.usefixtures("change_elsewhere")
def test_nothing_is_merged_beside_another_process(dataset: Dataset) -> None:
    grow(dataset, MANY)
    dataset.delete("id = 1")
    assert not merge_small_fragments(dataset)


def test_a_change_waits_for_the_merging(dataset: Dataset) -> None:
    deleting = threading.Thread(target=lambda: dataset.delete("id < 50"))
    with dataset.undisturbed() as is_undisturbed:
        assert is_undisturbed
        deleting.start()
        deleting.join(0.05)
        assert deleting.is_alive()
    deleting.join()
    assert len(ids(dataset)) == 50


def test_a_table_in_memory_is_merged_too() -> None:
    dataset = Dataset.create(Location("memory://"), "a", rows())
    grow(dataset, MANY)
    assert merge_small_fragments(dataset)
