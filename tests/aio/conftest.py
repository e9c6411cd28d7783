"""A database on disk and one in memory, and a function that counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aio.faces import Face
from tests.lifecycle.spies import Spy, make_spy


@pytest.fixture(params=["blocking", "awaited"])
def face(request: pytest.FixtureRequest) -> Face:
    chosen: Face = request.param
    return chosen


@pytest.fixture(params=["disk", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else str(tmp_path / "db")


@pytest.fixture
def spy(tmp_path: Path) -> Spy:
    return make_spy(tmp_path)
