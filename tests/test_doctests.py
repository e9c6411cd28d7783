"""The examples in docstrings run, each module's where its names are."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import lancelike
from lancelike.embeddings import get_registry

PRIVATE_TO_RUN = "lancelike.__main__"
MODULES = ["lancelike", *(each.name for each in pkgutil.walk_packages(lancelike.__path__, "lancelike."))]


def with_examples() -> list[str]:
    root = Path(lancelike.__file__).parents[1]
    sources = {name: root.joinpath(*name.split(".")) for name in MODULES if name != PRIVATE_TO_RUN}
    files = {name: path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for name, path in sources.items()}
    return [name for name, file in files.items() if ">>> " in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", with_examples())
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    registry = get_registry()
    monkeypatch.setattr(registry, "_functions", dict(registry._functions))  # what examples register stays with them
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed
