"""The contract that is offered to anyone, kept by the functions that run here, and able to tell those that break it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import PrivateAttr

from lancelike.embeddings import TextEmbeddingFunction, get_registry, register
from lancelike.embeddings.base import EmbeddingFunction
from lancelike.testing import EmbeddingFunctionContract, check_function


class TestHash(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("hash").create()


class TestSentenceTransformers(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("sentence-transformers").create(batch_size=16)


class TestDefault(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("default").create(batch_size=16)


class TestDefaultInt8(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("default").create(batch_size=16, precision="int8", max_length=64, on_long="truncate")


class TestOnnx(EmbeddingFunctionContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def use_folder(self, tiny_roberta: Path) -> None:
        self.folder = tiny_roberta

    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("onnx").create(name=str(self.folder), batch_size=7, on_long="mean")


class Broken(TextEmbeddingFunction):
    """Lengths of the text's first letters: fine as it is."""

    def ndims(self) -> int:
        return 3

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> list[float]:
        return [float(len(text)), float(sum(map(ord, text)) % 97), 1.0]


@register("contract-sound")
class Sound(Broken):
    pass


@register("contract-unordered")
class Unordered(Broken):
    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        return [self.vector(text) for text in sorted(texts)]


@register("contract-batch")
class DependsOnItsBatch(Broken):
    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        return [np.array(self.vector(text)) * len(texts) for text in texts]


@register("contract-unpicklable")
class Unpicklable(Broken):
    _lock: Any = PrivateAttr(default_factory=threading.Lock)


@register("contract-leaking")
class Leaking(Broken):
    api_key: str = "$var:CONTRACT_KEY"

    def __repr__(self) -> str:
        return f"Leaking({self.api_key})"


@register("contract-retrying")
class RetriesEverything(Broken):
    def classify_error(self, error: Exception) -> Any:
        return "retry"


@register("contract-constant")
class Constant(Broken):
    def vector(self, text: str) -> list[float]:
        return [1.0, 2.0, 3.0]


class Unregistered(Broken):
    pass


def broken_tests(function: EmbeddingFunction) -> set[str]:
    with pytest.raises(ExceptionGroup) as caught:
        check_function(function)
    return {note for error in caught.value.exceptions for note in error.__notes__}


def test_a_sound_function() -> None:
    check_function(Sound.create())


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Unordered, "test_order_is_kept"),
        (DependsOnItsBatch, "test_a_batch_equals_its_parts"),
        (Unpicklable, "test_it_can_be_pickled"),
        (RetriesEverything, "test_errors_are_classified"),
        (Constant, "test_other_texts_have_other_vectors"),
        (Unregistered, "test_a_table_can_store_it"),
    ],
)
def test_a_broken_function(broken: type[EmbeddingFunction], test: str) -> None:
    assert test in broken_tests(broken.create())


def test_a_function_that_shows_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRACT_KEY", "s3cret-value")
    assert broken_tests(Leaking.create(api_key="$var:CONTRACT_KEY")) == {"test_secrets_stay_secret"}


def test_a_contract_without_a_function() -> None:
    with pytest.raises(NotImplementedError, match="make_function"):
        EmbeddingFunctionContract().test_queries()
