"""Models that are told what a text is for: INSTRUCTOR, through the sentence-transformers of today."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from lancelike._optional import require
from lancelike.embeddings.base import TextEmbeddingFunction
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.texts import passes_by_length, valid_text
from lancelike.embeddings.local.unloaded import not_loaded
from lancelike.embeddings.providers.sentence_transformers import (
    FORWARD_BATCH_SIZE,
    LoadedModel,
    count_tokens,
    least,
    max_tokens,
)
from lancelike.types import Vectors

_loading = threading.Lock()


class InstructorEmbeddingFunction(TextEmbeddingFunction):
    """An INSTRUCTOR model, or any that takes an instruction before the text, loaded once per process.

    The instruction is put right before the text, so one that is a sentence of its own ends in `": "`; its tokens are
    read by the model, and left out of the mean.

    Attributes:
        name: A local folder, or a model's name on the Hugging Face hub.
        device: Where it runs: `"cpu"`, `"cuda"`, `"mps"`, ...
        normalize_embeddings: Make the vectors of unit length.
        quantize: Keep the linear layers in eight bits; on a CPU only.
        show_progress_bar: Kept for LanceDB's tables; `add(progress=True)` shows progress.
        source_instruction: Says what a text that is stored is for.
        query_instruction: Says what a text that is searched for is for.
    """

    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text",),
        runs="local",
        extra="instructor",
        default_model="hkunlp/instructor-base",
        licence="Apache-2.0",
        ndims=768,
        context_tokens=512,
        roles=("source", "query"),
        limits="a longer text is an error, cut off, or averaged, as on_long says",
    )

    applies_prompts: ClassVar[bool] = True
    batches_queries: ClassVar[bool] = True
    packs_by_length: ClassVar[bool] = True

    batch_size: int = Field(32, ge=1)
    name: str = "hkunlp/instructor-base"
    device: str = "cpu"
    show_progress_bar: bool = True
    normalize_embeddings: bool = True
    quantize: bool = False
    source_instruction: str = "represent the document for retrieval"
    query_instruction: str = "represent the document for retrieving the most similar documents"

    def ndims(self) -> int:
        """Length of the vectors; loads the model."""
        return int(self._loaded.model.get_embedding_dimension())

    def compute_source_embeddings(self, texts: Any, /) -> Vectors:
        """Embed *texts*, which are to be stored, as `source_instruction` says."""
        return self._encode(self.prompted(self.sanitize_input(texts), "source"), self.source_instruction)

    def compute_query_embeddings(self, query: Any, /) -> Vectors:
        """Embed *query*, a text or a list of them, as `query_instruction` says."""
        return self._encode(self.prompted(self.sanitize_input(query), "query"), self.query_instruction)

    def generate_embeddings(self, texts: Sequence[str], /) -> Vectors:
        """Embed *texts* as sources: float32, shape (len(texts), ndims())."""
        return self._encode(list(texts), self.source_instruction)

    def count_tokens(self, values: Sequence[Any]) -> list[int]:
        """Tokens of each of *values*, the special ones included, as if none were cut off."""
        counts = count_tokens(self._loaded, [str(value) for value in values])
        return super().count_tokens(values) if counts is None else counts

    def input_limit(self) -> int | None:
        """Most tokens of one text that count, beside the longer instruction's; `max_input_tokens` if that is less."""
        own = max_tokens(self._loaded)
        instruction = max(self.count_tokens([self.source_instruction, self.query_instruction]))
        return least(self.max_input_tokens, None if own is None else own - instruction)

    @property
    def _loaded(self) -> LoadedModel:
        with _loading:
            return _load_model(self.name, self.device, self.quantize)

    def _encode(self, texts: list[str], instruction: str) -> Vectors:
        vectors = np.empty((len(texts), self.ndims()), dtype=np.float32)
        model, lock = self._loaded
        for rows in passes_by_length(self.count_tokens(texts), FORWARD_BATCH_SIZE):
            with lock:
                vectors[rows] = model.encode(
                    # As a bare string, a text that looks like a file or a URL would be opened by a multimodal model.
                    [{"text": valid_text(texts[row])} for row in rows],
                    prompt=instruction,
                    batch_size=FORWARD_BATCH_SIZE,
                    normalize_embeddings=self.normalize_embeddings,
                    show_progress_bar=False,
                )
        return vectors


@cache
def _load_model(name: str, device: str, quantize: bool) -> LoadedModel:
    package = require("sentence_transformers", extra="instructor", needed_by="InstructorEmbeddingFunction")
    try:
        model = package.SentenceTransformer(name, device=device)
    except Exception as error:
        raise not_loaded("instructor", name, error) from error
    model.set_pooling_include_prompt(False)  # done by the package only for the names hkunlp/instructor-*
    return LoadedModel(_quantized(model) if quantize else model, threading.Lock())


def _quantized(model: Any) -> Any:
    torch = require("torch", extra="instructor", needed_by="InstructorEmbeddingFunction(quantize=True)")
    with warnings.catch_warnings():  # that it is to move to another package of torch's
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
