"""Several vectors for each page: transformers' real classes with small random weights."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lancelike
from lancelike._optional import require
from lancelike.cli.drawings import Drawing, draw
from lancelike.embeddings import get_registry
from lancelike.embeddings.providers.colpali import ColPaliEmbeddings, pooled
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import EmbeddingFunctionUnavailable
from lancelike.pydantic import LanceModel, MultiVector
from tests.embeddings.local import tiny_towers

TEXTS = ["a red ring", "small blue star of a large ring", "green"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_towers.save_colpali(tmp_path_factory.mktemp("colpali"))


@pytest.fixture(scope="module")
def colpali(folder: Path) -> ColPaliEmbeddings:
    function = get_registry().get("colpali").create(model_name=str(folder), dtype="float32", device="cpu")
    assert isinstance(function, ColPaliEmbeddings)
    return function


@pytest.fixture(scope="module")
def pages() -> list[Any]:
    rng = random.Random(3)
    shown = [Drawing("red", "circle", "left"), Drawing("blue", "ring", "top"), Drawing("green", "star", "middle")]
    return [draw(each, rng, side=40) for each in shown]


def embed(function: ColPaliEmbeddings, values: list[Any]) -> list[NDArray[np.float32]]:
    return [vector for vector in embed_sources(function, values) if vector is not None]


def test_vectors_are_transformers_own(folder: Path, pages: list[Any]) -> None:
    lib, torch = tiny_towers.transformers(), require("torch", extra="colpali", needed_by="the test")
    model = lib.ColPaliForRetrieval.from_pretrained(folder).eval()
    processor = lib.ColPaliProcessor.from_pretrained(folder)
    whole = ColPaliEmbeddings.create(model_name=str(folder), dtype="float32", device="cpu", pooling_strategy=None)
    with torch.no_grad():
        inputs = processor.process_images(images=pages, return_tensors="pt")
        images = model(**{name: value for name, value in inputs.items() if name != "labels"}).embeddings
        (text,) = model(**processor.process_queries(text=TEXTS[:1], return_tensors="pt")).embeddings
    for made, expected in zip(embed(whole, pages), images, strict=True):
        np.testing.assert_allclose(made, np.asarray(expected), atol=1e-5)
    np.testing.assert_allclose(embed(whole, TEXTS)[0], np.asarray(text), atol=1e-5)


def test_padding_leaves_no_vectors(colpali: ColPaliEmbeddings) -> None:
    """A short text beside a long one has as many vectors as alone, and the same."""
    for together, text in zip(embed(colpali, TEXTS), TEXTS, strict=True):
        np.testing.assert_allclose(together, embed(colpali, [text])[0], atol=1e-5)


def test_pages_are_pooled_and_texts_are_not(colpali: ColPaliEmbeddings, folder: Path, pages: list[Any]) -> None:
    whole = ColPaliEmbeddings.create(model_name=str(folder), dtype="float32", device="cpu", use_token_pooling=False)
    assert [len(page) for page in embed(colpali, pages)] == [len(page) // 2 for page in embed(whole, pages)]
    assert [len(text) for text in embed(colpali, TEXTS)] == [len(text) for text in embed(whole, TEXTS)]


def test_pooling_puts_the_like_together() -> None:
    near = np.array([[1, 0], [0, 1], [1, 0.01], [0.01, 1]], dtype=np.float32)
    np.testing.assert_allclose(pooled(near, 2), [[1, 0], [0, 1]], atol=0.01)
    np.testing.assert_array_equal(pooled(near, 1), near)
    assert len(pooled(near[:1], 3)) == 1


def test_the_nearest_page_is_that_of_maxsim(colpali: ColPaliEmbeddings, pages: list[Any], tmp_path: Path) -> None:
    class Page(LanceModel):
        id: int
        file: str = colpali.SourceField()
        vector: MultiVector(8) = colpali.VectorField()  # type: ignore[valid-type]  # made by a call

    for i, page in enumerate(pages):
        page.save(tmp_path / f"{i}.png")
    table = lancelike.connect(tmp_path / "db").create_table("pages", schema=Page)
    table.add([{"id": i, "file": str(tmp_path / f"{i}.png")} for i in range(len(pages))])
    stored = embed(colpali, pages)
    for query in [*TEXTS, *pages]:
        (asked,) = embed(colpali, [query])
        sums = [float((asked @ page.T).max(axis=1).sum()) for page in stored]
        found = table.search(query).distance_type("cosine").limit(3).to_list()
        assert found[0]["id"] == int(np.argmax(sums))


def test_a_model_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match=r"embeds no pages|can't be loaded"):
        ColPaliEmbeddings.create(model_name=str(tiny_towers.save_clip(tmp_path))).ndims()


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match=r"'vidore/colqwen2-v1.0-hf' can't be loaded"):
        ColPaliEmbeddings.create().ndims()
