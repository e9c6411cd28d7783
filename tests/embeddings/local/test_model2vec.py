from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model2vec import StaticModel

from lancelike.embeddings.base import EmbeddingFunction
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.providers.model2vec import Model2VecEmbeddings
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import EmbeddingFunctionUnavailable
from lancelike.testing import EmbeddingFunctionContract

TEXTS = ["A recipe for bread", "The engine of a car", "A lullaby for the baby", "", "file.txt", "\udc00"]


@pytest.fixture
def function(static_model: Path) -> EmbeddingFunction:
    return get_registry().get("model2vec").create(name=str(static_model))


class TestContract(EmbeddingFunctionContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def use_folder(self, static_model: Path) -> None:
        self.folder = static_model

    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("model2vec").create(name=str(self.folder), batch_size=100)


def test_vectors_are_the_packages(function: EmbeddingFunction, static_model: Path) -> None:
    expected = StaticModel.from_pretrained(static_model).encode(TEXTS[:5])
    np.testing.assert_allclose(function.compute_source_embeddings(TEXTS[:5]), expected, atol=1e-6)
    assert function.ndims() == 64


def test_like_texts_are_near(function: EmbeddingFunction) -> None:
    stored = np.array(embed_sources(function, TEXTS[:3]))
    assert int(np.argmax(stored @ embed_query(function, "how do I bake a loaf of bread?"))) == 0


def test_shorter_vectors(function: EmbeddingFunction, static_model: Path) -> None:
    short = Model2VecEmbeddings.create(name=str(static_model), dim=16, normalize=False)
    whole = Model2VecEmbeddings.create(name=str(static_model), normalize=False)
    assert short.ndims() == 16
    np.testing.assert_allclose(
        short.generate_embeddings(TEXTS), np.asarray(whole.generate_embeddings(TEXTS))[:, :16], atol=1e-5
    )


def test_no_texts(function: EmbeddingFunction) -> None:
    assert np.shape(function.compute_source_embeddings([])) == (0, 64)


def test_no_such_model() -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match="can't be loaded"):
        Model2VecEmbeddings.create(name="no/such-model").ndims()


def test_it_needs_no_torch(static_model: Path) -> None:
    program = (
        "import sys\n"
        "from lancelike.embeddings import get_registry\n"
        f"print(get_registry().get('model2vec').create(name={str(static_model)!r}).ndims())\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout.split("\n")[:2] == ["64", "[]"]
