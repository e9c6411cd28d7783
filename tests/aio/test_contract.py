"""What both faces do alike; each scenario is played over the blocking one and over the awaited one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lancelike.errors import (
    BadDataError,
    BranchNotFoundError,
    ColumnNotFoundError,
    EmbeddingError,
    IndexNotFoundError,
    NamespaceNotEmptyError,
    QueryError,
    ReadOnlyTableError,
    SchemaError,
    TableClosedError,
    TableExistsError,
    TableNotFoundError,
    VersionNotFoundError,
)
from lancelike.index import FTS, BTree, IvfFlat
from lancelike.query import ColumnOrdering, PhraseQuery
from lancelike.rerankers import RRFReranker
from tests.aio.faces import Face, docs, play
from tests.lifecycle.spies import Spy, make_spy, rows_of, vector_of

VECTORS = [{"id": i, "n": i % 3, "vector": [float(i), 1.0]} for i in range(10)]


async def ids(query: Any) -> list[int]:
    return [row["id"] for row in await query.to_list()]


# -- tables ------------------------------------------------------------------------------------------------------------


def test_tables_come_and_go(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        for name in ("b", "a", "c"):
            await db.create_table(name, VECTORS)
        assert (await db.list_tables()).tables == ["a", "b", "c"]
        page = await db.list_tables(limit=2)
        assert (page.tables, page.page_token) == (["a", "b"], "b")
        await db.rename_table("a", "z")
        await db.drop_table("b")
        assert (await db.list_tables()).tables == ["c", "z"]
        assert await (await db.open_table("z")).count_rows() == 10
        await db.drop_all_tables()
        assert (await db.list_tables()).tables == []

    play(face, scenario, uri)


def test_namespaces(face: Face, tmp_path: Path) -> None:
    async def scenario(db: Any) -> None:
        assert (await db.create_namespace(["a"], properties={"k": "v"})).properties == {"k": "v"}
        table = await db.create_table("t", VECTORS, namespace_path=["a", "b"])
        assert (await db.list_namespaces(["a"])).namespaces == ["b"]
        assert (await db.list_tables(["a", "b"])).tables == ["t"]
        assert (await db.describe_namespace(["a"])).properties == {"k": "v"}
        assert await db.table_exists(["a", "b", "t"])
        with pytest.raises(NamespaceNotEmptyError):
            await db.drop_namespace(["a"])
        await db.drop_namespace(["a"], behavior="cascade")
        assert not await db.namespace_exists(["a"])
        with pytest.raises(TableClosedError):
            await table.count_rows()

    play(face, scenario, tmp_path)


def test_computed_columns(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", [{"id": 1, "n": 2}])
        await table.add_columns(computed={"twice": "n * 2"})
        await table.add([{"id": 2, "n": 5}])
        await table.update(where="id = 1", values={"n": 7})
        assert sorted((await table.to_arrow())["twice"].to_pylist()) == [10, 14]
        assert (await table.refresh_column("twice")).rows_assigned == 0
        with pytest.raises(SchemaError, match="computed"):
            await table.add([{"id": 3, "n": 1, "twice": 9}])
        with pytest.raises(SchemaError, match="read by computed column"):
            await table.drop_columns(["n"])

    play(face, scenario, uri)


def test_rows_by_offset_with_their_ids(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        rows = await table.take_offsets([3, 0], with_row_id=True).to_list()
        assert [row["id"] for row in rows] == [3, 0]
        again = await table.take_row_ids([row["_rowid"] for row in rows]).to_list()
        assert [row["id"] for row in again] == [3, 0]

    play(face, scenario, uri)


def test_a_table_that_is_there_and_one_that_is_not(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        with pytest.raises(TableExistsError):
            await db.create_table("t", VECTORS)
        await db.create_table("t", schema=await table.schema(), exist_ok=True)
        assert await (await db.create_table("t", VECTORS[:2], mode="overwrite")).count_rows() == 2
        with pytest.raises(TableNotFoundError, match="was not found"):
            await db.open_table("missing")
        with pytest.raises(TableNotFoundError):
            await db.drop_table("missing")
        await db.drop_table("missing", ignore_missing=True)
        with pytest.raises(SchemaError):
            await db.create_table("empty")
        await db.drop_table("t")
        with pytest.raises(TableClosedError):
            await table.count_rows()

    play(face, scenario, uri)


# -- rows --------------------------------------------------------------------------------------------------------------


def test_rows_in_changed_and_out(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS[:5])
        assert (await table.add(VECTORS[5:])).version == 2
        assert (await table.delete("id < 2")).num_deleted_rows == 2
        assert (await table.update(where="id = 2", values={"n": 7})).rows_updated == 1
        assert (await table.update(where="id > 7", values_sql={"n": "n + 10"})).rows_updated == 2
        rows = await (await table.search()).select(["id", "n"]).where("n > 5").to_list()
        assert sorted((row["id"], row["n"]) for row in rows) == [(2, 7), (8, 12), (9, 10)]
        with pytest.raises(ValueError, match="exactly one"):
            await table.update(where="id = 2")
        with pytest.raises(QueryError):
            await table.delete(" ")
        await table.add(VECTORS[:1], mode="overwrite")
        assert await table.count_rows() == 1

    play(face, scenario, uri)


def test_rows_are_merged(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS[:3])
        merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        done = await merge.execute([{"id": 0, "n": 5, "vector": [0.0, 0.0]}, {"id": 4, "n": 6, "vector": [4.0, 0.0]}])
        assert (done.num_updated_rows, done.num_inserted_rows) == (1, 1)
        gone = table.merge_insert(["id"]).when_not_matched_by_source_delete("id < 2")
        assert (await gone.execute(VECTORS[1:2])).num_deleted_rows == 1
        assert sorted(await ids(await table.search())) == [1, 2, 4]
        with pytest.raises(BadDataError):
            await table.merge_insert("id").when_not_matched_insert_all().execute([{"n": 7}])
        with pytest.raises(QueryError):
            table.merge_insert([])

    play(face, scenario, uri)


def test_a_bad_row_writes_nothing(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        with pytest.raises(BadDataError) as error:
            await table.add([VECTORS[0], {"id": 1, "n": 1, "vector": [1.0]}])
        assert error.value.row == 1
        assert await table.version() == 1
        await table.add([{"id": 1, "n": 1, "vector": [1.0]}], on_bad_vectors="drop")
        assert await table.count_rows() == 10

    play(face, scenario, uri)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_searches(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        near = await table.search([3.2, 1.0])
        assert await ids(near.limit(2)) == [3, 4]
        assert await ids((await table.search([3.2, 1.0])).where("n = 0").limit(2)) == [3, 6]
        assert await ids((await table.search([3.2, 1.0])).where("n = 0", prefilter=False).limit(2)) == [3]
        batch = await (await table.search([[0.0, 1.0], [9.0, 1.0]])).limit(1).to_arrow()
        assert batch["id"].to_pylist() == [0, 9]
        assert batch["query_index"].to_pylist() == [0, 1]
        rows = await (await table.search([0.0, 1.0])).select({"twice": "id * 2"}).limit(1).with_row_id().to_list()
        assert rows == [{"twice": 0, "_distance": 0.0, "_rowid": 0}]
        ordered = (await table.search()).order_by([ColumnOrdering(column_name="id", ascending=False)])
        assert await ids(ordered.limit(3).offset(1)) == [8, 7, 6]
        assert (await (await table.search([0.0, 1.0])).output_schema()).names == ["id", "n", "vector", "_distance"]
        assert isinstance(await near.explain_plan(), str)
        assert isinstance(await near.analyze_plan(), str)
        assert len(await near.to_pandas()) == len(await near.to_polars()) == 2

    play(face, scenario, uri)


def test_errors_of_searches(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        with pytest.raises(QueryError, match="Limit is required"):
            (await table.search([0.0, 1.0])).limit(0)
        with pytest.raises(QueryError, match="Unknown query type: 'foo'"):
            await table.search([0.0, 1.0], query_type="foo")
        with pytest.raises(QueryError, match="non-empty"):
            await table.search([])
        with pytest.raises(QueryError):
            await (await table.search([0.0, 1.0, 2.0])).to_list()
        with pytest.raises(ColumnNotFoundError):
            await (await table.search()).where("nowhere = 1").to_list()
        with pytest.raises(QueryError, match="has no registered embedding function"):
            await (await table.search("a text", query_type="vector")).to_list()
        with pytest.raises(TimeoutError, match="Query timeout"):
            await (await table.search([0.0, 1.0])).to_list(timeout=timedelta(0))

    play(face, scenario, uri)


def test_words_and_both(face: Face, uri: str, spy: Spy) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("docs", rows_of(0, 20), schema=docs(spy))
        await table.create_index("text", config=FTS())
        found = await (await table.search("7", query_type="fts")).limit(3).to_list()
        assert [row["id"] for row in found] == [7]
        assert found[0]["_score"] > 0
        phrase = await table.search(PhraseQuery("text 9", "text"), query_type="fts")
        with pytest.raises(QueryError):
            await phrase.to_list()  # the index has no positions
        both = (await table.search("text 5", query_type="hybrid")).limit(4).rerank(RRFReranker(return_score="all"))
        rows = await both.to_list()
        assert rows[0]["id"] == 5
        assert {"_distance", "_score", "_relevance_score"} <= rows[0].keys()
        given = (await table.search(query_type="hybrid")).vector(vector_of("text 3")).text("text 3")
        assert (await ids(given))[0] == 3
        with pytest.raises(QueryError, match="not both"):
            (await table.search("text 5", query_type="hybrid")).text("other")

    play(face, scenario, uri)


def test_rows_by_place(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        assert await table.take_offsets([7, 2]).select(["id"]).to_list() == [{"id": 7}, {"id": 2}]
        row_ids = (await table.take_offsets([5]).with_row_id().to_arrow())["_rowid"].to_pylist()
        assert await ids(table.take_row_ids(row_ids)) == [5]
        assert (await table.take_offsets([0]).output_schema()).names == ["id", "n", "vector"]
        with pytest.raises(QueryError):
            table.take_offsets([-1])
        with pytest.raises(QueryError):
            await table.take_offsets([10]).to_list()

    play(face, scenario, uri)


def test_whole_tables(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        assert await table.count_rows() == 10
        assert await table.count_rows("n = 0") == 4
        assert (await table.head(2)).num_rows == 2
        assert (await table.to_arrow()).num_rows == len(await table.to_pandas()) == 10
        assert [batch.num_rows async for batch in await table.to_batches(4)] == [4, 4, 2]
        batches = await (await table.search()).where("id > 2").to_batches(batch_size=3)
        assert sum([batch.num_rows async for batch in batches]) == 7
        assert (await table.to_polars()).collect().height == 10
        assert (await table.schema()).names == ["id", "n", "vector"]
        assert (await table.to_lance()).count_rows() == 10
        assert (await table.uri()).endswith("t.lance") or uri == "memory://"

    play(face, scenario, uri)


# -- vectors of functions ----------------------------------------------------------------------------------------------


def test_texts_become_vectors_once(face: Face, uri: str, spy: Spy) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("docs", schema=docs(spy))
        assert (await table.plan(rows_of(0, 3))).to_embed == 3
        assert (await table.add(rows_of(0, 3))).embedding.embedded == 3
        assert (await table.add(rows_of(0, 3))).embedding.reused == 3
        assert (await table.plan_update(where="id = 0", values={"text": "other"})).to_embed == 1
        await table.update(where="id = 0", values={"text": "other"})
        found = await (await table.search("other")).limit(1).to_pydantic(await table.model())
        assert found[0].text == "other"
        np.testing.assert_allclose(found[0].vector, vector_of("other"), atol=1e-6)
        assert (await table.embedding_functions())["vector"].source_column == "text"
        assert (await table.verify()).num_rows == 0
        assert (await table.health()).stale == 0
        assert sorted(spy.sent) == ["other", "other", "text 0", "text 1", "text 2"]  # a source, and a query
        assert (await db.doctor())["ok"].to_pylist() == [True]

    play(face, scenario, uri)


def test_rows_whose_source_is_refused(face: Face, uri: str, spy: Spy) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("docs", schema=docs(spy))
        rows = [*rows_of(0, 2), {"id": 9, "text": "poison"}]
        with pytest.raises(EmbeddingError) as error:
            await table.add(rows)
        assert (error.value.row, error.value.column) == (2, "text")
        assert await table.count_rows() == 0
        assert (await table.add(rows, on_embedding_error="quarantine")).embedding.failed == 1
        assert (await table.embedding_errors())["input"].to_pylist() == ["poison"]
        spy.refuse(lambda text: None)
        assert (await table.retry_failed()).embedded == 1
        assert (await table.embedding_errors()).num_rows == 0

    play(face, scenario, uri)


def test_models_change(face: Face, uri: str, spy: Spy) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("docs", rows_of(0, 4), schema=docs(spy))
        other = make_spy(spy_folder, dim=4)
        assert (await table.reembed("vector", other)).embedded == 4
        assert (await table.schema()).field("vector").type.list_size == 4
        await table.rollback_embedding("vector")
        assert (await table.schema()).field("vector").type.list_size == 8
        await table.add_embedding("second", other, "text")
        assert (await (await table.search("text 1", "second")).limit(1).to_list())[0]["id"] == 1
        assert (await table.refresh()).embedded == 0
        assert (await table.long_sources()).num_rows == 0

    spy_folder = Path(spy.log).parent
    play(face, scenario, uri)


# -- indices, versions, columns, upkeep --------------------------------------------------------------------------------


def test_indices(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        rows = pa.table({"id": range(300), "vector": pa.array(np.eye(300, 8, dtype=np.float32).tolist())})
        table = await db.create_table("t", rows)
        await table.create_index("vector", config=IvfFlat(num_partitions=2), wait_timeout=timedelta(seconds=60))
        await table.create_index("id", config=BTree(), name="by_id")
        await table.wait_for_index(["vector_idx", "by_id"], timedelta(seconds=60))
        assert [index.name for index in await table.list_indices()] == ["by_id", "vector_idx"]
        assert (await table.index_stats("vector_idx")).num_unindexed_rows == 0
        assert await table.index_stats("none") is None
        await table.prewarm_index("by_id")
        await table.drop_index("by_id")
        with pytest.raises(IndexNotFoundError):
            await table.drop_index("by_id")

    play(face, scenario, uri)


def test_versions(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS[:1])
        await table.add(VECTORS[1:2])
        await table.tags.create("first", 1)
        assert await table.tags.get_version("first") == 1
        assert list(await table.tags.list()) == ["first"]
        await table.checkout("first")
        assert (await table.version(), await table.count_rows()) == (1, 1)
        with pytest.raises(ReadOnlyTableError):
            await table.add(VECTORS)
        await table.checkout_latest()
        await table.restore(1)
        assert (await table.version(), await table.count_rows()) == (3, 1)
        assert [each["version"] for each in await table.list_versions()] == [1, 2, 3]
        await table.tags.update("first", 2)
        await table.tags.delete("first")
        with pytest.raises(VersionNotFoundError):
            await table.checkout("first")
        with pytest.raises(ValueError, match="checkout before running restore"):
            await table.restore()

    play(face, scenario, uri)


def test_branches(face: Face, tmp_path: Path) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS[:2])
        trial = await table.branches.create("trial")
        await trial.add(VECTORS[2:3])
        assert (await trial.count_rows(), await table.count_rows()) == (3, 2)
        assert list(await table.branches.list()) == ["trial"]
        assert await (await table.branches.checkout("trial", 1)).count_rows() == 2
        assert await (await db.open_table("t", branch="trial")).count_rows() == 3
        await table.branches.delete("trial")
        with pytest.raises(BranchNotFoundError):
            await table.branches.checkout("trial")

    play(face, scenario, tmp_path / "db")


def test_columns(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        await table.add_columns({"twice": "id * 2"})
        await table.alter_columns({"path": "twice", "rename": "double"})
        assert (await table.head(3))["double"].to_pylist() == [0, 2, 4]
        await table.drop_columns("n")
        assert (await table.schema()).names == ["id", "vector", "double"]

    play(face, scenario, uri)


def test_upkeep(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        table = await db.create_table("t", VECTORS)
        for row in VECTORS[:3]:
            await table.add([row])
        assert (await table.compact_files()).fragments_removed == 4
        done = await table.optimize(cleanup_older_than=timedelta(0))
        assert done.prune.old_versions > 0
        assert (await table.stats()).num_rows == 13
        assert (await table.cleanup_old_versions()).old_versions == 0

    play(face, scenario, uri)


def test_handles_of_one_process_show_the_same(face: Face, uri: str) -> None:
    async def scenario(db: Any) -> None:
        one = await db.create_table("t", VECTORS[:1])
        other = await db.open_table("t")
        await one.add(VECTORS[1:])
        assert await other.count_rows() == 10
        await other.checkout(1)
        assert (await one.count_rows(), await other.count_rows()) == (10, 1)

    play(face, scenario, uri, read_consistency_interval=timedelta(0))
