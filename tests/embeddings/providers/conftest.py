"""Keys and addresses of the machine's own are kept out of the tests."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ABOUT_PROVIDERS = re.compile(r"_API_KEY|_TOKEN$|^(AWS|AZURE|OPENAI|CO|GOOGLE|GEMINI|VOYAGE|OLLAMA|HF|WATSONX)_")


@pytest.fixture(autouse=True, scope="module")
def _connections_are_closed_here() -> Iterator[None]:
    """Collect what the module leaves, so that no warning of an open connection comes up in another."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if ABOUT_PROVIDERS.search(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # its server is a loopback one here
