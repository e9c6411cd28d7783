"""How fast texts become rows with vectors, through a real model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import lancedb
import lancedb.embeddings
import lancedb.pydantic
import numpy as np

import lancelike
import lancelike.embeddings
import lancelike.pydantic
from benchmarks.data import real_texts
from benchmarks.report import Goal, Section, Table, ratio, say
from benchmarks.scale import Scale
from benchmarks.timing import Times, interleave
from lancelike.embeddings.providers.sentence_transformers import find_model

MODEL = "all-MiniLM-L6-v2"
SAME_VECTOR = 1e-4
"""Cosine distance that float32 and another batching may make."""


class Embedder(Protocol):
    """Something that turns texts into vectors and keeps them."""

    name: str

    def start(self, folder: Path) -> None:
        """Begin with nothing stored."""

    def add(self, texts: Sequence[str]) -> None:
        """Embed *texts* and keep the vectors."""

    def vectors(self) -> np.ndarray:
        """What is kept, in order."""


class Encode:
    """`SentenceTransformer.encode`, keeping the vectors in memory."""

    name = "model.encode"

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(find_model(MODEL), device="cpu")

    def start(self, folder: Path) -> None:
        self._kept: list[np.ndarray] = []

    def add(self, texts: Sequence[str]) -> None:
        self._kept.append(self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False))

    def vectors(self) -> np.ndarray:
        return np.concatenate(self._kept)


class LibraryEmbedder:
    """A table with a `sentence-transformers` column; lancelike and lancedb are written alike."""

    name: str
    library: Any

    @cached_property
    def _schema(self) -> Any:
        library = self.library
        function = library.embeddings.get_registry().get("sentence-transformers").create(name=find_model(MODEL))

        class Text(library.pydantic.LanceModel):  # type: ignore[misc,name-defined]  # the base is one of two
            text: str = function.SourceField()
            vector: library.pydantic.Vector(function.ndims()) = function.VectorField()  # type: ignore[valid-type]

        return Text

    def start(self, folder: Path) -> None:
        self._table = self.library.connect(folder).create_table("texts", schema=self._schema)

    def add(self, texts: Sequence[str]) -> None:
        self._table.add([{"text": text} for text in texts])

    def vectors(self) -> np.ndarray:
        column = self._table.to_arrow()["vector"].combine_chunks()
        return column.flatten().to_numpy().reshape(len(column), -1)


class Lancelike(LibraryEmbedder):
    name, library = "lancelike", lancelike


class LanceDB(LibraryEmbedder):
    name, library = "lancedb", lancedb


def run(scale: Scale) -> Section:
    embedders: list[Embedder] = [Encode(), Lancelike(), LanceDB()]
    texts = real_texts(scale.texts)
    works = {
        f"{len(texts):,} texts": Work(scale.folder, texts),
        "the same texts again, to the same table": Work(scale.folder, texts, before=texts),
        "as many rows, each text twice": Work(scale.folder, [text for text in texts[::2] for _ in range(2)]),
    }
    tables, goals = [], []
    for title, work in works.items():
        say(f"embed: {title}")
        calls = {each.name: partial(work.prepare, each) for each in embedders}
        interleave(...)  # placeholder
    return Section("", "", tables, goals)
