"""Embedding any number of values: in requests that the function can take, tried again, and checked.

The checks make sure that what a table stores has one finite vector of the right length for each value sent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.embeddings.base import EmbeddingFunction, Role, TextEmbeddingFunction
from lancelike.embeddings.retrying import CallStats, call_with_retry
from lancelike.embeddings.timeouts import within
from lancelike.errors import BadEmbeddingError, EmbeddingError, shorten


def embed_sources(
    function: EmbeddingFunction, values: Sequence[Any], *, stats: CallStats | None = None
) -> list[NDArray[Any] | None]:
    """Embed *values*, which are to be stored.

    Args:
        function: What embeds them, at most `batch_size` in one request.
        values: Texts, bytes, or whatever the function takes; None is not sent.
        stats: Requests and retries are added to it.

    Returns:
        One vector per value in their order, shape (ndims,), or (m, ndims) from a function of multivectors;
        C-contiguous, of the function's dtype, float32 as a rule. None for None.

    Raises:
        EmbeddingError: A request failed; `row` is the position of its first value.
        BadEmbeddingError: The function answered with too few vectors, or with a bad one; `row` is its position.
    """
    vectors: list[NDArray[Any] | None] = [None] * len(values)
    rows = [row for row, value in enumerate(values) if value is not None]
    if not rows:
        return vectors
    with _placing_errors(rows):
        function = function.ready()
    for start in range(0, len(rows), function.batch_size):
        batch = rows[start : start + function.batch_size]
        with _placing_errors(batch):
            answers = _request_sources(function, [values[row] for row in batch], stats)
        for row, vector in zip(batch, answers, strict=True):
            vectors[row] = vector
    return vectors


def embed_query(
    function: EmbeddingFunction, query: Any, *, timeout_s: float | None = None, stats: CallStats | None = None
) -> NDArray[Any]:
    """Embed one *query*.

    Returns:
        Its vector, shape (ndims,), or (m, ndims) from a function of multivectors.

    Raises:
        EmbeddingError: The request failed, or was answered with a bad vector.
        EmbeddingTimeoutError: There was no vector after *timeout_s* seconds.
    """
    cancelled = threading.Event()
    return within(timeout_s, lambda: _embed_query(function.ready(), query, cancelled, stats), function.label, cancelled)


def embed_queries(
    function: EmbeddingFunction,
    queries: Sequence[Any],
    *,
    timeout_s: float | None = None,
    stats: CallStats | None = None,
) -> list[NDArray[Any]]:
    """Embed *queries*, in requests of `batch_size` where the function takes lists of queries, else one by one.

    Returns:
        One vector per query in their order, as from `embed_query`.

    Raises:
        EmbeddingError: A request failed; `row` is the position of its first query.
        EmbeddingTimeoutError: The vectors weren't all there after *timeout_s* seconds.
    """
    cancelled = threading.Event()
    return within(
        timeout_s, lambda: _embed_queries(function.ready(), queries, cancelled, stats), function.label, cancelled
    )


def _embed_query(
    function: EmbeddingFunction, query: Any, cancelled: threading.Event, stats: CallStats | None
) -> NDArray[Any]:
    prompted = _prompted(function, [query], "query")[0]
    return _request_queries(function, prompted, 1, cancelled, stats)[0]


def _embed_queries(
    function: EmbeddingFunction, queries: Sequence[Any], cancelled: threading.Event, stats: CallStats | None
) -> list[NDArray[Any]]:
    prompted = _prompted(function, queries, "query")
    together = _takes_lists_of_queries(function)
    size = function.batch_size if together else 1
    vectors: list[NDArray[Any]] = []
    for start in range(0, len(prompted), size):
        batch = prompted[start : start + size]
        with _placing_errors(range(start, start + len(batch))):
            vectors += _request_queries(function, batch if together else batch[0], len(batch), cancelled, stats)
    return vectors


def _request_sources(function: EmbeddingFunction, values: list[Any], stats: CallStats | None) -> list[NDArray[Any]]:
    prompted = _prompted(function, values, "source")
    answer = call_with_retry(lambda: function.compute_source_embeddings(prompted), function=function, stats=stats)
    return checked_vectors(function, answer, len(values))


def _request_queries(
    function: EmbeddingFunction, query: Any, count: int, cancelled: threading.Event, stats: CallStats | None
) -> list[NDArray[Any]]:
    answer = call_with_retry(
        lambda: function.compute_query_embeddings(query), function=function, stats=stats, cancelled=cancelled
    )
    return checked_vectors(function, answer, count)


def checked_vectors(function: EmbeddingFunction, answer: Any, count: int) -> list[NDArray[Any]]:
    """The *count* vectors that *function* answered with, as arrays of its dtype.

    Raises:
        BadEmbeddingError: Too few or too many, not numbers, of another length than `ndims()`, or not finite.
    """
    ndims = call_with_retry(function.ndims, function=function)
    dtype = function.vector_dtype()
    items = _items(function, answer, count)
    whole = _as_array(items, dtype)
    if whole is not None and whole.shape == (count, ndims) and _is_finite(whole):
        return list(whole)
    return [_checked_vector(function, item, ndims, dtype, position) for position, item in enumerate(items)]


def _items(function: EmbeddingFunction, answer: Any, count: int) -> Any:
    if answer is None or isinstance(answer, str | bytes | dict):
        raise _bad(function, f"answered {shorten(answer)} in place of vectors", None)
    try:
        items = answer if hasattr(answer, "__len__") else list(answer)
    except TypeError as error:
        raise _bad(function, f"answered {shorten(answer)} in place of vectors", None) from error
    if len(items) != count:
        raise _bad(function, f"answered {len(items)} vectors for {count} inputs", None)
    return items


def _checked_vector(
    function: EmbeddingFunction, item: Any, ndims: int, dtype: np.dtype[Any], position: int
) -> NDArray[Any]:
    vector = None if item is None else _as_array(item, dtype)
    if vector is None or vector.ndim not in (1, 2):
        raise _bad(function, f"answered {shorten(item)} in place of a vector", position)
    if vector.shape[-1] != ndims:
        problem = f"answered a vector of length {vector.shape[-1]} where its ndims() says {ndims}"
        raise _bad(function, problem, position)
    if not _is_finite(vector):
        raise _bad(function, "answered a vector with NaN or infinity", position)
    return vector


def _as_array(values: Any, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(values, dtype=dtype, order="C")
    except (TypeError, ValueError, OverflowError):
        return None


def _is_finite(vectors: NDArray[Any]) -> bool:
    return vectors.dtype.kind in "iub" or bool(np.isfinite(vectors).all())


def _bad(function: EmbeddingFunction, problem: str, position: int | None) -> BadEmbeddingError:
    return BadEmbeddingError(f"{function.label} {problem}", function=function.label, row=position)


@contextmanager
def _placing_errors(rows: Sequence[int]) -> Iterator[None]:
    """Turn an error's `row`, a position in the request or None, into one in the values given."""
    try:
        yield
    except EmbeddingError as error:
        error.row = rows[error.row or 0]
        raise


def _prompted(function: EmbeddingFunction, values: Sequence[Any], role: Role) -> list[Any]:
    return list(values) if _prompts_itself(function, role) else function.prompted(values, role)


def _prompts_itself(function: EmbeddingFunction, role: Role) -> bool:
    """Whether the compute method applies the prompts.

    A subclass that overrides the one of TextEmbeddingFunction is not expected to, unless it says so itself.
    """
    cls = type(function)
    if isinstance(function, TextEmbeddingFunction) and "applies_prompts" not in cls.__dict__:
        return _inherits(cls, f"compute_{role}_embeddings")
    return cls.applies_prompts


def _takes_lists_of_queries(function: EmbeddingFunction) -> bool:
    cls = type(function)
    if isinstance(function, TextEmbeddingFunction) and "batches_queries" not in cls.__dict__:
        return _inherits(cls, "compute_query_embeddings")
    return cls.batches_queries


def _inherits(cls: type, method: str) -> bool:
    return getattr(cls, method) is getattr(TextEmbeddingFunction, method)
