"""Any text model of the transformers package, its token vectors averaged."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lancelike._optional import require
from lancelike.embeddings.base import TextEmbeddingFunction
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.folder import LONGEST_TOKENS, position_offset
from lancelike.embeddings.local.texts import passes_by_length, valid_text
from lancelike.embeddings.local.unloaded import not_loaded
from lancelike.embeddings.providers.sentence_transformers import FORWARD_BATCH_SIZE
from lancelike.types import Vectors

_loading = threading.Lock()


class LoadedTransformer(NamedTuple):
    """A model and its tokenizer in memory, and the lock to hold while they are used."""

    tokenizer: Any
    model: Any
    max_length: int
    lock: threading.Lock


class TransformersEmbeddingFunction(TextEmbeddingFunction):
    """A model that `transformers.AutoModel` loads, once per process: the mean of its last hidden state.

    Attributes:
        name: A local folder, or a model's name on the Hugging Face hub.
        device: Where it runs: `"cpu"`, `"cuda"`, `"mps"`, ...
        trust_remote_code: Run Python code that comes with the model.
    """

    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text",),
        runs="local",
        extra="huggingface",
        default_model="colbert-ir/colbertv2.0",
        licence="MIT",
        ndims=768,
        context_tokens=512,
        limits="a longer text is an error, cut off, or averaged, as on_long says",
    )
    packs_by_length: ClassVar[bool] = True

    name: str = "colbert-ir/colbertv2.0"
    device: str = "cpu"
    trust_remote_code: bool = False

    def ndims(self) -> int:
        """Length of the vectors; loads the model."""
        return int(self._loaded.model.config.hidden_size)

    def generate_embeddings(self, texts: Sequence[str], /) -> Vectors:
        """Embed *texts*: float32, shape (len(texts), ndims()), not of unit length."""
        vectors = np.empty((len(texts), self.ndims()), dtype=np.float32)
        for rows in passes_by_length(self.count_tokens(texts), FORWARD_BATCH_SIZE):
            vectors[rows] = self._pass([valid_text(texts[row]) for row in rows])
        return vectors

    def count_tokens(self, values: Sequence[Any]) -> list[int]:
        """Tokens of each of *values*, the special ones included, as if none were cut off."""
        loaded = self._loaded
        with loaded.lock:
            tokens = loaded.tokenizer([valid_text(str(value)) for value in values], truncation=False, verbose=False)
        return [len(each) for each in tokens["input_ids"]]

    def input_limit(self) -> int | None:
        """Most tokens of one text that count: the model's own bound, or `max_input_tokens` if that is less."""
        own = self._loaded.max_length
        return own if self.max_input_tokens is None else min(own, self.max_input_tokens)

    @property
    def _loaded(self) -> LoadedTransformer:
        with _loading:
            return _load(self.name, self.device, self.trust_remote_code)

    def _pass(self, texts: list[str]) -> Vectors:
        torch = require("torch", extra="huggingface", needed_by="TransformersEmbeddingFunction")
        loaded = self._loaded
        with loaded.lock, torch.no_grad():
            tokens = loaded.tokenizer(
                texts, return_tensors="pt", padding=True, truncation=True, max_length=loaded.max_length
            ).to(loaded.model.device)
            hidden = loaded.model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            vectors: Vectors = mean.float().cpu().numpy()
            return vectors


class ColbertEmbeddings(TransformersEmbeddingFunction):
    """ColBERT's encoder with its token vectors averaged into one, as LanceDB has it: no late interaction."""


@cache
def _load(name: str, device: str, trust_remote_code: bool) -> LoadedTransformer:
    transformers = require("transformers", extra="huggingface", needed_by="TransformersEmbeddingFunction")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
        model = transformers.AutoModel.from_pretrained(name, trust_remote_code=trust_remote_code).to(device).eval()
    except Exception as error:
        raise not_loaded("huggingface", name, error) from error
    config = model.config.to_dict()
    positions = config.get("max_position_embeddings", LONGEST_TOKENS) - position_offset(config)
    return LoadedTransformer(tokenizer, model, min(tokenizer.model_max_length, positions), threading.Lock())
