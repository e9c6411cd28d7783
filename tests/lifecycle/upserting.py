"""What the processes of `test_processes` run."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, register
from lancelike.pydantic import LanceModel, Vector
from lancelike.storage import runs


@register("logged")
class Logged(TextEmbeddingFunction):
    """Appends each text that it embeds to a file, with its process, and takes its time."""

    log: str
    seconds: float = 0.0

    def ndims(self) -> int:
        return 4

    def shaping_settings(self) -> dict[str, Any]:
        return {}

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        with open(self.log, "a") as log:  # one write each, so lines of several processes don't mix
            log.write("".join(f"{os.getpid()} {text}\n" for text in texts))
        if texts[0].startswith("text-"):  # no canaries
            time.sleep(self.seconds)
        return np.ones((len(texts), 4), np.float32) * [[len(text)] for text in texts]


def make_table(folder: Path, log: Path, **settings: Any) -> lancelike.Table:
    function = Logged.create(log=str(log), **settings)

    class Doc(LanceModel):
        id: int
        text: str = function.SourceField()
        vector: Vector(4) = function.VectorField()  # type: ignore[valid-type]  # made per call

    return lancelike.connect(folder).create_table("docs", schema=Doc)


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "text": f"text-{number}"} for number in range(count)]


def upsert(folder: str, count: int, start: Any) -> None:
    table = lancelike.connect(folder).open_table("docs")
    start.wait()
    table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows(count))


def add(folder: str, count: int) -> None:
    lancelike.connect(folder).open_table("docs").add(rows(count))


def add_with_index_in_files(folder: str, count: int) -> None:
    runs.MOST_IN_MEMORY = 64
    add(folder, count)
