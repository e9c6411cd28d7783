"""A write that is cancelled changes nothing, then or later, and what was paid for is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import lancelike
from lancelike.aio import threads
from lancelike.embeddings import from_callable
from lancelike.errors import TableNotFoundError
from lancelike.ledger.canaries import TEXT_CANARIES
from tests.aio.faces import docs
from tests.lifecycle.spies import Spy, make_spy, rows_of, vector_of

pytestmark = pytest.mark.asyncio

ROWS = rows_of(0, 40)


class Service:
    """Embeds one text a request, and holds the *held*th until it is let go; what the drift check asks doesn't count."""

    def __init__(self, held: int = 5) -> None:
        self.held = held
        self.texts: list[str] = []
        self.reached, self.let_go = threading.Event(), threading.Event()

    def embed(self, texts: list[str]) -> list[list[float]]:
        own = [text for text in texts if text not in TEXT_CANARIES]
        self.texts += own
        if own and len(self.texts) == self.held:
            self.reached.set()
            self.let_go.wait(60)
        return [vector_of(text) for text in texts]

    def function(self, name: str) -> Any:
        return from_callable(self.embed, name=name, dim=8, batch_size=1)


async def cancel_at(work: Coroutine[Any, Any, Any], moment: threading.Event) -> float:
    """Cancel *work* when *moment* comes; the seconds until it ended."""
    task = asyncio.ensure_future(work)
    assert await asyncio.to_thread(moment.wait, 60)
    started = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.perf_counter() - started


async def settled(table: lancelike.AsyncTable) -> tuple[int, list[Any]]:
    """Version and rows, once whatever goes on in threads has had its time."""
    await asyncio.sleep(0.3)
    await table.checkout_latest()
    rows = await table.query().select(["id", "text", "vector"]).to_list()
    return await table.version(), sorted((row["id"], row["text"], row["vector"]) for row in rows)


WRITES: dict[str, Callable[[lancelike.AsyncTable, Any], Coroutine[Any, Any, Any]]] = {
    "add": lambda table, _: table.add(ROWS),
    "overwrite": lambda table, _: table.add(ROWS, mode="overwrite"),
    "merge_insert": lambda table, _: (
        table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(ROWS)
    ),
    "update": lambda table, _: table.update(updates_sql={"text": "concat(text, ' more')"}),
    "reembed": lambda table, other: table.reembed("vector", other),
    "add_embedding": lambda table, other: table.add_embedding("second", other, "text"),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_cancelled_write_changes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WIND_UP_S", 0.1)
    service = Service(held=10**9)
    function, other = service.function(f"cancel {name}"), service.function(f"cancel other {name}")
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", rows_of(100, 130, "before"), schema=docs(function))
    before = await settled(table)
    service.held = len(service.texts) + 5

    took_s = await cancel_at(WRITES[name](table, other), service.reached)
    assert took_s < 30, "the request under way isn't waited for"
    service.let_go.set()
    assert await settled(table) == before
    asked = len(service.texts)
    assert asked == service.held, "nothing more was asked for"

    await WRITES[name](table, other)
    assert (await settled(table))[0] > before[0]
    again = service.texts[asked:]
    assert set(again).isdisjoint(service.texts[service.held - 5 : asked]), "what was answered is kept"


async def test_cancelled_in_its_last_request(tmp_path: Path) -> None:
    service = Service(held=1)
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", schema=docs(service.function("last request")))
    await cancel_at(table.add(rows_of(0, 1)), service.reached)
    service.let_go.set()
    assert await settled(table) == (1, [])
    assert (await table.plan(rows_of(0, 1))).reused == 1


async def test_a_table_that_is_not_created(tmp_path: Path) -> None:
    service = Service()
    db = await lancelike.connect_async(tmp_path / "db")
    await cancel_at(db.create_table("docs", ROWS, schema=docs(service.function("no table"))), service.reached)
    service.let_go.set()
    await asyncio.sleep(0.5)
    assert (await db.list_tables()).tables == []
    with pytest.raises(TableNotFoundError):
        await db.open_table("docs")
    assert not [each for each in (tmp_path / "db").iterdir() if each.name != "_lancelike"]


class Busy(Exception):
    status_code = 503


async def test_waits_between_tries_end(tmp_path: Path) -> None:
    spy = make_spy(tmp_path, max_retries=5, first_wait_s=30.0)
    tried = threading.Event()

    def refuse(text: str) -> Exception | None:
        if text == "busy":
            tried.set()
            return Busy()
        return None

    spy.refuse(refuse)
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", schema=docs(spy))
    assert await cancel_at(table.add([{"id": 1, "text": "busy"}]), tried) < 10
    tried.clear()
    search = await table.search("busy")
    assert await cancel_at(search.to_list(), tried) < 10
    assert await table.count_rows() == 0


async def test_a_coroutine_under_way_is_waited_for_and_then_cancelled(tmp_path: Path) -> None:
    ended: list[str] = []
    begun = threading.Event()

    async def embed(texts: list[str]) -> list[list[float]]:
        try:
            if texts == ["slow"]:
                begun.set()
                await asyncio.sleep(3600)
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            ended.append(texts[0])
            raise
        return [vector_of(text) for text in texts]

    function = from_callable(embed, name="under way", dim=8, batch_size=1, max_concurrency=2)
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", schema=docs(function))
    rows = [{"id": 1, "text": "quick"}, {"id": 2, "text": "slow"}]
    assert await cancel_at(table.add(rows), begun) < 30
    await asyncio.sleep(0.3)
    assert ended == ["slow"]
    assert (await table.plan(rows)).reused == 1
    assert await table.count_rows() == 0


async def test_timeouts(tmp_path: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(spy), "delay_s", 0.2)
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", schema=docs(make_spy(tmp_path, batch_size=1)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await table.add(ROWS)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(table.add(ROWS), 0.5)
    assert await settled(table) == (1, [])
    assert len(spy.sent) == len(set(spy.sent))


async def test_a_search_that_is_cancelled_leaves_others_that_ask_the_same(tmp_path: Path) -> None:
    service = Service(held=1)
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", schema=docs(service.function("shared query")), data=None)
    first = asyncio.ensure_future((await table.search("same")).to_list())
    await asyncio.to_thread(service.reached.wait, 60)
    second = asyncio.ensure_future((await table.search("same")).to_list())
    await asyncio.sleep(0.1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    service.let_go.set()
    assert await asyncio.wait_for(second, 30) == []


async def test_cancelled_before_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads._pool.cache_clear()
    monkeypatch.setattr(threads, "MOST_THREADS", 1)
    service = Service(held=1)
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", schema=docs(service.function("queued")))
    first = asyncio.ensure_future(table.add(rows_of(0, 1)))
    await asyncio.to_thread(service.reached.wait, 60)
    second = asyncio.ensure_future(table.add(rows_of(1, 2)))
    await asyncio.sleep(0.1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    service.let_go.set()
    await first
    threads._pool.cache_clear()
    assert service.texts == ["text 0"]
    assert await table.count_rows() == 1
