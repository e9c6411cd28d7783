"""Text models run by onnxruntime and tokenizers, with no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from lancelike.embeddings.base import TextEmbeddingFunction
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.encoder import TextEncoder
from lancelike.embeddings.local.folder import Pooling
from lancelike.embeddings.local.models import Precision, load_encoder
from lancelike.types import Vectors


class OnnxEmbeddings(TextEmbeddingFunction):
    """A text model as an ONNX graph, loaded once per process.

    Attributes:
        name: A folder with `tokenizer.json` and either `model.onnx` or a BERT's or RoBERTa's `model.safetensors`,
            whose graph is then written once; or a model's name: taken from an installed package that carries it,
            else from the Hugging Face hub.
        precision: `"int8"` does the matrix products in eight bits, about twice as fast; the vectors' cosine to those
            of `"float32"` is 0.995 on average for all-MiniLM-L6-v2.
        pooling: How token vectors become one; None for the model's own way.
        normalize: Make the vectors of unit length; None for the model's own way.
        max_length: Most tokens of a pass through the model, if fewer than its own limit; `on_long` says what becomes of
            longer texts.
        threads: Threads of one pass; None for `OMP_NUM_THREADS`, or the CPUs this process may run on.
    """

    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text",),
        runs="local",
        extra="onnx",
        default_model="all-MiniLM-L6-v2",
        licence="Apache-2.0",
        ndims=384,
        context_tokens=256,
        limits="a longer text is an error, cut off, or averaged, as on_long says",
    )

    packs_by_length: ClassVar[bool] = True
    transport_settings: ClassVar[frozenset[str]] = frozenset({"threads"})

    name: str = "all-MiniLM-L6-v2"
    precision: Precision = "float32"
    pooling: Pooling | None = None
    normalize: bool | None = None
    max_length: int | None = Field(None, ge=3)
    threads: int | None = Field(None, ge=1)

    def ndims(self) -> int:
        """Length of the vectors; loads the model."""
        return self._encoder.ndims

    def generate_embeddings(self, texts: Sequence[str], /) -> Vectors:
        """Embed *texts*: float32, shape (len(texts), ndims())."""
        encoder = self._encoder
        pooling = self.pooling or encoder.folder.pooling
        normalize = encoder.folder.normalize if self.normalize is None else self.normalize
        return encoder.encode(texts, pooling, normalize)

    def count_tokens(self, values: Sequence[Any]) -> list[int]:
        """Tokens of each of *values*, the special ones included, as if none were cut off."""
        return self._encoder.count_tokens([str(value) for value in values])

    def input_limit(self) -> int | None:
        """Most tokens of one text that count: the model's own bound, or `max_input_tokens` if that is less."""
        own = self._encoder.folder.max_length
        return own if self.max_input_tokens is None else min(own, self.max_input_tokens)

    @property
    def _encoder(self) -> TextEncoder:
        return load_encoder(self.name, self.precision, self.max_length, self.threads)
