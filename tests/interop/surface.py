"""What LanceDB's local Python API has and ours lacks: modules, names, members and parameters.

A gap is named as LanceDB spells it, without the package: `table.Table.merge` is a missing method,
`db.DBConnection.open_table(branch)` a missing parameter, `streaming` a missing module.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

MEMBERS = {"__call__", "__contains__", "__enter__", "__getitem__", "__getitems__", "__iter__", "__len__"}
"""The special methods that are looked for, beside all public members."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_NOT_API = {"conftest"}


def gaps() -> set[str]:
    """Everything of LanceDB's public surface that ours has not."""
    return {gap for theirs in _their_modules() for gap in _gaps_of_module(theirs)}


def _their_modules() -> Iterator[ModuleType]:
    lancedb = importlib.import_module("lancedb")
    yield lancedb
    for found in pkgutil.walk_packages(lancedb.__path__, "lancedb."):
        parts = found.name.split(".")
        if not any(part.startswith("_") or part in _NOT_API for part in parts):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    yield importlib.import_module(found.name)
                except ImportError:  # it needs a package that isn't installed
                    continue


def _gaps_of_module(theirs: ModuleType) -> Iterator[str]:
    path = theirs.__name__.partition(".")[2]
    try:
        ours = importlib.import_module(f"lancelike.{path}" if path else "lancelike")
    except ModuleNotFoundError:
        if any(True for _ in _public(theirs)):
            yield path
        return
    for name in _public(theirs):
        full = f"{path}.{name}" if path else name
        if not hasattr(ours, name):
            yield full
        elif _is_defined_in(getattr(theirs, name), theirs):
            yield from _gaps_of_value(full, getattr(theirs, name), getattr(ours, name))


def _public(module: ModuleType) -> Iterator[str]:
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name, value in vars(module).items() if _is_defined_in(value, module)]
    return (name for name in names if not name.startswith("_"))


def _is_defined_in(value: object, module: ModuleType) -> bool:
    is_code = inspect.isclass(value) or inspect.isroutine(value)
    return is_code and getattr(value, "__module__", None) == module.__name__


def _gaps_of_value(full: str, theirs: Any, ours: Any) -> Iterator[str]:
    yield from _missing_parameters(full, theirs, ours)
    if inspect.isclass(theirs) and inspect.isclass(ours):
        known = {*dir(ours), *getattr(ours, "model_fields", ()), *getattr(ours, "__dataclass_fields__", ())}
        for name, member in vars(theirs).items():
            if name.startswith("_") and name not in MEMBERS:
                continue
            if name not in known:
                yield f"{full}.{name}"
            elif inspect.isroutine(member) or isinstance(member, classmethod | staticmethod):
                yield from _missing_parameters(f"{full}.{name}", getattr(theirs, name), getattr(ours, name, None))


def _missing_parameters(full: str, theirs: Any, ours: Any) -> Iterator[str]:
    wanted, there = _parameters(theirs), _parameters(ours)
    if wanted is None or there is None or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in there):
        return
    nameless = sum(each.kind is inspect.Parameter.POSITIONAL_ONLY for each in there)
    names = {each.name for each in there}
    for place, each in enumerate(wanted):
        if each.kind not in _VARIADIC and each.name not in names and place >= nameless:
            yield f"{full}({each.name})"


def _parameters(value: Any) -> list[inspect.Parameter] | None:
    try:
        return [each for each in inspect.signature(value).parameters.values() if each.name not in ("self", "cls")]
    except (TypeError, ValueError):  # not callable, or without a signature
        return None
