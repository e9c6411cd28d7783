from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from lancelike.embeddings.adapters import from_langchain
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources
from lancelike.integrations.langchain import LancelikeEmbeddings

TEXTS = ["The cat sat on the mat.", "Compress a file with gzip.", "A recipe for bread"]


@pytest.fixture
def embeddings() -> LancelikeEmbeddings:
    return LancelikeEmbeddings("hash", dim=32, source_prompt="stored ", query_prompt="asked ")


def test_it_is_one_of_langchain(embeddings: LancelikeEmbeddings) -> None:
    assert isinstance(embeddings, Embeddings)


def test_documents_and_queries(embeddings: LancelikeEmbeddings) -> None:
    documents = embeddings.embed_documents(TEXTS)
    np.testing.assert_allclose(documents, np.array(embed_sources(embeddings.function, TEXTS)), atol=1e-6)
    np.testing.assert_allclose(embeddings.embed_query("x"), embed_query(embeddings.function, "x"), atol=1e-6)
    assert all(type(number) is float for number in documents[0])
    assert embeddings.embed_query("x") != embeddings.embed_documents(["x"])[0]
    assert embeddings.embed_documents([]) == []


def test_awaited(embeddings: LancelikeEmbeddings) -> None:
    async def both() -> Any:
        return await embeddings.aembed_documents(TEXTS), await embeddings.aembed_query("x")

    assert asyncio.run(both()) == (embeddings.embed_documents(TEXTS), embeddings.embed_query("x"))


def test_in_a_vector_store_of_langchain(embeddings: LancelikeEmbeddings) -> None:
    store = InMemoryVectorStore.from_texts(TEXTS, embedding=LancelikeEmbeddings("hash", dim=256))
    assert store.similarity_search("a bread recipe", k=1)[0].page_content == TEXTS[2]


def test_there_and_back(embeddings: LancelikeEmbeddings) -> None:
    function = from_langchain(embeddings, name="there and back")
    np.testing.assert_allclose(embed_query(function, "x"), embeddings.embed_query("x"), atol=1e-6)
    assert function.ndims() == 32


def test_no_secret_is_shown() -> None:
    function = get_registry().get("hash").create()
    assert repr(LancelikeEmbeddings(function)) == f"LancelikeEmbeddings({function!r})"
