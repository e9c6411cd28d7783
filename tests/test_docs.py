"""Every Python block of the documentation runs, page by page and in order.

A block that can't run here says why in a comment before it: `<!-- not run: needs an account -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.is_file()]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!--\s*not run:\s*(?P<reason>\S.*?)\s*-->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced Python block; `line` is that of its fence, from 1."""

    code: str
    line: int
    reason_not_run: str | None


def python_blocks(page: str) -> Iterator[Block]:
    for fence in FENCE.finditer(page):
        if fence["info"].strip().split(" ")[0] in ("python", "py"):
            marked = NOT_RUN.search(page[: fence.start()])
            code = re.sub(rf"^{fence['indent']}", "", fence["code"], flags=re.MULTILINE)
            yield Block(code, page.count("\n", 0, fence.start()) + 1, marked["reason"] if marked else None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in python_blocks(page.read_text(encoding="utf-8")):
        if block.reason_not_run is None:
            source = "\n" * block.line + block.code  # so that a traceback shows the page's own line
            exec(compile(source, str(page), "exec", dont_inherit=True), namespace)


def test_blocks_are_found_with_their_lines_and_marks() -> None:
    run, marked = "a\n```python\nx = 1\n```\n\n", "<!-- not run: needs a key -->\n```python\ny\n```\n"
    page = f"{run}{marked}```bash\nls\n```\n- b\n  ```py\n  z\n  ```\n"
    blocks = list(python_blocks(page))
    assert [(block.code, block.line) for block in blocks] == [("x = 1\n", 2), ("y\n", 7), ("z\n", 14)]
    assert [block.reason_not_run for block in blocks] == [None, "needs a key", None]


def test_a_mark_without_a_reason_is_none() -> None:
    (block,) = python_blocks("<!-- not run: -->\n```python\nx\n```\n")
    assert block.reason_not_run is None
