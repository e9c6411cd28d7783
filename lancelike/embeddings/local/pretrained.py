"""Models with towers that the transformers package loads, with their processors."""

from __future__ import annotations

import threading
from abc import abstractmethod
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lancelike._optional import require
from lancelike.embeddings.local.folder import LONGEST_TOKENS, position_offset
from lancelike.embeddings.local.texts import valid_text
from lancelike.embeddings.local.towers import LocalTowers, Texts, loading
from lancelike.embeddings.local.unloaded import not_loaded
from lancelike.embeddings.providers.sentence_transformers import no_progress_bar
from lancelike.errors import EmbeddingFunctionUnavailable
from lancelike.types import Vectors

EXTRA = "clip"
SENTENCE_TRANSFORMERS_FOLDER = "0_CLIPModel"
"""Where sentence-transformers keeps transformers' own folder within one of its CLIP models."""


class LoadedPair(NamedTuple):
    """A model in memory, its processor, and how it takes texts."""

    model: Any
    processor: Any
    texts: Texts


class PretrainedTowers(LocalTowers):
    """A model that `transformers.AutoModel` loads, loaded once per process for each name and device.

    Attributes:
        trust_remote_code: Run Python code that comes with the model.
    """

    trust_remote_code: bool = False

    tower_methods: ClassVar[tuple[str, ...]] = ("get_text_features", "get_image_features")
    """What the model must have."""
    text_inputs: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    """What the text tower is given of what the tokenizer makes."""
    pads_to_limit: ClassVar[bool] = False
    """Whether texts are padded to the longest that the model takes, as it saw them in its training."""

    def ndims(self) -> int:
        """Length of the vectors; loads the model."""
        config = self._loaded.model.config
        own = getattr(config, "projection_dim", None)
        return int(own if own is not None else config.text_config.projection_size)

    def embed_texts(self, texts: list[str], /) -> Vectors:
        """Embed *texts*: float32, shape (len(texts), ndims())."""
        side = self._loaded.texts
        padding = {"padding": "max_length", "max_length": side.max_tokens} if self.pads_to_limit else {"padding": True}
        with side.lock:
            tokens = side.tokenizer([valid_text(text) for text in texts], return_tensors="pt", **padding)
        return self._tower("get_text_features", {name: tokens[name] for name in self.text_inputs if name in tokens})

    def _images(self, prepared: list[dict[str, Any]]) -> Vectors:
        return self._tower("get_image_features", stacked(prepared))

    def _tower(self, method: str, inputs: dict[str, Any]) -> Vectors:
        torch = require("torch", extra=EXTRA, needed_by=type(self).__name__)
        with torch.inference_mode():
            on_device = {name: value.to(self.device) for name, value in inputs.items()}
            features = getattr(self._loaded.model, method)(**on_device)
            return self._vectors(getattr(features, "pooler_output", features))  # an object around them since 5.0

    @abstractmethod
    def _model_name(self) -> str:
        """The model's folder, or its name on the hub."""

    @property
    def _loaded(self) -> LoadedPair:
        with loading:
            return _load(
                self.label,
                self._model_name(),
                self.device,
                self._weights_dtype(),
                self.trust_remote_code,
                self.tower_methods,
            )

    def _weights_dtype(self) -> str:
        return "float32"

    def _text_side(self) -> Texts:
        return self._loaded.texts

    def _token_counts(self, tokenizer: Any, texts: list[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"]] if texts else []


def first_of_each(batch: Any) -> dict[str, Any]:
    """What a processor made of one input, without the dimension of the batch."""
    return {name: value[0] for name, value in batch.items()}


def stacked(prepared: list[dict[str, Any]]) -> dict[str, Any]:
    """Inputs prepared one by one, as a batch."""
    torch = require("torch", extra=EXTRA, needed_by="a batch")
    return {name: torch.stack([each[name] for each in prepared]) for name in prepared[0]}


@cache
def _load(
    function: str, name: str, device: str, dtype: str, trust_remote_code: bool, methods: tuple[str, ...]
) -> LoadedPair:
    transformers = require("transformers", extra=EXTRA, needed_by=f"the function {function!r}")
    torch = require("torch", extra=EXTRA, needed_by=f"the function {function!r}")
    place = _place(name)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    try:
        if _is_of_sentence_transformers(place):
            options["subfolder"] = SENTENCE_TRANSFORMERS_FOLDER
        with no_progress_bar():
            model = transformers.AutoModel.from_pretrained(place, dtype=getattr(torch, dtype), **options)
        processor = transformers.AutoProcessor.from_pretrained(place, **options)
    except Exception as error:
        raise not_loaded(function, name, error) from error
    if lacking := [method for method in methods if not hasattr(model, method)]:
        raise EmbeddingFunctionUnavailable(
            f"the model {name!r} is a {type(model).__name__}, which has no {', '.join(lacking)}",
            function=function,
            hint=f"see `lancelike functions` for what {function!r} takes",
        )
    return LoadedPair(model.to(device).eval(), processor, _texts(model, processor.tokenizer))


def _texts(model: Any, tokenizer: Any) -> Texts:
    config = model.config.text_config.to_dict()
    positions = config.get("max_position_embeddings", LONGEST_TOKENS) - _offset(config)
    return Texts(tokenizer, int(min(tokenizer.model_max_length, positions)), threading.Lock())


def _offset(config: dict[str, Any]) -> int:
    """Positions before that of the first token; CLAP's text tower is a RoBERTa by another name."""
    is_clap = config.get("model_type") == "clap_text_model"
    return position_offset({**config, "model_type": "roberta"} if is_clap else config)


def _place(name: str) -> str:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    return name if "/" in name else f"sentence-transformers/{name}"


def _is_of_sentence_transformers(place: str) -> bool:
    """Whether transformers' own folder is one within the model's; on the hub, only of models named so."""
    if Path(place).is_dir():
        return (Path(place) / SENTENCE_TRANSFORMERS_FOLDER).is_dir()
    return place.startswith("sentence-transformers/clip-")
