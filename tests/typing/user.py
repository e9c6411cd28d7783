"""What a user writes, as type checkers see it; nothing here is run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, assert_type

import numpy as np
import pandas as pd
import polars as pl

import lancelike
from lancelike import LancelikeError, Table, connect
from lancelike.context import contextualize
from lancelike.embeddings import EmbeddingFunctionConfig, TextEmbeddingFunction, get_registry, register
from lancelike.embeddings.providers.hash import HashEmbeddings
from lancelike.index import BTree, IvfPq
from lancelike.integrations.pyarrow import PyarrowDatasetAdapter
from lancelike.permutation import Permutation, Permutations, permutation_builder
from lancelike.pydantic import LanceModel
from lancelike.query import (
    AsyncFTSQuery,
    AsyncHybridQuery,
    AsyncQuery,
    AsyncVectorQuery,
    LanceEmptyQueryBuilder,
    LanceFtsQueryBuilder,
    LanceHybridQueryBuilder,
    LanceVectorQueryBuilder,
    MatchQuery,
)
from lancelike.rerankers import RRFReranker
from lancelike.types import AddResult, DeleteResult, EmbeddingPlan, EmbeddingReceipt, MergeResult, UpdateResult, Vectors


@register("typed-lengths")
class Lengths(TextEmbeddingFunction):
    """A function of one's own."""

    scale: float = 1.0

    def ndims(self) -> int:
        """One number."""
        return 1

    def generate_embeddings(self, texts: Sequence[str], /) -> Vectors:
        """The texts' lengths."""
        return np.array([[self.scale * len(text)] for text in texts], dtype=np.float32)


lengths = Lengths.create(scale=2.0)
assert_type(lengths, Lengths)
assert_type(HashEmbeddings.create(dim=32), HashEmbeddings)
model = get_registry().get("hash").create(dim=32)


class Doc(LanceModel):
    """A row."""

    id: int
    text: str = model.SourceField()
    vector: list[float] | None = model.VectorField(default=None)


def databases() -> Table:
    """Connect, create, open, list."""
    db = connect("data", read_consistency_interval=timedelta(0))
    assert_type(db, lancelike.DBConnection)
    assert_type(db.list_tables().tables, list[str])
    assert_type(db["docs"], Table)
    assert_type("docs" in db, bool)
    table = db.create_table("docs", schema=Doc, exist_ok=True)
    assert_type(table, Table)
    same: lancelike.table.LanceTable = db.open_table("docs")
    assert_type(len(same), int)
    return table


def writes(table: Table) -> None:
    """Add, merge, update, delete."""
    assert_type(table.add([Doc(id=1, text="hello"), Doc(id=2, text="world")]), AddResult)
    assert_type(table.add([{"id": 3, "text": "again"}], on_embedding_error="quarantine").embedding, EmbeddingReceipt)
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    assert_type(merge.execute([{"id": 1, "text": "new"}]), MergeResult)
    assert_type(table.update(where="id = 1", values={"text": "other"}), UpdateResult)
    assert_type(table.delete("id > 10"), DeleteResult)
    assert_type(table.plan([{"id": 4, "text": "x"}]), EmbeddingPlan)
    assert_type(table.plan_update("id = 1", {"text": "other"}), EmbeddingPlan)
    assert_type(table.embedding_functions, dict[str, EmbeddingFunctionConfig])


def reads(table: Table) -> list[Doc]:
    """Search and scan, in the forms that people want rows in."""
    query = table.search("greetings", query_type="vector").where("id > 0").limit(3).select(["id", "text"]).nprobes(3)
    assert_type(query, LanceVectorQueryBuilder)
    assert_type(query.distance_type("cosine"), LanceVectorQueryBuilder)
    scan = table.search().where("id > 0").limit(3).with_row_id()
    assert_type(scan, LanceEmptyQueryBuilder)
    assert_type(table.search([0.1, 0.2]).nprobes(3), LanceVectorQueryBuilder)
    assert_type(table.search(np.zeros(2), "vector").refine_factor(3), LanceVectorQueryBuilder)
    assert_type(table.search("words", query_type="fts").phrase_query(), LanceFtsQueryBuilder)
    assert_type(table.search(MatchQuery("words", "text")).limit(3), LanceFtsQueryBuilder)
    assert_type(table.search("words", query_type="hybrid").rerank(RRFReranker()), LanceHybridQueryBuilder)
    assert_type(table.search(query_type="hybrid").vector([0.1]).text("words"), LanceHybridQueryBuilder)
    either = table.search("greetings").where("id > 0").limit(3).rerank(RRFReranker())
    assert_type(either, LanceVectorQueryBuilder | LanceFtsQueryBuilder)
    assert_type(either.to_pydantic(Doc), list[Doc])
    assert_type(query.to_list(), list[dict[str, Any]])
    assert_type(scan.to_pandas(), pd.DataFrame)
    assert_type(query.to_polars(), pl.DataFrame)
    assert_type(table.to_polars(), pl.LazyFrame)
    assert_type(table.to_pandas(), pd.DataFrame)
    assert_type(table.take_row_ids([1, 2]).select(["id"]).to_pydantic(Doc), list[Doc])
    found = query.to_pydantic(Doc)
    assert_type(found, list[Doc])
    return found


async def awaited() -> list[Doc]:
    """The same with `await`."""
    db = await lancelike.connect_async("data")
    assert_type(db, lancelike.AsyncConnection)
    table = await db.open_table("docs")
    assert_type(table, lancelike.AsyncTable)
    assert_type(await table.add([Doc(id=1, text="hello")]), AddResult)
    assert_type(await table.count_rows(), int)
    found = await (await table.search("greetings")).limit(3).to_pydantic(Doc)
    assert_type(found, list[Doc])
    assert_type(await table.search(), AsyncQuery)
    assert_type(await table.search([0.1]), AsyncVectorQuery)
    assert_type(await table.search("greetings", query_type="vector"), AsyncVectorQuery)
    assert_type(await table.search("greetings"), AsyncVectorQuery | AsyncFTSQuery)
    assert_type(await table.search("words", query_type="fts"), AsyncFTSQuery)
    assert_type(await table.search("words", query_type="hybrid"), AsyncHybridQuery)
    nearest = table.query().nearest_to([0.0] * 32).where("id > 0").limit(3)
    assert_type(await nearest.to_list(), list[dict[str, Any]])
    return found


def upkeep(table: Table) -> None:
    """Indices, versions, embeddings."""
    table.create_index("vector", config=IvfPq(distance_type="cosine"))
    table.create_index("id", config=BTree())
    assert_type([index.name for index in table.list_indices()], list[str])
    table.checkout(1)
    table.checkout_latest()
    table.tags.create("first", 1)
    assert_type(table.reembed("vector", lengths), EmbeddingReceipt)
    assert_type(table.version, int)


def neighbours(table: Table, frame: pd.DataFrame) -> None:
    """What else reads a table."""
    assert_type(PyarrowDatasetAdapter(table).count_rows(), int)
    splits = Permutations(table, permutation_builder(table).split_random(fixed=2).shuffle(seed=1).execute())
    train = splits["train"].select_columns(["id"]).with_format("torch").with_batch_size(8)
    assert_type(train, Permutation)
    assert_type(Permutation.identity(table).shape, tuple[int, int])
    assert_type(contextualize(frame).window(3).stride(1).text_col("token").to_pandas(), pd.DataFrame)


def errors(table: Table) -> str:
    """One tree of them."""
    try:
        table.add([{"id": "x"}])
    except lancelike.errors.BadDataError as error:
        return f"{error.row} {error.column}"
    except LancelikeError as error:
        return str(error)
    return lancelike.__version__
