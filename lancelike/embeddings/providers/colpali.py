"""ColPali and its kin: a vector for each part of a page's picture and each word of a question, compared by MaxSim."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from lancelike._optional import require
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.texts import valid_text
from lancelike.embeddings.local.towers import loading
from lancelike.embeddings.local.unloaded import not_loaded
from lancelike.embeddings.media import MediaEmbeddingFunction
from lancelike.embeddings.providers.sentence_transformers import no_progress_bar
from lancelike.errors import EmbeddingFunctionUnavailable
from lancelike.types import Modality, Vectors

CLASS = "ColPaliEmbeddings"


class LoadedPages(NamedTuple):
    """A model in memory, its processor, and the lock to hold while that works on texts."""

    model: Any
    processor: Any
    lock: threading.Lock


class ColPaliEmbeddings(MediaEmbeddingFunction):
    """A ColPali, ColQwen2 or ColModernVBERT of transformers; for columns of type `MultiVector(ndims)`.

    Attributes:
        model_name: A local folder, or a model's name on the Hugging Face hub, saved by transformers (`...-hf`).
        device: Where it runs; `"auto"` for a GPU if there is one.
        dtype: Type of the weights and of the arithmetic; the vectors are float32 all the same.
        use_token_pooling: Whether the vectors of a picture are pooled; those of texts never are.
        pooling_strategy: `"hierarchical"` puts the vectors of a picture that are most alike together and keeps the mean
            of each group; None keeps them all.
        pool_factor: How many vectors there are for each that is kept.
        batch_size: Most pictures or texts in one pass through the model.
    """

    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text", "image"),
        runs="local",
        extra="colpali",
        default_model="vidore/colqwen2-v1.0-hf",
        ndims=128,
        limits="several vectors for each input",
    )
    modalities: ClassVar[frozenset[Modality]] = frozenset({"text", "image"})

    model_name: str = "vidore/colqwen2-v1.0-hf"
    device: str = "auto"
    dtype: Literal["float32", "float16", "bfloat16"] = "bfloat16"
    use_token_pooling: bool = True
    pooling_strategy: Literal["hierarchical"] | None = "hierarchical"
    pool_factor: int = Field(2, ge=1)
    batch_size: int = Field(2, ge=1)

    def ndims(self) -> int:
        """Length of each of an input's vectors; loads the model."""
        return int(self._loaded.model.config.embedding_dim)

    def embed_images(self, batch: list[Any], /) -> list[Vectors]:
        """Embed pictures: for each, float32 of shape (m, ndims()), rows of unit length."""
        pages = self._vectors(self._loaded.processor.process_images(images=batch, return_tensors="pt"))
        if self.use_token_pooling and self.pooling_strategy:
            return [pooled(page, self.pool_factor) for page in pages]
        return pages

    def embed_texts(self, texts: list[str], /) -> list[Vectors]:
        """Embed *texts*: for each, float32 of shape (m, ndims()), rows of unit length."""
        loaded = self._loaded
        with loaded.lock:
            tokens = loaded.processor.process_queries(
                text=[valid_text(text) for text in texts], return_tensors="pt", padding=True
            )
        return self._vectors(tokens)

    def _vectors(self, inputs: Any) -> list[Vectors]:
        torch = require("torch", extra="colpali", needed_by=CLASS)
        model = self._loaded.model
        given = {name: value.to(model.device) for name, value in inputs.items() if name != "labels"}
        with torch.inference_mode():
            vectors = model(**given).embeddings.float().cpu().numpy()
        counts = np.asarray(inputs["attention_mask"], dtype=bool)
        return [unit(each[counted]) for each, counted in zip(vectors, counts, strict=True)]

    @property
    def _loaded(self) -> LoadedPages:
        with loading:
            return _load(self.model_name, self.device, self.dtype)


def pooled(vectors: Vectors, factor: int) -> Vectors:
    """Of *vectors*, shape (m, ndims), those most alike put together by Ward's method, and the mean of each group.

    Returns:
        At most m // factor of them, and at least one, of unit length; as the groups' first members follow each other.
    """
    groups = max(1, len(vectors) // factor)
    if groups == len(vectors):
        return vectors
    hierarchy = require("scipy.cluster.hierarchy", extra="colpali", needed_by="pooling_strategy='hierarchical'")
    labels = hierarchy.fcluster(hierarchy.linkage(vectors, "ward"), groups, "maxclust")
    order = dict.fromkeys(labels.tolist())
    return unit(np.stack([vectors[labels == label].mean(axis=0) for label in order]))


def unit(vectors: Vectors) -> Vectors:
    """*vectors* of unit length, which 16 bits leave them near."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


@cache
def _load(name: str, device: str, dtype: str) -> LoadedPages:
    transformers = require("transformers", extra="colpali", needed_by=CLASS)
    torch = require("torch", extra="colpali", needed_by=CLASS)
    folder = Path(name).expanduser()
    place = str(folder) if folder.is_dir() else name
    try:
        with no_progress_bar():
            model = transformers.AutoModelForPreTraining.from_pretrained(place, dtype=getattr(torch, dtype))
        processor = transformers.AutoProcessor.from_pretrained(place)
    except Exception as error:
        hint = "give model_name= a folder that transformers saved, or a model of the hub while the hub can be reached"
        raise not_loaded("colpali", name, error, hint) from error
    if not hasattr(model.config, "embedding_dim") or not hasattr(processor, "process_queries"):
        raise EmbeddingFunctionUnavailable(
            f"the model {name!r} is a {type(model).__name__}, which embeds no pages",
            function="colpali",
            hint="give a ColPali, ColQwen2 or ColModernVBERT that transformers saved",
        )
    on = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return LoadedPages(model.to(on).eval(), processor, threading.Lock())
