"""Embedding what one call brings: reuse first, pay for the rest, keep it before asking for more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lancelike.embeddings import EmbeddingFunction
from lancelike.embeddings.batching import Answer
from lancelike.embeddings.requests import embed_distinct
from lancelike.embeddings.retrying import CallStats
from lancelike.errors import BudgetExceeded, EmbeddingError
from lancelike.ledger.drift import DriftGuard
from lancelike.ledger.failures import FailedInput, TableFailures
from lancelike.ledger.fingerprint import fingerprint
from lancelike.ledger.keys import KeyIndex, Keys, input_keys
from lancelike.ledger.ledger import FunctionLedger, Ledger
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.types import EmbeddingReceipt, OnEmbeddingError


@dataclass(slots=True)
class _Asked:
    """What one call asked of one function.

    Attributes:
        ledger: Where its vectors are kept, or None.
        seen: Inputs met so far; a number of 0 is a vector, 1 a failure.
        failures: Inputs that failed, by key.
    """

    ledger: FunctionLedger | None
    fingerprint: str
    seen: KeyIndex = field(default_factory=KeyIndex)
    failures: dict[bytes, EmbeddingError] = field(default_factory=dict)


class Embedder:
    """Makes the vectors of one `add`, `update`, `merge_insert` or the like, and keeps its receipt.

    Args:
        ledger: What was paid for before, and keeps what is paid for now; None neither reuses nor keeps.
        on_error: What happens to an input that fails alone: `"raise"`, or an error in its place among the answers.
        budget_tokens: Most tokens to send; None for no bound.
        failures: Where inputs that fail are listed, for `embedding_errors`.
        drift: Checks each function before its first use.

    Attributes:
        rows: Rows that the call has gone through; whoever goes through them counts.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        on_error: OnEmbeddingError = "raise",
        budget_tokens: int | None = None,
        failures: TableFailures | None = None,
        drift: DriftGuard | None = None,
    ) -> None:
        self.on_error = on_error
        self.rows = 0
        self._ledger, self._budget_tokens, self._failures = ledger, budget_tokens, failures
        self._drift = drift
        self._asked: dict[str, _Asked] = {}
        self._calls = CallStats()
        self._texts = self._reused = self._embedded = self._failed = self._tokens = 0
        self._seconds = 0.0

    def __call__(self, binding: EmbeddingFunctionConfig, inputs: Sequence[Any]) -> list[Answer]:
        """A vector for each of *inputs*, distinct and none of them None, or the error that stands in its place.

        Raises:
            EmbeddingError: The function failed as a whole, or `on_error` is `"raise"`; `row` is a position in *inputs*.
            BudgetExceeded: The next request would take more tokens than are left.
        """
        started = time.perf_counter()
        try:
            return self._answers(binding, inputs)
        finally:
            self._seconds += time.perf_counter() - started

    def receipt(self) -> EmbeddingReceipt:
        """What the call has done so far."""
        return EmbeddingReceipt(
            rows=self.rows,
            texts=self._texts,
            reused=self._reused,
            embedded=self._embedded,
            failed=self._failed,
            requests=self._calls.requests,
            retries=self._calls.retries,
            slept_s=self._calls.slept_s,
            tokens=self._tokens,
            seconds=self._seconds,
        )

    def finish(self) -> EmbeddingReceipt:
        """Leave the ledgers that were used tidy; the whole receipt."""
        for asked in self._asked.values():
            if asked.ledger is not None and self._embedded:
                asked.ledger.tidy()
        return self.receipt()

    def _answers(self, binding: EmbeddingFunctionConfig, inputs: Sequence[Any]) -> list[Answer]:
        function: EmbeddingFunction = binding.function.ready()
        asked = self._of(function, binding)
        keys = input_keys(asked.fingerprint, "source", inputs)
        known = self._known(asked, keys)
        new = asked.seen.find(keys) < 0
        unknown = [place for place, answer in enumerate(known) if answer is None]
        self._texts += int(new.sum())
        self._reused += sum(bool(new[place]) for place, answer in enumerate(known) if answer is not None)
        self._pay(binding, function, asked, inputs, keys, unknown, known)
        asked.seen.add(keys, np.zeros(len(keys), np.int64))
        return [answer for answer in known if answer is not None]

    def _of(self, function: EmbeddingFunction, binding: EmbeddingFunctionConfig) -> _Asked:
        mark = fingerprint(function)
        if mark not in self._asked:
            self._asked[mark] = _Asked(None if self._ledger is None else self._ledger.of(function), mark)
        if self._drift is not None:
            self._drift.check(function, binding.vector_column, self._asked[mark].ledger, writes=True)
        return self._asked[mark]

    def _known(self, asked: _Asked, keys: Keys) -> list[Answer | None]:
        known: list[Answer | None] = [asked.failures.get(key.tobytes()) for key in keys] if asked.failures else []
        known = known or [None] * len(keys)
        if asked.ledger is None:
            return known
        places = asked.ledger.find(keys)
        found = np.flatnonzero(places >= 0)
        for place, vector in zip(found, asked.ledger.take(places[found].tolist()), strict=True):
            known[place] = vector
        return known

    def _pay(
        self,
        binding: EmbeddingFunctionConfig,
        function: EmbeddingFunction,
        asked: _Asked,
        inputs: Sequence[Any],
        keys: Keys,
        unknown: Sequence[int],
        answers: list[Answer | None],
    ) -> None:
        """Embed the inputs at *unknown*, and put each answer where it belongs as soon as it is there."""

        def keep(places: Sequence[int], got: Sequence[Answer]) -> None:
            vectors = [(unknown[place], answer) for place, answer in zip(places, got, strict=True)]
            made = [(place, vector) for place, vector in vectors if not isinstance(vector, EmbeddingError)]
            if asked.ledger is not None and made:
                asked.ledger.record(keys[[place for place, _ in made]], [vector for _, vector in made])
            self._embedded += len(made)
            for place, answer in vectors:
                answers[place] = answer
                if isinstance(answer, EmbeddingError):
                    self._note(binding, asked, inputs[place], keys[place].tobytes(), answer)

        try:
            embed_distinct(
                function,
                [inputs[place] for place in unknown],
                paid=keep,
                before=lambda request: self._spend(function, request),
                stats=self._calls,
                stop_at_failure=self.on_error == "raise",
            )
        except EmbeddingError as error:
            if error.row is not None:
                error.row = unknown[error.row]
            raise

    def _note(
        self, binding: EmbeddingFunctionConfig, asked: _Asked, value: Any, key: bytes, error: EmbeddingError
    ) -> None:
        self._failed += 1
        asked.failures[key] = error
        if self._failures is not None and self.on_error != "raise":
            self._failures.record([FailedInput.of(binding, key, value, error, dropped=self.on_error == "drop")])

    def _spend(self, function: EmbeddingFunction, request: Sequence[Any]) -> None:
        tokens = sum(function.count_tokens(request))
        if self._budget_tokens is not None and self._tokens + tokens > self._budget_tokens:
            raise BudgetExceeded(self._budget_tokens, self._tokens, tokens)
        self._tokens += tokens
