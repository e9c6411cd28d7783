"""Chroma in a process of its own, under a Python that has it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMA_PYTHON = "CHROMA_PYTHON"
"""Variable that names a Python that has chromadb, where this one has not."""


class ChromaProcess:
    """Answers what `chroma_worker.Worker` has a method for."""

    def __init__(self, python: str) -> None:
        command = [python, str(Path(__file__).with_name("chroma_worker.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version: str = self.ask("version")

    def ask(self, *request: Any) -> Any:
        """The answer of the method named first to the arguments after it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def chroma_process() -> Iterator[ChromaProcess | None]:
    """Chroma under this Python, or under the one that the variable `CHROMA_PYTHON` names; None where there is none."""
    python = sys.executable if importlib.util.find_spec("chromadb") else os.environ.get(CHROMA_PYTHON)
    if python is None:
        yield None
        return
    process = ChromaProcess(python)
    try:
        yield process
    finally:
        process.stop()


def about_chroma(process: ChromaProcess | None) -> str:
    """Which Chroma was there, as a sentence."""
    if process is None:
        return f"chromadb is not in this Python, and the variable `{CHROMA_PYTHON}` names none that has it."
    return f"chromadb {process.version} runs in a process of its own."
