"""Functions whose model runs in this process and has a tower for each kind of input, all with vectors in one space."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from lancelike._optional import require
from lancelike.embeddings.local.texts import valid_text
from lancelike.embeddings.media import MediaEmbeddingFunction
from lancelike.types import Vectors

loading = threading.Lock()
"""To hold while a model is loaded, so that it is loaded once."""


class Texts(NamedTuple):
    """How a model takes texts, and the lock to hold meanwhile: tokenizers don't bear two threads at once.

    Attributes:
        tokenizer: Makes tokens of them.
        max_tokens: Most tokens of one text.
        lock: Held while it does.
    """

    tokenizer: Any
    max_tokens: int
    lock: threading.Lock


class LocalTowers(MediaEmbeddingFunction):
    """A model with towers, loaded once per process for each name and device.

    Attributes:
        device: Where it runs: `"cpu"`, `"cuda"`, `"mps"`, ...
        normalize: Make the vectors of unit length.
    """

    device: str = "cpu"
    normalize: bool = True

    @abstractmethod
    def _text_side(self) -> Texts:
        """How the model takes texts; loads it."""

    @abstractmethod
    def _token_counts(self, tokenizer: Any, texts: list[str]) -> list[int]:
        """Tokens of each of *texts*, the special ones included, as if none were cut off."""

    def count_tokens(self, values: Sequence[Any]) -> list[int]:
        """Tokens of each of *values*, the special ones included, as if none were cut off; 1 of what is no text."""
        texts = {place: valid_text(value) for place, value in enumerate(values) if self._is_text(value, "source")}
        side = self._text_side()
        with side.lock:
            counted = dict(zip(texts, self._token_counts(side.tokenizer, list(texts.values())), strict=True))
        return [counted.get(place, 1) for place in range(len(values))]

    def input_limit(self) -> int | None:
        """Most tokens of one text that count: the model's own bound, or `max_input_tokens` if that is less."""
        own = self._text_side().max_tokens
        return own if self.max_input_tokens is None else min(own, self.max_input_tokens)

    def _vectors(self, features: Any) -> Vectors:
        """What a tower gave, a tensor of shape (n, ndims), as an array, of unit length if the vectors are to be."""
        functional = require("torch.nn.functional", extra="huggingface", needed_by=type(self).__name__)
        features = features.float()
        vectors: Vectors = (functional.normalize(features, dim=-1) if self.normalize else features).cpu().numpy()
        return vectors
