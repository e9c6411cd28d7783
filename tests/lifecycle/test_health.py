"""What a table lacks is said, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, register
from lancelike.index import BTree, HnswSq, IvfFlat
from lancelike.lifecycle import health, indexing
from lancelike.pydantic import LanceModel, Vector

DIM = 4
REFUSED: list[str] = []


@register("health-spy")
class Spy(TextEmbeddingFunction):
    def ndims(self) -> int:
        return DIM

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        if any(word in text for word in REFUSED for text in texts):
            raise ValueError("refused")
        return [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]


def make(folder: Path, count: int = 10, **options: Any) -> lancelike.Table:
    function = Spy.create()

    class Doc(LanceModel):
        id: int
        text: str | None = function.SourceField()
        vector: Vector(DIM) = function.VectorField()  # type: ignore[valid-type]  # made per call

    rows = [{"id": i, "text": f"text {i}"} for i in range(count)]
    return lancelike.connect(folder, **options).create_table("docs", rows, schema=Doc)


@pytest.fixture(autouse=True)
def _nothing_refused() -> None:
    REFUSED.clear()


def test_a_small_table_is_well_and_says_what_a_search_scans(tmp_path: Path) -> None:
    table = make(tmp_path)
    well = table.health()
    assert (well.rows, well.unindexed, well.stale, well.failed) == (10, 10, 0, 0)
    assert (well.small_fragments, well.versions, well.advice) == (1, 1, ())
    assert well.bytes == table.stats().total_bytes > 0
    table.create_index("vector", config=IvfFlat(num_partitions=1))
    assert table.health().unindexed == 0
    table.create_index("id", config=BTree())
    table.add([{"id": 11, "text": "new"}])
    assert table.health().unindexed == 1


def test_a_table_without_vectors_has_nothing_to_index(tmp_path: Path) -> None:
    table = lancelike.connect(tmp_path).create_table("plain", [{"n": 1}])
    assert (table.health().unindexed, table.health().advice) == (0, ())


def test_failed_and_stale_vectors_are_counted_apart(tmp_path: Path) -> None:
    table = make(tmp_path)
    REFUSED.append("poison")
    table.add([{"id": 100 + i, "text": f"poison {i}"} for i in range(3)], on_embedding_error="quarantine")
    table.add([{"id": 200, "text": "poison dropped"}], on_embedding_error="drop")
    lance.dataset(table.uri).update({"text": "'another text'"}, where="id < 2")
    lance.dataset(table.uri).update({"text": "NULL"}, where="id = 101")
    table.checkout_latest()
    found = table.health()
    assert (found.failed, found.stale) == (3, 2)
    assert "2 vectors do not match the source: verify() lists them, refresh() makes them anew" in found.advice
    assert any("retry_failed() tries again" in line for line in found.advice)
    REFUSED.clear()
    table.refresh()
    table.retry_failed()
    table.add([{"id": 200, "text": "poison dropped"}])
    mended = table.health()
    assert (mended.failed, mended.stale, mended.advice) == (0, 0, ())


def test_indices_that_need_care(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_ROWS_TO_INDEX", 20)
    monkeypatch.setattr(health, "_FULL_PARTITION_ROWS", 25)
    monkeypatch.setattr(health, "MOST_UNINDEXED", 5)
    monkeypatch.setattr(health, "_MANY_SEGMENTS", 2)
    table = make(tmp_path, 30, index_policy="manual")
    assert table.health().advice == ("a search of 'vector' scans 30 rows: create_index('vector') builds an index",)
    table.create_index("vector", config=IvfFlat(num_partitions=1))
    assert table.health().advice == (
        "index 'vector_idx' was trained when the table was small, and has 1 partitions for 30 rows: "
        "create_index('vector') trains it again",
    )
    table.create_index("vector", config=HnswSq(num_partitions=1))
    assert table.health().advice == ()
    table.add([{"id": 100 + i, "text": f"new {i}"} for i in range(6)])
    assert table.health().advice == ("index 'vector_idx' leaves 6 rows to be scanned: optimize() adds them",)
    table.optimize()
    assert (table.health().unindexed, table.health().advice) == (0, ())
    monkeypatch.setattr(indexing, "MOST_UNINDEXED", 0)
    growing = lancelike.connect(tmp_path).open_table("docs")
    for _ in range(3):
        growing.add([{"id": 1000, "text": "again"}] * 2)
        lance.dataset(table.uri).optimize.optimize_indices(num_indices_to_merge=0)
    segments = len(lance.dataset(table.uri).describe_indices()[0].segments)
    assert any(f"is in {segments} segments" in line for line in growing.health().advice) == (segments > 2)


def test_files_that_need_care(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_MANY_FRAGMENTS", 4)
    monkeypatch.setattr(health, "_MANY_VERSIONS", 4)
    table = make(tmp_path)
    for i in range(3):
        table.add([{"id": 100 + i, "text": "more"}])
    found = table.health()
    assert (found.small_fragments, found.versions) == (4, 4)
    assert found.advice == (
        "the rows lie in 4 small fragments: optimize() merges them",
        "4 versions are kept: optimize() drops those older than 7 days",
    )
    table.compact_files()
    assert table.health().small_fragments == 1


def test_health_calls_no_function_and_needs_none(tmp_path: Path) -> None:
    make(tmp_path)
    REFUSED.append("")
    assert lancelike.connect(tmp_path).open_table("docs").health().advice == ()


def test_the_health_of_a_past_version(tmp_path: Path) -> None:
    table = make(tmp_path)
    table.add([{"id": 50, "text": "later"}])
    assert lancelike.connect(tmp_path).open_table("docs", version=1).health().rows == 10


def test_a_vector_column_is_one_of_floats(tmp_path: Path) -> None:
    schema = pa.schema({"bits": pa.list_(pa.uint8(), 8), "half": pa.list_(pa.float16(), 4)})
    rows = [{"bits": [1] * 8, "half": np.ones(4, np.float16).tolist()}]
    table = lancelike.connect(tmp_path).create_table("kinds", pa.Table.from_pylist(rows, schema=schema))
    assert table.health().unindexed == 1
