"""CLIP and SigLIP models of transformers and of sentence-transformers: real classes with small random weights."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lancelike
from lancelike._optional import require
from lancelike.cli.drawings import Drawing, draw
from lancelike.embeddings import get_registry
from lancelike.embeddings.local.towers import LocalTowers
from lancelike.embeddings.providers.clip import ClipEmbeddings
from lancelike.embeddings.providers.siglip import SigLipEmbeddings
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import EmbeddingFunctionUnavailable, InputTooLong
from lancelike.pydantic import LanceModel, Vector
from lancelike.testing import EmbeddingFunctionContract
from tests.embeddings.local import tiny_towers
from tests.embeddings.local.tiny_towers import embed

TEXTS = ["a red circle", "a small blue ring", "star"]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_towers.save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_towers.save_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> ClipEmbeddings:
    return get_registry().get("clip").create(name=str(clip_folder))  # type: ignore[return-value]  # the class by name


@pytest.fixture(scope="module")
def siglip(siglip_folder: Path) -> SigLipEmbeddings:
    return get_registry().get("siglip").create(model_name=str(siglip_folder))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    rng = random.Random(3)
    shown = [Drawing("red", "circle", "left"), Drawing("blue", "ring", "top"), Drawing("green", "star", "middle")]
    return [draw(each, rng, side=side) for each, side in zip(shown, (32, 50, 97), strict=True)]


def unit(features: Any) -> Any:
    vectors = np.asarray(getattr(features, "pooler_output", features))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_clip_is_transformers_own(clip: ClipEmbeddings, clip_folder: Path, pictures: list[Any]) -> None:
    lib, torch = tiny_towers.transformers(), require("torch", extra="clip", needed_by="the test")
    model, processor = lib.CLIPModel.from_pretrained(clip_folder), lib.CLIPProcessor.from_pretrained(clip_folder)
    with torch.no_grad():
        outputs = model(**processor(text=TEXTS, images=pictures, return_tensors="pt", padding=True))
    np.testing.assert_allclose(embed(clip, TEXTS), np.asarray(outputs.text_embeds), atol=1e-5)
    np.testing.assert_allclose(embed(clip, pictures), np.asarray(outputs.image_embeds), atol=1e-5)


def test_siglip_pads_as_in_its_training(siglip: SigLipEmbeddings, siglip_folder: Path, pictures: list[Any]) -> None:
    lib, torch = tiny_towers.transformers(), require("torch", extra="siglip", needed_by="the test")
    model, processor = (
        lib.SiglipModel.from_pretrained(siglip_folder),
        lib.SiglipProcessor.from_pretrained(siglip_folder),
    )
    tokens = processor.tokenizer(TEXTS, return_tensors="pt", padding="max_length", max_length=12)
    with torch.no_grad():
        texts = model.get_text_features(input_ids=tokens["input_ids"])
        images = model.get_image_features(**processor.image_processor(images=pictures, return_tensors="pt"))
    np.testing.assert_allclose(embed(siglip, TEXTS), unit(texts), atol=1e-5)
    np.testing.assert_allclose(embed(siglip, pictures), unit(images), atol=1e-5)


def test_a_model_of_sentence_transformers(clip: ClipEmbeddings, clip_folder: Path, tmp_path: Path) -> None:
    """Its older CLIP models have transformers' folder within theirs."""
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "0_CLIPModel").symlink_to(clip_folder)
    np.testing.assert_array_equal(embed(ClipEmbeddings.create(name=str(tmp_path)), TEXTS), embed(clip, TEXTS))


def test_vectors_are_those_of_sentence_transformers(
    clip: ClipEmbeddings, clip_folder: Path, pictures: list[Any]
) -> None:
    package = require("sentence_transformers", extra="clip", needed_by="the test")
    model = package.SentenceTransformer(str(clip_folder), device="cpu")
    np.testing.assert_allclose(embed(clip, TEXTS), model.encode(TEXTS, normalize_embeddings=True), atol=1e-5)
    np.testing.assert_allclose(embed(clip, pictures), model.encode(pictures, normalize_embeddings=True), atol=1e-5)


def test_a_table(clip: ClipEmbeddings, pictures: list[Any], tmp_path: Path) -> None:
    class Picture(LanceModel):
        id: int
        file: str = clip.SourceField()
        vector: Vector(clip.ndims()) = clip.VectorField()  # type: ignore[valid-type]  # made by a call

    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    table = lancelike.connect(tmp_path / "db").create_table("pictures", schema=Picture)
    table.add([{"id": i, "file": str(tmp_path / f"{i}.png")} for i in range(len(pictures))])
    found = [table.search(picture).limit(1).to_list()[0]["id"] for picture in pictures]
    assert found == [0, 1, 2]


def test_a_long_text_is_not_cut_in_silence(clip: ClipEmbeddings) -> None:
    assert clip.input_limit() == 12
    assert clip.count_tokens(["a red ring " * 9]) == [29]
    with pytest.raises(InputTooLong):
        embed_sources(clip, ["a red ring " * 9])


def test_a_model_of_another_kind() -> None:
    folder = Path(__file__).parents[2] / "models" / "tiny-clap"
    with pytest.raises(EmbeddingFunctionUnavailable, match="ClapModel, which has no get_image_features"):
        ClipEmbeddings.create(name=str(folder)).ndims()


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match="'clip-ViT-B-32' can't be loaded"):
        ClipEmbeddings.create().ndims()


def test_defaults_of_siglip_are_lancedbs() -> None:
    function = SigLipEmbeddings.create()
    settings = (function.model_name, function.device, function.batch_size, function.normalize)
    assert settings == ("google/siglip-base-patch16-224", "cpu", 64, True)


class TestClipContract(EmbeddingFunctionContract):
    texts = TEXTS
    long_text = "one word after another " * 500

    @pytest.fixture(autouse=True)
    def _at(self, clip_folder: Path) -> None:
        self._folder = clip_folder

    def make_function(self) -> LocalTowers:
        return get_registry().get("clip").create(name=str(self._folder), on_long="mean")  # type: ignore[return-value]


class TestSigLipContract(TestClipContract):
    @pytest.fixture(autouse=True)
    def _at(self, siglip_folder: Path) -> None:
        self._folder = siglip_folder

    def make_function(self) -> LocalTowers:
        siglip = get_registry().get("siglip")
        return siglip.create(model_name=str(self._folder), on_long="mean")  # type: ignore[return-value]
