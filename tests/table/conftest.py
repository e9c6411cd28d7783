"""A small embedded table, on disk and in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

import lancelike
from lancelike.embeddings import get_registry
from lancelike.pydantic import LanceModel, Vector

hashing = get_registry().get("hash").create(dim=32)


class Doc(LanceModel):
    id: int
    text: str | None = hashing.SourceField()
    vector: Vector(32) = hashing.VectorField()  # type: ignore[valid-type]  # made per call


TEXTS = ["hello world", "goodbye moon", "compress a file", "read a file", "sort a list of numbers"]


@pytest.fixture(params=["disk", "memory"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> lancelike.DBConnection:
    return lancelike.connect(tmp_path / "db" if request.param == "disk" else "memory://")


@pytest.fixture
def docs(db: lancelike.DBConnection) -> lancelike.Table:
    """Five rows, embedded."""
    return db.create_table("docs", [{"id": i, "text": t} for i, t in enumerate(TEXTS)], schema=Doc)
