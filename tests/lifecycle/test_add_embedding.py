"""A vector column over rows that are there already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import ColumnNotFoundError, EmbeddingError, SchemaError
from tests.lifecycle import migrating
from tests.lifecycle.migrating import BATCH, NDIMS, NEXT_NDIMS, make, sent, vector_of


def make_plain(folder: Path, rows: int = 100, batches: int = 1) -> lancelike.Table:
    """A table of texts without vectors."""
    db = lancelike.connect(folder / "db")
    schema = pa.schema({"id": pa.int64(), "text": pa.string()})
    table = db.create_table("docs", schema=schema)
    for some in np.array_split(np.arange(rows), batches):
        table.add([{"id": int(i), "text": f"text {i}"} for i in some])
    return table


def test_every_row_gets_its_vector_in_one_commit(tmp_path: Path) -> None:
    table = make_plain(tmp_path, 100, batches=3)
    table.add([{"id": 100, "text": None}, {"id": 101, "text": "text 1"}])
    table.delete("id in (7, 40)")
    before = table.version
    seen: list[dict[str, Any]] = []
    receipt = table.add_embedding("vector", make(tmp_path), "text", progress=seen.append)
    assert table.version == before + 1
    assert (receipt.rows, receipt.texts, receipt.embedded) == (100, 98, 98)
    assert (seen[-1]["output_rows"], seen[-1]["total_rows"], seen[-1]["done"]) == (100, 100, True)
    for row in table.to_arrow().to_pylist():
        assert row["vector"] == (None if row["text"] is None else vector_of(row["text"]))
    assert table.search("text 3").limit(1).to_list()[0]["id"] == 3
    assert table.verify().num_rows == 0


def test_new_rows_get_theirs_from_then_on_here_and_elsewhere(tmp_path: Path) -> None:
    table = make_plain(tmp_path)
    elsewhere = lancelike.connect(tmp_path / "db").open_table("docs")
    table.add_embedding("vector", make(tmp_path), "text")
    elsewhere.add([{"id": 200, "text": "later"}])
    assert table.search("later").limit(1).to_list()[0]["id"] == 200
    table.update(where="id = 3", values={"text": "changed"})
    assert table.search("changed").limit(1).to_list()[0]["id"] == 3
    assert lance.dataset(table.uri).schema.field("vector").type == pa.list_(pa.float32(), NDIMS)


def test_a_template_feeds_it(tmp_path: Path) -> None:
    table = make_plain(tmp_path, 3)
    table.add_embedding("vector", make(tmp_path), template="{id}: {text}")
    assert sorted(sent(tmp_path, NDIMS)) == ["0: text 0", "1: text 1", "2: text 2"]
    assert table.embedding_functions["vector"].template == "{id}: {text}"


def test_what_another_table_paid_for_is_reused(tmp_path: Path) -> None:
    table = make_plain(tmp_path)
    table.add_embedding("vector", make(tmp_path), "text")
    receipt = table.add_embedding("again", make(tmp_path), "text")
    assert (receipt.texts, receipt.reused, receipt.requests) == (100, 100, 0)
    assert table.add_embedding("again", make(tmp_path), "text").texts == 0


def test_it_is_refused_without_a_change(tmp_path: Path) -> None:
    table = make_plain(tmp_path)
    table.add([{"id": 200, "text": "poison"}])
    before = table.version
    with pytest.raises(ColumnNotFoundError, match="body"):
        table.add_embedding("vector", make(tmp_path), "body")
    with pytest.raises(SchemaError, match="is there already"):
        table.add_embedding("id", make(tmp_path), "text")
    with pytest.raises(EmbeddingError, match="poison"):
        table.add_embedding("vector", make(tmp_path), "text")
    with pytest.raises(ValueError, match="drops no rows"):
        table.add_embedding("vector", make(tmp_path), "text", on_embedding_error="drop")
    assert table.version == before
    receipt = table.add_embedding("vector", make(tmp_path), "text", on_embedding_error="quarantine")
    assert (receipt.texts, receipt.failed) == (101, 1)
    assert receipt.reused >= BATCH
    assert table.count_rows("vector is null") == 1
    assert table.embedding_errors()["input"].to_pylist() == ["poison"]


def test_an_empty_table_gets_the_column(tmp_path: Path) -> None:
    table = make_plain(tmp_path, 0)
    table.add_embedding("vector", make(tmp_path), "text")
    table.add([{"id": 1, "text": "first"}])
    assert table.search("first").limit(1).to_list()[0]["id"] == 1


@pytest.mark.parametrize("after_requests", [1, 7])
def test_killed_and_run_again_it_sends_only_what_is_missing(tmp_path: Path, after_requests: int) -> None:
    table = make_plain(tmp_path, 600, batches=2)
    before = table.version
    kill_when(tmp_path, "add_embedding", after_requests)
    table.checkout_latest()
    assert table.version == before
    first = len(sent(tmp_path, NEXT_NDIMS))
    receipt = table.add_embedding("second", make(tmp_path, NEXT_NDIMS), "text")
    texts = sent(tmp_path, NEXT_NDIMS)
    assert first < 600
    assert len(texts) <= 600 + BATCH
    assert set(texts) == {f"text {i}" for i in range(600)}
    assert receipt.reused >= first - BATCH
    assert all(row["second"] == vector_of(row["text"], NEXT_NDIMS) for row in table.to_arrow().to_pylist())


def kill_when(folder: Path, verb: str, requests: int) -> None:
    """Run *verb* in another process and kill it once it has logged that many requests."""
    script = str(Path(migrating.__file__))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, script, str(folder), verb], env=environment)
    deadline = time.monotonic() + 30
    while len(sent(folder, NEXT_NDIMS)) < requests * BATCH:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
