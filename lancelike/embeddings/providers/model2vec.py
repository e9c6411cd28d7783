"""Static embeddings: a vector per token, averaged; no transformer runs, so they are the fastest on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from lancelike._optional import require
from lancelike.embeddings.base import TextEmbeddingFunction
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.texts import valid_text
from lancelike.embeddings.local.unloaded import not_loaded
from lancelike.types import Vectors

_loading = threading.Lock()


class Model2VecEmbeddings(TextEmbeddingFunction):
    """A model2vec model, loaded once per process; word order plays no part in its vectors.

    Attributes:
        name: A local folder, or a model's name on the Hugging Face hub.
        dim: Keep the first so many numbers of each vector, which such models are made for; None for all.
        normalize: Make the vectors of unit length; None for the model's own way.
    """

    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text",),
        runs="local",
        extra="model2vec",
        default_model="minishlab/potion-base-8M",
        licence="MIT",
        ndims=256,
        limits="none: every token of a text counts",
    )

    record_within_s: ClassVar[float] = 0.2

    batch_size: int = Field(1024, ge=1)
    name: str = "minishlab/potion-base-8M"
    dim: int | None = Field(None, ge=1)
    normalize: bool | None = None

    def ndims(self) -> int:
        """Length of the vectors; loads the model."""
        return int(self._model.dim)

    def generate_embeddings(self, texts: Sequence[str], /) -> Vectors:
        """Embed *texts*: float32, shape (len(texts), ndims()); zeros for a text without a known token."""
        if not texts:
            return np.empty((0, self.ndims()), dtype=np.float32)
        valid = [valid_text(text) for text in texts]
        vectors = self._model.encode(
            valid, batch_size=len(valid), max_length=None, normalize=self.normalize, use_multiprocessing=False
        )
        return np.asarray(vectors, dtype=np.float32)

    @property
    def _model(self) -> Any:
        with _loading:
            return _load_model(self.name, self.dim)


@cache
def _load_model(name: str, dim: int | None) -> Any:
    model2vec = require("model2vec", extra="model2vec", needed_by="Model2VecEmbeddings")
    try:
        return model2vec.StaticModel.from_pretrained(name, dimensionality=dim, force_download=False)
    except Exception as error:
        raise not_loaded("model2vec", name, error) from error
