"""Waiting no longer than was asked for."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar

import pytest

from lancelike.errors import QueryTimeoutError
from lancelike.search.deadline import Deadline

name: ContextVar[str] = ContextVar("name", default="nobody")


def test_without_a_deadline_the_call_runs_in_place() -> None:
    assert Deadline(None).run(threading.current_thread) is threading.current_thread()
    assert Deadline(None).remaining_s() is None


def test_in_time_the_result_or_the_error_comes_out_as_itself() -> None:
    assert Deadline(30).run(lambda: 5) == 5
    with pytest.raises(TimeoutError, match="mine"):
        Deadline(30).run(raise_own_timeout)


def raise_own_timeout() -> None:
    raise TimeoutError("mine")


def test_the_callers_context_goes_along() -> None:
    token = name.set("caller")
    assert Deadline(30).run(name.get) == "caller"
    name.reset(token)


def test_late() -> None:
    release = threading.Event()
    deadline = Deadline(0.05)
    with pytest.raises(QueryTimeoutError, match=r"Query timeout: no answer within 0.05 s"):
        deadline.run(release.wait)
    release.set()
    with pytest.raises(QueryTimeoutError):
        deadline.run(lambda: 5)


def test_remaining_time_shrinks() -> None:
    deadline = Deadline(10)
    time.sleep(0.01)
    remaining = deadline.remaining_s()
    assert remaining is not None
    assert 9 < remaining < 10
