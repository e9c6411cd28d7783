"""CLIP models of the open_clip package: pictures and texts in one space."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from lancelike._optional import require
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.pixels import Pixels
from lancelike.embeddings.local.texts import valid_text
from lancelike.embeddings.local.towers import LocalTowers, Texts, loading
from lancelike.embeddings.local.unloaded import not_loaded
from lancelike.types import Modality, Vectors

CLASS = "OpenClipEmbeddings"
FOLDER, HUB = "local-dir:", "hf-hub:"
"""Before a name of which open_clip takes the weights, too, from one place."""
SPECIAL_TOKENS = 2


class LoadedClip(NamedTuple):
    """A model in memory, how it takes pictures and texts, and its vectors' length."""

    model: Any
    pixels: Pixels
    texts: Texts
    ndims: int


class OpenClipEmbeddings(LocalTowers):
    """A model of open_clip, loaded once per process for each name, checkpoint and device.

    Attributes:
        name: A model's name, such as `"ViT-B-32"`; a model's configuration as a local JSON file; a local folder with
            `open_clip_config.json` and the weights; or `"hf-hub:ORG/MODEL"`.
        pretrained: Which weights: a tag that open_clip knows for the model, or a local file (`.safetensors`, `.pt`).
            Not looked at where the name says it, too: of a folder, or of the hub.
        batch_size: Most pictures or texts in one pass through the model.
    """

    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text", "image"),
        runs="local",
        extra="open-clip",
        default_model="ViT-B-32",
        licence="MIT",
        ndims=512,
        context_tokens=77,
        limits="a longer text is an error, cut off, or averaged, as on_long says",
    )
    modalities: ClassVar[frozenset[Modality]] = frozenset({"text", "image"})

    name: str = "ViT-B-32"
    pretrained: str = "laion2b_s34b_b79k"
    batch_size: int = Field(64, ge=1)

    @model_validator(mode="after")
    def _weights_are_named(self) -> Self:
        if not self.pretrained and not _names_weights(model_place(self.name)):
            raise ValueError("pretrained names no weights, and a model without any knows nothing; give a tag or a file")
        return self

    def ndims(self) -> int:
        """Length of the vectors; loads the model."""
        return self._loaded.ndims

    def prepare_image(self, image: Any, /) -> Any:
        """The picture in the size that the model takes: its bytes, shape (height, width, 3), as a rule."""
        return self._loaded.pixels.prepare(image)

    def batch_images(self, prepared: list[Any], /) -> Any:
        """Pictures as the model takes them, a tensor of float32, shape (len(prepared), 3, height, width)."""
        return self._loaded.pixels.batch(prepared)

    def embed_images(self, batch: Any, /) -> Vectors:
        """Embed pictures as `batch_images` left them: float32, shape (len(batch), ndims())."""
        torch = require("torch", extra="open-clip", needed_by=CLASS)
        with torch.inference_mode():
            return self._vectors(self._loaded.model.encode_image(batch.to(self.device)))

    def embed_texts(self, texts: list[str], /) -> Vectors:
        """Embed *texts*: float32, shape (len(texts), ndims())."""
        torch = require("torch", extra="open-clip", needed_by=CLASS)
        model, side = self._loaded.model, self._loaded.texts
        with side.lock:
            tokens = side.tokenizer([valid_text(text) for text in texts])
        with torch.inference_mode():
            return self._vectors(model.encode_text(tokens.to(self.device)))

    @property
    def _loaded(self) -> LoadedClip:
        with loading:
            return _load(self.name, self.pretrained, self.device)

    def _text_side(self) -> Texts:
        return self._loaded.texts

    def _token_counts(self, tokenizer: Any, texts: list[str]) -> list[int]:
        if hasattr(tokenizer, "encode"):  # open_clip's own
            return [len(tokenizer.encode(text)) + SPECIAL_TOKENS for text in texts]
        cleaned = [tokenizer.clean_fn(text) for text in texts]
        return [len(tokenizer.tokenizer(text, truncation=False)["input_ids"]) for text in cleaned]


def model_place(name: str) -> str:
    """*name* as open_clip takes it; a folder is marked as one."""
    folder = Path(name).expanduser()
    return f"{FOLDER}{folder}" if folder.is_dir() else name


def _names_weights(place: str) -> bool:
    return place.startswith((FOLDER, HUB))


@cache
def _load(name: str, pretrained: str, device: str) -> LoadedClip:
    open_clip = require("open_clip", extra="open-clip", needed_by=CLASS)
    place, weights = model_place(name), Path(pretrained).expanduser()
    try:
        if (config := Path(name).expanduser()).suffix == ".json":
            open_clip.add_model_config(config)
            place = config.stem
        model, preprocess = open_clip.create_model_from_pretrained(
            place,
            pretrained=None if _names_weights(place) else str(weights) if weights.is_file() else pretrained,
            device=device,
        )
        tokenizer = open_clip.get_tokenizer(place)
    except Exception as error:
        hint = "give name= a folder, or pretrained= a file or a tag of the model while the hub can be reached"
        raise not_loaded("open-clip", name, error, hint, weights=pretrained) from error
    side = Texts(tokenizer, int(tokenizer.context_length), threading.Lock())
    model.eval()
    return LoadedClip(model, Pixels(preprocess), side, _length_of_vectors(model, tokenizer, device))


def _length_of_vectors(model: Any, tokenizer: Any, device: str) -> int:
    torch = require("torch", extra="open-clip", needed_by=CLASS)
    with torch.inference_mode():
        return int(np.shape(model.encode_text(tokenizer(["."]).to(device)))[-1])
