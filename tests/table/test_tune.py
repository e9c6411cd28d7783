"""`tune`: the cheapest settings that reach a recall, kept with the table."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import lancelike
from lancelike.errors import QueryError, ReadOnlyTableError
from lancelike.index import BTree, IvfFlat, IvfPq, IvfSq

NDIMS = 16
ROWS = 8_000
PARTITIONS = 31


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((ROWS, NDIMS), dtype=np.float32)


def stored(path: Path, vectors: NDArray[Any], config: Any = None, *, in_memory: bool = True) -> lancelike.Table:
    """A table with an index."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    rows = pa.table({"id": range(len(vectors)), "vector": column})
    table = lancelike.connect(path, vector_cache_bytes=None if in_memory else 0).create_table("rows", rows)
    table.create_index("vector", config=config or IvfFlat(num_partitions=PARTITIONS))
    return table


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_target_is_reached_with_part_of_the_partitions(
    tmp_path: Path, vectors: NDArray[np.float32], in_memory: bool
) -> None:
    table = stored(tmp_path, vectors, in_memory=in_memory)
    low, high = (table.tune(target, sample=50) for target in (0.5, 0.9))
    assert low.recall >= 0.5
    assert high.recall >= 0.9
    assert 1 <= low.settings["nprobes"] < high.settings["nprobes"] < PARTITIONS
    assert high.settings["in_memory"] is in_memory
    fewer = high.settings["nprobes"] - 2
    queries = vectors[:200] + np.float32(0.01)
    assert mean_recall(table, queries, vectors, nprobes=fewer) < 0.93, "fewer would do"


def mean_recall(
    table: lancelike.Table, queries: NDArray[np.float32], vectors: NDArray[np.float32], nprobes: int
) -> float:
    shares = []
    for query in queries:
        exact = ((vectors - query) ** 2).sum(axis=1).argsort()[:10]
        found = table.search(query).nprobes(nprobes).limit(10).to_arrow()["id"].to_numpy()
        shares.append(len(set(exact) & set(found)) / 10)
    return float(np.mean(shares))


@pytest.mark.parametrize("in_memory", [True, False])
def test_searches_go_by_it(tmp_path: Path, vectors: NDArray[np.float32], in_memory: bool) -> None:
    table = stored(tmp_path, vectors, in_memory=in_memory)
    other = lancelike.connect(tmp_path, vector_cache_bytes=None if in_memory else 0).open_table("rows")
    nprobes = table.tune(0.7, sample=50).settings["nprobes"]
    for handle in (table, other):
        handle.checkout_latest()
        plan = handle.search(vectors[0]).explain_plan()
        assert f"Tuned: nprobes={nprobes}, refine_factor=default found 0." in plan
        assert "when tuned for 0.7" in plan
        assert handle.evaluate(sample=10).settings["nprobes"] == nprobes
    for own in (table.search(vectors[0]).nprobes(3), table.search(vectors[0]).bypass_vector_index()):
        assert "Tuned" not in own.explain_plan()
    assert "Tuned" in table.search(vectors[0]).analyze_plan()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_filter_still_finds_k_rows(tmp_path: Path, vectors: NDArray[np.float32], in_memory: bool) -> None:
    """Further partitions are looked into for want of rows."""
    table = stored(tmp_path, vectors, in_memory=in_memory)
    assert table.tune(0.2, sample=20).settings["nprobes"] < 5
    found = table.search(vectors[0]).where("id % 500 = 3", prefilter=True).limit(10).to_arrow()
    assert found.num_rows == 10


def test_another_way_to_search_has_settings_of_its_own(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    table = stored(tmp_path, vectors, IvfPq(num_partitions=PARTITIONS, num_sub_vectors=4))
    assert table.tune(0.9, sample=40).settings["refine_factor"] is None
    through_lance = lancelike.connect(tmp_path, vector_cache_bytes=0).open_table("rows").evaluate(sample=100)
    assert through_lance.settings["in_memory"] is False
    assert through_lance.settings["refine_factor"] > 1
    assert through_lance.high >= 0.85  # of other queries than it was tuned on


def test_fewer_rows_have_as_many_candidates(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    """As those that were tuned for; and where one row is, more are tried."""
    table = stored(tmp_path, vectors, IvfPq(num_partitions=PARTITIONS, num_sub_vectors=4), in_memory=False)
    factor = table.tune(0.7, sample=20).settings["refine_factor"]
    assert f"refine_factor={5 * factor}; not from memory" in table.search(vectors[0]).limit(2).explain_plan()
    assert f"refine_factor={factor}; not from memory" in table.search(vectors[0]).limit(11).explain_plan()
    assert table.tune(0.7, k=1, sample=20).settings["refine_factor"] >= 20


def test_a_target_out_of_reach_is_said_to_be(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    coarse = IvfPq(num_partitions=PARTITIONS, num_sub_vectors=2, num_bits=4)
    table = stored(tmp_path, vectors, coarse, in_memory=False)
    before = table.version
    with pytest.raises(
        QueryError, match=r"finds 0\.\d+ of the 10 nearest .* with every partition and refine_factor=50"
    ):
        table.tune(1.0, sample=30)
    assert table.version == before
    assert "Tuned" not in table.search(vectors[0]).explain_plan()


def test_it_stays_over_writes_and_a_rename(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    table = stored(tmp_path, vectors)
    nprobes = table.tune(0.7, sample=30).settings["nprobes"]
    table.add([{"id": ROWS, "vector": vectors[0].tolist()}])
    table.delete("id = 3")
    table.optimize()
    table.alter_columns({"path": "vector", "rename": "embedding"})
    again = lancelike.connect(tmp_path).open_table("rows")
    assert again.evaluate(sample=5).settings["nprobes"] == nprobes


@pytest.mark.parametrize("ending", ["drop", "build again", "build another"])
def test_it_goes_with_the_index(tmp_path: Path, vectors: NDArray[np.float32], ending: str) -> None:
    table = stored(tmp_path, vectors)
    table.tune(0.7, sample=10)
    if ending == "drop":
        table.drop_index("vector_idx")
    config = IvfSq(num_partitions=4) if ending == "build another" else IvfFlat(num_partitions=4)
    table.create_index("vector", config=config)
    assert "Tuned" not in table.search(vectors[0]).explain_plan()
    assert not table.schema.field("vector").metadata


def test_an_index_can_be_built_for_a_recall(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    table = stored(tmp_path, vectors, in_memory=False)
    table.create_index("vector", config=IvfSq(num_partitions=PARTITIONS), target_recall=0.85)
    assert "when tuned for 0.85" in table.search(vectors[0]).explain_plan()
    version = table.version
    with pytest.raises(QueryError, match="at most 1; target_recall is 95"):
        table.create_index("vector", config=IvfFlat(), target_recall=95)
    with pytest.raises(QueryError, match="at most 1; target_recall is 'most'"):
        table.tune("most")  # type: ignore[arg-type]  # what a user may do
    with pytest.raises(QueryError, match="a BTree on 'id' misses none"):
        table.create_index("id", config=BTree(), target_recall=0.9)
    assert table.version == version


def test_ten_rows_are_all_found_untuned(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    table = stored(tmp_path, vectors[:10], IvfFlat())
    table.create_index("vector", config=IvfFlat(num_partitions=2), target_recall=0.9)
    assert table.search(vectors[0]).limit(10).to_arrow().num_rows == 10


def test_without_an_index_nothing_is_kept(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    table = stored(tmp_path, vectors)
    table.drop_index("vector_idx")
    version = table.version
    report = table.tune(0.99, sample=5)
    assert (report.recall, report.settings["index"], table.version) == (1.0, None, version)


def test_a_struct_s_column_and_a_past_version(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), NDIMS)
    inner = pa.StructArray.from_arrays([column], ["vector"])
    table = lancelike.connect(tmp_path).create_table("rows", pa.table({"inner": inner}))
    assert "MemorySearch" in table.search(vectors[0]).explain_plan()
    table.create_index("inner.vector", config=IvfFlat(num_partitions=PARTITIONS))
    assert "whose partitions Lance doesn't tell" in table.search(vectors[0]).explain_plan()
    nprobes = table.tune(0.7, sample=10).settings["nprobes"]
    assert nprobes
    assert table.evaluate(sample=5).settings["nprobes"] == nprobes
    table.checkout(table.version)
    with pytest.raises(ReadOnlyTableError):
        table.tune(0.9, sample=5)


def test_awaited(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    stored(tmp_path, vectors)

    async def tuned() -> tuple[Any, Any]:
        table = await (await lancelike.connect_async(tmp_path)).open_table("rows")
        return await table.tune(0.7, sample=10), await table.evaluate(sample=10)

    first, second = asyncio.run(tuned())
    assert first.settings == second.settings
