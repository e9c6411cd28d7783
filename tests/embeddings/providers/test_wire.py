"""Every remote function through its real SDK, against a server that speaks its provider's wire format."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lancelike.embeddings import EmbeddingFunction, get_registry
from lancelike.embeddings.batching import embed_queries, embed_query
from lancelike.embeddings.requests import embed_sources
from lancelike.embeddings.retrying import CallStats
from lancelike.errors import EmbeddingError, EmbeddingFunctionUnavailable, RetryDeadlineExceeded, VariableNotFoundError
from tests.embeddings.providers.cases import CASES, Case
from tests.embeddings.wire import KEY, NDIMS, Failure, WireServer, vector

# The packages leave it to the collector to close their connections.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

RETRY_AFTER = Failure(429, {"retry-after": "0.03"})


KEYED = [case for case in CASES if case.variable]
KEY_OPTIONAL = {"tei", "huggingface-api", "openai"}
"""Functions that work without a key on an address of one's own."""
KEY_NEEDED = [case for case in KEYED if case.name not in KEY_OPTIONAL or "use_azure" in case.settings]
ASKED = [case for case in CASES if case.name != "gemini-text" and str(case) != "bedrock-nova"]
"""Cases without the gemini models and Nova, which are told how long their vectors are to be."""


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    found: Case = request.param
    if found.variable:
        monkeypatch.setenv(found.variable, KEY)
    return found


@pytest.fixture
def server(case: Case) -> Iterator[WireServer]:
    with WireServer(case.protocol()).running() as running:
        yield running


@pytest.fixture
def function(case: Case, server: WireServer) -> EmbeddingFunction:
    return case.make(server)


def expected(texts: list[str], name: str) -> Any:
    vectors = np.array([vector(text) for text in texts])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if name == "gemini-text" else vectors


def test_each_text_gets_its_own_vector_in_order(case: Case, server: WireServer, function: EmbeddingFunction) -> None:
    texts = ["first", "second one", "dritter Satz mit Umlaut: ä", "第四", "\U0001f9ed and\nlines"]
    vectors = embed_sources(function, texts)
    np.testing.assert_allclose(np.array(vectors), expected(texts, case.name), rtol=1e-5, atol=1e-6)
    assert all(v is not None and v.dtype == np.float32 for v in vectors)
    assert server.tokens == sum(len(text.split()) for text in texts)
    assert len(server.calls) == -(-len(texts) // (case.texts_in_a_call or len(texts)))


def test_more_texts_than_the_service_takes_go_out_in_several_requests(
    case: Case, server: WireServer, function: EmbeddingFunction
) -> None:
    most = min(case.texts_in_a_call or function.batch_size, function.batch_size)
    texts = [f"text {i}" for i in range(function.batch_size + 3)]
    vectors = embed_sources(function, texts)
    np.testing.assert_allclose(np.array(vectors), expected(texts, case.name), rtol=1e-5, atol=1e-6)
    assert max(map(len, server.texts)) == most <= server.protocol.max_inputs
    assert sorted(text for batch in server.texts for text in batch) == sorted(texts)


def test_nulls_are_not_sent(server: WireServer, function: EmbeddingFunction) -> None:
    vectors = embed_sources(function, [None, "a", None])
    assert [v is None for v in vectors] == [True, False, True]
    assert server.texts == [["a"]]


def test_queries_are_sent_as_queries(case: Case, server: WireServer, function: EmbeddingFunction) -> None:
    query = embed_query(function, "a question")
    embed_sources(function, ["an answer"])
    np.testing.assert_allclose(query, expected(["a question"], case.name)[0], rtol=1e-5, atol=1e-6)
    if case.roles:
        asked, stored = server.protocol.role(server.calls[0]), server.protocol.role(server.calls[1])
        assert (stored, asked) == case.roles


def test_several_queries_are_one_request(case: Case, server: WireServer, function: EmbeddingFunction) -> None:
    vectors = embed_queries(function, ["one", "two", "three"])
    np.testing.assert_allclose(np.array(vectors), expected(["one", "two", "three"], case.name), rtol=1e-5, atol=1e-6)
    assert len(server.calls) == (3 if case.texts_in_a_call == 1 else 1)


def test_prompts_are_put_before_texts_once(case: Case, server: WireServer) -> None:
    function = case.make(server, source_prompt="passage: ", query_prompt="query: ")
    embed_sources(function, ["a"])
    embed_query(function, "b")
    assert server.texts == [["passage: a"], ["query: b"]]


def test_the_wait_that_a_service_asks_for_is_kept(case: Case, server: WireServer, function: EmbeddingFunction) -> None:
    server.failures.append(RETRY_AFTER)
    stats = CallStats()
    vectors = embed_sources(function, ["a"], stats=stats)
    np.testing.assert_allclose(np.array(vectors), expected(["a"], case.name), rtol=1e-5, atol=1e-6)
    assert (stats.requests, stats.retries) == (1, 1)
    if case.name != "ollama":  # whose package drops the headers of an error
        assert stats.slept_s == pytest.approx(0.03)


@pytest.mark.parametrize("failure", [Failure(500), Failure(503), Failure(drop=True)], ids=["500", "503", "dropped"])
def test_what_may_pass_is_tried_again(failure: Failure, server: WireServer, function: EmbeddingFunction) -> None:
    server.failures.extend([failure, failure])
    stats = CallStats()
    assert embed_sources(function, ["a"], stats=stats)[0] is not None
    assert (stats.retries, len(server.calls)) == (2, 3)


def test_the_package_does_not_try_again_by_itself(case: Case, server: WireServer) -> None:
    function = case.make(server, max_retries=0)
    server.failures.extend([Failure(503)] * 5)
    with pytest.raises(EmbeddingError) as caught:
        embed_sources(function, ["a"])
    assert len(server.calls) == 1
    assert caught.value.__cause__ is not None
    assert not isinstance(caught.value, RetryDeadlineExceeded)


def test_a_long_text_is_refused_once_and_placed(case: Case, server: WireServer) -> None:
    function = case.make(server, batch_size=2, max_concurrency=1)
    with pytest.raises(EmbeddingError) as caught:
        embed_sources(function, ["short", "short", None, "word " * 60])
    assert caught.value.row == 3
    assert "too long" in str(caught.value)
    assert server.texts[-1] == ["word " * 60]
    assert sum(batch == ["word " * 60] for batch in server.texts) == 1


@pytest.mark.parametrize("case", KEYED, ids=str, indirect=True)
def test_a_refused_key_is_not_tried_again_and_not_shown(case: Case, server: WireServer) -> None:
    server.key = "another"
    with pytest.raises(EmbeddingError) as caught:
        embed_sources(case.make(server, max_concurrency=1), ["a", "b", "c"])
    assert KEY not in str(caught.value)
    assert "key" in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("case", KEY_NEEDED, ids=str, indirect=True)
def test_a_missing_key_is_named_before_any_request(
    case: Case, server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert case.variable is not None
    monkeypatch.delenv(case.variable)
    with pytest.raises((EmbeddingFunctionUnavailable, VariableNotFoundError), match=case.variable):
        embed_sources(case.make(server), ["a"])
    assert server.requests == []


def test_a_missing_package_is_named_with_its_extra(
    case: Case, server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = case.make(server)
    monkeypatch.setitem(sys.modules, case.package, None)
    with pytest.raises(EmbeddingFunctionUnavailable, match=r"pip install 'lancelike\[[a-z-]+\]'") as caught:
        embed_sources(function, ["a"])
    assert isinstance(caught.value.__cause__, ImportError)
    assert server.requests == []


@pytest.mark.parametrize("case", ASKED, ids=str, indirect=True)
def test_an_unknown_model_is_asked_once_for_its_length(case: Case, server: WireServer) -> None:
    function = case.make(server, ndims=None)
    assert [function.ndims(), function.ndims()] == [NDIMS, NDIMS]
    assert len(server.calls) == 1


def test_a_stated_length_asks_nobody(server: WireServer, function: EmbeddingFunction) -> None:
    assert function.ndims() == NDIMS
    assert server.requests == []


def test_a_copy_of_it_works_and_no_secret_is_stored(
    case: Case, server: WireServer, function: EmbeddingFunction
) -> None:
    embed_sources(function, ["a"])
    copy = pickle.loads(pickle.dumps(function))
    again = get_registry().make(case.name, function.safe_model_dump())
    np.testing.assert_array_equal(embed_sources(copy, ["b"]), embed_sources(again, ["b"]))
    assert copy == again == function
    assert KEY not in repr(function) + str(function.stored())
