"""Calls that are called off."""

from __future__ import annotations

import contextvars
import threading

import pytest

from lancelike.calls import Call, CalledOff, current_call, running


def test_a_call_that_is_off_commits_nothing() -> None:
    call = Call()
    assert call.call_off()
    with pytest.raises(CalledOff), call.committing():
        pytest.fail("the block ran")


def test_what_is_made_for_a_commit_is_not_committed_once_the_call_is_off() -> None:
    call, reached = Call(), []

    def commit() -> None:
        with call.committing():
            with call.before_commit():
                assert call.call_off(), "no commit can follow"
            reached.append("the commit")

    with pytest.raises(CalledOff):
        commit()
    assert not reached


def test_a_commit_under_way_is_made() -> None:
    call, reached = Call(), []
    with call.committing():
        with call.before_commit():
            pass
        assert not call.call_off(), "the commit may follow"
        reached.append("the commit")
    assert reached


def test_after_the_first_commit_the_others_follow() -> None:
    call, reached = Call(), []
    with call.committing():
        pass
    assert not call.call_off()
    with call.committing(), call.before_commit():
        reached.append("the next")
    assert reached


def test_a_commit_that_fails_can_be_called_off_before_it_is_tried_again() -> None:
    call = Call()
    with pytest.raises(ValueError, match="conflict"), call.committing():
        raise ValueError("conflict")
    assert call.call_off()
    with pytest.raises(CalledOff), call.committing():
        pytest.fail("the block ran")


def test_who_listens_is_told_once_also_when_late() -> None:
    call, told = Call(), []
    call.on_call_off(lambda: told.append("early"))
    call.call_off()
    call.call_off()
    call.on_call_off(lambda: told.append("late"))
    assert told == ["early", "late"]


def test_the_current_call_is_that_of_the_context() -> None:
    call = Call()
    with running(call):
        assert current_call() is call
        found = []
        thread = threading.Thread(target=contextvars.copy_context().run, args=(lambda: found.append(current_call()),))
        thread.start()
        thread.join()
        assert found == [call]
        with running(None):
            assert current_call() is not call
    assert current_call() is not call
