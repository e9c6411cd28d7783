"""One embedding function known to both libraries, and a database that both have open."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # LanceDB's own, at import
    import lancedb
    from lancedb.embeddings import EmbeddingFunctionRegistry as TheirRegistry
    from lancedb.embeddings import TextEmbeddingFunction as TheirTextEmbeddingFunction

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, get_registry

NDIMS = len(ascii_lowercase)
ALIAS = "letters"
FUNCTIONS_KEY = b"embedding_functions"


def count_letters(texts: Sequence[str], scale: float) -> list[list[float]]:
    """How often each letter is in each text, times *scale*."""
    return [[scale * text.lower().count(letter) for letter in ascii_lowercase] for text in texts]


class OurLetters(TextEmbeddingFunction):
    scale: float = 1.0

    def ndims(self) -> int:
        return NDIMS

    def generate_embeddings(self, texts: Sequence[str], /) -> list[list[float]]:
        return count_letters(texts, self.scale)


class TheirLetters(TheirTextEmbeddingFunction):  # type: ignore[misc]  # LanceDB's classes are untyped here
    scale: float = 1.0

    def ndims(self) -> int:
        return NDIMS

    def generate_embeddings(self, texts: Sequence[str], *args: Any, **kwargs: Any) -> list[list[float]]:
        return count_letters(list(texts), self.scale)


@pytest.fixture(autouse=True)
def _letters() -> None:
    """Both registries know `letters`, whatever an earlier test forgot."""
    get_registry().register(ALIAS)(OurLetters)
    TheirRegistry.get_instance().register(ALIAS)(TheirLetters)


@pytest.fixture
def ours(tmp_path: Path) -> lancelike.DBConnection:
    return lancelike.connect(tmp_path / "db")


@pytest.fixture
def theirs(tmp_path: Path) -> Any:
    return lancedb.connect(tmp_path / "db")
