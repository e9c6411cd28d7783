"""Embedding what one call brings: reuse first, pay for the rest, keep it before asking for more."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import Any, Self, get_args

import numpy as np

from lancelike.calls import current_call, running
from lancelike.embeddings import EmbeddingFunction
from lancelike.embeddings.batching import Answer
from lancelike.embeddings.lengths import LongText, joined, limit_of, long_texts
from lancelike.embeddings.requests import embed_distinct
from lancelike.embeddings.retrying import CallStats
from lancelike.errors import BudgetExceeded, EmbeddingError
from lancelike.ledger.claims import Claim, turns
from lancelike.ledger.drift import DriftGuard
from lancelike.ledger.due import Due
from lancelike.ledger.failures import FailedInput, TableFailures, failure_keys
from lancelike.ledger.fingerprints import fingerprint
from lancelike.ledger.journal import Journal
from lancelike.ledger.keys import input_keys
from lancelike.ledger.ledger import FunctionLedger, Ledger
from lancelike.ledger.memory import CallMemory, Kept
from lancelike.ledger.unread import UnreadSource
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.storage import Dataset
from lancelike.storage.key_index import Keys, KeySet
from lancelike.types import EmbeddingReceipt, OnEmbeddingError, OnLong

_LISTED_TOGETHER = 1_000
"""Images and sounds set aside that are listed in one commit."""


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
    seen: KeySet
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
        replaces: All vectors of a column are being replaced, so that another model is no drift.

    Attributes:
        rows: Rows that the call has gone through; whoever goes through them counts.
        started: When the call began, in UTC.
        before: Called before vectors are made of some inputs, or None; what it raises ends the call.
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
        replaces: bool = False,
    ) -> None:
        if on_error not in ("raise", "quarantine", "drop"):
            raise ValueError(f"on_embedding_error is 'raise', 'quarantine' or 'drop', not {on_error!r}")
        self.on_error: OnEmbeddingError = on_error
        self.rows = 0
        self.started = datetime.now(UTC)
        self.before: Callable[[], object] | None = None
        self.told: Callable[[], object] | None = None
        self._ledger, self._budget_tokens, self._failures = ledger, budget_tokens, failures
        self._drift, self._all_may_fail, self._replaces = drift, all_may_fail, replaces
        self._asked: dict[str, Asked] = {}
        self._calls = CallStats()
        self._texts = self._reused = self._embedded = self._failed = self._tokens = 0
        self._long: dict[OnLong, int] = dict.fromkeys(get_args(OnLong), 0)
        self._seconds = 0.0
        self._readmitted: dict[str, set[str]] = {}
        self._unread: set[tuple[str, str]] = set()
        self._aside: list[UnreadSource] = []
        self._kept_now: set[str] = set()
        self._at_work, self._stopped = threading.Lock(), threading.Event()
        self._counting = threading.Lock()
        self._call = current_call()
        self._call.on_call_off(self._stop)
        with running(None):  # what was paid for is kept, whatever becomes of the call
            self._context = copy_context()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stopped.set()
            with self._at_work:  # requests under way are answered, and what they brought is kept
                pass

    def count(self, rows: int) -> None:
        """Count *rows* that the call has gone through; from any thread."""
        with self._counting:
            self.rows += rows

    def begin_again(self) -> None:
        """Count the rows anew, and take questions again after the block was left: the call begins from its first row.

        What was paid for so far stays in the receipt, and in the budget.
        """
        self._stopped.set()
        with self._at_work:
            self._stopped = threading.Event()
        if self._call.is_off:
            self._stopped.set()
        self.rows = 0
        self._readmitted.clear()
        self._aside = []

    def __call__(self, binding: EmbeddingFunctionConfig, inputs: Sequence[Any]) -> list[Answer]:
        """A vector for each of *inputs*, distinct and none of them None, or the error that stands in its place.

        Raises:
            EmbeddingError: The function failed as a whole, or `on_error` is `"raise"`; `row` is a position in *inputs*.
            BudgetExceeded: The next request would take more tokens than are left.
        """
        if self.before is not None:
            self.before()
        started = time.perf_counter()
        try:
            with self._at_work:
                return self._context.run(self._answers, binding, inputs)
        finally:
            self._seconds += time.perf_counter() - started

    def set_aside(self, unread: Sequence[UnreadSource]) -> None:
        """Count images and sounds that could not be read, so that there is nothing to embed; `list_aside` lists them.

        Called while rows are gone through, which may be in another thread than where vectors are made.
        """
        self._unread.update((each.source_column, each.input) for each in unread)
        self._aside += unread
        if len(self._aside) >= _LISTED_TOGETHER:
            self.list_aside()

    def list_aside(self) -> None:
        """List what was `set_aside` and is not yet listed, as before the rows are written."""
        if self._failures is not None:
            self._failures.unread.record(self._aside)
        self._aside = []

    def note_kept(self, keys: Iterable[str]) -> None:
        """Remember for which images and sounds rows are written now, of those for which they were left out before."""
        if self._unread_before:
            self._kept_now.update(self._unread_before.intersection(keys))

    def written(self, dataset: Dataset) -> None:
        """Note in which rows of *dataset*, which now are written, what was `set_aside` is missing."""
        if self._unread and self._failures is not None and self.on_error == "quarantine":
            self._failures.unread.locate(dataset)

    def _stop(self) -> None:
        self._stopped.set()

    def receipt(self) -> EmbeddingReceipt:
        """What the call has done so far."""
        return EmbeddingReceipt(
            rows=self.rows,
            texts=self._texts + len(self._unread),
            reused=self._reused,
            embedded=self._embedded,
            failed=self._failed + len(self._unread),
            requests=self._calls.requests,
            retries=self._calls.retries,
            slept_s=self._calls.slept_s,
            tokens=self._tokens,
            truncated=self._long["truncate"],
            averaged=self._long["mean"],
            seconds=self._seconds,
        )

    def finish(self) -> EmbeddingReceipt:
        """Leave the ledgers tidy that were used, now that the rows are written; the whole receipt."""
        if self._failures is not None:
            for column, keys in self._readmitted.items():
                self._failures.readmit(column, keys)
            if self._kept_now:
                self._failures.unread.readmit(self._kept_now)
        for asked in self._asked.values():
            if asked.ledger is not None and self._embedded:
                asked.ledger.tidy()
        return self.receipt()

    def _answers(self, binding: EmbeddingFunctionConfig, inputs: Sequence[Any]) -> list[Answer]:
        asked = self._of(binding)
        keys = input_keys(asked.fingerprint, "source", inputs)
        new = asked.seen.meet(keys)
        answers = self._known(asked, keys)
        unknown = [place for place, answer in enumerate(answers) if answer is None]
        self._texts += int(new.sum())
        self._reused += int(new.sum() - new[unknown].sum())
        if len(unknown) < len(inputs):
            asked.example = next((i for i, a in zip(inputs, answers, strict=True) if _is_vector(a)), asked.example)
        with _placed(unknown):
            due = Due([inputs[place] for place in unknown], keys[unknown], new[unknown], new[unknown])
            for place, answer in zip(unknown, self._pay_fitting(asked, due), strict=True):
                answers[place] = answer
        self._list_failures(binding, asked, inputs, keys, answers)
        self._note_readmitted(binding, inputs, answers)
        complete = [answer for answer in answers if answer is not None]
        assert len(complete) == len(inputs), "each input has its vector or its error"
        return complete

    def _of(self, binding: EmbeddingFunctionConfig) -> Asked:
        function: EmbeddingFunction = binding.function.ready()
        mark = fingerprint(function)
        if mark not in self._asked:
            ledger = None if self._ledger is None else self._ledger.marked(mark)
            seen = KeySet(None if ledger is None else ledger.folder)
            self._asked[mark] = Asked(function, mark, ledger, CallMemory() if ledger is None else ledger, seen)
        if self._drift is not None:
            ledger = self._asked[mark].ledger
            self._drift.check(function, binding.vector_column, ledger, writes=True, replaces=self._replaces)
        return self._asked[mark]

    def _known(self, asked: Asked, keys: Keys) -> list[Answer | None]:
        answers: list[Answer | None] = list(asked.kept.recall(keys))
        if asked.failures:
            answers = [asked.failures.get(keys[i].tobytes()) if a is None else a for i, a in enumerate(answers)]
        return answers

    def _pay_fitting(self, asked: Asked, due: Due) -> list[Answer | None]:
        """The answers to *due*; to texts that are longer than the function takes, as its `on_long` says.

        What a long text came to is kept under a key that says so; its windows are kept as texts of their own.
        """
        limit = limit_of(asked.function) if due.inputs else None
        if limit is None:
            return self._pay(asked, due)
        policy = asked.function.long_policy()
        long_keys = input_keys(asked.fingerprint, f"source, {policy} beyond {limit}", due.inputs)
        answers: list[Answer | None] = [None] * len(due.inputs)
        if policy != "error":
            answers = self._known(asked, long_keys)
        known = [place for place, answer in enumerate(answers) if answer is not None]
        left = [place for place, answer in enumerate(answers) if answer is None]
        found = long_texts(asked.function, [due.inputs[place] for place in left])
        long = {left[place]: text for place, text in found.items()}
        self._refuse(asked, due, long, answers)
        short = [place for place in left if place not in long]
        vectors = self._pay_parts(asked, due, short, long, answers)
        for place, text in long.items():
            if text.windows:
                answers[place] = self._join(asked, due, place, text, [vectors[window] for window in text.windows])
        made = [place for place in long if _is_vector(answers[place])]
        self._record(asked, long_keys[made], [answers[place] for place in made])
        self._reused += int(due.counted[known].sum())
        self._embedded += int(due.counted[made].sum())
        self._long[policy] += int(due.counted[known + made].sum())
        return answers

    def _refuse(self, asked: Asked, due: Due, long: Mapping[int, LongText], answers: list[Answer | None]) -> None:
        for place, text in long.items():
            if not text.windows:
                answers[place] = error = text.refusal(asked.function, place)
                self._fail(asked, due, place, error)
                if self.on_error == "raise":
                    raise error

    def _pay_parts(
        self, asked: Asked, due: Due, short: list[int], long: Mapping[int, LongText], answers: list[Answer | None]
    ) -> dict[str, Answer | None]:
        """Embed the short inputs and the windows of the long ones together; answers by text."""
        owners = {window: place for place, text in long.items() for window in text.windows}
        keys = input_keys(asked.fingerprint, "source", list(owners))
        by_text = dict(zip(owners, self._known(asked, keys), strict=True))
        short_texts = {due.inputs[place] for place in short if isinstance(due.inputs[place], str)}
        unknown = [n for n, (text, vector) in enumerate(by_text.items()) if vector is None and text not in short_texts]
        new = asked.seen.meet(keys)
        windows = Due(list(owners), keys, new, np.zeros(len(keys), bool)).at(unknown)
        with _placed([*short, *(owners[window] for window in windows.inputs)]):
            paid = self._pay(asked, due.at(short) + windows)
        for place, answer in zip(short, paid, strict=False):
            answers[place] = answer
            if isinstance(due.inputs[place], str):
                by_text[due.inputs[place]] = answer
        by_text.update(zip(windows.inputs, paid[len(short) :], strict=True))
        return by_text

    def _join(self, asked: Asked, due: Due, place: int, text: LongText, windows: Sequence[Answer | None]) -> Answer:
        vectors = [window for window in windows if isinstance(window, np.ndarray)]
        if len(vectors) == len(windows):
            return joined(vectors, text.weights)
        error = next(window for window in windows if isinstance(window, EmbeddingError))
        self._fail(asked, due, place, error)
        return error

    def _fail(self, asked: Asked, due: Due, place: int, error: EmbeddingError) -> None:
        self._failed += int(due.counted[place])
        asked.failures[due.keys[place].tobytes()] = error

    def _record(self, asked: Asked, keys: Keys, vectors: Sequence[Any]) -> None:
        if len(keys):
            asked.kept.record(keys, vectors)

    def _pay(self, asked: Asked, due: Due) -> list[Answer | None]:
        """The answers to *due*: embedded now, or by another thread or process that is at it already."""
        answers: list[Answer | None] = [None] * len(due.inputs)
        patience_s = asked.function.deadline_s
        with closing(turns(asked.ledger, due.keys, self._stopped, patience_s)) as each_turn:
            for turn in each_turn:
                for place, vector in turn.known.items():
                    answers[place] = vector
                self._reused += int(due.counted[list(turn.known)].sum())
                with _placed(turn.unpaid):
                    paid = self._buy(asked, due.at(turn.unpaid), turn.claim) if turn.unpaid else []
                for place, answer in zip(turn.unpaid, paid, strict=True):
                    answers[place] = answer
        return answers

    def _buy(self, asked: Asked, due: Due, claim: Claim | None) -> list[Answer | None]:
        """Embed *due*, and keep each answer as soon as it is there."""
        answers: list[Answer | None] = [None] * len(due.inputs)
        within_s = math.inf if asked.ledger is None else asked.function.record_within_s
        journal = Journal(asked.kept, claim, within_s)

        def keep(places: Sequence[int], got: Sequence[Answer]) -> None:
            refused = {p: a for p, a in zip(places, got, strict=True) if isinstance(a, EmbeddingError)}
            made = [place for place in places if place not in refused] if refused else list(places)
            journal.add(due.keys[made], [answer for answer in got if _is_vector(answer)] if refused else list(got))
            self._embedded += int(due.counted[made].sum())
            for place, answer in zip(places, got, strict=True):
                answers[place] = answer
            for place, error in refused.items():
                self._fail(asked, due, place, error)
            if made:
                asked.example = due.inputs[made[-1]]
            if self.told is not None:
                self.told()

        try:
            embed_distinct(
                asked.function,
                due.inputs,
                paid=keep,
                before=lambda request: self._spend(asked.function, request),
                stats=self._calls,
                cancelled=self._stopped,
                stop_at_failure=self.on_error == "raise",
                all_may_fail=self._all_may_fail,
                example=asked.example,
            )
        finally:
            journal.record()
        return answers

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

    def _note_readmitted(
        self, binding: EmbeddingFunctionConfig, inputs: Sequence[Any], answers: Sequence[Answer | None]
    ) -> None:
        """Remember which of *inputs* failed before, and had their rows left out."""
        if dropped := self._dropped.get(binding.vector_column):
            made = [value for value, answer in zip(inputs, answers, strict=True) if _is_vector(answer)]
            self._readmitted.setdefault(binding.vector_column, set()).update(dropped.intersection(failure_keys(made)))

    @cached_property
    def _unread_before(self) -> set[str]:
        return set() if self._failures is None else {e.key for e in self._failures.unread.latest() if e.dropped}

    @cached_property
    def _dropped(self) -> dict[str, set[str]]:
        return {} if self._failures is None else self._failures.dropped()

    def _spend(self, function: EmbeddingFunction, request: Sequence[Any]) -> None:
        tokens = sum(function.count_tokens(request))
        if self._budget_tokens is not None and self._tokens + tokens > self._budget_tokens:
            raise BudgetExceeded(self._budget_tokens, self._tokens, tokens)
        self._tokens += tokens


@contextmanager
def _placed(places: Sequence[int]) -> Iterator[None]:
    """Turn an error's `row`, a position in *places*, into the one that is there."""
    try:
        yield
    except EmbeddingError as error:
        if error.row is not None:
            error.row = places[error.row]
        raise


def _is_vector(answer: Answer | None) -> bool:
    return isinstance(answer, np.ndarray)
