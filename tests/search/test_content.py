"""Searching for what the column's function embeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import PrivateAttr

from lancelike.embeddings.base import TextEmbeddingFunction
from lancelike.errors import EmbeddingError, QueryError, QueryTimeoutError
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.storage.dataset import Dataset

from .conftest import Make, search, vectors_column

WORDS = ["apple", "banana", "cherry", "damson"]


class Letters(TextEmbeddingFunction):
    """Counts of the letters a to h; keeps what it was asked, and can be slow or broken."""

    delay_s: float = 0
    broken: bool = False
    _requests: list[list[str]] = PrivateAttr(default_factory=list)

    def ndims(self) -> int:
        return 8

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        if self.broken:
            raise ValueError("no such model")
        time.sleep(self.delay_s)
        self._requests.append(list(texts))
        return [[text.count(letter) for letter in "abcdefgh"] for text in texts]


def bound(function: Any, column: str = "vector") -> EmbeddingFunctionConfig:
    return EmbeddingFunctionConfig(column, "text", function)


@pytest.fixture
def words(make: Make) -> Dataset:
    vectors = np.array(Letters().generate_embeddings(WORDS), np.float32)
    return make(pa.table({"text": WORDS, "vector": vectors_column(vectors)}))


def test_text_is_embedded_when_the_query_runs(words: Dataset) -> None:
    function = Letters()
    query = search(words, "cherry", None, bound(function)).limit(1).select(["text"])
    assert query.output_schema().names == ["text", "_distance"]
    assert "KNNVectorDistance" in query.explain_plan()
    assert function._requests == []
    assert query.to_list() == [{"text": "cherry", "_distance": 0.0}]
    assert query.to_batches().read_all()["text"].to_pylist() == ["cherry"]
    assert "output_rows" in query.analyze_plan()
    assert function._requests == [["cherry"]], "the text is remembered"


def test_texts_are_embedded_in_one_request(words: Dataset) -> None:
    function = Letters()
    query = search(words, ["banana", "apple"], None, bound(function)).limit(1).select(["text"])
    assert "queries=2" in query.explain_plan()
    assert query.to_arrow().to_pydict() == {
        "query_index": [0, 1],
        "text": ["banana", "apple"],
        "_distance": [0.0, 0.0],
    }
    assert function._requests == [["banana", "apple"]]


def test_a_vector_needs_no_function(words: Dataset) -> None:
    function = Letters(broken=True)
    vector = Letters().generate_embeddings(["damson"])[0]
    assert search(words, vector, None, bound(function)).limit(1).to_list()[0]["text"] == "damson"


def test_content_without_a_function(words: Dataset) -> None:
    with pytest.raises(QueryError, match="column 'vector' has no registered embedding function"):
        search(words, "apple").to_list()


def test_the_bound_column_is_searched(make: Make) -> None:
    vectors = np.array(Letters().generate_embeddings(WORDS), np.float32)
    table = make(pa.table({"text": WORDS, "other": vectors_column(vectors + 9), "vector": vectors_column(vectors)}))
    binding = bound(Letters())
    assert search(table, "apple", None, binding).limit(1).to_list()[0]["_distance"] == 0
    with pytest.raises(QueryError, match=r"specify the vector column name.*Candidates: \['vector', 'other'\]"):
        search(table, "apple", None, binding, bound(Letters(), "other")).to_list()
    assert search(table, "apple", "other", binding, bound(Letters(), "other")).limit(1).to_list()[0]["_distance"] > 0
    with pytest.raises(QueryError, match="column 'other' has no registered embedding function"):
        search(table, "apple", "other", binding).to_list()


def test_a_failure_keeps_its_cause(words: Dataset) -> None:
    with pytest.raises(EmbeddingError, match="no such model") as caught:
        search(words, "apple", None, bound(Letters(broken=True))).to_list()
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_timeout_covers_the_embedding(words: Dataset) -> None:
    query = search(words, "apple", None, bound(Letters(delay_s=5)))
    started = time.monotonic()
    with pytest.raises(QueryTimeoutError, match="Query timeout") as caught:
        query.to_list(timeout=timedelta(seconds=0.2))
    assert time.monotonic() - started < 2
    assert caught.value.timeout_s == 0.2
    with pytest.raises(QueryTimeoutError):
        search(words, ["a", "b"], None, bound(Letters(delay_s=5))).to_batches(timeout=timedelta(seconds=0.1))


def test_several_contents_of_a_multivector_column(make: Make) -> None:
    kind = pa.list_(pa.list_(pa.float32(), 8))
    table = make(pa.table({"text": ["a"], "vector": pa.array([[[1.0] * 8]], kind)}))
    with pytest.raises(QueryError, match="one thing at a time"):
        search(table, ["a", "b"], None, bound(Letters())).to_list()
