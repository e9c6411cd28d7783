"""Indices follow the rows, with no call by the user."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.embeddings import get_registry
from lancelike.errors import StorageError
from lancelike.index import FTS, Bitmap, BTree, Fm, HnswSq, IvfFlat, IvfPq, IvfRq, LabelList
from lancelike.lifecycle import indexing
from lancelike.lifecycle.indexing import MOST_UNINDEXED, segments_to_merge
from lancelike.pydantic import LanceModel, Vector
from lancelike.storage import Dataset
from lancelike.storage import index as indices
from lancelike.storage.index import Coverage

DIM = 8
BOUND = 100
"""In place of 10 000 rows, so that the tests are quick."""


@pytest.fixture(autouse=True)
def _small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "MOST_UNINDEXED", BOUND)
    monkeypatch.setattr(indexing, "_MERGED_ROWS", 10 * BOUND)


def rows(count: int, start: int = 0) -> pa.Table:
    values = np.random.default_rng(start).normal(size=(count, DIM)).astype(np.float32)
    ids = range(start, start + count)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "text": [f"word{i % 7} w{i}" for i in ids],
            "tags": [[f"tag{i % 3}"] for i in ids],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), DIM),
        }
    )


def make(folder: Path, config: Any = None, column: str = "vector", count: int = 400, **options: Any) -> lancelike.Table:
    table = lancelike.connect(folder, **options).create_table("docs", rows(count))
    table.create_index(column, config=config or IvfFlat(num_partitions=2))
    return table


def coverage(table: lancelike.Table) -> Coverage:
    (found,) = indices.coverage(table._shown)
    return found


def nearest(table: lancelike.Table, row: int) -> int:
    vector = table.search().where(f"id = {row}").to_list()[0]["vector"]
    return int(table.search(vector).nprobes(8).refine_factor(300).limit(1).to_list()[0]["id"])


@pytest.mark.parametrize(
    ("config", "column"),
    [
        (IvfFlat(num_partitions=2), "vector"),
        (IvfPq(num_partitions=1, num_sub_vectors=2), "vector"),
        (IvfRq(num_partitions=1), "vector"),
        (HnswSq(num_partitions=1), "vector"),
        (BTree(), "id"),
        (Bitmap(), "id"),
        (LabelList(), "tags"),
        (Fm(), "text"),
        (FTS(), "text"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_an_index_of_any_kind_follows_many_adds(tmp_path: Path, config: Any, column: str) -> None:
    table = make(tmp_path, config, column)
    for start in range(1000, 1600, 60):
        before = table.version
        assert table.add(rows(60, start)).version == before + 1
        assert coverage(table).unindexed <= BOUND
    assert sum(coverage(table).segments) + coverage(table).unindexed == table.count_rows() == 1000
    assert len(coverage(table).segments) <= 4
    assert nearest(table, 1599) == 1599
    assert table.count_rows("id = 1300") == 1


def test_nothing_is_said_on_stderr(tmp_path: Path) -> None:
    """Not even where Lance would warn of partitions that get no new rows."""
    script = f"""
import lancelike
from lancelike.index import HnswSq, IvfFlat
from lancelike.lifecycle import indexing

indexing.MOST_UNINDEXED = 1
table = lancelike.connect({str(tmp_path)!r}).create_table("t", [{{"vector": [float(i), 1.0]}} for i in range(300)])
for config in (IvfFlat(num_partitions=8), HnswSq(num_partitions=8)):
    table.create_index("vector", config=config)
    table.add([{{"vector": [1.0, 1.0]}}] * 5)
    assert table.health().unindexed == 0
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_rows_of_one_add_are_covered_and_found_at_once(tmp_path: Path) -> None:
    table = make(tmp_path)
    table.add(rows(2000, 1000))
    assert (table.health().unindexed, table.health().advice) == (0, ())
    assert all(nearest(table, row) == row for row in (3, 1000, 2999))
    plan = table.search(np.zeros(DIM)).limit(3).explain_plan()
    assert "by the index's partitions" in plan


def test_updates_and_merges_are_followed(tmp_path: Path) -> None:
    table = make(tmp_path)
    upsert = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    upsert.execute(rows(300, 200))
    assert coverage(table).unindexed == 0
    table.update("id < 250", values={"vector": [9.0] * DIM})
    assert coverage(table).unindexed == 0
    assert table.count_rows() == 500
    found = table.search([9.0] * DIM).nprobes(8).limit(500).to_list()
    assert sorted(row["id"] for row in found) == list(range(500))


def test_rows_embedded_by_a_function_are_followed(tmp_path: Path) -> None:
    function = get_registry().get("hash").create(dim=DIM)

    class Doc(LanceModel):
        text: str = function.SourceField()
        vector: Vector(DIM) = function.VectorField()  # type: ignore[valid-type]  # made per call

    table = lancelike.connect(tmp_path).create_table("docs", [{"text": f"start {i}"} for i in range(20)], schema=Doc)
    table.create_index("vector", config=IvfFlat(num_partitions=1))
    table.add([{"text": f"added number {i}"} for i in range(BOUND + 1)])
    assert table.health().unindexed == 0
    assert table.search("added number 77").limit(1).to_list()[0]["text"] == "added number 77"


@pytest.mark.parametrize("per_table", [False, True])
def test_manual_leaves_it_to_optimize(tmp_path: Path, per_table: bool) -> None:
    make(tmp_path)
    if per_table:
        table = lancelike.connect(tmp_path).open_table("docs", index_policy="manual")
    else:
        table = lancelike.connect(tmp_path, index_policy="manual").open_table("docs")
    before = table.version
    table.add(rows(500, 1000))
    assert (table.version, coverage(table).unindexed) == (before + 1, 500)
    assert nearest(table, 1400) == 1400
    table.optimize()
    assert coverage(table).unindexed == 0


def test_another_policy_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="index_policy is 'auto' or 'manual', not 'never'"):
        lancelike.connect(tmp_path, index_policy="never")  # type: ignore[arg-type]  # the point of the test


def test_a_table_without_indices_makes_one_version_per_write(tmp_path: Path) -> None:
    table = lancelike.connect(tmp_path).create_table("docs", rows(10))
    table.add(rows(500, 1000))
    assert table.version == 2


@pytest.mark.parametrize("count", [0, 5])
def test_an_index_made_too_early_is_trained_once_there_are_rows(tmp_path: Path, count: int) -> None:
    """PQ needs 256 vectors: until then the index is empty, and every row is scanned and found."""
    table = lancelike.connect(tmp_path).create_table("docs", rows(count) if count else None, schema=rows(1).schema)
    table.create_index("vector", config=IvfPq(num_partitions=1, num_sub_vectors=2))
    for start in range(1000, 1150, 50):
        table.add(rows(50, start))
    assert (sum(coverage(table).segments), coverage(table).unindexed) == (0, 150 + count)
    assert nearest(table, 1149) == 1149
    table.add(rows(300, 2000))
    assert coverage(table).unindexed == 0
    assert nearest(table, 2299) == 2299
    index = indices.index_on(table._shown, "vector")
    assert index is not None
    assert index.metric == "l2"


def test_training_in_vain_is_not_tried_at_every_write(tmp_path: Path) -> None:
    table = lancelike.connect(tmp_path).create_table("docs", schema=rows(1).schema)
    table.create_index("vector", config=IvfPq(num_partitions=1, num_sub_vectors=2))
    before = table.version
    for start in range(0, 250, 25):
        table.add(rows(25, start))
    assert table.version <= before + 10 + 2 * 2  # of the tries, each after the merging of small fragments


def test_nothing_is_trained_again(tmp_path: Path) -> None:
    table = make(tmp_path)
    before = lance.dataset(table.uri).stats.index_stats("vector_idx")["indices"][0]["centroids"]
    for start in range(1000, 2000, 150):
        table.add(rows(150, start))
    segments = lance.dataset(table.uri).stats.index_stats("vector_idx")["indices"]
    assert len(segments) > 1
    assert all(segment["centroids"] == before for segment in segments)


def test_a_failure_is_logged_and_the_write_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table = make(tmp_path)
    table.create_index("id", config=BTree())
    tries: list[str] = []
    real = indices.cover_new_rows

    def cover(dataset: Dataset, name: str, merged_segments: int = 0) -> None:
        tries.append(name)
        if name == "vector_idx":
            raise StorageError("the disk is full", "somewhere")
        real(dataset, name, merged_segments)

    monkeypatch.setattr(indices, "cover_new_rows", cover)
    with caplog.at_level(logging.WARNING, "lancelike.lifecycle"):
        assert table.add(rows(150, 1000)).version
    assert table.count_rows() == 550
    (record,) = [each for each in caplog.records if each.name == "lancelike.lifecycle"]
    assert "index 'vector_idx' of table 'docs'" in record.getMessage()
    assert "the disk is full" in record.getMessage()
    covered = {index.name: index.unindexed for index in indices.coverage(table._shown)}
    assert covered == {"vector_idx": 150, "id_idx": 0}

    table.add(rows(120, 2000))
    assert tries.count("vector_idx") == 1, "not again before there are twice as many rows"
    monkeypatch.setattr(indices, "cover_new_rows", real)
    table.add(rows(120, 3000))
    assert coverage_of(table, "vector_idx") == 0


def coverage_of(table: lancelike.Table, name: str) -> int:
    return next(index.unindexed for index in indices.coverage(table._shown) if index.name == name)


def test_an_index_whose_files_are_gone_does_not_fail_a_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path)
    for file in (tmp_path / "docs.lance" / "_indices").rglob("*.idx"):
        file.unlink()
    table = lancelike.connect(tmp_path).open_table("docs")
    table.add(rows(150, 1000))
    assert table.count_rows() == 550
    assert [record.levelname for record in caplog.records if record.name == "lancelike.lifecycle"] == ["WARNING"]


def together(*work: Callable[[], object]) -> None:
    """Run each of *work* in a thread; raise what one raised."""
    raised: list[BaseException] = []

    def run(each: Callable[[], object]) -> None:
        try:
            each()
        except BaseException as error:  # noqa: BLE001 - raised below
            raised.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def test_writers_and_the_users_own_optimize_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    table = make(tmp_path)

    def write(start: int) -> None:
        for i in range(4):
            table.add(rows(120, start + 1000 * i))

    def tidy() -> None:
        for _ in range(3):
            table.optimize()
            table.create_index("vector", config=IvfFlat(num_partitions=2))

    together(lambda: write(10_000), lambda: write(20_000), tidy)
    assert table.count_rows() == 400 + 2 * 4 * 120
    table.add(rows(BOUND + 1, 50_000))
    assert coverage(table).unindexed == 0
    found = table.search(np.zeros(DIM)).nprobes(8).limit(5000).to_arrow()["id"].to_pylist()
    assert sorted(found) == sorted(table.to_arrow()["id"].to_pylist())


def test_two_connections_that_write_at_once_cover_each_row_once(tmp_path: Path) -> None:
    """The second to commit gives way: Lance refuses a segment over rows that another one covers."""
    table = make(tmp_path)
    other = lance.dataset(table.uri)
    table.add(rows(BOUND + 1, 1000))
    with pytest.raises(OSError, match="preempted"):
        other.optimize.optimize_indices(index_names=["vector_idx"], num_indices_to_merge=1)
    found = table.search(np.zeros(DIM)).nprobes(8).limit(5000).to_arrow()["id"].to_pylist()
    assert len(found) == len(set(found)) == table.count_rows()


def test_an_index_being_built_is_not_waited_for(tmp_path: Path) -> None:
    table = make(tmp_path)
    with table._shown.indexing:
        table.add(rows(150, 1000))
    assert coverage(table).unindexed == 150
    table.add(rows(1, 2000))
    assert coverage(table).unindexed == 0


def test_segments_stay_few_and_merges_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million rows in adds of 10 001: what is merged at once is at most a quarter of the table."""
    monkeypatch.setattr(indexing, "_MERGED_ROWS", 10 * MOST_UNINDEXED)
    segments, total, most_parts, merged = [50_000], 50_000, 0, 0
    for _ in range(100):
        total += 10_001
        count = segments_to_merge(Coverage("i", ("vector",), 10_001, tuple(segments), "IVF_PQ"))
        kept = len(segments) - count
        segments = [*segments[:kept], 10_001 + sum(segments[kept:])]
        assert segments[-1] <= max(100_000, 0.25 * total)
        most_parts, merged = max(most_parts, len(segments)), merged + segments[-1]
    assert sum(segments) == total
    assert most_parts <= 16
    assert merged <= 3 * total


def test_words_that_updates_took_away_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write's tail brings the full-text index up to date, and leaves no old words in it."""
    monkeypatch.setattr(indexing, "MOST_UNINDEXED", 5)
    words = ["apple", "bear", "cloud"]
    texts = [words[i % 3] for i in range(60)]
    table = lancelike.connect(tmp_path).create_table("t", [{"id": i, "text": text} for i, text in enumerate(texts)])
    table.create_index("text", config=FTS())
    for step in range(12):
        first, word = step * 7 % 50, words[step % 3]
        table.update(where=f"id >= {first} AND id < {first + 10}", values={"text": word})
        texts[first : first + 10] = [word] * 10
        for each in words:
            found = table.search(each, query_type="fts").limit(100).to_list()
            assert sorted(row["id"] for row in found) == [i for i, text in enumerate(texts) if text == each]


@pytest.mark.parametrize(("most", "partitions"), [(100_000, 34), (1_000, 8)])
def test_an_outgrown_index_is_trained_again_while_the_table_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, partitions: int
) -> None:
    monkeypatch.setattr(indexing, "_TRAINED_ROWS", most)
    table = make(tmp_path, IvfFlat(target_partition_size=50))
    assert indices.all_partitions(table._shown, "vector_idx") == 8
    table.add(rows(1_300, start=400))
    assert indices.all_partitions(table._shown, "vector_idx") == partitions
    assert coverage(table).unindexed == 0
    advice = [line for line in table.health().advice if "was trained when the table was small" in line]
    if partitions == 8:
        assert advice == [
            "index 'vector_idx' was trained when the table was small, and has 8 partitions for 1700 rows: optimize() "
            "trains it again"
        ]
        table.optimize()
        assert indices.all_partitions(table._shown, "vector_idx") == 34
    assert not [line for line in table.health().advice if "was trained" in line]


@pytest.mark.parametrize("first", [5, 300])
@pytest.mark.parametrize("config", [IvfRq(), IvfPq()])
def test_an_index_made_early_gets_the_partitions_of_one_made_late(tmp_path: Path, config: Any, first: int) -> None:
    table = make(tmp_path, config, count=first)
    table.add(rows(3_000, start=first))
    late = lancelike.connect(tmp_path / "late").create_table("docs", table.to_arrow())
    late.create_index("vector", config=config)
    early, due = (indices.all_partitions(each._shown, "vector_idx") for each in (table, late))
    assert early == due == (3_000 + first) // 256
    assert coverage(table).unindexed == 0
