"""A merge of many rows, which are joined here and not by Lance, makes the table that Lance's would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lancelike.errors import BadDataError
from lancelike.index import BTree, IvfFlat
from lancelike.query.plan import Scan
from lancelike.storage import Dataset, Location, indexing, joining, scratch
from lancelike.types import MergeResult
from tests.storage.rows import DIM, ids, nearest, rows, vectors

Merge = Callable[[Dataset], MergeResult]

keys = st.one_of(st.none(), st.integers(0, 9))
names = st.sampled_from([None, "", "a", "b"])
tables = st.lists(st.tuples(keys, names), max_size=12)
clauses = st.fixed_dictionaries(
    {
        "when_matched_update_all": st.booleans(),
        "when_not_matched_insert_all": st.booleans(),
        "when_not_matched_by_source_delete": st.booleans(),
    }
).filter(lambda chosen: any(chosen.values()))
conditions = st.sampled_from([None, "number > 3", "name = 'a'"])


def as_table(values: list[tuple[int | None, str | None]], mark: str) -> pa.Table:
    numbers, its_names = zip(*values, strict=True) if values else ((), ())
    columns = {"number": pa.array(numbers, pa.int64()), "name": pa.array(its_names, pa.string())}
    return pa.table({**columns, "mark": [f"{mark}{place}" for place in range(len(values))]})


def outcome(dataset: Dataset, merge: Merge) -> Any:
    """What *merge* says, and all rows with their ids and versions; or what it raises."""
    try:
        done = merge(dataset)
    except BadDataError as error:
        return type(error), str(error).partition("(")[0]
    names = ["number", "name", "mark", "_row_created_at_version", "_row_last_updated_at_version"]
    found = dataset.lance.scanner(columns=names, with_row_id=True).to_table().sort_by("mark")
    last = dataset.version
    stays = dataset.lance.has_stable_row_ids
    kept = {
        (row["_rowid"], row["mark"]) for row in found.to_pylist() if row["_row_created_at_version"] < last and stays
    }
    return done, found.drop_columns("_rowid").to_pylist(), kept, len(set(found["_rowid"].to_pylist()))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables, tables, clauses, conditions, st.sampled_from([["number"], ["name"], ["number", "name"]]), st.booleans())
def test_it_is_what_lance_makes(
    there: list[tuple[int | None, str | None]],
    new: list[tuple[int | None, str | None]],
    chosen: dict[str, Any],
    condition: str | None,
    on: list[str],
    stable: bool,
) -> None:
    def merge(dataset: Dataset) -> MergeResult:
        return dataset.merge(on, as_table(new, "new"), **chosen, by_source_condition=condition)

    made = []
    for most in (-1, joining.MOST_HELD):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(joining, "MOST_HELD", most)
            location = Location("memory://")
            dataset = Dataset.create(location, "t", as_table(there, "old"), stable_row_ids=stable)
            dataset.append(as_table(there[:3], "more"))
            made.append(outcome(dataset, merge))
    assert made[0] == made[1]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few rows be many, and lie in files."""
    monkeypatch.setattr(joining, "MOST_HELD", 0)
    monkeypatch.setattr(joining, "_CHUNK_ROWS", 7)
    monkeypatch.setattr(scratch, "MOST_IN_MEMORY", 10)


@pytest.fixture
def unheld(many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And see to it that Lance joins nothing."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("Lance joins the rows")

    monkeypatch.setattr("lancelike.storage.merging._joined_by_lance", refuse)


def upsert(dataset: Dataset, new: pa.Table) -> MergeResult:
    return dataset.merge(["id"], new, when_matched_update_all=True, when_not_matched_insert_all=True)


@pytest.mark.usefixtures("unheld")
def test_updated_rows_keep_their_ids_and_the_columns_may_be_in_another_order(dataset: Dataset) -> None:
    dataset.append(rows(50, start=100))
    before = dict_of_ids(dataset)
    done = upsert(dataset, rows(100, start=70, seed=1).select(["vector", "tags", "id", "text"]))
    assert (done.num_updated_rows, done.num_inserted_rows) == (80, 20)
    after = dict_of_ids(dataset)
    assert sorted(after) == list(range(170))
    assert {key: after[key] for key in before} == before
    assert len(set(after.values())) == 170


@pytest.mark.usefixtures("unheld")
def test_indices_find_what_was_merged(dataset: Dataset) -> None:
    indexing.create_vector_index(dataset, "vector", IvfFlat(num_partitions=2))
    indexing.create_scalar_index(dataset, "id", BTree())
    indexing.create_scalar_index(dataset, "text", BTree())
    far = rows(30, start=80).set_column(3, "vector", vectors(50.0 + np.arange(30 * DIM).reshape(30, DIM)))
    upsert(dataset, far.set_column(1, "text", pa.array([f"far {number}" for number in range(30)])))
    assert nearest(dataset, 50.0 + np.arange(DIM), k=3, nprobes=2) == [80, 81, 82]
    assert not set(nearest(dataset, np.zeros(DIM), k=70, nprobes=2)) & set(range(80, 110))
    assert (ids(dataset, "id > 95"), ids(dataset, "text = 'far 5'")) == (list(range(96, 110)), [85])
    assert ids(dataset, "text = 'text 85'") == []


@pytest.mark.usefixtures("unheld")
def test_a_merge_that_another_gets_in_the_way_of_is_made_again(dataset: Dataset) -> None:
    other = Dataset.open(dataset.location, dataset.name).at(dataset.version).lance
    tries = []

    class Committing:
        def __enter__(self) -> None:
            tries.append(1)
            if len(tries) == 1:
                other.delete("id = 1 OR id = 50")

        def __exit__(self, *_: object) -> None:
            pass

    done = dataset.merge(
        ["id"],
        rows(60, start=40),
        when_matched_update_all=True,
        when_not_matched_insert_all=True,
        committing=Committing,
    )
    assert (done.num_attempts, done.num_updated_rows, done.num_inserted_rows) == (2, 59, 1)
    assert ids(dataset) == [0, *range(2, 100)]


@pytest.mark.usefixtures("unheld")
def test_rows_into_an_empty_table(location: Location) -> None:
    dataset = Dataset.create(location, "empty", rows(0))
    assert upsert(dataset, rows(25)).num_inserted_rows == 25
    assert sorted(dict_of_ids(dataset).values()) == list(range(25))


@pytest.mark.usefixtures("unheld")
def test_no_rows_but_deletions(dataset: Dataset) -> None:
    done = dataset.merge(["id"], rows(40), when_not_matched_by_source_delete=True)
    assert (done.num_deleted_rows, ids(dataset)) == (60, list(range(40)))


@pytest.mark.usefixtures("many")
def test_what_is_left_to_lance(dataset: Dataset) -> None:
    few = pa.table({"id": pa.array([3, 500], pa.int64()), "text": ["new", "new"]})
    assert upsert(dataset, few).num_updated_rows == 1
    twice = pa.concat_tables([rows(2), rows(1)])
    with pytest.raises(BadDataError, match="several of the new rows have the same key"):
        upsert(dataset, twice)
    dataset.append(rows(1))
    assert upsert(dataset, rows(2, seed=3)).num_updated_rows == 3


def dict_of_ids(dataset: Dataset) -> dict[int, int]:
    found = dataset.read(Scan(columns=["id"], with_row_id=True))
    return dict(zip(found["id"].to_pylist(), found["_rowid"].to_pylist(), strict=True))
