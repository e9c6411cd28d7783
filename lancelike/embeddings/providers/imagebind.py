"""ImageBind: pictures, sounds and texts in one space."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lancelike._optional import require
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.filterbanks import log_mel_filterbanks
from lancelike.embeddings.local.pixels import Pixels
from lancelike.embeddings.local.texts import valid_text
from lancelike.embeddings.local.towers import LocalTowers, Texts, loading
from lancelike.embeddings.local.unloaded import not_loaded
from lancelike.errors import EmbeddingFunctionUnavailable
from lancelike.types import Modality, Vectors

EXTRA, CLASS = "imagebind", "ImageBindEmbeddings"
HUGE, NDIMS = "imagebind_huge", 1024
INSTALL = "pip install --no-deps imagebind-packaged==0.1.2"
"""Without what it asks for: its torch of 2022 can't be installed beside today's packages, and isn't needed."""

SIDE = 224
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

SAMPLING_RATE = 16_000
CLIPS, CLIP_S = 3, 2
BANDS, FRAMES = 128, 204
LOUDNESS_MEAN, LOUDNESS_STD = -4.268, 9.138
SHORTEST = 400
"""Samples of one frame."""

CONTEXT_TOKENS, SPECIAL_TOKENS = 77, 2


class LoadedImageBind(NamedTuple):
    """A model in memory, and how it takes pictures and texts."""

    model: Any
    pixels: Pixels
    texts: Texts


class ImageBindEmbeddings(LocalTowers):
    """Meta's ImageBind, loaded once per process: the package of that name with its weights, which are not for sale.

    A string is a path or URL where it ends as the name of a file of pictures or sounds does, in a row and, with this
    function alone, also as a query. Of a sound of more than 2 s, three clips of 2 s are heard, which begin at its start
    and at one and two thirds of the way to its last 2 s, as the package does; the vector is their mean.

    Attributes:
        name: `"imagebind_huge"`, or a JSON file of arguments of the package's `ImageBindModel`.
        checkpoint: A local file of weights; None for those of `imagebind_huge`, which the package downloads.
        device: Where it runs: `"cpu"`, `"cuda"`, `"mps"`, ...
        normalize: Make the vectors of unit length. Without that, those of texts and sounds are several times as long as
            those of pictures, and only `"cosine"` compares them.
    """

    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text", "image", "audio"),
        runs="local",
        extra=EXTRA,
        default_model=HUGE,
        licence="CC-BY-NC-SA-4.0",
        ndims=NDIMS,
        context_tokens=CONTEXT_TOKENS,
        limits="a longer text is an error, cut off, or averaged, as on_long says; of a longer sound, 3 clips of 2 s",
    )
    modalities: ClassVar[frozenset[Modality]] = frozenset({"text", "image", "audio"})
    queries_may_be_paths: ClassVar[bool] = True

    name: str = HUGE
    checkpoint: str | None = None
    normalize: bool = False
    sampling_rate: int = SAMPLING_RATE

    def ndims(self) -> int:
        """Length of the vectors."""
        return NDIMS if self.name == HUGE else int(self._loaded.model.modality_heads["vision"][-1].out_features)

    def prepare_image(self, image: Any, /) -> Any:
        """The picture in the size that the model takes: its bytes, shape (224, 224, 3)."""
        return self._loaded.pixels.prepare(image)

    def batch_images(self, prepared: list[Any], /) -> Any:
        """Pictures as the model takes them, a tensor of float32, shape (len(prepared), 3, 224, 224)."""
        return self._loaded.pixels.batch(prepared)

    def prepare_audio(self, samples: NDArray[np.float32], /) -> NDArray[np.float32]:
        """The sound's clips as the model takes them, shape (3, 1, 128, 204)."""
        return np.stack([spectrogram(clip)[None] for clip in clips_of(samples)])

    def embed_images(self, batch: Any, /) -> Vectors:
        """Embed pictures as `batch_images` left them: float32, shape (len(batch), ndims())."""
        return self._run("vision", batch)

    def embed_audio(self, prepared: list[Any], /) -> Vectors:
        """Embed sounds as `prepare_audio` left them: float32, shape (len(prepared), ndims())."""
        return self._run("audio", _torch().from_numpy(np.stack(prepared)))

    def embed_texts(self, texts: list[str], /) -> Vectors:
        """Embed *texts*: float32, shape (len(texts), ndims())."""
        side = self._loaded.texts
        with side.lock:
            tokens = _torch().stack([side.tokenizer(valid_text(text)) for text in texts])
        return self._run("text", tokens)

    def _run(self, modality: str, inputs: Any) -> Vectors:
        with _torch().inference_mode():
            return self._vectors(self._loaded.model({modality: inputs.to(self.device)})[modality])

    @property
    def _loaded(self) -> LoadedImageBind:
        with loading:
            return _load(self.name, self.checkpoint, self.device)

    def _text_side(self) -> Texts:
        return self._loaded.texts

    def _token_counts(self, tokenizer: Any, texts: list[str]) -> list[int]:
        return [len(tokenizer.encode(text)) + SPECIAL_TOKENS for text in texts]


def clips_of(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """What is heard of *samples*: three clips of 2 s, all of it three times if that is shorter."""
    step_s = max(len(samples) / SAMPLING_RATE - CLIP_S, 0) / CLIPS
    starts = [int(i * step_s * SAMPLING_RATE) for i in range(CLIPS)]
    return [samples[start : start + CLIP_S * SAMPLING_RATE] for start in starts]


def spectrogram(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """*clip* as the model sees it, shape (128, 204): bands, and moments 10 ms apart."""
    heard = np.pad(clip, (0, max(0, SHORTEST - len(clip))))
    banks = log_mel_filterbanks(heard, SAMPLING_RATE, BANDS)[:FRAMES]
    padded = np.pad(banks, ((0, FRAMES - len(banks)), (0, 0)))
    return (padded.T - np.float32(LOUDNESS_MEAN)) / np.float32(LOUDNESS_STD)


def _torch() -> Any:
    return require("torch", extra=EXTRA, needed_by=CLASS)


@cache
def _load(name: str, checkpoint: str | None, device: str) -> LoadedImageBind:
    models, preprocessors, folder = _package()
    try:
        model = _model(models, name, checkpoint)
    except Exception as error:
        hint = "give checkpoint= a local file of the weights; the package keeps those that it downloads"
        raise not_loaded("imagebind", name, error, hint) from error
    tokenizer = preprocessors.SimpleTokenizer(bpe_path=str(folder / "bpe" / "bpe_simple_vocab_16e6.txt.gz"))
    texts = Texts(tokenizer, CONTEXT_TOKENS, threading.Lock())
    return LoadedImageBind(model.to(device).eval(), Pixels(_preprocess()), texts)


def _model(models: Any, name: str, checkpoint: str | None) -> Any:
    if name == HUGE:
        model = models.imagebind_huge(pretrained=checkpoint is None)
    elif name.endswith(".json"):
        arguments = json.loads(Path(name).expanduser().read_text())
        model = models.ImageBindModel(**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()})
    else:
        raise ValueError(f"the package has no such model; give {HUGE!r}, or a JSON file of ImageBindModel's arguments")
    if checkpoint is None and name != HUGE:
        raise ValueError("it needs a checkpoint: a model without weights knows nothing")
    if checkpoint is not None:
        weights = _torch().load(Path(checkpoint).expanduser(), map_location="cpu", weights_only=True)
        model.load_state_dict(weights)
    return model


def _preprocess() -> Any:
    """As the package's `load_and_transform_vision_data` does, from a picture in memory."""
    transforms = require("torchvision.transforms", extra=EXTRA, needed_by=CLASS)
    return transforms.Compose(
        [
            transforms.Resize(SIDE, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(SIDE),
            transforms.ToTensor(),
            transforms.Normalize(mean=MEAN, std=STD),
        ]
    )


def _package() -> tuple[Any, Any, Path]:
    """Of the package imagebind: its modules `imagebind_model` and `multimodal_preprocessors`, and its folder.

    Raises:
        EmbeddingFunctionUnavailable: It is not installed, or has not what it needs.
    """
    spec = importlib.util.find_spec("imagebind")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddingFunctionUnavailable(
            "the package imagebind is not installed",
            function="imagebind",
            hint=f"{INSTALL}, and pip install 'lancelike[{EXTRA}]'; its weights are for no commercial use",
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    with _without_its_loaders(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports by names that timm has moved
        models = require("imagebind.models.imagebind_model", extra=EXTRA, needed_by=CLASS)
        preprocessors = require("imagebind.models.multimodal_preprocessors", extra=EXTRA, needed_by=CLASS)
    return models, preprocessors, folder


@contextmanager
def _without_its_loaders(folder: Path) -> Iterator[None]:
    """Let the modules in *folder* be imported without `imagebind` itself, unless that has been.

    It imports what reads files, through releases of torchaudio and pytorchvideo that don't go with today's torch. Files
    are read here.
    """
    if "imagebind" in sys.modules:
        yield
        return
    bare = ModuleType("imagebind")
    bare.__path__ = [str(folder)]
    sys.modules["imagebind"] = bare
    try:
        yield
    finally:
        del sys.modules["imagebind"]
