"""Queries as the awaited face alone spells them: LanceDB's way."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import ConnectionClosedError, QueryError, TableClosedError
from lancelike.index import FTS
from lancelike.query import AsyncFTSQuery, AsyncHybridQuery, AsyncQuery, AsyncRecordBatchReader, AsyncVectorQuery
from lancelike.rerankers import RRFReranker
from tests.aio.faces import docs
from tests.lifecycle.spies import Spy, rows_of, vector_of

pytestmark = pytest.mark.asyncio


async def make(folder: Path) -> lancelike.AsyncTable:
    db = await lancelike.connect_async(folder / "db")
    return await db.create_table("t", [{"id": i, "vector": [float(i), 1.0], "other": [1.0, 0.0]} for i in range(10)])


async def test_a_scan_becomes_a_search(tmp_path: Path) -> None:
    table = await make(tmp_path)
    scan = table.query().where("id > 4")
    assert isinstance(scan, AsyncQuery)
    near = scan.nearest_to([0.0, 1.0]).column("vector").limit(2)
    assert isinstance(near, AsyncVectorQuery)
    assert [row["id"] for row in await near.to_list()] == [5, 6]
    assert len(await scan.to_list()) == 5, "the scan is what it was"
    assert near.to_query_object().filter == "id > 4"


async def test_postfilter_holds_for_filters_before_and_after_it(tmp_path: Path) -> None:
    table = await make(tmp_path)
    near = table.vector_search([0.0, 1.0]).column("vector").limit(3)
    assert len(await near.postfilter().where("id > 1").to_list()) == 1
    assert len(await table.query().where("id > 1").nearest_to([0.0, 1.0]).column("vector").limit(3).to_list()) == 3


async def test_a_query_runs_as_it_was_when_it_was_awaited(tmp_path: Path) -> None:
    table = await make(tmp_path)
    query = table.query().limit(2)
    rows = query.to_list()
    query.limit(5)
    assert len(await rows) == 5, "a coroutine begins when it is awaited"
    batches = await query.to_batches(max_batch_length=2)
    query.limit(1)
    assert sum([batch.num_rows async for batch in batches]) == 5


async def test_batches(tmp_path: Path) -> None:
    table = await make(tmp_path)
    reader = await table.query().select(["id"]).to_batches(max_batch_length=4)
    assert isinstance(reader, AsyncRecordBatchReader)
    assert reader.schema == pa.schema([pa.field("id", pa.int64())])
    first = await anext(reader)
    assert first.num_rows == 4
    assert [batch.num_rows for batch in await reader.read_all()] == [4, 2]
    with pytest.raises(StopAsyncIteration):
        await anext(reader)
    with pytest.raises(QueryError):
        await table.query().to_batches(max_batch_length=0)


async def test_words_and_vectors_join_either_way(tmp_path: Path, spy: Spy) -> None:
    db = await lancelike.connect_async(tmp_path / "db")
    table = await db.create_table("docs", rows_of(0, 20), schema=docs(spy))
    await table.create_index("text", config=FTS())
    words = table.query().nearest_to_text("7", columns="text")
    assert isinstance(words, AsyncFTSQuery)
    assert words.get_query() == "7"
    assert [row["id"] for row in await words.limit(3).to_list()] == [7]
    by_vector_first = table.query().nearest_to(vector_of("text 7")).nearest_to_text("7")
    by_words_first = words.nearest_to(vector_of("text 7"))
    for hybrid in (by_vector_first, by_words_first):
        assert isinstance(hybrid, AsyncHybridQuery)
        rows = await hybrid.column("vector").rerank(RRFReranker(), normalize="rank").limit(3).to_list()
        assert rows[0]["id"] == 7
        assert "_relevance_score" in rows[0]
        assert sum([batch.num_rows async for batch in await hybrid.to_batches()]) == 3
    assert len(await words.rerank(RRFReranker()).to_list()) == 1


async def test_updates_have_both_spellings(tmp_path: Path) -> None:
    table = await make(tmp_path)
    assert (await table.update({"id": 50}, where="id = 5")).rows_updated == 1
    assert (await table.update(updates_sql={"id": "id + 1"}, where="id = 50")).rows_updated == 1
    assert (await table.update(values={"id": 5}, where="id = 51")).rows_updated == 1
    with pytest.raises(ValueError, match="exactly one"):
        await table.update({"id": 1}, values_sql={"id": "2"})


async def test_what_is_closed_leads_nowhere(tmp_path: Path) -> None:
    table = await make(tmp_path)
    query = table.query()
    async with table as same:
        assert same.is_open()
    assert not table.is_open()
    assert repr(table) == "ClosedTable(t)"
    for use in (table.count_rows, table.schema, query.to_list):
        with pytest.raises(TableClosedError, match="Table t is closed"):
            await use()
    with await lancelike.connect_async(tmp_path / "db") as db:
        assert repr(db).startswith("AsyncConnection(uri=")
        other = await db.open_table("t")
        assert repr(other).startswith("AsyncTable(name='t', _conn=AsyncConnection(uri=")
    assert not db.is_open()
    with pytest.raises(ConnectionClosedError, match="Connection is closed"):
        await db.list_tables()
    assert await other.count_rows() == 10


async def test_older_spellings_warn_where_they_are_written(tmp_path: Path) -> None:
    table = await make(tmp_path)
    with pytest.warns(DeprecationWarning, match="order_by") as caught:
        await table.search([1.0, 1.0], "vector", ordering_field_name="id")
    assert caught[0].filename == __file__
    db = await lancelike.connect_async(tmp_path / "db")
    with pytest.warns(DeprecationWarning, match="drop_all_tables") as caught:
        await db.drop_database()
    assert caught[0].filename == __file__


async def test_the_older_spelling_of_list_tables_warns(tmp_path: Path) -> None:
    db = await lancelike.connect_async(tmp_path)
    await db.create_table("a", [{"id": 1}])
    with pytest.warns(DeprecationWarning, match=r"table_names\(\) is deprecated"):
        assert await db.table_names(start_after="") == ["a"]
