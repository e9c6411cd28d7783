"""Models in memory, one for each name and precision in a process, and their graphs on disk, written once."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lancelike._optional import require
from lancelike.embeddings.local.encoder import TextEncoder
from lancelike.embeddings.local.folder import ModelFolder, open_folder
from lancelike.embeddings.local.graph import write_graph
from lancelike.embeddings.local.quantize import quantize_products

Precision: TypeAlias = Literal["float32", "int8"]

RECIPE = 1
"""Raised whenever a graph would be written otherwise, so that none written before is used."""
_loading = threading.Lock()


def load_encoder(name: str, precision: Precision, max_length: int | None, threads: int | None) -> TextEncoder:
    """The model *name*, loaded at the first call of this process.

    Raises:
        ImportError: A package of the extra `onnx` is not installed.
        EmbeddingFunctionUnavailable: There is no such model, or it can't be run here.
    """
    with _loading:  # a child process must not use its parent's, whose threads it does not have
        return _load_encoder(name, precision, max_length, threads, os.getpid())


@cache
def _load_encoder(
    name: str, precision: Precision, max_length: int | None, threads: int | None, _process: int
) -> TextEncoder:
    folder = open_folder(name, max_length)
    return TextEncoder(folder, graph_file(folder, precision), threads)


def graph_file(folder: ModelFolder, precision: Precision) -> Path | bytes:
    """The graph of *folder* at *precision*: its own, or one written to the cache, or its bytes if that can't be."""
    if folder.graph is not None and precision == "float32":
        return folder.graph
    path = cache_folder() / f"{_digest(folder)}-{precision}-{RECIPE}.onnx"
    return path if path.is_file() else _save(make_graph(folder, precision).SerializeToString(), path)


def make_graph(folder: ModelFolder, precision: Precision) -> Any:
    """The `onnx.ModelProto` of *folder* at *precision*, made from its own graph, or else from its weights."""
    if folder.graph is None:
        model = write_graph(folder)
    else:
        model = require("onnx", extra="onnx", needed_by="quantising an ONNX graph").load(str(folder.graph))
    return quantize_products(model) if precision == "int8" else model


def cache_folder() -> Path:
    """Where graphs are kept: `$LANCELIKE_CACHE`, or `lancelike` in the user's cache folder."""
    stated = os.environ.get("LANCELIKE_CACHE")
    return Path(stated) if stated else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lancelike"


def _digest(folder: ModelFolder) -> str:
    """What the graph is made from, as a file name: another model in the same folder gets another."""
    digest = hashlib.sha256()
    for path in (folder.graph or folder.weights, folder.path / "config.json"):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


def _save(graph: bytes, path: Path) -> Path | bytes:
    """Write *graph* to *path* in one step, for other processes may read or write it at the same time."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(graph)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        return graph
    return path
