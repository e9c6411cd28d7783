from __future__ import annotations

from collections.abc import Iterator

import pytest

from lancelike.embeddings.registry import EmbeddingFunctionRegistry
from tests.embeddings.flaky_service import FlakyService, serving


@pytest.fixture
def service() -> Iterator[FlakyService]:
    with serving() as flaky:
        yield flaky


@pytest.fixture
def registry() -> EmbeddingFunctionRegistry:
    """A registry of the test's own."""
    return EmbeddingFunctionRegistry()
