"""A model's folder: where it is found, and what its configuration files say of tokens, pooling and normalisation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from lancelike.embeddings.providers.sentence_transformers import PACKAGED_MODELS, check_weights, find_model
from lancelike.errors import EmbeddingFunctionUnavailable

Pooling: TypeAlias = Literal["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"]

WEIGHTS = "model.safetensors"
GRAPHS = ("model.onnx", "onnx/model.onnx")
TOKENIZER = "tokenizer.json"
ARCHITECTURES = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
"""Values of `model_type` for which a graph can be written: BERT, and RoBERTa with its kin, alike but for positions."""
OLD_POOLING: Mapping[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""How configurations written before sentence-transformers 6 name the ways of pooling."""
LONGEST_TOKENS = 1_000_000
"""Some tokenizers state an absurdly large maximum where they have none."""


@dataclass(frozen=True)
class ModelFolder:
    """The files of a text model, and what becomes of its token vectors.

    Attributes:
        path: The folder.
        pooling: How the vectors of a text's tokens become one.
        normalize: Whether that one is made of unit length.
        max_length: Most tokens of a text that count, the special ones included.
        lowercase: Whether texts are lowercased before they are split into tokens.
    """

    path: Path
    pooling: Pooling = "mean"
    normalize: bool = False
    max_length: int = 512
    lowercase: bool = False

    @property
    def tokenizer(self) -> Path:
        """The file that says how texts become tokens."""
        return self.path / TOKENIZER

    @property
    def weights(self) -> Path:
        """The weights, which need not be there if `graph` is."""
        return self.path / WEIGHTS

    @property
    def graph(self) -> Path | None:
        """The ONNX graph that the folder brings, or None."""
        return next((self.path / name for name in GRAPHS if (self.path / name).is_file()), None)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The transformer's own configuration."""
        config: dict[str, Any] = _read_json(self.path / "config.json")
        return config


def open_folder(name: str, max_length: int | None = None) -> ModelFolder:
    """The model *name*: a local folder, or from an installed package that carries it, or the Hugging Face hub.

    Args:
        name: The folder's path, or the model's name.
        max_length: Tokens of a text that count, if fewer than the model's own limit.

    Raises:
        EmbeddingFunctionUnavailable: There is no such model, or it needs more than a transformer, pooling and
            normalisation.
    """
    path = Path(find_model(name))
    folder = read_folder(path if path.is_dir() else download(name))
    return folder if max_length is None else replace(folder, max_length=min(max_length, folder.max_length))


def read_folder(path: Path) -> ModelFolder:
    """The model in the folder *path*, as sentence-transformers lays it out, or bare."""
    folder = ModelFolder(path)
    for module in _read_json(path / "modules.json", default=()):
        folder = _with_module(folder, str(module["type"]).rpartition(".")[2], path / module["path"])
    if not folder.tokenizer.is_file():
        raise _unusable(folder.path, f"has no {TOKENIZER}", "write the folder with `lancelike export-onnx`")
    own = _read_json(folder.path / "sentence_bert_config.json")
    return replace(folder, max_length=_max_length(folder, own), lowercase=bool(own.get("do_lower_case")))


def download(name: str) -> Path:
    """The folder of the hub's model *name*, from the hub's cache if it is there.

    Raises:
        EmbeddingFunctionUnavailable: The hub has no such model, or can't be reached.
    """
    repo = name if "/" in name else f"sentence-transformers/{name}"
    try:
        folder = _snapshot(repo, ["*.json", "*/config.json"])
        weights = [GRAPHS[1], GRAPHS[0]] if _is_foreign(folder) else [WEIGHTS]
        _snapshot(repo, weights)
    except Exception as error:
        raise EmbeddingFunctionUnavailable(
            f"the model {name!r} is neither a folder nor in an installed package, and the hub did not give it: "
            f"{' '.join(str(error).split())[:300]}",
            function="onnx",
            hint="give name= a folder with model.onnx and tokenizer.json, or see that the hub can be reached",
        ) from error
    known = PACKAGED_MODELS.get(repo.removeprefix("sentence-transformers/"))
    if known is not None:
        check_weights(folder / WEIGHTS, known.sha256)
    return folder


def _snapshot(repo: str, patterns: list[str]) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(huggingface_hub.snapshot_download(repo, allow_patterns=patterns, local_files_only=True))
        if any(match for pattern in patterns for match in folder.glob(pattern)):
            return folder
    except LocalEntryNotFoundError:
        pass
    return Path(huggingface_hub.snapshot_download(repo, allow_patterns=patterns))


def _is_foreign(folder: Path) -> bool:
    return _read_json(folder / "config.json").get("model_type") not in ARCHITECTURES


def _with_module(folder: ModelFolder, kind: str, path: Path) -> ModelFolder:
    if kind == "Pooling":
        return replace(folder, pooling=_pooling(path, _read_json(path / "config.json")))
    if kind == "Normalize":
        return replace(folder, normalize=True)
    if kind == "Transformer":
        return replace(folder, path=path)
    raise _unusable(folder.path, f"has a module {kind}", "use it through the function 'sentence-transformers'")


def _pooling(path: Path, config: Mapping[str, Any]) -> Pooling:
    named = config.get("pooling_mode") or [mode for key, mode in OLD_POOLING.items() if config.get(key)]
    modes = [named] if isinstance(named, str) else list(named)
    for mode in get_args(Pooling):
        if modes == [mode]:
            return cast("Pooling", mode)
    raise _unusable(path, f"pools by {' and '.join(modes) or 'nothing'}", "use the function 'sentence-transformers'")


def _max_length(folder: ModelFolder, own: Mapping[str, Any]) -> int:
    tokenizer = _read_json(folder.path / "tokenizer_config.json")
    positions = folder.config.get("max_position_embeddings", LONGEST_TOKENS) - position_offset(folder.config)
    stated = [own.get("max_seq_length"), tokenizer.get("model_max_length"), positions]
    known = [int(length) for length in stated if length and length < LONGEST_TOKENS]
    return min(known, default=512)


def position_offset(config: Mapping[str, Any]) -> int:
    """Position of a text's first token in the table of positions: after the padding token's in RoBERTa's kin."""
    return int(config.get("pad_token_id") or 0) + 1 if "roberta" in str(config.get("model_type")) else 0


def _read_json(path: Path, default: Any = None) -> Any:
    if not path.is_file():
        return {} if default is None else default
    return json.loads(path.read_text(encoding="utf-8"))


def _unusable(path: Path, problem: str, hint: str) -> EmbeddingFunctionUnavailable:
    return EmbeddingFunctionUnavailable(f"the model folder {path} {problem}", function="onnx", hint=hint)
