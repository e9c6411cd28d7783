from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode

from lancelike.embeddings.adapters import from_llama_index
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import SchemaError
from lancelike.integrations.llama_index import LARGEST_BATCH, LancelikeEmbedding

TEXTS = ["The cat sat on the mat.", "Compress a file with gzip.", "A recipe for bread"]


@pytest.fixture
def embedding() -> LancelikeEmbedding:
    function = get_registry().get("hash").create(dim=32, source_prompt="stored ", query_prompt="asked ", batch_size=2)
    return LancelikeEmbedding(function)


def test_texts_and_queries(embedding: LancelikeEmbedding) -> None:
    assert isinstance(embedding, BaseEmbedding)
    texts = embedding.get_text_embedding_batch(TEXTS)
    np.testing.assert_allclose(texts, np.array(embed_sources(embedding._function, TEXTS)), atol=1e-6)
    np.testing.assert_allclose(embedding.get_text_embedding(TEXTS[0]), texts[0])
    query = embedding.get_query_embedding(TEXTS[0])
    np.testing.assert_allclose(query, embed_query(embedding._function, TEXTS[0]), atol=1e-6)
    assert query != texts[0]
    assert type(query[0]) is float


def test_settings_by_keyword(embedding: LancelikeEmbedding) -> None:
    small = LancelikeEmbedding("hash", dim=4, embed_batch_size=3)
    assert (len(small.get_text_embedding("x")), small.embed_batch_size) == (4, 3)
    assert small.function_settings["dim"] == 4
    with pytest.raises(SchemaError, match="dimensions"):
        LancelikeEmbedding("hash", dimensions=4)
    with pytest.raises(TypeError, match=r"dim: give these to the function's own create\(\)"):
        LancelikeEmbedding(embedding._function, dim=4)


def test_awaited(embedding: LancelikeEmbedding) -> None:
    async def all_ways() -> Any:
        one = await embedding.aget_text_embedding(TEXTS[0])
        return one, await embedding.aget_text_embedding_batch(TEXTS), await embedding.aget_query_embedding("x")

    one, many, query = asyncio.run(all_ways())
    assert one == many[0]
    assert many == embedding.get_text_embedding_batch(TEXTS)
    assert query == embedding.get_query_embedding("x")


def test_nodes(embedding: LancelikeEmbedding) -> None:
    nodes = embedding([TextNode(text=text) for text in TEXTS])
    assert [len(node.embedding or []) for node in nodes] == [32, 32, 32]


def test_it_is_made_again_from_its_dictionary(embedding: LancelikeEmbedding) -> None:
    kept = json.loads(json.dumps(embedding.to_dict()))
    again = LancelikeEmbedding.from_dict(kept)
    assert again.get_query_embedding("x") == embedding.get_query_embedding("x")
    assert again.embed_batch_size == 2


def test_by_name() -> None:
    embedding = LancelikeEmbedding("hash", function_settings={"dim": 8, "batch_size": 5000})
    assert len(embedding.get_query_embedding("x")) == 8
    assert embedding.embed_batch_size == LARGEST_BATCH
    assert embedding.class_name() == "LancelikeEmbedding"


def test_there_and_back(embedding: LancelikeEmbedding) -> None:
    function = from_llama_index(embedding, name="there and back")
    np.testing.assert_allclose(embed_query(function, "x"), embedding.get_query_embedding("x"), atol=1e-6)
    np.testing.assert_allclose(np.array(embed_sources(function, TEXTS)), embedding.get_text_embedding_batch(TEXTS))
