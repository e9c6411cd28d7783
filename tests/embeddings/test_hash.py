from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancelike.embeddings import get_registry
from lancelike.embeddings.providers.hash import HashEmbeddings
from lancelike.errors import SchemaError


@given(st.lists(st.text(), max_size=5), st.integers(1, 70))
def test_vectors_are_unit_length_and_finite(texts: list[str], dim: int) -> None:
    vectors = HashEmbeddings(dim=dim).generate_embeddings(texts)
    assert vectors.shape == (len(texts), dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_texts_are_near_as_far_as_they_share_words() -> None:
    cat, same, near, far = HashEmbeddings(dim=256).generate_embeddings(
        ["The cat sat on the mat.", "the CAT sat, on the mat", "a cat sat on a mat", "stock prices fell sharply"]
    )
    assert cat @ same == pytest.approx(1)
    assert cat @ near > 0.5 > 0.3 > abs(cat @ far)


def test_a_batch_equals_its_parts() -> None:
    function, texts = HashEmbeddings(), ["a", "b c", "", "d e f"]
    alone = np.concatenate([function.generate_embeddings([text]) for text in texts])
    np.testing.assert_array_equal(function.generate_embeddings(texts), alone)


def test_vectors_are_the_same_in_every_process() -> None:
    script = (
        "from lancelike.embeddings.providers.hash import HashEmbeddings;"
        "print(HashEmbeddings(dim=3).generate_embeddings(['hello world']).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(HashEmbeddings(dim=3).generate_embeddings(["hello world"]).tolist())


def test_dim_is_a_setting() -> None:
    function = get_registry().get("hash").create(dim=12)
    assert (function.ndims(), function.stored()) == (12, {"name": "hash", "model": {"dim": 12}})
    assert get_registry().get("hash").create().ndims() == 64
    with pytest.raises(SchemaError, match="dim: Input should be greater than or equal to 1"):
        get_registry().get("hash").create(dim=0)
