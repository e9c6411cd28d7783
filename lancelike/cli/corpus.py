"""The docstrings of the Python standard library, as short texts to search.

A module written in Python is read as source and never imported. A module written in C has no source, so it is
imported; none of those opens, prints or starts anything when it is.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["module", "class", "function", "method"]

SUMMARY_CHARS = 150
"""What a docstring says first says what it is for: of 25 questions, all-MiniLM-L6-v2 answered 22 rightly with its first
place from 150 characters, 20 from 240."""

LEFT_OUT = frozenset(
    [
        *("antigravity", "this", "__phello__", "xxlimited", "xxlimited_35", "xxsubtype"),  # jokes and examples
        *("idlelib", "lib2to3", "distutils", "ensurepip", "pydoc_data", "turtledemo", "test", "tests"),
        *("ntpath", "nturl2path", "readline", "__future__"),
    ]
)
PLATFORM_HALVES = frozenset(["nt", "posix"])
"""Public by their names, but meant to be used as `os`."""
SHOWN_AS = {"posixpath": "os.path", "genericpath": "os.path", "builtins": ""}


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented name of the standard library; `text` is the start of its docstring on one line."""

    name: str
    kind: Kind
    module: str
    text: str


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or function with its docstring, and those of a class's methods."""

    kind: Kind
    doc: str
    methods: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Module:
    """What a module defines, and what it takes from others: (their module, name there or "*", name here)."""

    name: str
    doc: str
    definitions: dict[str, Definition]
    taken: list[tuple[str, str, str]] = field(default_factory=list)
    exported: frozenset[str] | None = None

    def exports(self, name: str) -> bool:
        """Tell whether *name* is for others, by `__all__` where that can be read, else by its first letter."""
        return not name.startswith("_") and (self.exported is None or name in self.exported)


def collect_docstrings() -> list[Entry]:
    """List every public module, class, function and method that has a docstring, sorted by qualified name.

    What a module takes from a private module or from its own submodules is listed under the shortest public name:
    `asyncio.run`, not `asyncio.runners.run`. Methods that repeat another's name and docstring are listed once.
    """
    modules = {module.name: module for module in read_modules()}
    entries: dict[str, Entry] = {}
    for entry in chain(module_entries(modules.values()), definition_entries(modules)):
        entries.setdefault(entry.name, entry)
    distinct: dict[tuple[str, str], Entry] = {}
    for entry in sorted(entries.values(), key=_depth_and_name):
        distinct.setdefault((entry.name.rpartition(".")[2], entry.text), entry)
    return sorted(distinct.values(), key=lambda entry: entry.name)


def module_entries(modules: Iterable[Module]) -> Iterator[Entry]:
    """Yield one entry per public module with a docstring."""
    for module in modules:
        if is_public(module.name) and (text := summarize(module.doc)):
            name = SHOWN_AS.get(module.name) or module.name
            yield Entry(name, "module", name, text)


def definition_entries(modules: dict[str, Module]) -> Iterator[Entry]:
    """Yield the classes, their methods, and the functions, each under its best public name."""
    names: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for home, name, place in publications(modules):
        names.setdefault((home, name), []).append(place)
    for (home, name), places in names.items():
        module, public_name = min(places, key=lambda place: (place[0].count("."), place))
        definition = modules[home].definitions[name]
        yield from _entries(definition, SHOWN_AS.get(module, module), public_name)


def _entries(definition: Definition, module: str, name: str) -> Iterator[Entry]:
    qualified = f"{module}.{name}" if module else name
    module = module or "builtins"
    if text := summarize(definition.doc):
        yield Entry(qualified, definition.kind, module, text)
    for method, doc in definition.methods.items():
        if text := summarize(doc):
            yield Entry(f"{qualified}.{method}", "method", module, text)


def publications(modules: dict[str, Module]) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Yield (module that defines it, its name there, (public module, public name)) for all that can be imported."""
    for module in filter(is_public, modules):
        for public_name, (home, name) in visible(modules, module).items():
            if modules[module].exports(public_name):
                yield home, name, (module, public_name)


def visible(modules: dict[str, Module], module: str, above: tuple[str, ...] = ()) -> dict[str, tuple[str, str]]:
    """Map each name of *module* to where it is defined: there, in a private module, or in one of its submodules."""
    names = {name: (module, name) for name in modules[module].definitions}
    for home, name, name_here in modules[module].taken:
        foreign = is_public(home) and not home.startswith(f"{module}.")
        if home not in modules or home in above or foreign:
            continue
        inner = visible(modules, home, (*above, module))
        for each in filter(modules[home].exports, inner) if name == "*" else {name} & inner.keys():
            names.setdefault(each if name == "*" else name_here, inner[each])
    return names


def summarize(doc: str) -> str:
    """Return the first paragraphs of *doc* on one line, cut at a word to `SUMMARY_CHARS`."""
    text = ""
    for paragraph in inspect.cleandoc(doc).split("\n\n"):
        text = f"{text} {' '.join(paragraph.split())}".strip()
        if len(text) > SUMMARY_CHARS // 3:
            break
    return text if len(text) <= SUMMARY_CHARS else f"{text[:SUMMARY_CHARS].rpartition(' ')[0]} …"


def is_public(module: str) -> bool:
    """Tell whether a program may import the module by this dotted name."""
    return module not in PLATFORM_HALVES and not any(part.startswith("_") for part in module.split("."))


def _depth_and_name(entry: Entry) -> tuple[int, str]:
    return entry.name.count("."), entry.name


def read_modules() -> Iterator[Module]:
    """Yield the modules of the standard library; private ones too, since public ones take names from them."""
    library = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names - LEFT_OUT):
        if (library / f"{name}.py").is_file():
            yield read_source(name, library / f"{name}.py")
        elif (library / name).is_dir():
            yield from read_package(name, library / name)
        else:
            yield from inspect_extension(name)


def read_package(name: str, folder: Path) -> Iterator[Module]:
    """Yield a package and everything in it, but not its tests."""
    for path in sorted(folder.iterdir()):
        module = name if path.stem == "__init__" else f"{name}.{path.stem}"
        if path.stem in LEFT_OUT or path.stem == "__main__":
            continue
        if path.suffix == ".py":
            yield read_source(module, path)
        elif (path / "__init__.py").is_file():
            yield from read_package(module, path)


def read_source(name: str, path: Path) -> Module:
    """Read a module's docstrings from its source."""
    tree = ast.parse(path.read_bytes())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    definitions: dict[str, Definition] = {}
    taken: list[tuple[str, str, str]] = []
    for node in _top_level(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            definitions.setdefault(node.name, _definition(node))
        elif isinstance(node, ast.ImportFrom):
            home = _absolute(node, package)
            taken += [(home, alias.name, alias.asname or alias.name) for alias in node.names]
    return Module(name, _module_doc(tree), definitions, taken, _literal_all(tree))


def _module_doc(tree: ast.Module) -> str:
    for node in tree.body:
        match node:
            case ast.Assign([ast.Name("__doc__")], ast.Constant(str(doc))):
                return doc
    return ast.get_docstring(tree) or ""


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of *body* and those under its `if` and `try`, where modules pick an accelerator."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            handlers = node.handlers if isinstance(node, ast.Try) else []
            yield from _top_level(chain(node.body, node.orelse, *(handler.body for handler in handlers)))


def _definition(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Definition:
    doc = ast.get_docstring(node) or ""
    if not isinstance(node, ast.ClassDef):
        return Definition("function", doc)
    methods = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    docs = {each.name: ast.get_docstring(each) or "" for each in methods if not each.name.startswith("_")}
    return Definition("class", doc, docs)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, *filter(None, [node.module])])


def _literal_all(tree: ast.Module) -> frozenset[str] | None:
    """Return the names in `__all__` when it is one literal, assigned once and not changed."""
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "__all__"]
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(uses) == 1 and node.targets[0] is uses[0]:
            try:
                return frozenset(ast.literal_eval(node.value))
            except ValueError:
                return None
    return None


def inspect_extension(name: str) -> Iterator[Module]:
    """Yield the docstrings of a module written in C, unless this platform lacks it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = importlib.import_module(name)
    except ImportError:
        return
    definitions = {
        each: _inspected(value)
        for each, value in vars(module).items()
        if not each.startswith("_") and (inspect.isclass(value) or inspect.isbuiltin(value))
    }
    yield Module(name, _own_doc(module), definitions)


def _inspected(value: Any) -> Definition:
    if not inspect.isclass(value):
        return Definition("function", _own_doc(value))
    methods = {name: each for name, each in vars(value).items() if inspect.isroutine(each) and not name.startswith("_")}
    return Definition("class", _own_doc(value), {name: _own_doc(each) for name, each in methods.items()})


def _own_doc(value: Any) -> str:
    doc = value.__doc__
    return doc if isinstance(doc, str) else ""
