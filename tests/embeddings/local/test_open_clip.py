"""Pictures and texts through open_clip, with a small CLIP that was trained on drawn pictures."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import lancelike
from lancelike._optional import require
from lancelike.cli.drawings import COLOURS, SHAPES, Drawing, draw, every_drawing
from lancelike.embeddings import EmbeddingFunction, get_registry
from lancelike.embeddings.providers import open_clip as open_clip_provider
from lancelike.embeddings.providers.open_clip import OpenClipEmbeddings
from lancelike.errors import EmbeddingFunctionUnavailable, ModelDriftError, SchemaError
from lancelike.ledger import drift
from lancelike.media import Image
from lancelike.pydantic import LanceModel, Vector
from lancelike.testing import EmbeddingFunctionContract
from tests.embeddings.local.tiny_towers import embed

FOLDER = Path(__file__).parents[2] / "models" / "tiny-clip"
KINDS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
DRAWINGS = list(every_drawing())
SEED = 2026


def tiny(**settings: Any) -> OpenClipEmbeddings:
    return OpenClipEmbeddings.create(**{"name": str(FOLDER), **settings})


def encoded(image: Any, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind, quality=92)
    return file.getvalue()


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    """One of everything, none of which the model has seen."""
    rng = random.Random(SEED)
    return [draw(drawing, rng, side=96) for drawing in DRAWINGS]


@pytest.fixture(scope="module")
def album(pictures: list[Any], tmp_path_factory: pytest.TempPathFactory) -> lancelike.Table:
    """Pictures as JPEG, embedded, with what they show; and the captions, embedded as texts."""
    clip = get_registry().get("open-clip").create(name=str(FOLDER))

    class Picture(LanceModel):
        kind: str
        caption: str = clip.SourceField()
        picture: bytes = clip.SourceField()
        picture_vector: Vector(48) = clip.VectorField(source="picture")  # type: ignore[valid-type]  # made by a call
        caption_vector: Vector(48) = clip.VectorField(source="caption")  # type: ignore[valid-type]

    table = lancelike.connect(tmp_path_factory.mktemp("album")).create_table("album", schema=Picture)
    table.add(
        [
            {"kind": drawing.kind, "caption": f"a {drawing.kind}", "picture": encoded(picture)}
            for drawing, picture in zip(DRAWINGS, pictures, strict=True)
        ]
    )
    return table


def first(table: lancelike.Table, query: Any, column: str = "picture_vector") -> dict[str, Any]:
    found: dict[str, Any] = table.search(query, vector_column_name=column).limit(1).to_list()[0]
    return found


def test_a_text_finds_a_picture(album: lancelike.Table) -> None:
    right = [first(album, f"a photo of a {kind}")["kind"] == kind for kind in KINDS]
    assert np.mean(right) >= 0.95


def test_a_text_ranks_all_pictures_of_it_first(album: lancelike.Table) -> None:
    found = [album.search(kind, vector_column_name="picture_vector").limit(5).to_list() for kind in KINDS]
    assert np.mean([row["kind"] == kind for kind, rows in zip(KINDS, found, strict=True) for row in rows]) >= 0.9


def test_a_picture_finds_words(album: lancelike.Table) -> None:
    rng = random.Random(SEED + 1)
    right = [first(album, draw(each, rng, side=64), "caption_vector")["kind"] == each.kind for each in DRAWINGS]
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize("form", [lambda image: image, encoded, lambda image: Image(encoded(image, "PNG")), np.asarray])
def test_a_picture_finds_others_of_the_same(album: lancelike.Table, form: Callable[[Any], Any]) -> None:
    """Pictures that are not in the table: as a PIL image, as bytes, as an Image, and as an array."""
    rng = random.Random(SEED + 2)
    asked = DRAWINGS[::2]
    right = [first(album, form(draw(each, rng, side=120)))["kind"] == each.kind for each in asked]
    assert np.mean(right) >= 0.9


def test_vectors_are_open_clips_own(pictures: list[Any]) -> None:
    open_clip = require("open_clip", extra="open-clip", needed_by="the test")
    torch = require("torch", extra="open-clip", needed_by="the test")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{FOLDER}")
    tokens = open_clip.get_tokenizer(f"local-dir:{FOLDER}")([f"a {kind}" for kind in KINDS])
    model.eval()
    with torch.no_grad():
        images = model.encode_image(torch.stack([preprocess(picture) for picture in pictures[:70]]), normalize=True)
        texts = model.encode_text(tokens, normalize=True)
    made = embed(tiny(batch_size=16), [*pictures[:70], *(f"a {kind}" for kind in KINDS)])
    np.testing.assert_allclose(made[:70], np.asarray(images), atol=1e-5)
    np.testing.assert_allclose(made[70:], np.asarray(texts), atol=1e-5)


def test_a_batch_equals_its_parts(pictures: list[Any]) -> None:
    together = embed(tiny(batch_size=7), pictures[:20])
    alone = [embed(tiny(), [picture])[0] for picture in pictures[:20]]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)


def test_vectors_as_long_as_the_model_makes_them(pictures: list[Any]) -> None:
    (raw,), (unit,) = embed(tiny(normalize=False), pictures[:1]), embed(tiny(), pictures[:1])
    assert abs(np.linalg.norm(raw) - 1) > 0.1
    np.testing.assert_allclose(raw / np.linalg.norm(raw), unit, atol=1e-5)


def test_a_configuration_and_a_checkpoint_of_ones_own(tmp_path: Path, pictures: list[Any]) -> None:
    """What was trained elsewhere: a JSON file of the model's shape, and a file of its weights."""
    open_clip = require("open_clip", extra="open-clip", needed_by="the test")
    torch = require("torch", extra="open-clip", needed_by="the test")
    config = tmp_path / "my-shapes.json"
    config.write_text(json.dumps(json.loads((FOLDER / "open_clip_config.json").read_text())["model_cfg"]))
    torch.save(open_clip.create_model(f"local-dir:{FOLDER}").state_dict(), tmp_path / "weights.pt")
    function = OpenClipEmbeddings.create(name=str(config), pretrained=str(tmp_path / "weights.pt"))
    np.testing.assert_allclose(embed(function, ["a red star"]), embed(tiny(), ["a red star"]), atol=1e-5)
    assert embed(function, pictures[:1])[0].shape == (48,)


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(SchemaError, match="pretrained names no weights"):
        OpenClipEmbeddings.create(name="RN50", pretrained="")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "open_clip_config.json", tmp_path)
    with pytest.raises(EmbeddingFunctionUnavailable, match="could not be loaded"):
        OpenClipEmbeddings.create(name=str(tmp_path)).ndims()


@pytest.mark.parametrize(("name", "pretrained"), [("ViT-B-32", "no-such-tag"), ("no-such-model", "openai")])
def test_a_model_that_is_not_there(name: str, pretrained: str) -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match=f"the model '{name}, {pretrained}' can't be loaded"):
        OpenClipEmbeddings.create(name=name, pretrained=pretrained).ndims()


def test_defaults_are_lancedbs() -> None:
    function = OpenClipEmbeddings.create()
    settings = (function.name, function.pretrained, function.device, function.batch_size, function.normalize)
    assert settings == ("ViT-B-32", "laion2b_s34b_b79k", "cpu", 64, True)


class TestContract(EmbeddingFunctionContract):
    texts: ClassVar = tuple(Drawing(*words).caption for words in [("red", "star", "left"), ("blue", "ring", "top")])
    long_text: ClassVar[str] = "one word after another " * 500

    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("open-clip").create(name=str(FOLDER), on_long="mean")


def test_another_model_in_the_same_folder_is_noticed(tmp_path: Path, pictures: list[Any]) -> None:
    """Also if only what embeds pictures is another: texts have the vectors they had."""
    torch = require("torch", extra="open-clip", needed_by="the test")
    folder = Path(shutil.copytree(FOLDER, tmp_path / "model"))

    def open_table() -> lancelike.Table:
        open_clip_provider._load.cache_clear()
        drift._fresh.clear()
        clip = get_registry().get("open-clip").create(name=str(folder))

        class Picture(LanceModel):
            picture: bytes = clip.SourceField()
            vector: Vector(48) = clip.VectorField()  # type: ignore[valid-type]  # made by a call

        return lancelike.connect(tmp_path / "db").create_table("pictures", schema=Picture, exist_ok=True)

    open_table().add([{"picture": encoded(pictures[0])}])
    open_table().add([{"picture": encoded(pictures[1])}])
    weights = load_file(folder / "open_clip_model.safetensors")
    changed = {name: torch.zeros_like(w) if name.startswith("visual.layer4") else w for name, w in weights.items()}
    save_file(changed, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelDriftError, match="open-clip is not the model"):
        open_table().add([{"picture": encoded(pictures[2])}])
    with pytest.raises(ModelDriftError):
        open_table().search("a red star").limit(1).to_list()
