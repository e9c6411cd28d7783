"""A process that migrates a table's vectors, to be killed under way: `python migrating.py FOLDER VERB`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, get_registry, register
from lancelike.ledger.canaries import TEXT_CANARIES

NDIMS, NEXT_NDIMS = 8, 16
BATCH = 50


def vector_of(text: str, dim: int = NDIMS) -> list[float]:
    return [float(x) for x in np.random.default_rng([dim, *text.encode()]).standard_normal(dim).astype(np.float32)]


@register("migrating")
class Migrating(TextEmbeddingFunction):
    """Logs each request as a line of JSON before it answers."""

    log: str
    dim: int = NDIMS
    delay_s: float = 0.0
    batch_size: int = BATCH
    max_retries: int = 0

    transport_settings = frozenset({"log", "delay_s"})

    def ndims(self) -> int:
        return self.dim

    def generate_embeddings(self, texts: Any, /) -> NDArray[np.float32]:
        if not set(texts) <= set(TEXT_CANARIES):
            with open(self.log, "ab", buffering=0) as file:
                file.write(json.dumps([self.dim, *texts]).encode() + b"\n")
            time.sleep(self.delay_s)
        if "poison" in texts:
            raise ValueError("poison")
        return np.array([vector_of(text, self.dim) for text in texts], np.float32)


def make(folder: Path, dim: int = NDIMS, delay_s: float = 0.0) -> Any:
    return get_registry().get("migrating").create(log=str(folder / "log"), dim=dim, delay_s=delay_s)


def sent(folder: Path, dim: int) -> list[str]:
    """Texts sent to the model of that length so far; a line that a kill cut off is none."""
    path = folder / "log"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    requests = [json.loads(line) for line in lines]
    return [text for length, *texts in requests if length == dim for text in texts]


def main(folder: Path, verb: str) -> None:
    table = lancelike.connect(folder / "db").open_table("docs")
    function = make(folder, NEXT_NDIMS, delay_s=0.02)
    if verb == "reembed":
        table.reembed("vector", function)
    else:
        table.add_embedding("second", function, "text")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
