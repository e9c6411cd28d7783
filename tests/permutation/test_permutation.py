"""A permutation reads its split's rows, in order, whatever is written to the table meanwhile."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

import lancelike
from lancelike.errors import QueryError
from lancelike.permutation import Permutation, Permutations, permutation_builder


def ids(permutation: Permutation) -> list[int]:
    return [row["id"] for rows in permutation.iter(7) for row in rows]


@pytest.fixture
def splits(table: lancelike.Table) -> Permutations:
    builder = permutation_builder(table).split_random(ratios=[0.8, 0.2], seed=1, split_names=["train", "test"])
    return Permutations(table, builder.execute())


def test_splits_by_name_and_number(splits: Permutations) -> None:
    assert (splits.split_names, splits.split_dict) == (["train", "test"], {"train": 0, "test": 1})
    assert ids(splits["train"]) == ids(splits[0])
    assert sorted(ids(splits["train"]) + ids(splits["test"])) == list(range(100))
    with pytest.raises(ValueError, match="No split named `dev`"):
        splits["dev"]
    with pytest.raises(ValueError, match="No rows found in the permutation table for the given split"):
        splits[2]
    with pytest.raises(ValueError, match="split `dev` is not defined"):
        Permutation.from_tables(splits.base_table, splits.permutation_table, "dev")
    with pytest.raises(ValueError, match="no permutation table"):
        Permutation.from_tables(splits.base_table, None, "train")


def test_rows_stay_what_they_were(splits: Permutations, table: lancelike.Table) -> None:
    train, everything = splits["train"], Permutation.identity(table)
    before = ids(train)
    table.delete("id < 50")
    table.update(where="id = 60", values={"id": -60})
    table.add([{"id": 1000, "kind": "new", "vector": [0.0, 0.0]}])
    assert ids(train) == ids(splits["train"]) == before
    assert ids(everything) == list(range(100))
    assert len(Permutation.identity(table)) == 51


def test_shape_and_schema(table: lancelike.Table) -> None:
    everything = Permutation.identity(table)
    assert (len(everything), everything.shape, everything.num_columns) == (100, (100, 3), 3)
    assert everything.schema == table.schema
    assert everything.column_names == ["id", "kind", "vector"]
    assert repr(everything) == "Permutation(table='numbers', split=0, rows=100)"


def test_columns_are_chosen_and_renamed(table: lancelike.Table) -> None:
    everything = Permutation.identity(table)
    assert everything.select_columns(["kind", "id"])[3] == [{"kind": "k3", "id": 3}]
    assert everything.remove_columns(["vector", "nope"]).rename_column("id", "n")[3] == [{"kind": "k3", "n": 3}]
    assert everything.select_columns(["_rowid"]).column_names == ["_rowid"]
    for wrong, words in (
        (partial(everything.select_columns, ["nope"]), "Cannot select column `nope`"),
        (partial(everything.select_columns(["id"]).select_columns, ["kind"]), "Cannot select column `kind`"),
        (partial(everything.select_columns, []), "at least one"),
        (partial(everything.remove_columns, ["id", "kind", "vector"]), "Cannot remove all columns"),
        (partial(everything.rename_column, "nope", "n"), "`nope` because it does not exist"),
        (partial(everything.rename_column, "id", "kind"), "already exists"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


def test_structs_are_flattened() -> None:
    table = lancelike.connect("memory://").create_table("t", [{"a": {"b c": 1, "d": {"e": 2}}, "f": 3}])
    flat = Permutation.identity(table).flatten()
    assert flat[0] == [{"a.b c": 1, "a.d": {"e": 2}, "f": 3}]
    assert flat.flatten()[0] == [{"a.b c": 1, "a.d.e": 2, "f": 3}]


def test_rows_are_skipped_taken_and_repeated(table: lancelike.Table) -> None:
    everything = Permutation.identity(table)
    assert ids(everything.with_skip(95)) == [95, 96, 97, 98, 99]
    assert ids(everything.with_skip(95).with_take(2)) == ids(everything.with_take(2).with_skip(95)) == [95, 96]
    assert ids(everything.with_take(2).with_repeat(2)) == [0, 1, 0, 1]
    assert len(everything.with_skip(1000)) == 0
    assert everything.with_skip(10)[0][0]["id"] == 10
    assert len(everything) == 100
    for older in (everything.skip, everything.take, everything.repeat):
        with pytest.warns(DeprecationWarning, match=f"write with_{older.__name__}"):
            older(1)


def test_iterating_gives_full_batches_and_iter_the_rest(table: lancelike.Table) -> None:
    everything = Permutation.identity(table).with_batch_size(40)
    assert [len(rows) for rows in everything] == [40, 40]
    assert [len(rows) for rows in everything.iter(40)] == [40, 40, 20]
    assert [len(rows) for rows in everything.iter(40, skip_last_batch=True)] == [40, 40]


def test_offsets_outside_are_named(table: lancelike.Table) -> None:
    everything = Permutation.identity(table).with_take(10)
    for offset in (10, -1):
        with pytest.raises(QueryError, match=f"no row at offset {offset}: the permutation has 10 rows"):
            everything.take_offsets([0, offset])


def test_formats(table: lancelike.Table) -> None:
    rows = Permutation.identity(table).remove_columns(["vector"])
    assert rows.__getitems__([5, 3]) == [{"id": 5, "kind": "k0"}, {"id": 3, "kind": "k3"}]
    assert rows.with_format("python_col").__getitems__([5, 3]) == {"id": [5, 3], "kind": ["k0", "k3"]}
    arrow = rows.with_format("arrow").__getitems__([5, 3])
    assert isinstance(arrow, pa.RecordBatch)
    pd.testing.assert_frame_equal(rows.with_format("pandas").__getitems__([5, 3]), arrow.to_pandas())
    assert rows.with_format("polars").__getitems__([5, 3]).equals(pl.from_arrow(arrow))
    array = rows.with_format("numpy").__getitems__([5, 3])
    assert isinstance(array, np.ndarray)
    assert array.tolist() == [[5, "k0"], [3, "k3"]]
    assert rows.with_transform(len).__getitems__([5, 3]) == 2
    with pytest.raises(ValueError, match="Invalid format: xml"):
        rows.with_format("xml")  # type: ignore[arg-type]


def test_tensors(table: lancelike.Table) -> None:
    rows = Permutation.identity(table).remove_columns(["kind"])
    (row,) = rows.with_format("torch")[7]
    assert row["id"].item() == 7
    assert torch.equal(row["vector"], torch.tensor([7.0, 1.0]))
    ids_only = rows.select_columns(["id"])
    assert [tensor.tolist() for tensor in ids_only.with_format("torch_row").__getitems__([5, 3])] == [[5], [3]]
    assert ids_only.with_format("torch_col").__getitems__([5, 3]).tolist() == [[5, 3]]


def test_distinct_values(splits: Permutations) -> None:
    assert sorted(splits["test"].with_take(20).unique("kind")) == [f"k{n}" for n in range(5)]


def test_pickling_keeps_everything(splits: Permutations) -> None:
    shown = splits["train"].rename_column("id", "n").with_skip(3).with_take(20).with_format("python_col")
    copy: Permutation = pickle.loads(pickle.dumps(shown))
    assert (len(copy), copy.split, copy.column_names) == (20, 0, ["kind", "vector", "n"])
    assert copy.take_offsets(range(20)) == shown.take_offsets(range(20))
    assert pickle.loads(pickle.dumps(copy))[0] == copy[0]


def open_in(uri: Path, name: str) -> lancelike.Table:
    return lancelike.connect(uri).open_table(name)


def test_a_factory_opens_the_table_elsewhere(stored: lancelike.Table, tmp_path: Path) -> None:
    shown = Permutation.identity(stored).with_connection_factory(partial(open_in, tmp_path / "stored"))
    stored.delete("id < 50")
    copy = pickle.loads(pickle.dumps(shown))
    assert ids(copy) == list(range(100))
    assert copy.connection_factory is not None
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        Permutation.identity(stored).with_connection_factory(lambda name: stored)


def test_tables_are_pickled_by_address(stored: lancelike.Table) -> None:
    copy: Any = pickle.loads(pickle.dumps(stored))
    copy.add([{"id": 1000, "kind": "new", "vector": [0.0, 0.0]}])
    assert len(stored) == 101
    stored.checkout(1)
    pinned = pickle.loads(pickle.dumps(stored))
    assert (len(pinned), pinned.version) == (100, 1)
    with pytest.raises(pickle.PicklingError, match="in memory"):
        pickle.dumps(lancelike.connect("memory://").create_table("t", [{"a": 1}]))


def test_rows_of_a_branch(stored: lancelike.Table) -> None:
    trial = stored.branches.create("trial")
    trial.delete("id >= 10")
    shown = Permutation.from_tables(trial, permutation_builder(trial).execute())
    assert ids(shown) == ids(pickle.loads(pickle.dumps(shown))) == list(range(10))
    copy = pickle.loads(pickle.dumps(trial))
    assert (len(copy), copy.current_branch()) == (10, "trial")
