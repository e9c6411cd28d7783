"""Embedding what one call brings: reuse first, pay for the rest, keep it before asking for more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

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
from lancelike.ledger.memory import CallMemory, Kept
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.types import EmbeddingReceipt, OnEmbeddingError


@dataclass(slots=True)
class Asked:
    """What one call asked of one function.

    Attributes:
        function: The function.
        fingerprint: Its fingerprint.
        ledger: Where its vectors are kept, or None.
        kept: The same, or the call's own memory.
        seen: Inputs met so far.
        failures: Inputs that failed, by key.
        listed: Inputs listed as failed, by key and vector column.
        example: An input that the function has embedded, or None.
    """

    function: EmbeddingFunction
    fingerprint: str
    ledger: FunctionLedger | None
    kept: Kept
    seen: KeyIndex = field(default_factory=KeyIndex)
    failures: dict[bytes, EmbeddingError] = field(default_factory=dict)
    listed: set[tuple[bytes, str]] = field(default_factory=set)
    example: Any = None


class Embedder:
    """Makes the vectors of one `add`, `update`, `merge_insert` or the like, and keeps its receipt.

    As a context manager it sees to it that nothing is asked for any more once the block was left by an exception, as
    by Ctrl-C: what makes the vectors often runs in another thread than the one that is interrupted.

    Args:
        ledger: What was paid for before, and keeps what is paid for now; None neither reuses nor keeps.
        on_error: What happens to an input that fails alone: `"raise"`, or an error in its place among the answers.
        budget_tokens: Most tokens to send; None for no bound.
        failures: Where inputs that fail are listed, for `embedding_errors`.
        drift: Checks each function before its first use.
        all_may_fail: Take no number of inputs that fail for a sign that the function is broken.

    Attributes:
        rows: Rows that the call has gone through; whoever goes through them counts.
        started: When the call began, in UTC.
        told: Called after each request that was answered, or None.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        on_error: OnEmbeddingError = "raise",
        budget_tokens: int | None = None,
        failures: TableFailures | None = None,
        drift: DriftGuard | None = None,
        all_may_fail: bool = False,
    ) -> None:
        if on_error not in ("raise", "quarantine", "drop"):
            raise ValueError(f"on_embedding_error is 'raise', 'quarantine' or 'drop', not {on_error!r}")
        self.on_error: OnEmbeddingError = on_error
        self.rows = 0
        self.started = datetime.now(UTC)
        self.told: Callable[[], object] | None = None
        self._ledger, self._budget_tokens, self._failures = ledger, budget_tokens, failures
        self._drift, self._all_may_fail = drift, all_may_fail
        self._asked: dict[str, Asked] = {}
        self._calls = CallStats()
        self._texts = self._reused = self._embedded = self._failed = self._tokens = 0
        self._seconds = 0.0
        self._at_work, self._stopped = threading.Lock(), threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stopped.set()
            with self._at_work:  # requests under way are answered, and what they brought is kept
                pass

    def __call__(self, binding: EmbeddingFunctionConfig, inputs: Sequence[Any]) -> list[Answer]:
        """A vector for each of *inputs*, distinct and none of them None, or the error that stands in its place.

        Raises:
            EmbeddingError: The function failed as a whole, or `on_error` is `"raise"`; `row` is a position in *inputs*.
            BudgetExceeded: The next request would take more tokens than are left.
        """
        started = time.perf_counter()
        try:
            with self._at_work:
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
        asked = self._of(binding)
        keys = input_keys(asked.fingerprint, "source", inputs)
        new = asked.seen.find(keys) < 0
        asked.seen.add(keys, np.zeros(len(keys), np.int64))
        answers = self._known(asked, keys)
        unknown = [place for place, answer in enumerate(answers) if answer is None]
        self._texts += int(new.sum())
        self._reused += int(new.sum() - new[unknown].sum())
        if len(unknown) < len(inputs):
            asked.example = next((i for i, a in zip(inputs, answers, strict=True) if _is_vector(a)), asked.example)
        if unknown:
            self._pay(asked, [inputs[place] for place in unknown], keys[unknown], new[unknown], unknown, answers)
        self._list_failures(binding, asked, inputs, keys, answers)
        complete = [answer for answer in answers if answer is not None]
        assert len(complete) == len(inputs), "each input has its vector or its error"
        return complete

    def _of(self, binding: EmbeddingFunctionConfig) -> Asked:
        function: EmbeddingFunction = binding.function.ready()
        mark = fingerprint(function)
        if mark not in self._asked:
            ledger = None if self._ledger is None else self._ledger.marked(mark)
            self._asked[mark] = Asked(function, mark, ledger, CallMemory() if ledger is None else ledger)
        if self._drift is not None:
            self._drift.check(function, binding.vector_column, self._asked[mark].ledger, writes=True)
        return self._asked[mark]

    def _known(self, asked: Asked, keys: Keys) -> list[Answer | None]:
        answers: list[Answer | None] = list(asked.kept.recall(keys))
        if asked.failures:
            answers = [asked.failures.get(keys[i].tobytes()) if a is None else a for i, a in enumerate(answers)]
        return answers

    def _pay(
        self,
        asked: Asked,
        inputs: list[Any],
        keys: Keys,
        new: NDArray[np.bool_],
        where: Sequence[int],
        answers: list[Answer | None],
    ) -> None:
        """Embed *inputs*, and put each answer at its place in *answers* as soon as it is there.

        Args:
            asked: The function.
            inputs: What it has no vector for.
            keys: Their keys.
            new: Which of them the call has not met before.
            where: Their places in *answers*.
            answers: Of the window.
        """
        journal = _Journal(asked.kept, asked.function.record_within_s)

        def keep(places: Sequence[int], got: Sequence[Answer]) -> None:
            made = [(place, answer) for place, answer in zip(places, got, strict=True) if _is_vector(answer)]
            journal.record(keys[[place for place, _ in made]], [vector for _, vector in made])
            self._embedded += int(new[[place for place, _ in made]].sum())
            for place, answer in zip(places, got, strict=True):
                answers[where[place]] = answer
                if isinstance(answer, EmbeddingError):
                    self._failed += int(new[place])
                    asked.failures[keys[place].tobytes()] = answer
                else:
                    asked.example = inputs[place]
            if self.told is not None:
                self.told()

        try:
            embed_distinct(
                asked.function,
                inputs,
                paid=keep,
                before=lambda request: self._spend(asked.function, request),
                stats=self._calls,
                cancelled=self._stopped,
                stop_at_failure=self.on_error == "raise",
                all_may_fail=self._all_may_fail,
                example=asked.example,
            )
        except EmbeddingError as error:
            if error.row is not None:
                error.row = where[error.row]
            raise
        finally:
            journal.flush()

    def _list_failures(
        self,
        binding: EmbeddingFunctionConfig,
        asked: Asked,
        inputs: Sequence[Any],
        keys: Keys,
        answers: Sequence[Answer | None],
    ) -> None:
        if self._failures is None or not asked.failures:
            return
        failed = []
        for value, key, answer in zip(inputs, keys, answers, strict=True):
            listing = (key.tobytes(), binding.vector_column)
            if isinstance(answer, EmbeddingError) and listing not in asked.listed:
                asked.listed.add(listing)
                dropped = self.on_error == "drop"
                failed.append(
                    FailedInput.of(binding, asked.function, asked.fingerprint, value, answer, dropped=dropped)
                )
        self._failures.record(failed)

    def _spend(self, function: EmbeddingFunction, request: Sequence[Any]) -> None:
        tokens = sum(function.count_tokens(request))
        if self._budget_tokens is not None and self._tokens + tokens > self._budget_tokens:
            raise BudgetExceeded(self._budget_tokens, self._tokens, tokens)
        self._tokens += tokens


class _Journal:
    """Records vectors at once, or those of some fast requests together where the function allows it.

    Args:
        kept: Where.
        within_s: Seconds that a vector may wait to be recorded.
    """

    def __init__(self, kept: Kept, within_s: float) -> None:
        self._kept, self._within_s = kept, within_s
        self._waiting: list[tuple[Keys, list[Any]]] = []
        self._flushed = time.monotonic()

    def record(self, keys: Keys, vectors: list[Any]) -> None:
        if vectors:
            self._waiting.append((keys, vectors))
        if time.monotonic() - self._flushed >= self._within_s:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            keys = np.concatenate([keys for keys, _ in waiting])
            self._kept.record(keys, [vector for _, vectors in waiting for vector in vectors])
        self._flushed = time.monotonic()


def _is_vector(answer: Answer | None) -> bool:
    return isinstance(answer, np.ndarray)
