"""Objects of other kinds as embedding functions, and tables that say what they need."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from lancelike.embeddings.adapters import CallableFunction, from_callable, from_langchain, from_llama_index
from lancelike.embeddings.base import EmbeddingFunction, TextEmbeddingFunction
from lancelike.embeddings.batching import embed_queries, embed_query
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import EmbeddingError, EmbeddingFunctionUnavailable
from lancelike.testing import EmbeddingFunctionContract

TEXTS = ["one", "two words", "three short words"]


def lengths(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), float(sum(map(ord, text)) % 251), 1.0] for text in texts]


def negative_lengths(texts: list[str]) -> Any:
    return -np.array(lengths(texts))


async def slow_lengths(texts: list[str]) -> list[list[float]]:
    await asyncio.sleep(0.001)
    return lengths(texts)


class Measure:
    """A callable object with a setting."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, texts: list[str]) -> Any:
        return self.factor * np.array(lengths(texts))


class Roles:
    """Shaped like a LangChain object: what is asked, and of what."""

    model = "roles-1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(("documents", len(texts)))
        return lengths(texts)

    def embed_query(self, text: str) -> list[float]:
        self.calls.append(("query", 1))
        return [-x for x in lengths([text])[0]]


class Index:
    """Shaped like a LlamaIndex object."""

    model_name = "index-1"

    def get_text_embedding_batch(self, texts: list[str]) -> list[list[float]]:
        return lengths(texts)

    def get_query_embedding(self, query: str) -> list[float]:
        return [-x for x in lengths([query])[0]]


class TestFunctionContract(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return from_callable(lengths, query=negative_lengths)


class TestObjectContract(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return from_callable(Measure(2.0), name="twice")


class TestAsyncContract(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return from_callable(slow_lengths)


class TestLangChainContract(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return from_langchain(DeterministicFakeEmbedding(size=16))


class TestLlamaIndexContract(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return from_llama_index(Index())


def test_documents_and_queries_are_kept_apart() -> None:
    roles = Roles()
    function = from_langchain(roles, dim=3)
    assert roles.calls == []
    np.testing.assert_array_equal(np.array(embed_sources(function, TEXTS)), lengths(TEXTS))
    np.testing.assert_array_equal(embed_query(function, "one"), [-x for x in lengths(["one"])[0]])
    np.testing.assert_array_equal(np.array(embed_queries(function, TEXTS)), -np.array(lengths(TEXTS)))
    assert roles.calls == [("documents", 3), *[("query", 1)] * 4]


def test_queries_of_llama_index_are_its_queries() -> None:
    np.testing.assert_array_equal(embed_query(from_llama_index(Index()), "one"), [-x for x in lengths(["one"])[0]])


def test_dimensions_are_asked_for_once() -> None:
    roles = Roles()
    function = from_langchain(roles)
    assert function.ndims() == function.ndims() == 3
    assert roles.calls == [("query", 1)]


def test_what_a_table_stores() -> None:
    assert from_langchain(Roles()).stored() == {
        "name": "langchain",
        "model": {"object_name": "roles-1", "object_class": f"{__name__}:Roles", "dim": 3},
    }
    assert from_callable(lengths).stored()["model"]["object_name"] == "lengths"


def test_a_table_opened_without_the_object_says_what_it_needs() -> None:
    model = {"object_name": "gone", "object_class": "somewhere:Gone", "dim": 3}
    with pytest.raises(EmbeddingFunctionUnavailable, match=r"from_langchain\(it, name='gone'\)") as caught:
        get_registry().make("langchain", model)
    assert "somewhere:Gone" in str(caught.value)


def test_a_table_finds_the_object_once_it_is_given() -> None:
    metadata = {
        b"embedding_functions": b'[{"name": "langchain", "source_column": "text", "vector_column": "vector", "model": '
        b'{"object_name": "later", "object_class": "' + __name__.encode() + b':Roles", "dim": 3}}]'
    }
    (binding,) = get_registry().bindings(metadata)
    assert binding.function.ndims() == 3
    with pytest.raises(EmbeddingFunctionUnavailable, match="not in this process"):
        embed_query(binding.function, "one")
    from_langchain(Roles(), name="later")
    assert embed_query(binding.function, "one").shape == (3,)


def test_another_length_is_another_object() -> None:
    stored = from_langchain(DeterministicFakeEmbedding(size=8), name="sized").stored()
    from_langchain(DeterministicFakeEmbedding(size=9), name="sized")
    with pytest.raises(EmbeddingFunctionUnavailable):
        get_registry().make(**stored)


def test_two_objects_of_a_class_by_name() -> None:
    once, twice = from_callable(Measure(1), name="once"), from_callable(Measure(2), name="twice")
    for function, factor in ((once, 1), (twice, 2)):
        assert get_registry().make(**function.stored()) is function
        np.testing.assert_array_equal(embed_query(function, "one"), factor * np.array(lengths(["one"])[0]))


def test_a_table_imports_nothing_for_it(tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
    program = (
        "from lancelike.embeddings import get_registry\n"
        "model = {'object_name': 'x', 'object_class': 'trap:embed', 'dim': 2}\n"
        "try: get_registry().make('callable', model)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120, cwd=tmp_path
    )
    assert ran.stdout == "EmbeddingFunctionUnavailable\n"


class TestAsync:
    def test_where_a_loop_runs_already(self) -> None:
        async def add() -> Any:
            return embed_sources(from_callable(slow_lengths), TEXTS)

        np.testing.assert_array_equal(np.array(asyncio.run(add())), lengths(TEXTS))

    def test_one_loop_for_all_requests(self) -> None:
        """A client that belongs to the loop of its first request is usable in the next."""
        loops: set[int] = set()

        async def embed(texts: list[str]) -> list[list[float]]:
            loops.add(id(asyncio.get_running_loop()))
            return lengths(texts)

        function = from_callable(embed)
        embed_query(function, "one")
        embed_sources(function, TEXTS)
        assert len(loops) == 1

    def test_failures_come_through(self) -> None:
        async def embed(texts: list[str]) -> list[list[float]]:
            raise LookupError("no such text")

        with pytest.raises(EmbeddingError, match="no such text") as caught:
            embed_sources(from_callable(embed, dim=3), TEXTS)
        assert isinstance(caught.value.__cause__, LookupError)


def test_what_has_not_the_methods() -> None:
    with pytest.raises(TypeError, match="no embed_documents and no embed_query; give a LangChain Embeddings"):
        from_langchain(object())
    with pytest.raises(TypeError, match="give a LlamaIndex BaseEmbedding"):
        from_llama_index(Roles())
    with pytest.raises(TypeError, match="can't be called"):
        from_callable(3)  # type: ignore[arg-type]  # the mistake under test


def test_create_finds_what_was_given() -> None:
    given = from_callable(lengths, name="given")
    found = get_registry().get("callable").create(object_name="given", object_class=f"{__name__}:lengths")
    assert found is given
    assert isinstance(found, CallableFunction)


def test_an_async_def_has_several_requests_under_way() -> None:
    under_way, most = 0, 0

    async def embed(texts: list[str]) -> list[list[float]]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return [[1.0]] * len(texts)

    embed_sources(from_callable(embed, dim=1, batch_size=1, max_concurrency=3), [str(i) for i in range(9)])
    assert most == 3
    assert from_callable(embed, dim=1).max_concurrency == 8
    assert from_callable(lengths).max_concurrency == 1


def test_a_class_may_give_its_methods_as_async_def() -> None:
    class Awaited(TextEmbeddingFunction):
        batch_size: int = 2
        max_concurrency: int = 4

        def ndims(self) -> int:
            return 1

        async def generate_embeddings(self, texts: Any, /) -> Any:  # type: ignore[override]  # what is under test
            await asyncio.sleep(0)
            return [[float(len(text))] for text in texts]

    vectors = embed_sources(Awaited(), ["a", "bb", "ccc"])
    assert [float(vector[0]) for vector in vectors if vector is not None] == [1.0, 2.0, 3.0]
    assert float(embed_query(Awaited(), "dddd")[0]) == 4.0
