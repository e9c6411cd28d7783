"""Rows that are being written while another process, or another handle, changes the table's columns."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lancelike.errors import SchemaChangedError
from lancelike.storage import Dataset, Location, adding
from lancelike.storage.transactions import commit
from tests.storage import workers

Change = Callable[[str], object]

SPAWN = multiprocessing.get_context("spawn")


def numbered(count: int, start: int = 0) -> pa.Table:
    ids = range(start, start + count)
    return pa.table({"id": pa.array(ids, pa.int64()), "n": pa.array(ids, pa.int32()), "t": [f"t{i}" for i in ids]})


def stream(table: pa.Table, in_the_middle: Callable[[], object]) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        first, second = table.combine_chunks().to_batches(max_chunksize=-(-len(table) // 2))
        yield first
        in_the_middle()
        yield second

    return pa.RecordBatchReader.from_batches(table.schema, batches())


def rows_of(dataset: Dataset) -> dict[int, dict[str, object]]:
    dataset.refresh()
    return {row["id"]: row for row in dataset.lance.to_table().to_pylist()}


def unnamed_files(dataset: Dataset) -> set[str]:
    """Data files that no version names."""
    dataset.refresh()
    versions = [dataset.lance.checkout_version(each["version"]) for each in dataset.lance.versions()]
    named = {file.path for each in versions for one in each.get_fragments() for file in one.metadata.files}
    return {path.name for path in (Path(dataset.uri) / "data").iterdir()} - named


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Callable[[Change, str], object]]:
    """Does something to a database in another process."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        yield lambda change, uri: pool.submit(change, uri).result()


@pytest.fixture
def table(location: Location) -> Dataset:
    return Dataset.create(location, "a", numbered(20))


@pytest.mark.parametrize("change", [workers.cast, workers.drop_and_compute, workers.drop_and_add])
@pytest.mark.parametrize("parts", [1, 2])
def test_an_append_whose_columns_have_other_numbers_by_now_is_refused(
    change: Change, parts: int, table: Dataset, elsewhere: Callable[[Change, str], object]
) -> None:
    last = stream(numbered(10, 100), lambda: elsewhere(change, table.location.uri))
    readers = [numbered(10, 200), last][-parts:]
    with pytest.raises(SchemaChangedError, match="nothing is written"):
        table.append(*readers)
    assert set(rows_of(table)) == set(range(20))
    assert not unnamed_files(table)
    table.append(numbered(10, 100).select(table.schema.names).cast(table.schema))
    assert all(row["n"] == number for number, row in rows_of(table).items() if number >= 100)


@pytest.mark.parametrize("change", [workers.cast, workers.drop_and_compute])
def test_so_is_one_of_many_rows(change: Change, table: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "MOST_LOOKED_UP", 5)
    with pytest.raises(SchemaChangedError, match="nothing is written"):
        table.append(stream(numbered(10, 100), lambda: change(table.location.uri)))
    assert set(rows_of(table)) == set(range(20))
    assert not unnamed_files(table)


def test_many_rows_that_a_change_passes_at_the_last_moment_are_taken_back(
    table: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [workers.cast]

    def overtaken(*arguments: Any) -> Any:
        waiting.pop()(table.location.uri)
        return commit(*arguments)

    monkeypatch.setattr(adding, "MOST_LOOKED_UP", 5)
    monkeypatch.setattr(adding, "commit", overtaken)
    with pytest.raises(SchemaChangedError):
        table.append(numbered(10, 100))
    assert set(rows_of(table)) == set(range(20))
    assert table.version == 4


def test_many_rows_that_others_rows_pass_stay(table: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "MOST_LOOKED_UP", 5)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: table.append(numbered(10, 100 * each)), range(1, 13)))
    assert len(rows_of(table)) == 140


def test_a_column_that_takes_nulls_may_be_added_meanwhile(
    table: Dataset, elsewhere: Callable[[Change, str], object]
) -> None:
    table.append(stream(numbered(10, 100), lambda: elsewhere(workers.add_column, table.location.uri)))
    found = rows_of(table)
    assert len(found) == 30
    assert all(row["n"] == number and row["t"] == f"t{number}" and row["m"] is None for number, row in found.items())


def test_values_follow_a_column_that_is_renamed_meanwhile(
    table: Dataset, elsewhere: Callable[[Change, str], object]
) -> None:
    table.append(stream(numbered(10, 100), lambda: elsewhere(workers.rename, table.location.uri)))
    assert all(row["renamed"] == number for number, row in rows_of(table).items())


def test_rows_are_added_to_what_the_table_was_overwritten_with_meanwhile(table: Dataset) -> None:
    def overwrite() -> None:
        Dataset.open(Location(table.location.uri), "a").overwrite(numbered(3))

    table.append(stream(numbered(10, 100), overwrite))
    assert set(rows_of(table)) == {0, 1, 2, *range(100, 110)}


def test_an_append_to_a_table_overwritten_with_other_columns_is_refused(table: Dataset) -> None:
    def overwrite() -> None:
        swapped = numbered(3).select(["id", "t", "n"])
        Dataset.open(Location(table.location.uri), "a").overwrite(swapped)

    with pytest.raises(SchemaChangedError):
        table.append(stream(numbered(10, 100), overwrite))
    assert set(rows_of(table)) == {0, 1, 2}
    assert not unnamed_files(table)


def test_an_overwrite_that_is_refused_leaves_no_files(table: Dataset) -> None:
    reader = stream(numbered(10, 100), lambda: workers.cast(table.location.uri))
    with pytest.raises(SchemaChangedError):
        table.overwrite(reader, made_for=table.frozen())
    assert set(rows_of(table)) == set(range(20))
    assert not unnamed_files(table)


@pytest.mark.parametrize(
    "write",
    [Dataset.append, Dataset.overwrite, lambda table, rows, made_for: table.merge(["id"], rows, made_for=made_for)],
)
def test_rows_that_were_made_for_a_version_before_the_change_are_refused(
    write: Callable[..., object], table: Dataset
) -> None:
    made_for = table.frozen()
    workers.cast(table.location.uri)
    with pytest.raises(SchemaChangedError):
        write(table, numbered(10, 100), made_for=made_for)
    assert set(rows_of(table)) == set(range(20))


@pytest.mark.parametrize("change", [workers.cast, workers.drop_and_compute])
def test_a_merge_is_refused_when_columns_that_it_brings_have_other_numbers(change: Change, table: Dataset) -> None:
    reader = stream(numbered(10, 15), lambda: change(table.location.uri))
    with pytest.raises(SchemaChangedError):
        table.merge(
            ["id"], reader, when_matched_update_all=True, when_not_matched_insert_all=True, made_for=table.frozen()
        )
    assert set(rows_of(table)) == set(range(20))


def test_a_merge_is_not_bothered_by_columns_that_it_does_not_bring(table: Dataset) -> None:
    reader = stream(numbered(10, 15).select(["id", "t"]), lambda: workers.cast(table.location.uri))
    table.merge(["id"], reader, when_matched_update_all=True, made_for=table.frozen())
    assert all(row["n"] == number for number, row in rows_of(table).items())
