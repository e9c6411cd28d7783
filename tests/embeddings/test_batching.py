from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import PrivateAttr

from lancelike.embeddings.base import EmbeddingFunction, TextEmbeddingFunction
from lancelike.embeddings.batching import embed_queries, embed_query
from lancelike.embeddings.providers.hash import HashEmbeddings
from lancelike.embeddings.requests import embed_sources
from lancelike.embeddings.retrying import CallStats
from lancelike.errors import BadEmbeddingError, EmbeddingError, EmbeddingTimeoutError
from tests.embeddings.flaky_service import Answer, FlakyService, HttpEmbeddings, vector_of


class Recorder(TextEmbeddingFunction):
    """Vectors (length of text, 1); remembers each request."""

    _asked: list[list[str]] = PrivateAttr(default_factory=list)

    def ndims(self) -> int:
        return 2

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        self._asked.append(list(texts))
        return [[len(text), 1] for text in texts]


class Answering(EmbeddingFunction):
    """Answers with what it is given to answer."""

    answer: Any = None

    def ndims(self) -> int:
        return 2

    def compute_source_embeddings(self, values: Any, /) -> Any:
        return self.answer

    def compute_query_embeddings(self, query: Any, /) -> Any:
        return self.answer


@given(st.lists(st.none() | st.text(max_size=5), max_size=20), st.integers(1, 7))
def test_every_value_gets_its_vector_and_none_is_never_sent(values: list[str | None], batch_size: int) -> None:
    function = Recorder(batch_size=batch_size)
    vectors = embed_sources(function, values)
    assert [None if v is None else v.tolist() for v in vectors] == [None if t is None else [len(t), 1] for t in values]
    sent = [text for request in function._asked for text in request]
    assert sent == [text for text in values if text is not None]
    assert all(0 < len(request) <= batch_size for request in function._asked)
    assert len(function._asked) == -(-len(sent) // batch_size)


def test_vectors_are_contiguous_float32() -> None:
    for answer in ([[1, 2], [3, 4]], np.arange(4, dtype=np.float64).reshape(2, 2).T, [np.ones(4)[::2], (3, 4)]):
        for vector in embed_sources(Answering(answer=answer), ["a", "b"]):
            assert vector is not None
            assert vector.dtype == np.float32
            assert vector.shape == (2,)
            assert vector.flags.c_contiguous


def test_a_generator_of_vectors_will_do() -> None:
    vectors = embed_sources(Answering(answer=(v for v in ([1, 2], [3, 4]))), ["a", "b"])
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4]])


def test_multivectors_are_arrays_of_two_dimensions() -> None:
    ragged = [np.ones((3, 2)), np.zeros((1, 2))]
    shapes = [v.shape for v in embed_sources(Answering(answer=ragged), ["a", "b"]) if v is not None]
    assert shapes == [(3, 2), (1, 2)]


def test_a_function_may_have_another_dtype() -> None:
    class Binary(Answering):
        def vector_dtype(self) -> np.dtype[Any]:
            return np.dtype(np.uint8)

    vector = embed_query(Binary(answer=[[0, 255]]), "a")
    assert vector.dtype == np.uint8
    assert vector.tolist() == [0, 255]


@pytest.mark.parametrize(
    ("answer", "row", "problem"),
    [
        ([[1, 2]] * 3, 1, "answered 3 vectors for 1 inputs"),
        (None, 1, "answered None in place of vectors"),
        ("vectors", 1, "answered 'vectors' in place of vectors"),
        ({"data": []}, 1, "in place of vectors"),
        (7, 1, "answered 7 in place of vectors"),
        ([[1, 2], None], 3, "answered None in place of a vector"),
        ([[1, 2], "ab"], 3, "answered 'ab' in place of a vector"),
        ([1.0, 2.0], 1, "answered 1.0 in place of a vector"),
        ([[1, 2], [1, 2, 3]], 3, r"length 3 where its ndims\(\) says 2"),
        ([[1, 2, 3]] * 2, 1, r"length 3 where its ndims\(\) says 2"),
        ([[1, 2], []], 3, "length 0"),
        ([[1, 2], [1, float("nan")]], 3, "NaN or infinity"),
        ([[1, float("inf")], [1, 2]], 1, "NaN or infinity"),
        ([[1, 2], [1, 1e300]], 3, "NaN or infinity"),
    ],
)
def test_a_bad_answer_is_an_error_at_its_row(answer: Any, row: int, problem: str) -> None:
    with pytest.raises(BadEmbeddingError, match=problem) as caught:
        embed_sources(Answering(answer=answer), [None, "a", None, "b"])
    assert caught.value.row == row
    assert str(caught.value).startswith(f"row {row}: Answering answered")
    assert isinstance(caught.value, ValueError)


def test_a_refused_request_is_halved_to_the_row_at_fault(service: FlakyService) -> None:
    service.script = [Answer(), Answer(503), Answer(), Answer(400), Answer(400)]
    stats = CallStats()
    with pytest.raises(EmbeddingError) as caught:
        embed_sources(HttpEmbeddings(url=service.url, batch_size=2), ["a", None, "b", "c", "d", "e", "f"], stats=stats)
    assert caught.value.row == 5
    assert [len(request) for request in service.requests] == [2, 2, 2, 2, 1]
    assert (stats.requests, stats.retries) == (4, 1)


def test_prompts_go_before_texts_by_role() -> None:
    function = Recorder(source_prompt="passage: ", query_prompt="query: ")
    embed_sources(function, ["a"])
    embed_query(function, "b")
    embed_queries(function, ["c", "d"])
    function.compute_query_embeddings("e")
    assert function._asked == [["passage: a"], ["query: b"], ["query: c", "query: d"], ["query: e"]]


class Overriding(Recorder):
    """Has its own way of embedding, as LanceDB's users write it: one query at a time, and no prompts."""

    def compute_source_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
        return self.generate_embeddings([text.upper() for text in self.sanitize_input(texts)])

    def compute_query_embeddings(self, query: str, *args: Any, **kwargs: Any) -> Any:
        return self.generate_embeddings([query.upper()])


def test_prompts_are_put_before_texts_for_functions_with_their_own_ways() -> None:
    function = Overriding(source_prompt="passage: ", query_prompt="query: ")
    embed_sources(function, ["a"])
    embed_queries(function, ["b", "c"])
    assert function._asked == [["PASSAGE: A"], ["QUERY: B"], ["QUERY: C"]]


def test_prompts_leave_what_is_no_text_alone() -> None:
    assert Answering(source_prompt="passage: ").prompted([b"png", "a"], "source") == [b"png", "passage: a"]


def test_queries_embed_as_sources_do_where_only_these_have_their_own_way() -> None:
    class Shouting(Recorder):
        def compute_source_embeddings(self, texts: Any, /) -> Any:
            return self.generate_embeddings([text.upper() for text in texts])

    function = Shouting(source_prompt="passage: ", query_prompt="query: ")
    embed_query(function, "b")
    assert function._asked == [["QUERY: B"]]


def test_a_function_that_applies_prompts_gets_bare_texts() -> None:
    class Native(Overriding):
        applies_prompts: ClassVar[bool] = True

    function = Native(source_prompt="passage: ", query_prompt="query: ")
    embed_sources(function, ["a"])
    embed_query(function, "b")
    assert function._asked == [["A"], ["B"]]


def test_queries_of_a_text_function_are_one_request() -> None:
    function = Recorder(batch_size=3)
    vectors = embed_queries(function, ["a", "bb", "ccc", "dddd"])
    assert [v.tolist() for v in vectors] == [[1, 1], [2, 1], [3, 1], [4, 1]]
    assert function._asked == [["a", "bb", "ccc"], ["dddd"]]


def test_a_bad_answer_to_a_query_is_an_error_too() -> None:
    with pytest.raises(BadEmbeddingError, match="answered 2 vectors for 1 inputs"):
        embed_query(Answering(answer=[[1, 2], [3, 4]]), "a")
    with pytest.raises(BadEmbeddingError) as caught:
        embed_queries(Answering(answer=[[1, float("nan")]]), ["a", "b"])
    assert caught.value.row == 0


def test_a_query_has_the_time_it_is_given(service: FlakyService) -> None:
    service.script = [Answer(delay_s=0.6)]
    function = HttpEmbeddings(url=service.url)
    began = time.monotonic()
    with pytest.raises(EmbeddingTimeoutError, match=r"did not answer within 0\.1 s") as caught:
        embed_query(function, "a", timeout_s=0.1)
    assert time.monotonic() - began < 0.5
    assert caught.value.timeout_s == 0.1
    assert embed_query(function, "ab", timeout_s=5).tolist() == vector_of("ab")


def test_time_up_ends_the_retries_as_well(service: FlakyService) -> None:
    service.script = [Answer(503, {"Retry-After": "0.3"})] * 20
    with pytest.raises(EmbeddingTimeoutError):
        embed_queries(HttpEmbeddings(url=service.url), ["a", "b"], timeout_s=0.1)
    asked = len(service.requests)
    time.sleep(0.8)
    assert len(service.requests) - asked <= 1


def test_errors_within_the_time_are_themselves(service: FlakyService) -> None:
    service.script = [Answer(400)]
    with pytest.raises(EmbeddingError, match="HTTP Error 400") as caught:
        embed_query(HttpEmbeddings(url=service.url), "a", timeout_s=5)
    assert not isinstance(caught.value, TimeoutError)


def test_no_thread_is_left_waiting() -> None:
    before = threading.active_count()
    embed_query(HashEmbeddings(), "a", timeout_s=5)
    time.sleep(0.05)
    assert threading.active_count() <= before


def test_nothing_to_embed_leaves_the_function_alone() -> None:
    class Untouchable(Answering):
        def ndims(self) -> int:
            raise AssertionError("asked")

    assert embed_sources(Untouchable(), []) == []
    assert embed_sources(Untouchable(), [None, None]) == [None, None]


def test_a_failing_ndims_is_an_embedding_error() -> None:
    class Nowhere(Answering):
        def ndims(self) -> int:
            raise KeyError("no-such-model")

    with pytest.raises(EmbeddingError, match="no-such-model") as caught:
        embed_sources(Nowhere(answer=[[1, 2]]), ["a"])
    assert caught.value.row == 0
