"""The contract of `lancelike.testing`, over every remote function through its real SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from lancelike.embeddings import EmbeddingFunction
from lancelike.testing import EmbeddingFunctionContract
from tests.embeddings.providers.cases import CASES, Case
from tests.embeddings.wire import KEY, WireServer

# The packages leave it to the collector to close their connections.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


class TestRemoteFunctions(EmbeddingFunctionContract):
    """Each function, asking a server of its own, which takes at most 50 words."""

    texts: ClassVar = ("The cat sat on the mat.", "one", "again and again, " * 12, "Where is the station?", "the last")
    largest_batch: ClassVar = 100
    tolerance: ClassVar = 1e-6

    @pytest.fixture(autouse=True, params=CASES, ids=str)
    def _serve(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        self._case: Case = request.param
        if self._case.variable:
            monkeypatch.setenv(self._case.variable, KEY)
        with WireServer(self._case.protocol()).running() as self._server:
            yield

    def make_function(self) -> EmbeddingFunction:
        return self._case.make(self._server)
