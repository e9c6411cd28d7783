"""Vectors of queries, remembered: the same text is embedded once, however many ask and however often."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

from lancelike.calls import CalledOff, current_call
from lancelike.embeddings import EmbeddingFunction
from lancelike.embeddings.batching import embed_queries, embed_query
from lancelike.errors import EmbeddingTimeoutError
from lancelike.ledger import fingerprint
from lancelike.ledger.keys import input_keys

MOST_QUERIES = 4096
"""Queries remembered, the least recently used going first: 6 MB of 384 dimensions."""


class QueryVectors:
    """Remembers the vectors of texts and bytes by the function's fingerprint; other queries are embedded each time.

    Safe to use from several threads; those that ask for the same text at the same time share one request.
    """

    def __init__(self, most: int = MOST_QUERIES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, NDArray[Any]] = OrderedDict()
        self._under_way: dict[bytes, Future[NDArray[Any]]] = {}

    def of(self, function: EmbeddingFunction, query: Any, timeout_s: float | None = None) -> NDArray[Any]:
        """The vector of one *query*, as `embed_query` makes it.

        Raises:
            EmbeddingError: The request failed.
            EmbeddingTimeoutError: There was no vector after *timeout_s* seconds.
        """
        if not isinstance(query, str | bytes):
            return embed_query(function, query, timeout_s=timeout_s)
        [key] = _keys(function, [query])
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            with self._lock:
                if (vector := self._recall(key)) is not None:
                    return vector
                leader = self._under_way.get(key)
                if leader is None:
                    mine = self._under_way[key] = Future()
            if leader is None:
                return self._lead(mine, key, function, query, left_s)
            try:
                return leader.result(left_s)
            except (EmbeddingTimeoutError, CalledOff):
                continue  # the leader's time is up, or nobody waits for it; ours need not be
            except TimeoutError:
                raise EmbeddingTimeoutError(
                    f"{function.label} did not answer within {timeout_s:g} s",
                    function=function.label,
                    timeout_s=timeout_s,
                ) from None

    def of_several(
        self, function: EmbeddingFunction, queries: Sequence[Any], timeout_s: float | None = None
    ) -> list[NDArray[Any]]:
        """The vectors of *queries*, in order; those not yet known are asked for together.

        Raises:
            EmbeddingError: A request failed.
            EmbeddingTimeoutError: The vectors weren't all there after *timeout_s* seconds.
        """
        if not all(isinstance(query, str | bytes) for query in queries):
            return embed_queries(function, queries, timeout_s=timeout_s)
        keys = _keys(function, queries)
        with self._lock:
            found = {key: vector for key in keys if (vector := self._recall(key)) is not None}
        missing = {key: query for key, query in zip(keys, queries, strict=True) if key not in found}
        if missing:
            vectors = embed_queries(function, list(missing.values()), timeout_s=timeout_s)
            made = dict(zip(missing, vectors, strict=True))
            with self._lock:
                for key, vector in made.items():
                    self._remember(key, vector)
            found.update(made)
        return [found[key] for key in keys]

    def _lead(
        self, mine: Future[NDArray[Any]], key: bytes, function: EmbeddingFunction, query: Any, timeout_s: float | None
    ) -> NDArray[Any]:
        try:
            vector = embed_query(function, query, timeout_s=timeout_s)
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            mine.set_exception(CalledOff() if current_call().is_off else error)
            raise
        with self._lock:
            self._remember(key, vector)
            del self._under_way[key]
        mine.set_result(vector)
        return vector

    def _recall(self, key: bytes) -> NDArray[Any] | None:
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def _remember(self, key: bytes, vector: NDArray[Any]) -> None:
        vector.setflags(write=False)
        self._known[key] = vector
        while len(self._known) > self._most:
            self._known.popitem(last=False)


def _keys(function: EmbeddingFunction, queries: Sequence[Any]) -> list[bytes]:
    return [key.tobytes() for key in input_keys(fingerprint(function.ready()), "query", queries)]
