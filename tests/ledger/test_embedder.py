"""The embedder's counts, and when it takes a function to be broken."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lancelike.embeddings import EmbeddingFunctionConfig
from lancelike.errors import EmbeddingError
from lancelike.ledger import Embedder, Ledger, TableFailures, fingerprint
from lancelike.ledger.keys import input_keys
from lancelike.ledger.ledger import FunctionLedger
from lancelike.storage import Location
from tests.ledger.conftest import Counting


def bound(function: Any, vector_column: str = "vector") -> EmbeddingFunctionConfig:
    return EmbeddingFunctionConfig(vector_column, "text", function)


def counts(embedder: Embedder) -> tuple[int, int, int, int]:
    receipt = embedder.receipt()
    return receipt.texts, receipt.reused, receipt.embedded, receipt.failed


def texts(*numbers: int) -> list[str]:
    return [f"text {number}" for number in numbers]


@pytest.mark.parametrize("has_ledger", [True, False])
def test_an_input_counts_once_in_a_call(has_ledger: bool, location: Location, function: Counting) -> None:
    embedder = Embedder(Ledger(location) if has_ledger else None)
    embedder(bound(function), texts(1, 2, 3))
    embedder(bound(function), texts(3, 4))
    embedder(bound(function, "other"), texts(1, 4))
    assert counts(embedder) == (4, 0, 4, 0)
    assert function.requests == [texts(1, 2, 3), texts(4)]


def test_answers_are_in_the_inputs_order(location: Location, function: Counting) -> None:
    ledger = Ledger(location)
    Embedder(ledger)(bound(function), ["a", "ccc"])
    embedder = Embedder(ledger, on_error="quarantine")
    answers = embedder(bound(function), ["dddd", "ccc", "bad", "a", "eeeee"])
    assert [a if isinstance(a, EmbeddingError) else int(a[0]) for a in answers] == [4, 3, answers[2], 1, 5]
    assert isinstance(answers[2], EmbeddingError)
    assert counts(embedder) == (5, 2, 2, 1)


def test_a_failure_counts_once_and_is_not_tried_again_in_the_call(location: Location, function: Counting) -> None:
    failures = TableFailures(location, "t")
    embedder = Embedder(Ledger(location), on_error="quarantine", failures=failures)
    for column in ("vector", "vector", "other"):
        embedder(bound(function, column), [*texts(1), "bad"])
    assert counts(embedder) == (2, 0, 1, 1)
    assert sum("bad" in request for request in function.requests) == 2, "with another, then alone"
    assert sorted(failures.latest()["vector_column"].to_pylist()) == ["other", "vector"]
    assert set(failures.latest()["attempts"].to_pylist()) == {1}


def test_attempts_add_up_over_calls(location: Location, function: Counting) -> None:
    failures = TableFailures(location, "t")
    for _ in range(3):
        Embedder(None, on_error="drop", failures=failures)(bound(function), ["bad", "bad too"])
    records = failures.latest().to_pylist()
    assert [(r["input"], r["attempts"], r["dropped"]) for r in records] == [("bad", 3, True), ("bad too", 3, True)]
    stored = failures._open()
    assert stored is not None
    assert stored.count_rows() == 2, "the last record of each"
    now = datetime.now(UTC)
    failures.forget_before(records[0]["at"], "vector", [records[0]["key"]])
    failures.forget_before(now, "other", [records[1]["key"]])
    assert failures.latest().num_rows == 2
    failures.forget_before(now, "vector", [records[0]["key"]])
    assert failures.latest()["input"].to_pylist() == ["bad too"]
    failures.forget()
    assert failures.latest().num_rows == 0


def test_many_records_of_failures_stay_few_files(location: Location, function: Counting) -> None:
    failures = TableFailures(location, "t")
    for i in range(130):
        Embedder(None, on_error="drop", failures=failures)(bound(function), [f"bad {i % 50}"])
    assert failures.latest().num_rows == 50
    assert failures._open() is not None
    assert len(failures._open().fragments()) < 64  # type: ignore[union-attr]


def test_a_row_of_an_error_is_a_place_among_the_inputs(location: Location, function: Counting) -> None:
    ledger = Ledger(location)
    Embedder(ledger)(bound(function), texts(0, 2, 4))
    with pytest.raises(EmbeddingError) as caught:
        Embedder(ledger)(bound(function), [*texts(0, 1, 2, 3, 4), "bad", *texts(5)])
    assert caught.value.row == 5


def test_what_was_answered_is_durable_before_more_is_asked(location: Location, tmp_path: Path) -> None:
    known: list[int] = []

    class Watching(Counting):
        """Looks at each request for what would be found if the process ended now."""

        def generate_embeddings(self, texts: Sequence[str], /) -> Any:
            asked = Ledger(_left_by_a_kill(location, tmp_path / f"left {len(known)}")).of(self)
            assert asked is not None
            known.append(int(asked.knows(_keys(self, every)).sum()))
            return super().generate_embeddings(texts)

    every = texts(*range(45))
    Embedder(Ledger(location))(bound(Watching()), every)
    assert known == [0, 10, 20, 30, 40]


def _left_by_a_kill(location: Location, folder: Path) -> Location:
    """The database as a killed process leaves it: locks are not copied. One in memory is looked at as it is."""
    if location.path is None:
        return location
    if location.path.exists():
        shutil.copytree(location.path, folder)
    return Location(folder)


def test_answers_that_may_wait_are_recorded_together(location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cheap(Counting):
        """Fast and free."""

        record_within_s: ClassVar[float] = 60.0

    function, ledger = Cheap(), Ledger(location)
    record, commits = FunctionLedger.record, []

    def counted(self: FunctionLedger, *args: Any) -> None:
        commits.append(1)
        record(self, *args)

    monkeypatch.setattr(FunctionLedger, "record", counted)
    embedder = Embedder(ledger, on_error="quarantine")
    embedder(bound(function), [*texts(*range(45)), "bad"])
    assert len(commits) == 1
    assert counts(embedder) == (46, 0, 45, 1)
    with pytest.raises(EmbeddingError):
        Embedder(ledger)(bound(function), [*texts(*range(50, 70)), "bad"])
    kept = ledger.of(function)
    assert kept is not None
    assert all(vector is not None for vector in kept.recall(_keys(function, texts(*range(50, 70)))))


def test_left_by_an_exception_it_asks_no_more(location: Location) -> None:
    asked = threading.Event()

    class Slow(Counting):
        """Takes a while."""

        def generate_embeddings(self, texts: Sequence[str], /) -> Any:
            asked.set()
            threading.Event().wait(0.05)
            return super().generate_embeddings(texts)

    function, raised = Slow(), []
    embedder = Embedder(Ledger(location))

    def work() -> None:
        try:
            embedder(bound(function), texts(*range(1_000)))
        except EmbeddingError as error:
            raised.append(error)

    def interrupted() -> None:
        with embedder:
            thread.start()
            asked.wait()
            raise KeyboardInterrupt

    thread = threading.Thread(target=work)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    sent = len(function.requests)
    thread.join()
    assert len(function.requests) == sent <= 3
    assert "interrupted" in str(raised[0])
    assert embedder.receipt().embedded == 10 * sent


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="on_embedding_error is 'raise'"):
        Embedder(None, on_error="ignore")  # type: ignore[arg-type]


class TestBrokenFunctions:
    def run(self, function: Counting, inputs: Sequence[str], **options: Any) -> Embedder:
        embedder = Embedder(None, on_error="quarantine", **options)
        embedder(bound(function), inputs)
        return embedder

    def test_all_failing_raises_soon(self) -> None:
        function = Counting(batch_size=100)
        with pytest.raises(EmbeddingError, match="refused: bad 0"):
            self.run(function, [f"bad {i}" for i in range(2_000)])
        assert len(function.requests) <= 40

    def test_a_few_failing_are_set_aside(self) -> None:
        assert counts(self.run(Counting(), [f"bad {i}" for i in range(7)])) == (7, 0, 0, 7)

    @pytest.mark.parametrize("batch_size", [1, 10, 100])
    @pytest.mark.parametrize("concurrency", [1, 4])
    def test_one_good_among_others_proves_that_it_works(self, batch_size: int, concurrency: int) -> None:
        function = Counting(batch_size=batch_size, max_concurrency=concurrency)
        embedder = self.run(function, [f"bad {i}" for i in range(60)] + texts(*range(60)))
        assert counts(embedder) == (120, 0, 60, 60)

    def test_what_it_embedded_before_is_sent_again_as_a_proof(self, location: Location) -> None:
        function, ledger = Counting(), Ledger(location)
        Embedder(ledger)(bound(function), texts(1))
        embedder = Embedder(ledger, on_error="quarantine")
        embedder(bound(function), [*texts(1), *(f"bad {i}" for i in range(30))])
        assert counts(embedder) == (31, 1, 0, 30)
        assert function.requests.count(texts(1)) == 2

    def test_all_may_fail_if_that_is_said(self) -> None:
        assert counts(self.run(Counting(), [f"bad {i}" for i in range(30)], all_may_fail=True)) == (30, 0, 0, 30)


def _keys(function: Counting, values: Sequence[str]) -> Any:
    return input_keys(fingerprint(function), "source", values)
