"""An embedding function that writes down every text it is asked for, across threads, processes and kills."""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, get_registry, register
from lancelike.ledger.canaries import TEXT_CANARIES
from lancelike.pydantic import LanceModel, Vector

DIM = 8


def vector_of(text: str, dim: int = DIM) -> list[float]:
    """What the spy makes of *text*."""
    numbers: list[float] = (
        np.random.default_rng(zlib.crc32(text.encode())).standard_normal(dim).astype(np.float32).tolist()
    )
    return numbers


@register("lifecycle-spy")
class Spy(TextEmbeddingFunction):
    """Logs each request as a line of JSON before it answers; texts that hold "poison" are refused with a 400."""

    log: str
    dim: int = DIM
    batch_size: int = 100
    api_key: str | None = None
    max_retries: int = 0

    transport_settings: ClassVar = frozenset({"log"})
    delay_s: ClassVar[float] = 0.0
    """Seconds that each request takes, in this process."""

    _refuses: Callable[[str], Exception | None] = PrivateAttr(default_factory=lambda: _poison)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def ndims(self) -> int:
        return self.dim

    def generate_embeddings(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        if not set(texts) <= set(TEXT_CANARIES):
            with self._lock, open(self.log, "ab", buffering=0) as file:
                file.write(json.dumps(list(texts)).encode() + b"\n")
            time.sleep(self.delay_s)
        for text in texts:
            if error := self._refuses(text):
                raise error
        return np.array([vector_of(text, self.dim) for text in texts], np.float32).reshape(-1, self.dim)

    @property
    def requests(self) -> list[list[str]]:
        return requests_in(self.log)

    @property
    def sent(self) -> list[str]:
        return [text for request in self.requests for text in request]

    def forget(self) -> None:
        """Start the log anew."""
        Path(self.log).unlink(missing_ok=True)

    def refuse(self, refuses: Callable[[str], Exception | None]) -> None:
        """Make *refuses* say which texts are refused, and how."""
        self._refuses = refuses


class Refused(Exception):
    """A service's 400."""

    status_code = 400


def _poison(text: str) -> Exception | None:
    return Refused(f"can't embed {text!r}") if "poison" in text else None


def requests_in(log: str | os.PathLike[str]) -> list[list[str]]:
    """The requests logged so far; a line that a kill cut off is none."""
    try:
        lines = Path(log).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines[:-1]]


def make_spy(folder: Path, **settings: Any) -> Spy:
    """A spy that logs into *folder*, the same instance that tables of this process use."""
    return get_registry().get("lifecycle-spy").create(**{"log": str(folder / "spy.log"), **settings})  # type: ignore[return-value]


def make_table(folder: Path, spy: Spy, name: str = "docs", data: Any = None, **connection: Any) -> lancelike.Table:
    """A table of `id`, `text`, and the spy's vectors, in the database `folder/db`."""
    return create_docs(lancelike.connect(folder / "db", **connection), spy, name, data)


def create_docs(db: lancelike.DBConnection, spy: Spy, name: str = "docs", data: Any = None) -> lancelike.Table:
    class Doc(LanceModel):
        id: int
        text: str | None = spy.SourceField()
        vector: Vector(spy.dim) = spy.VectorField()  # type: ignore[valid-type]  # made per call

    return db.create_table(name, data, schema=Doc)


def contents(table: lancelike.Table) -> list[tuple[int, str | None, Any]]:
    """The rows of *table* by id, as the latest version has them."""
    table.checkout_latest()
    return sorted((row["id"], row["text"], row["vector"]) for row in table.to_arrow().to_pylist())


def expected(rows: Sequence[dict[str, Any]], dim: int = DIM) -> list[tuple[int, str | None, Any]]:
    """What `contents` is after *rows* were embedded."""
    return sorted((r["id"], r["text"], None if r["text"] is None else vector_of(r["text"], dim)) for r in rows)


def rows_of(start: int, stop: int, word: str = "text") -> list[dict[str, Any]]:
    """Rows with distinct texts."""
    return [{"id": i, "text": f"{word} {i}"} for i in range(start, stop)]
