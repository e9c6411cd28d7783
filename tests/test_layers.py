"""The tree is the architecture: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lancelike"

LAYERS = (
    ["errors"],
    ["types"],
    ["_lazy", "_torchvision"],
    ["_threads"],
    ["_optional", "calls", "exiting", "processors"],
    ["index"],
    ["legacy", "serializing"],
    ["job"],
    ["context", "tensors", "uris"],
    ["media"],
    ["schema"],
    ["embeddings"],
    ["rerankers"],
    ["query"],
    ["storage"],
    ["ledger"],
    ["ingest", "search"],
    ["lifecycle"],
    ["merge"],
    ["table"],
    ["namespaces"],
    ["tables"],
    ["database"],
    ["permutation"],
    ["aio"],
    ["cli", "integrations", "streaming", "testing"],
    ["__main__"],
)
"""Each part imports from those above it and from itself. Modules not listed only re-export."""

GUESTS = {"cli", "integrations", "testing"}
"""Parts that use the public face, as anybody's code does."""

SHOWN_EARLY = {("lancelike.table", f"lancelike.aio.{each}") for each in ("branches", "table", "tags")}
"""What a package shows, for LanceDB's import path, of a part below it; it imports that when first asked."""

RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(name: str) -> str:
    return name.partition(".")[2].partition(".")[0]


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PLACED = [name for name in MODULES if part(name) in RANK]
UNPLACED = [name for name in MODULES if name not in PLACED]


def imports(name: str) -> Iterator[str]:
    """Yield each module that *name* imports, anywhere in its source; of lancelike's, the module that is meant."""
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[name].read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            home = ".".join([*above, *filter(None, [node.module])])
            yield from {inner if (inner := f"{home}.{alias.name}") in MODULES else home for alias in node.names}


def test_every_part_has_modules() -> None:
    assert {part(name) for name in PLACED} >= RANK.keys() - {"__main__"}


@pytest.mark.parametrize("name", PLACED)
def test_imports_go_up_or_left(name: str) -> None:
    found = (other for other in imports(name) if (name, other) not in SHOWN_EARLY)
    own = [other for other in found if other.partition(".")[0] == "lancelike"]
    wrong = [
        other
        for other in own
        if not (part(name) in GUESTS and other in UNPLACED)
        and (other in UNPLACED or (part(other) != part(name) and RANK[part(other)] >= RANK[part(name)]))
    ]
    assert not wrong, f"{name} may not import {', '.join(wrong)}"


@pytest.mark.parametrize("name", PLACED)
def test_only_storage_imports_lance(name: str) -> None:
    lance = [other for other in imports(name) if other.partition(".")[0] in ("lance", "lance_namespace")]
    assert part(name) == "storage" or not lance


@pytest.mark.parametrize("name", [name for name in UNPLACED if name != "lancelike"])
def test_a_module_outside_the_layers_only_re_exports(name: str) -> None:
    body = ast.parse(MODULES[name].read_bytes()).body
    others = [
        node
        for node in body
        if not isinstance(node, ast.ImportFrom)
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    assert not others, f"{name} has code of its own: place it in LAYERS"


def test_no_import_cycle() -> None:
    graph = {name: {other for other in imports(name) if other in MODULES} for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' <- '.join(error.args[1])}")
