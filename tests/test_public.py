"""What is public is what `__all__` says."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import lancelike


def public_modules() -> list[str]:
    """Every module of the package whose dotted name has no private part and that has an `__all__`, and the package."""
    walked = pkgutil.walk_packages(lancelike.__path__, "lancelike.")
    names = [each.name for each in walked if not any(part.startswith("_") for part in each.name.split("."))]
    return ["lancelike", *(name for name in names if hasattr(importlib.import_module(name), "__all__"))]


PUBLIC = public_modules()


def bound_names(module: ModuleType) -> set[str]:
    """Classes and functions of ours that `from module import *` would give if there were no `__all__`."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and is_documentable(value) and value.__module__.startswith("lancelike")
    }


def is_documentable(value: object) -> bool:
    return inspect.isclass(value) or inspect.isfunction(value)


def test_the_face_is_public() -> None:
    assert {"lancelike", "lancelike.pydantic", "lancelike.embeddings", "lancelike.query", "lancelike.db"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_all_names_exist_once(name: str) -> None:
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    missing = [each for each in module.__all__ if not hasattr(module, each)]
    assert not missing


@pytest.mark.parametrize("name", [name for name in PUBLIC if hasattr(importlib.import_module(name), "__path__")])
def test_a_package_exports_what_it_imports(name: str) -> None:
    module = importlib.import_module(name)
    assert bound_names(module) <= set(module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_says_what_it_is(name: str) -> None:
    module = importlib.import_module(name)
    values = {each: getattr(module, each) for each in module.__all__}
    silent = [each for each, value in values.items() if is_documentable(value) and not inspect.getdoc(value)]
    assert not silent


@pytest.mark.parametrize("name", PUBLIC)
def test_a_shell_completes_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    assert set(module.__all__) <= set(dir(module))
