"""LanceDB's older spellings, turned into today's, with a warning that says what to write."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from lancelike.index import FTS, HnswFlat, HnswPq, HnswSq, IvfFlat, IvfPq, IvfRq, IvfSq

_METRICS = {"l2", "cosine", "dot", "hamming", "euclidean"}
_CONFIGS: dict[str, Any] = {
    "IVF_FLAT": IvfFlat,
    "IVF_SQ": IvfSq,
    "IVF_PQ": IvfPq,
    "IVF_RQ": IvfRq,
    "IVF_HNSW_PQ": HnswPq,
    "IVF_HNSW_SQ": HnswSq,
    "IVF_HNSW_FLAT": HnswFlat,
}
_SETTINGS = {
    "num_partitions",
    "num_sub_vectors",
    "num_bits",
    "max_iterations",
    "sample_rate",
    "m",
    "ef_construction",
    "target_partition_size",
    "accelerator",
}
_OPTIONS = {"replace", "name", "train", "wait_timeout", "progress", "target_recall"}
_LEGACY = _SETTINGS | {"metric", "index_type", "vector_column_name", "index_cache_size"}
_POSITIONS = ("num_partitions", "num_sub_vectors", "vector_column_name", "replace", "accelerator", "index_cache_size")
"""What stood after the metric in the older form."""


def warn_deprecated(old: str, new: str) -> None:
    """Warn, at the caller's caller, that *old* is now written *new*."""
    warnings.warn(f"{old} is deprecated; write {new}", DeprecationWarning, stacklevel=3)


def index_arguments(
    column: str | None, config: Any, more: Sequence[Any], arguments: Mapping[str, Any]
) -> tuple[str | None, Any, dict[str, Any]]:
    """Column, None if it is not named, config and options of a `create_index` call, in today's or the older form.

    The older form is known by its keywords, by a metric where the column stands today, or by a number or further
    arguments where the config stands.

    Raises:
        TypeError: An argument belongs to neither form, or both are mixed.
        ValueError: No index type, or no metric, of that name.
    """
    if more or isinstance(config, int):
        arguments = {**_by_name([config, *more]), **arguments}
        config = None
    unknown = set(arguments) - _OPTIONS - _LEGACY
    if unknown:
        raise TypeError(f"create_index() got unexpected keywords {', '.join(sorted(unknown))}")
    options = {key: value for key, value in arguments.items() if key in _OPTIONS}
    old = {key: value for key, value in arguments.items() if key in _LEGACY}
    if not old and (column is None or column.lower() not in _METRICS):
        return column, config, options
    if config is not None:
        raise TypeError(f"config= can't be mixed with the older keywords {', '.join(sorted(old))}; put them in config")
    if column is not None and column.lower() in _METRICS:
        old.setdefault("metric", column)
        column = None
    column = column or old.pop("vector_column_name", None)
    return column, _config(old), options


_HEAP_BYTES = 1 << 30
_TOKENIZERS: dict[str, dict[str, Any]] = {
    "default": {},
    "raw": {"base_tokenizer": "raw", "max_token_length": None, "lower_case": False},
    "whitespace": {"base_tokenizer": "whitespace", "max_token_length": None, "lower_case": False},
}
_LANGUAGES = {
    "ar": "Arabic",
    "da": "Danish",
    "du": "Dutch",
    "en": "English",
    "fi": "Finnish",
    "fr": "French",
    "de": "German",
    "gr": "Greek",
    "hu": "Hungarian",
    "it": "Italian",
    "no": "Norwegian",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "es": "Spanish",
    "sv": "Swedish",
    "ta": "Tamil",
    "tr": "Turkish",
}


def fts_arguments(
    field_names: str | Sequence[str], config: FTS, tokenizer_name: str | None, tantivy: Mapping[str, Any]
) -> tuple[str, FTS]:
    """Column and config of a `create_fts_index` call.

    Args:
        field_names: The column.
        config: What the call says of the index.
        tokenizer_name: An older name of how words are cut, in place of what *config* says of it.
        tantivy: Arguments that only LanceDB's former index took.

    Raises:
        ValueError: Several columns, an argument of the former index, or no such tokenizer.
    """
    for name, value in tantivy.items():
        if value not in (None, False, _HEAP_BYTES):
            raise ValueError(f"{name} was for the Tantivy-based FTS, which has been removed; leave it out")
    if not isinstance(field_names, str):
        raise ValueError(
            "Native FTS indexes can only be created on a single field at a time; make one for each of "
            f"{', '.join(map(repr, field_names))}, and searches look in all of them"
        )
    return field_names, config if tokenizer_name is None else _tokenizer(tokenizer_name, config)


def _tokenizer(name: str, config: FTS) -> FTS:
    """*config* with words cut as LanceDB's older *name* says."""
    plain = replace(config, stem=False, remove_stop_words=False, ascii_folding=False)
    if name in _TOKENIZERS:
        return replace(plain, **_TOKENIZERS[name])
    language, _, rest = name.partition("_")
    if rest != "stem":
        raise ValueError(
            f"Invalid tokenizer name {name}; there are {', '.join(_TOKENIZERS)}, and en_stem, fr_stem, ..."
        )
    if language not in _LANGUAGES:
        raise ValueError(f"Invalid language code {language}; there are {', '.join(_LANGUAGES)}")
    return replace(plain, language=_LANGUAGES[language], stem=True)


def _by_name(positional: Sequence[Any]) -> dict[str, Any]:
    if len(positional) > len(_POSITIONS):
        raise TypeError("create_index() got too many arguments; write create_index(column, config=...)")
    return dict(zip(_POSITIONS, positional, strict=False))


def _config(old: dict[str, Any]) -> Any:
    kind = str(old.pop("index_type", "IVF_PQ")).upper()
    if kind not in _CONFIGS:
        raise ValueError(f"no vector index type {kind!r}; there are {', '.join(_CONFIGS)}")
    metric = str(old.pop("metric", "l2")).lower()
    if metric not in _METRICS:
        raise ValueError(f"no distance type {metric!r}; there are l2, cosine, dot, hamming")
    cls = _CONFIGS[kind]
    known = {field.name for field in fields(cls)}
    settings = {key: value for key, value in old.items() if key in known and value is not None}
    config = cls(distance_type="l2" if metric == "euclidean" else metric, **settings)
    warnings.warn(
        f"create_index with keywords is deprecated; write create_index(column, config={config!r})",
        DeprecationWarning,
        stacklevel=4,
    )
    return config
