"""torch's DataLoader reads a permutation in this process, in spawned workers and in forked ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from torch.utils.data import DataLoader

import lancelike
from lancelike.permutation import Permutation, permutation_builder
from lancelike.util import tbl_to_tensor

pytestmark = [
    pytest.mark.filterwarnings("ignore:lance is not fork-safe"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

CONTEXTS = ["spawn", "fork"] if hasattr(os, "fork") else ["spawn"]


def loaded(dataset: Any, context: str | None, **options: Any) -> list[Any]:
    workers = {"num_workers": 2, "multiprocessing_context": context, "timeout": 60} if context else {}
    return list(DataLoader(dataset, **{**workers, **options}))


@pytest.mark.parametrize("context", [None, *CONTEXTS])
def test_each_row_is_loaded_once(stored: lancelike.Table, context: str | None) -> None:
    shuffled = permutation_builder(stored).shuffle(seed=1).execute()
    rows = Permutation.from_tables(stored, shuffled).remove_columns(["kind"]).with_format("torch")
    batches = loaded(rows, context, batch_size=32)
    assert [tuple(batch["vector"].shape) for batch in batches] == [(32, 2), (32, 2), (32, 2), (4, 2)]
    expected = [row["id"] for chunk in rows.with_format("python").iter(100) for row in chunk]
    assert [number for batch in batches for number in batch["id"].tolist()] == expected


@pytest.mark.parametrize("context", CONTEXTS[1:])  # a pickle is checked in test_permutation
def test_workers_read_the_version_that_the_permutation_is_of(stored: lancelike.Table, context: str) -> None:
    rows = Permutation.identity(stored).select_columns(["id"]).with_format("torch")
    stored.delete("id >= 10")
    batches = loaded(rows, context, batch_size=50)
    assert [number for batch in batches for number in batch["id"].tolist()] == list(range(100))


def ids(batch: pa.RecordBatch) -> list[int]:
    numbers: list[int] = batch["id"].to_pylist()
    return numbers


@pytest.mark.parametrize("context", [None, "spawn"])
def test_a_table_is_a_dataset_too(stored: lancelike.Table, context: str | None) -> None:
    batches = loaded(stored, context, batch_size=60, collate_fn=ids)
    assert batches == [list(range(60)), list(range(60, 100))]
    (tensor,) = loaded(stored, None, batch_size=100, collate_fn=id_tensor)
    assert tensor.tolist() == [list(range(100))]


def id_tensor(batch: pa.RecordBatch) -> Any:
    return tbl_to_tensor(batch.select(["id"]))


def test_spawned_workers_take_rows_in_memory_along() -> None:
    table = lancelike.connect("memory://").create_table("t", [{"id": n} for n in range(20)])
    split = permutation_builder(table).filter("id % 2 = 1").shuffle(seed=0).execute()
    rows = Permutation.from_tables(table, split).with_format("torch")
    batches = loaded(rows, "spawn", num_workers=1, batch_size=10)
    assert sorted(batches[0]["id"].tolist()) == list(range(1, 20, 2))


@pytest.mark.skipif("fork" not in CONTEXTS, reason="no fork")
def test_forked_workers_say_that_they_cannot_read_rows_in_memory() -> None:
    rows = Permutation.identity(lancelike.connect("memory://").create_table("t", [{"id": n} for n in range(20)]))
    with pytest.raises(RuntimeError, match="forked from one that had used tables"):
        loaded(rows, "fork", batch_size=10)


@pytest.mark.skipif("fork" not in CONTEXTS, reason="no fork")
def test_errors_come_out_of_forked_workers(stored: lancelike.Table) -> None:
    rows = Permutation.identity(stored).select_columns(["kind"]).with_format("torch")
    with pytest.raises(TypeError, match="column 'kind' of type string"):
        loaded(rows, "fork", batch_size=10)
    broken = Permutation.identity(stored)
    broken._selection = {"nope": "nope"}
    with pytest.raises(RuntimeError, match=r"DataLoader worker process(.|\n)*no column 'nope'"):
        loaded(broken, "fork", batch_size=10)


UNGUARDED = """
import sys
import warnings
from functools import partial

import lancelike
from lancelike.permutation import Permutation
from torch.utils.data import DataLoader

warnings.simplefilter("ignore")


def opened(uri, name):
    return lancelike.connect(uri).open_table(name)


rows = Permutation.identity(opened(sys.argv[1], "numbers")).select_columns(["id"]).with_format("torch")
if sys.argv[2] == "factory":
    rows = rows.with_connection_factory(partial(opened, sys.argv[1]))
{guard}
for batch in DataLoader(rows, batch_size=50, num_workers=1, multiprocessing_context="fork", timeout=60):
    print(batch["id"].sum().item())
"""


def run_script(tmp_path: Path, how: str, guard: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "train.py"
    script.write_text(UNGUARDED.format(guard=guard), encoding="utf-8")
    command = [sys.executable, str(script), str(tmp_path / "stored"), how]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, check=False)


@pytest.mark.skipif("fork" not in CONTEXTS, reason="no fork")
@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("how", "guard"), [("address", ""), ("factory", "rows = rows if __name__ == '__main__' else []")]
)
def test_a_script_is_not_run_again_unless_its_factory_is_needed(tmp_path: Path, how: str, guard: str) -> None:
    done = run_script(tmp_path, how, guard)
    assert done.stdout.split() == ["1225", "3725"], done.stderr


@pytest.mark.skipif("fork" not in CONTEXTS, reason="no fork")
@pytest.mark.usefixtures("stored")
def test_a_script_that_is_run_again_starts_no_workers(tmp_path: Path) -> None:
    done = run_script(tmp_path, "factory", "")
    assert (done.returncode, done.stdout) == (1, "")
    assert "put what loads rows under if __name__ == '__main__'" in done.stderr


@pytest.mark.skipif("fork" not in CONTEXTS, reason="no fork")
def test_a_table_itself_says_what_forked_workers_need(stored: lancelike.Table) -> None:
    with pytest.raises(RuntimeError, match="a forked worker reads rows on disk through"):
        loaded(stored, "fork", batch_size=60, collate_fn=ids)
