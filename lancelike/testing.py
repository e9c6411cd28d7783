"""A contract for embedding functions, to run over one's own: as tests under pytest, or in one call.

```python
class TestMyEmbeddings(EmbeddingFunctionContract):
    def make_function(self) -> EmbeddingFunction:
        return MyEmbeddings.create()
```
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lancelike.embeddings.base import EmbeddingFunction
from lancelike.embeddings.batching import embed_queries, embed_query
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import BadEmbeddingError, EmbeddingError

__all__ = ["EmbeddingFunctionContract", "check_function"]

TEXTS = (
    "The cat sat on the mat.",
    "Compress a file with gzip, then send it.",
    "one",
    "A longer text, which says the same thing again and again. " * 8,
    "Where is the nearest station?",
)
UNICODE = (
    "naïve café",
    "東京は夜の七時",
    "שלום עולם",
    "👩‍👩‍👧 family",
    "e\u0301 and \u00e9",
    "a\u0000b",
    "\ufeffmarked",
    "\t\n",
)


class EmbeddingFunctionContract:
    """Tests that every text embedding function passes; a subclass named `Test...` says which function.

    Attributes:
        texts: Inputs to embed, no two of them alike, and none longer than the function takes.
        long_text: One that is over any model's context.
        tolerance: Most that a number may differ between two ways of asking for the same vector.
        largest_batch: Most inputs sent to see that a whole batch is taken.
    """

    texts: ClassVar[Sequence[str]] = TEXTS
    long_text: ClassVar[str] = "one word after another " * 20_000
    tolerance: ClassVar[float] = 1e-5
    largest_batch: ClassVar[int] = 300

    def make_function(self) -> EmbeddingFunction:
        """The function under test, made anew for each test."""
        raise NotImplementedError("say which function is tested: override make_function()")

    def test_ndims_is_the_length_of_the_vectors(self) -> None:
        """`ndims()` is a positive number, the same each time, and vectors have that length and are finite."""
        function = self.make_function()
        assert function.ndims() == function.ndims() >= 1
        for vector in self._sources(function, self.texts):
            assert vector.shape[-1] == function.ndims()
            assert vector.dtype == function.vector_dtype()
            assert np.isfinite(vector).all()

    def test_the_same_text_has_the_same_vector(self) -> None:
        """Asking twice, of two functions made alike, gives one answer."""
        again = self._sources(self.make_function(), self.texts)
        self._assert_alike(self._sources(self.make_function(), self.texts), again)

    def test_other_texts_have_other_vectors(self) -> None:
        """No two of the texts share a vector."""
        vectors = self._sources(self.make_function(), self.texts)
        assert len({vector.tobytes() for vector in vectors}) == len(self.texts)

    def test_a_batch_equals_its_parts(self) -> None:
        """A vector depends on its text alone, not on those that are sent with it."""
        function = self.make_function()
        alone = [self._sources(function, [text])[0] for text in self.texts]
        self._assert_alike(self._sources(function, self.texts), alone)

    def test_order_is_kept(self) -> None:
        """Vectors are in the order of the texts, also of texts given twice."""
        function = self.make_function()
        forth = self._sources(function, self.texts)
        back = self._sources(function, [*reversed(self.texts), self.texts[0]])
        self._assert_alike([*reversed(forth), forth[0]], back)

    def test_no_input_gives_no_vector(self) -> None:
        """An empty list is answered with none."""
        function = self.make_function()
        assert embed_sources(function, []) == []
        assert embed_queries(function, []) == []

    def test_none_gives_none(self) -> None:
        """None is not sent, and leaves the others in their places."""
        function = self.make_function()
        first, vector, last = embed_sources(function, [None, self.texts[0], None])
        assert first is None
        assert last is None
        assert vector is not None
        self._assert_alike([vector], self._sources(function, [self.texts[0]]))

    def test_an_empty_text_is_embedded_or_refused(self) -> None:
        """The empty text has a finite vector, or is an error that names its row."""
        self._assert_embedded_or_refused("")

    def test_a_very_long_text_is_embedded_or_refused(self) -> None:
        """A text over the context has a finite vector, or is an error that names its row."""
        self._assert_embedded_or_refused(self.long_text)

    def test_all_of_unicode(self) -> None:
        """Any script, emoji, combining and control characters are embedded, each as when alone."""
        function = self.make_function()
        alone = [self._sources(function, [text])[0] for text in UNICODE]
        self._assert_alike(self._sources(function, UNICODE), alone)

    def test_a_whole_batch_is_taken(self) -> None:
        """More inputs than `batch_size` are embedded, none of them in the place of another."""
        function = self.make_function()
        count = min(function.batch_size + 1, self.largest_batch)
        vectors = self._sources(function, [self.texts[i % len(self.texts)] for i in range(count)])
        assert len(vectors) == count
        self._assert_alike(vectors[: len(self.texts)], self._sources(function, self.texts[:count]))
        self._assert_alike(vectors[-1:], [vectors[(count - 1) % len(self.texts)]])

    def test_inputs_are_left_alone(self) -> None:
        """The list given is not changed."""
        given = list(self.texts)
        self.make_function().compute_source_embeddings(given)
        assert given == list(self.texts)

    def test_queries(self) -> None:
        """A query has one vector of that length, the same alone as among others."""
        function = self.make_function()
        alone = [embed_query(function, text) for text in self.texts]
        assert all(vector.shape[-1] == function.ndims() for vector in alone)
        self._assert_alike(embed_queries(function, list(self.texts)), alone)

    def test_threads_may_share_it(self) -> None:
        """Several threads at once get what one gets."""
        function = self.make_function()
        expected = self._sources(function, self.texts)
        with ThreadPoolExecutor(4) as threads:
            for vectors in threads.map(lambda _: self._sources(function, self.texts), range(8)):
                self._assert_alike(vectors, expected)

    def test_errors_are_classified(self) -> None:
        """Lost connections and busy services may pass; a refused key and a programming error don't."""
        function = self.make_function()
        assert function.classify_error(ConnectionResetError("lost")) == "retry"
        assert function.classify_error(_StatusError(429)) == "retry"
        assert function.classify_error(_StatusError(503)) == "retry"
        assert function.classify_error(_StatusError(401)) != "retry"
        assert function.classify_error(TypeError("a bug")) != "retry"

    def test_it_can_be_pickled(self) -> None:
        """A copy in another process is equal and gives the same vectors."""
        function = self.make_function()
        expected = self._sources(function, self.texts)
        copy = pickle.loads(pickle.dumps(function))
        assert copy == function
        self._assert_alike(self._sources(copy, self.texts), expected)

    def test_a_table_can_store_it(self) -> None:
        """What a table stores is JSON, and makes the function again."""
        function = self.make_function()
        expected = self._sources(function, self.texts)
        stored = json.loads(json.dumps(function.stored()))
        self._assert_alike(self._sources(get_registry().make(**stored), self.texts), expected)

    def test_secrets_stay_secret(self) -> None:
        """No secret is in what is stored, nor in what is shown."""
        function = self.make_function()
        for shown in (
            json.dumps(function.stored()),
            repr(function),
            str(function),
            json.dumps(function.safe_model_dump()),
        ):
            assert function.redact(shown) == shown, "a secret is shown"

    def _sources(self, function: EmbeddingFunction, texts: Sequence[str]) -> list[NDArray[Any]]:
        vectors = embed_sources(function, list(texts))
        return [vector for vector in vectors if vector is not None]

    def _assert_alike(self, left: Sequence[NDArray[Any]], right: Sequence[NDArray[Any]]) -> None:
        assert len(left) == len(right)
        for place, (one, other) in enumerate(zip(left, right, strict=True)):
            np.testing.assert_allclose(one, other, rtol=0, atol=self.tolerance, err_msg=f"at {place}")

    def _assert_embedded_or_refused(self, text: str) -> None:
        function = self.make_function()
        row: int | None = 1
        try:
            self._sources(function, [self.texts[0], text])
        except BadEmbeddingError:
            raise
        except EmbeddingError as error:
            row = error.row
        assert row == 1, f"the error names row {row}, and the text is in row 1"


class _StatusError(Exception):
    """A service's refusal, as clients raise it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status


def check_function(function: EmbeddingFunction, *, tolerance: float = EmbeddingFunctionContract.tolerance) -> None:
    """See that *function* keeps the contract.

    Raises:
        ExceptionGroup: It does not; there is an exception for each test that fails, with the test's name in its notes.
    """
    failures = list(_failures(function, tolerance))
    if failures:
        raise ExceptionGroup(f"{function.label} breaks its contract", failures)


def _failures(function: EmbeddingFunction, tolerance: float) -> Iterator[Exception]:
    members = {"make_function": lambda _self: function, "tolerance": tolerance}
    contract = type("Contract", (EmbeddingFunctionContract,), members)()
    for name in (name for name in dir(contract) if name.startswith("test_")):
        try:
            getattr(contract, name)()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure of the function
            error.add_note(name)
            yield error
