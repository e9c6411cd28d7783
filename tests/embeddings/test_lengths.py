"""Cutting texts at a number of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancelike.embeddings.base import TextEmbeddingFunction
from lancelike.embeddings.batching import embed_queries, embed_query
from lancelike.embeddings.lengths import cut, joined, long_texts
from lancelike.embeddings.registry import get_registry
from lancelike.errors import EmbeddingError, InputTooLong, SchemaError


def words(text: str) -> int:
    return len(text.split())


class Counting(TextEmbeddingFunction):
    """A word is a token; the vector says how many `a` and `b` there are."""

    def ndims(self) -> int:
        return 2

    def count_tokens(self, values: Sequence[Any]) -> list[int]:
        return [words(value) for value in values]

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        assert all(words(text) <= 4 for text in texts)
        return [[text.count("a"), text.count("b")] for text in texts]


@given(st.lists(st.text("ab ", max_size=8), max_size=60).map(" ".join), st.integers(1, 9))
def test_windows_are_full_and_together_the_whole_text(text: str, limit: int) -> None:
    windows = list(cut(text, words(text), limit, words))
    assert " ".join(" ".join(window.split()) for window, _ in windows) == " ".join(text.split())
    assert [weight for _, weight in windows] == [words(window) for window, _ in windows]
    assert all(weight == limit for _, weight in windows[:-1])


@given(st.text(max_size=200), st.integers(1, 20))
def test_a_word_over_the_limit_is_cut_within(text: str, limit: int) -> None:
    """Characters as tokens."""
    windows = list(cut(text, len(text), limit, len))
    assert "".join("".join(window.split()) for window, _ in windows) == "".join(text.split())
    assert all(len(window) == weight <= limit for window, weight in windows)


def test_a_limit_that_keeps_nothing_gives_nothing() -> None:
    assert list(cut("some text", 4, 1, lambda text: 2 + words(text))) == []


def test_few_counts_are_made() -> None:
    """A window takes about log2 of its words."""
    counted: list[str] = []

    def count(part: str) -> int:
        counted.append(part)
        return words(part)

    text = " ".join(f"word{number}" for number in range(20_000))
    windows = list(cut(text, 20_000, 256, count))
    assert len(windows) == 79
    assert len(counted) < 79 * 13


def test_a_mean_counts_by_tokens_and_keeps_unit_length() -> None:
    a, b = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    np.testing.assert_allclose(joined([a, b], [3, 1]), np.array([3, 1]) / 10**0.5, rtol=1e-6)
    np.testing.assert_allclose(joined([2 * a, 4 * b], [1, 1]), [1, 2])
    assert joined([a, b], [1, 1]).dtype == np.float32
    assert joined([np.ones((2, 3)), np.ones((1, 3))], [1, 1]).shape == (3, 3)


def test_bits_have_no_mean() -> None:
    class Bits(Counting):
        def vector_dtype(self) -> np.dtype[Any]:
            return np.dtype(np.uint8)

    [text] = long_texts(Bits(max_input_tokens=1, on_long="mean"), ["a b"]).values()
    assert not text.windows


def test_prompts_count() -> None:
    function = Counting(max_input_tokens=4, on_long="truncate", source_prompt="p: ", query_prompt="")
    [text] = long_texts(function, ["a b c d e", "a b c"], "source").values()
    assert (text.tokens, text.windows) == (6, ["a b c"])
    assert list(long_texts(function, ["a b c d e", "a b c d"], "query")) == [0]


def test_long_queries_follow_the_same_policy() -> None:
    with pytest.raises(InputTooLong, match=r"^the text has 5 tokens and Counting takes 4; split the text") as caught:
        embed_query(Counting(max_input_tokens=4), "a a a a b")
    assert (caught.value.tokens, caught.value.limit) == (5, 4)
    assert isinstance(caught.value, EmbeddingError | ValueError)
    with pytest.raises(InputTooLong, match=r"^row 1: "):
        embed_queries(Counting(max_input_tokens=4), ["a", "a a a a b"])
    assert embed_query(Counting(max_input_tokens=4, on_long="truncate"), "a a a a b").tolist() == [4, 0]
    mean = Counting(max_input_tokens=4, on_long="mean")
    vectors = np.stack(embed_queries(mean, ["b", "a a a a b b", "a"]))
    np.testing.assert_allclose(vectors, [[0.0, 1.0], [8 / 3, 2 / 3], [1.0, 0.0]])


def test_a_variable_gives_the_policy_for_functions_that_state_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Counting().long_policy() == "error"
    monkeypatch.setenv("LANCELIKE_ON_LONG", "truncate")
    assert Counting().long_policy() == "truncate"
    assert Counting(on_long="mean").long_policy() == "mean"
    monkeypatch.setenv("LANCELIKE_ON_LONG", "guess")
    with pytest.raises(SchemaError, match="error, truncate, mean, not 'guess'"):
        Counting().long_policy()


@pytest.mark.parametrize("name", ["sentence-transformers", "onnx", "default"])
def test_local_models_know_their_limit_and_count_as_they_read(name: str) -> None:
    """A text of exactly the limit is whole: one word more changes nothing that the model reads, one fewer does."""
    pytest.importorskip("sentence_transformers" if name == "sentence-transformers" else "onnxruntime")
    function = get_registry().get(name).create(on_long="truncate")
    assert function.input_limit() == 256
    assert function.count_tokens(["", "two words", "x " * 300]) == [2, 4, 302]
    [long] = long_texts(function, ["word " * 253 + "last beyond the limit"]).values()
    assert long.windows == ["word " * 253 + "last"]
    whole, more, less = (f"{'word ' * 253}{end}".strip() for end in ("last", "last beyond", ""))
    vectors = np.array(function.compute_source_embeddings([whole, more, less]))
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3
    assert function.create(max_input_tokens=10).input_limit() == 10
    assert function.create(max_input_tokens=1000).input_limit() == 256
