"""The event loop goes on while a table is at work, and functions are awaited in it.

A call that blocked the loop would show a gap of its own length; the bound is far below that, and far above what a busy
machine adds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.aio import threads as aio_threads
from lancelike.embeddings import TextEmbeddingFunction, from_callable, register
from lancelike.index import IvfPq
from lancelike.rerankers import RRFReranker
from tests.aio.faces import docs
from tests.lifecycle.spies import Spy, rows_of, vector_of

SLOW_S = 1.0
MOST_GAP_S = 0.4


@asynccontextmanager
async def heartbeat() -> AsyncIterator[list[float]]:
    """The seconds between the beats that a task takes every 10 ms in the block."""
    gaps: list[float] = []

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.01)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    task = asyncio.create_task(beat())
    await asyncio.sleep(0.03)
    try:
        yield gaps
    finally:
        task.cancel()


async def least_of_gaps(work: Any, tries: int = 3) -> float:
    """The longest gap while `work(n)` is awaited, of the best of some tries."""
    longest = []
    for n in range(tries):
        async with heartbeat() as gaps:
            await work(n)
            await asyncio.sleep(0.03)
        longest.append(max(gaps))
        if longest[-1] < 0.05:
            break
    return min(longest)


@register("aio-slow")
class Slow(TextEmbeddingFunction):
    """Takes a second for each request, and to be loaded."""

    batch_size: int = 100

    def ndims(self) -> int:
        return 8

    def generate_embeddings(self, texts: Sequence[str], /) -> list[list[float]]:
        time.sleep(SLOW_S)
        return [vector_of(text) for text in texts]


class SlowReranker(RRFReranker):
    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        time.sleep(SLOW_S)
        return vector_results.append_column("_relevance_score", pa.array(np.ones(len(vector_results), np.float32)))


@pytest.mark.asyncio
async def test_while_a_function_embeds(tmp_path: Path) -> None:
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", schema=docs(Slow.create()))
    assert await least_of_gaps(lambda n: table.add(rows_of(n * 10, n * 10 + 3))) < MOST_GAP_S

    async def search(n: int) -> None:
        await (await table.search(f"query {n}")).limit(1).to_list()

    assert await least_of_gaps(search) < MOST_GAP_S


@pytest.mark.asyncio
async def test_while_a_reranker_is_at_work(tmp_path: Path, spy: Spy) -> None:
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", rows_of(0, 5), schema=docs(spy))

    async def search(n: int) -> None:
        query = table.vector_search(vector_of("text 1")).rerank(SlowReranker(), query_string="text")
        assert len(await query.limit(2).to_list()) == 2

    assert await least_of_gaps(search) < MOST_GAP_S


@pytest.mark.asyncio
async def test_while_an_index_is_built(tmp_path: Path) -> None:
    db = await lancelike.connect_async(tmp_path / "db")
    vectors = np.random.default_rng(0).standard_normal((4000, 32)).astype(np.float32)
    data = pa.table({"vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 32)})
    table = await db.create_table("t", data)
    config = IvfPq(num_partitions=8, num_sub_vectors=4, max_iterations=10)
    assert await least_of_gaps(lambda n: table.create_index("vector", config=config)) < MOST_GAP_S


@pytest.mark.asyncio
async def test_a_blocking_call_would_be_seen() -> None:
    async def block(n: int) -> None:
        time.sleep(SLOW_S)

    assert await least_of_gaps(block, tries=1) > MOST_GAP_S


# -- async def functions -----------------------------------------------------------------------------------------------


class BoundClient:
    """A client that works in the loop it was made in, and in no other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.under_way = self.most = self.requests = 0

    async def embed(self, texts: list[str]) -> list[list[float]]:
        assert asyncio.get_running_loop() is self._loop
        self.requests += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.05)
        self.under_way -= 1
        return [vector_of(text) for text in texts]


@pytest.mark.asyncio
async def test_a_client_of_the_loop_is_awaited_in_it_several_at_once(tmp_path: Path) -> None:
    client = BoundClient()
    function = from_callable(client.embed, name="bound", dim=8, batch_size=1, max_concurrency=4)
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", rows_of(0, 6), schema=docs(function))
    await table.add(rows_of(6, 20))
    assert client.most == 4
    assert (await (await table.search("text 7")).limit(1).to_list())[0]["id"] == 7
    batch = await (await table.search(["text 3", "text 4"])).limit(1).to_list()
    assert [row["id"] for row in batch] == [3, 4]
    await table.update({"text": "text 99"}, where="id = 0")
    await table.merge_insert("id").when_not_matched_insert_all().execute(rows_of(20, 22))
    assert await table.count_rows() == 22


@pytest.mark.asyncio
async def test_a_function_may_use_tables_however_many_calls_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aio_threads._pool.cache_clear()
    monkeypatch.setattr(aio_threads, "MOST_THREADS", 2)
    db = await lancelike.connect_async(tmp_path / "db")
    seen = await db.create_table("seen", [{"text": "none"}])
    blocking = lancelike.connect(tmp_path / "db").open_table("seen")

    async def embed(texts: list[str]) -> list[list[float]]:
        await seen.count_rows()
        await asyncio.to_thread(blocking.count_rows)
        return [vector_of(text) for text in texts]

    function = from_callable(embed, name="nosy", dim=8, batch_size=1)
    tables = [await db.create_table(f"t{i}", schema=docs(function)) for i in range(5)]
    await asyncio.wait_for(
        asyncio.gather(*(table.add(rows_of(i * 3, i * 3 + 3)) for i, table in enumerate(tables))), 60
    )
    searches = [(await table.search(f"query {i}")).limit(1).to_list() for i, table in enumerate(tables)]
    assert all(await asyncio.wait_for(asyncio.gather(*searches), 60))
    aio_threads._pool.cache_clear()


# -- several at once ---------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_many_calls_at_once(tmp_path: Path, spy: Spy) -> None:
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", schema=docs(spy))
    await asyncio.gather(*(table.add(rows_of(i, i + 5)) for i in range(0, 100, 5)))
    assert await table.count_rows() == 100
    found = await asyncio.gather(*(to_id(table, i) for i in range(0, 100, 7)))
    assert found == list(range(0, 100, 7))
    assert len(spy.sent) == len(set(spy.sent)) == 100


async def to_id(table: lancelike.AsyncTable, number: int) -> Any:
    [row] = await table.vector_search(vector_of(f"text {number}")).limit(1).to_list()
    return row["id"]


@pytest.mark.asyncio
async def test_slow_writes_keep_no_search_waiting(tmp_path: Path) -> None:
    db = await lancelike.connect_async(tmp_path / "db")
    release = threading.Event()

    def embed(texts: list[str]) -> list[list[float]]:
        release.wait(60)
        return [vector_of(text) for text in texts]

    function = from_callable(embed, name="held", dim=8)
    tables = [await db.create_table(f"t{i}", schema=docs(function)) for i in range(40)]
    writes: list[Awaitable[Any]] = [asyncio.ensure_future(table.add(rows_of(0, 1))) for table in tables]
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(tables[0].count_rows(), 30) == 0
    release.set()
    await asyncio.gather(*writes)
    assert [await table.count_rows() for table in tables] == [1] * 40


def test_one_table_in_several_loops(tmp_path: Path, spy: Spy) -> None:
    async def make() -> lancelike.AsyncTable:
        db = await lancelike.connect_async(tmp_path / "db")
        return await db.create_table("docs", schema=docs(spy))

    table = asyncio.run(make())

    def work(start: int) -> None:
        asyncio.run(asyncio.wait_for(add(start), 60))

    async def add(start: int) -> None:
        await table.add(rows_of(start, start + 5))
        assert await table.count_rows() >= 5

    threads = [threading.Thread(target=work, args=(i * 5,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(table.count_rows()) == 20
