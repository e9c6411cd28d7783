"""CLAP models of the Hugging Face hub: sounds and texts in one space."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.lengths import joined
from lancelike.embeddings.local.pretrained import PretrainedTowers, first_of_each, stacked
from lancelike.errors import MediaTooLargeError, SchemaError
from lancelike.types import Modality, Vectors


class PreparedSound(NamedTuple):
    """A sound as the model takes it: for each of its windows, tensors by name and how many samples it has."""

    windows: list[dict[str, Any]]
    lengths: list[int]


class ClapEmbeddings(PretrainedTowers):
    """A CLAP that `transformers.AutoModel` loads.

    A sound that is longer than the model hears at once (10 s, most of them) is treated as `on_long` says: refused, cut
    off, or embedded in windows of that length whose mean is taken. The package itself would take a part of it at
    random.

    Attributes:
        name: A local folder, or a model's name on the Hugging Face hub.
        sampling_rate: Samples a second; that of the model.
    """

    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text", "audio"),
        runs="local",
        extra="clap",
        default_model="laion/clap-htsat-unfused",
        licence="Apache-2.0",
        ndims=512,
        context_tokens=512,
        limits="a longer text, or a sound over 10 s, is an error, cut off, or averaged, as on_long says",
    )
    modalities: ClassVar[frozenset[Modality]] = frozenset({"text", "audio"})
    tower_methods: ClassVar[tuple[str, ...]] = ("get_text_features", "get_audio_features")

    name: str = "laion/clap-htsat-unfused"
    sampling_rate: int = Field(48_000, ge=1)

    def prepare_audio(self, samples: NDArray[np.float32], /) -> PreparedSound:
        """The sound as the model takes it."""
        extractor = self._loaded.processor.feature_extractor
        if extractor.sampling_rate != self.sampling_rate:
            raise SchemaError(
                f"{self.name!r} takes {extractor.sampling_rate} samples a second; say so as sampling_rate"
            )
        windows = self._windows(samples, int(extractor.nb_max_samples))
        inputs = [
            first_of_each(extractor([window], sampling_rate=self.sampling_rate, return_tensors="pt"))
            for window in windows
        ]
        return PreparedSound(inputs, [len(window) for window in windows])

    def embed_audio(self, prepared: list[Any], /) -> Vectors:
        """Embed sounds as `prepare_audio` left them: float32, shape (len(prepared), ndims())."""
        windows = [window for sound in prepared for window in sound.windows]
        batches = [windows[start : start + self.batch_size] for start in range(0, len(windows), self.batch_size)]
        vectors = iter(np.concatenate([self._tower("get_audio_features", stacked(batch)) for batch in batches]))
        return np.stack([joined([next(vectors) for _ in sound.windows], sound.lengths) for sound in prepared])

    def _windows(self, samples: NDArray[np.float32], most: int) -> list[NDArray[np.float32]]:
        if len(samples) <= most:
            return [samples]
        policy = self.long_policy()
        if policy == "error":
            heard, long = most / self.sampling_rate, len(samples) / self.sampling_rate
            raise MediaTooLargeError(
                f"this is a sound of {long:.1f} s, and {self.name!r} hears {heard:g} s at once; on_long='truncate' "
                "takes its beginning, on_long='mean' all of it in parts",
                limit=heard,
            )
        windows = [samples[start : start + most] for start in range(0, len(samples), most)]
        return windows[:1] if policy == "truncate" else windows

    def _model_name(self) -> str:
        return self.name
