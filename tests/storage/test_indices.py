from __future__ import annotations

import os
import signal
import time
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from lancelike.errors import (
    ColumnNotFoundError,
    IndexExistsError,
    IndexNotFoundError,
    IndexTimeoutError,
    QueryError,
)
from lancelike.index import (
    FTS,
    Bitmap,
    BTree,
    Fm,
    HnswFlat,
    HnswPq,
    HnswSq,
    IvfFlat,
    IvfPq,
    IvfRq,
    IvfSq,
    LabelList,
)
from lancelike.query.plan import Scan
from lancelike.storage import Dataset, Location, indexing, maintenance
from lancelike.storage import index as indices
from tests.storage.rows import DIM, ids, nearest, rows, vectors

VECTOR = [
    (IvfFlat(num_partitions=2), "IvfFlat", "IVF_FLAT"),
    (IvfSq(num_partitions=2), "IvfSq", "IVF_SQ"),
    (IvfPq(num_partitions=2, num_sub_vectors=4), "IvfPq", "IVF_PQ"),
    (IvfRq(num_partitions=2), "IvfRq", "IVF_RQ"),
    (HnswPq(num_partitions=2, num_sub_vectors=4), "IvfHnswPq", "IVF_HNSW_PQ"),
    (HnswSq(num_partitions=2), "IvfHnswSq", "IVF_HNSW_SQ"),
    (HnswFlat(num_partitions=2), "IvfHnswFlat", "IVF_HNSW_FLAT"),
]
SCALAR: list[tuple[Any, str, str, str, str]] = [
    (BTree(), "id", "BTree", "BTREE", "id = 7"),
    (Bitmap(), "id", "Bitmap", "BITMAP", "id = 7"),
    (LabelList(), "tags", "LabelList", "LABEL_LIST", "array_has_any(tags, ['tag1']) and id = 7"),
    (Fm(), "text", "Fm", "FM", "contains(text, 'xt 7') and id = 7"),
]


@pytest.fixture
def many(location: Location) -> Dataset:
    return Dataset.create(location, "a", rows(400))


@pytest.mark.parametrize(("config", "shown", "in_statistics"), VECTOR)
def test_every_vector_index_finds_the_nearest(many: Dataset, config: Any, shown: str, in_statistics: str) -> None:
    assert indexing.create_vector_index(many, "vector", config) == "vector_idx"
    (index,) = indices.list_indices(many)
    assert (index.name, index.index_type, index.columns) == ("vector_idx", shown, ["vector"])
    assert (index.num_indexed_rows, index.num_unindexed_rows) == (400, 0)
    assert index.size_bytes
    assert index.created_at
    stats = indices.index_stats(many, "vector_idx")
    assert stats
    assert (stats.index_type, stats.distance_type, stats.num_indexed_rows, stats.num_indices) == (
        in_statistics,
        "l2",
        400,
        1,
    )
    assert stats["num_unindexed_rows"] == 0
    query = np.array(many.take([7])["vector"][0].as_py())
    assert nearest(many, query, k=1, nprobes=2, refine_factor=200) == [7]
    assert "ANN" in many.explain(Scan(nearest={"column": "vector", "q": query.astype(np.float32), "k": 1}))


def metric_of(dataset: Dataset, column: str) -> str | None:
    found = indices.index_on(dataset, column)
    return None if found is None else found.metric


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
def test_the_metric_is_the_indexs(many: Dataset, metric: Any) -> None:
    assert indices.index_on(many, "vector") is None
    indexing.create_vector_index(many, "vector", IvfFlat(distance_type=metric, num_partitions=2))
    indexing.create_scalar_index(many, "id", BTree())
    assert metric_of(many, "vector") == metric
    assert indices.index_on(many, "id") is None


def test_hamming_distance_of_bits(location: Location) -> None:
    bits = pa.array(np.random.default_rng(0).integers(0, 256, 400 * 8, dtype=np.uint8))
    dataset = Dataset.create(location, "a", pa.table({"bits": pa.FixedSizeListArray.from_arrays(bits, 8)}))
    indexing.create_vector_index(dataset, "bits", IvfFlat(distance_type="hamming", num_partitions=2))
    assert metric_of(dataset, "bits") == "hamming"


def test_multivectors(location: Location) -> None:
    each = pa.FixedSizeListArray.from_arrays(pa.array(np.random.default_rng(0).normal(size=800 * 8), pa.float32()), 8)
    column = pa.ListArray.from_arrays(pa.array(range(0, 801, 2), pa.int32()), each)
    dataset = Dataset.create(location, "a", pa.table({"parts": column}))
    indexing.create_vector_index(dataset, "parts", IvfPq(distance_type="cosine", num_partitions=1))
    assert metric_of(dataset, "parts") == "cosine"


@pytest.mark.parametrize(("config", "column", "shown", "in_statistics", "where"), SCALAR)
def test_every_scalar_index_answers_filters(
    many: Dataset, config: Any, column: str, shown: str, in_statistics: str, where: str
) -> None:
    name = indexing.create_scalar_index(many, column, config)
    (index,) = indices.list_indices(many)
    assert (index.name, index.index_type, index.columns) == (name, shown, [column])
    stats = indices.index_stats(many, name)
    assert stats
    assert (stats.index_type, stats.distance_type, stats.num_indexed_rows) == (in_statistics, None, 400)
    assert ids(many, where) == [7]
    assert "ScalarIndexQuery" in many.explain(Scan(columns=["id"], filter=where))


def test_full_text_index(many: Dataset) -> None:
    config = FTS(with_position=True, stem=False, ngram_min_length=2, max_token_length=None)
    indexing.create_scalar_index(many, "text", config)
    (index,) = indices.list_indices(many)
    assert index.index_type == "FTS"
    assert index.index_details["with_position"] is True
    assert index.index_details["stem"] is False
    assert index.index_details["max_token_length"] is None
    assert index.index_details["min_ngram_length"] == 2
    stats = indices.index_stats(many, "text_idx")
    assert stats
    assert stats.index_type == "FTS"
    assert many.lance.to_table(full_text_query="7", columns=["id", "_score"])["id"].to_pylist() == [7]


@pytest.mark.parametrize("count", [0, 1, 5, 20])
@pytest.mark.parametrize(("config", "shown", "in_statistics"), VECTOR)
def test_few_rows_are_found_under_any_index(
    location: Location, config: Any, shown: str, in_statistics: str, count: int
) -> None:
    dataset = Dataset.create(location, "a", rows(count))
    indexing.create_vector_index(dataset, "vector", config)
    assert len(nearest(dataset, np.zeros(DIM), k=3, nprobes=2)) == min(count, 3)


def test_an_index_made_too_early_covers_the_rows_once_optimized(location: Location) -> None:
    dataset = Dataset.create(location, "a", rows(5))
    indexing.create_vector_index(dataset, "vector", IvfPq(num_partitions=1))
    dataset.append(rows(400, start=5, seed=1))
    maintenance.optimize(dataset)
    indices.wait_for_index(dataset, ["vector_idx"], 1)
    query = np.array(dataset.take([7])["vector"][0].as_py())
    assert nearest(dataset, query, k=1, nprobes=2, refine_factor=20) == [7]


def test_nothing_but_nulls_is_covered_untrained(location: Location) -> None:
    nulls = pa.array([None] * 300, pa.list_(pa.float32(), 8))
    dataset = Dataset.create(location, "a", pa.table({"id": range(300), "vector": nulls}))
    indexing.create_vector_index(dataset, "vector", IvfRq())
    assert indices.all_partitions(dataset, "vector_idx") == 0
    assert nearest(dataset, np.zeros(8), k=3) == []


@pytest.mark.parametrize(("config", "partitions"), [(IvfFlat(), 7), (IvfSq(), 7), (IvfRq(), 7), (HnswSq(), 1)])
def test_partitions_by_the_number_of_rows(location: Location, config: Any, partitions: int) -> None:
    """256 rows each, save in graphs."""
    dataset = Dataset.create(location, "a", rows(2_000))
    indexing.create_vector_index(dataset, "vector", config)
    assert indices.all_partitions(dataset, "vector_idx") == partitions
    assert indices.num_partitions(dataset, "vector_idx") == (None if partitions == 1 else partitions)


def test_partitions_as_asked_for(location: Location) -> None:
    dataset = Dataset.create(location, "a", rows(2_000))
    for config in (IvfFlat(num_partitions=3), IvfFlat(target_partition_size=600)):
        indexing.create_vector_index(dataset, "vector", config)
        assert indices.all_partitions(dataset, "vector_idx") == 3


def test_kinds_that_lancedb_names() -> None:
    assert indexing.scalar_config("bitmap") == Bitmap()
    with pytest.raises(QueryError, match="no scalar index of type 'TREE'; there are BTREE, "):
        indexing.scalar_config("TREE")


def test_names_and_replacing(many: Dataset) -> None:
    assert indexing.create_scalar_index(many, "id", BTree(), name="mine") == "mine"
    assert indexing.create_scalar_index(many, "id", BTree(), name="mine") == "mine"
    with pytest.raises(IndexExistsError, match="index 'mine' already exists; pass replace=True"):
        indexing.create_scalar_index(many, "id", BTree(), name="mine", replace=False)
    indexing.create_vector_index(many, "vector", IvfFlat(num_partitions=1))
    with pytest.raises(IndexExistsError):
        indexing.create_vector_index(many, "vector", IvfFlat(num_partitions=1), replace=False)
    assert [index.name for index in indices.list_indices(many)] == ["mine", "vector_idx"]


def test_what_cannot_be_indexed(many: Dataset) -> None:
    with pytest.raises(ColumnNotFoundError):
        indexing.create_vector_index(many, "missing", IvfFlat())
    with pytest.raises(ColumnNotFoundError):
        indexing.create_scalar_index(many, "missing", BTree())
    with pytest.raises(QueryError, match="column 'text' holds string, not vectors of one length"):
        indexing.create_vector_index(many, "text", IvfFlat())
    with pytest.raises(QueryError):
        indexing.create_scalar_index(many, "vector", BTree())
    with pytest.raises(QueryError, match="num_sub_vectors=5 doesn't divide"):
        indexing.create_vector_index(many, "vector", IvfPq(num_sub_vectors=5))
    assert many.version == 1


def test_an_index_that_is_not_there(many: Dataset) -> None:
    indexing.create_scalar_index(many, "id", BTree())
    for use in (indices.drop_index, indices.prewarm_index):
        with pytest.raises(IndexNotFoundError, match="no index 'missing'; this table has id_idx"):
            use(many, "missing")
    assert indices.index_stats(many, "missing") is None


def test_drop_and_prewarm(many: Dataset) -> None:
    indexing.create_vector_index(many, "vector", IvfFlat(num_partitions=1))
    indices.prewarm_index(many, "vector_idx")
    indices.drop_index(many, "vector_idx")
    assert indices.list_indices(many) == []


def test_rows_added_later_are_found_and_counted_as_unindexed(many: Dataset) -> None:
    indexing.create_vector_index(many, "vector", IvfFlat(num_partitions=2))
    many.append(rows(10, start=1000, seed=9))
    many.delete("id = 1001")
    stats = indices.index_stats(many, "vector_idx")
    assert stats
    assert (stats.num_indexed_rows, stats.num_unindexed_rows) == (400, 9)
    query = np.array(many.read(Scan(filter="id = 1005"))["vector"][0].as_py())
    assert nearest(many, query, k=1, nprobes=2) == [1005]
    assert nearest(many, query, k=1, nprobes=2) != nearest_indexed_only(many, query)


def nearest_indexed_only(dataset: Dataset, query: np.ndarray) -> list[int]:
    nearest_row = {"column": "vector", "q": query.astype(np.float32), "k": 1}
    found: list[int] = dataset.read(Scan(columns=["id", "_distance"], nearest=nearest_row, fast_search=True))[
        "id"
    ].to_pylist()
    return found


def test_wait_for_index(many: Dataset) -> None:
    indexing.create_scalar_index(many, "id", BTree())
    indices.wait_for_index(many, ["id_idx"], 0.1)
    many.append(rows(10, start=1000))
    with pytest.raises(IndexTimeoutError, match=r"timed out .* id_idx, other") as caught:
        indices.wait_for_index(many, ["id_idx", "other"], 0.05)
    assert caught.value.indices == ["id_idx", "other"]
    lance.dataset(many.uri).optimize.optimize_indices()
    indices.wait_for_index(many, ["id_idx"], 5)


def test_progress(many: Dataset) -> None:
    events: list[dict[str, Any]] = []
    indexing.create_vector_index(many, "vector", IvfFlat(num_partitions=2), progress=events.append)
    assert {"event": "start", "stage": "train_ivf", "completed": 0, "total": 10, "unit": "iterations"} in events
    assert events[-1]["event"] == "complete"
    events.clear()
    indexing.create_scalar_index(many, "text", FTS(), progress=events.append)
    assert events[0]["event"] == "start"


@pytest.mark.parametrize("stage", ["train_ivf", "shuffle"])
def test_ctrl_c_comes_out_and_leaves_nothing_half_done(many: Dataset, stage: str) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        if (event["event"], event["stage"]) == ("start", stage):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    with pytest.raises(KeyboardInterrupt):
        indexing.create_vector_index(many, "vector", IvfRq(), progress=interrupt)
    found = indices.index_stats(Dataset.open(many.location, "a"), "vector_idx")
    assert found is None or (found.num_indexed_rows, found.num_unindexed_rows) == (400, 0), "so few rows may be done"
    indexing.create_vector_index(many, "vector", IvfRq())
    assert indices.all_partitions(many, "vector_idx") == 1


def test_what_the_progress_callback_raises_comes_out(many: Dataset) -> None:
    def fail(event: dict[str, Any]) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        indexing.create_vector_index(many, "vector", IvfFlat(num_partitions=2), progress=fail)


def test_an_index_in_a_nested_column(location: Location) -> None:
    inner = pa.StructArray.from_arrays([vectors(np.random.default_rng(0).normal(size=(300, 8)))], ["vector"])
    dataset = Dataset.create(location, "a", pa.table({"doc": inner}))
    indexing.create_vector_index(dataset, "doc.vector", IvfFlat(num_partitions=1))
    (index,) = indices.list_indices(dataset)
    assert index.columns == ["doc.vector"]
    assert metric_of(dataset, "doc.vector") == "l2"


def test_nothing_is_said_on_stderr(many: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    indexing.create_vector_index(many, "vector", IvfFlat(num_partitions=2))
    indices.index_stats(many, "vector_idx")
    indices.list_indices(many)
    nearest(many, np.zeros(DIM))
    assert capfd.readouterr().err == ""
