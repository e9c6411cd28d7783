"""Many sources at once: in their order, in bounded memory, and those that wait hold up no others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing

import pytest

from lancelike.media.crew import Crew, hold, load_all

WAIT_S = 20.0


class Load:
    """Loads of so many bytes each, and how many of these there were at once."""

    def __init__(self, part: int = 10) -> None:
        self.part, self.held, self.most, self.at_once, self.most_at_once = part, 0, 0, 0, 0
        self.lock = threading.Lock()

    def __call__(self, size: int) -> int:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(size // self.part):
            hold(self.part)
            with self.lock:
                self.held += self.part
                self.most = max(self.most, self.held)
        with self.lock:
            self.at_once -= 1
        return size

    def taken(self, size: int) -> None:
        with self.lock:
            self.held -= size


def test_answers_are_in_order_and_no_more_are_under_way_than_asked_for() -> None:
    load = Load()
    assert load_all(load, list(range(0, 2_000, 10)), 4) == list(range(0, 2_000, 10))
    assert load.most_at_once <= 4


@pytest.mark.parametrize("at_once", [1, 16])
def test_what_was_read_and_not_taken_is_bounded(at_once: int) -> None:
    load = Load()
    with closing(Crew[int](at_once, most_bytes=500, keeps=True)) as crew:
        for future in [crew.submit(lambda: load(100)) for _ in range(100)]:
            load.taken(crew.take(future))
    assert load.most <= 500 + 100, "the oldest alone may go beyond"


def test_one_that_is_larger_than_the_room_is_loaded() -> None:
    load = Load()
    with closing(Crew[int](4, most_bytes=50, keeps=True)) as crew:
        futures = [crew.submit(lambda: load(1_000)) for _ in range(8)]
        assert [crew.take(future) for future in futures] == [1_000] * 8


@pytest.mark.parametrize("reverse", [False, True])
def test_answers_are_taken_in_any_order_and_by_several_threads(reverse: bool) -> None:
    load = Load()
    with closing(Crew[int](4, most_bytes=300, keeps=True)) as crew:
        futures = [crew.submit(lambda: load(100)) for _ in range(60)]
        in_turn = futures[::-1] if reverse else futures
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(crew.take, in_turn)) == [100] * 60


def test_an_answer_that_is_waited_for_is_loaded_though_all_others_lack_room() -> None:
    begun = threading.Barrier(2)

    def half_read() -> int:
        hold(50)
        begun.wait(WAIT_S)
        hold(50)
        return 100

    with ThreadPoolExecutor(1) as pool, closing(Crew[int](2, most_bytes=100, keeps=True)) as crew:
        first = [crew.submit(half_read) for _ in range(2)]
        last = crew.submit(lambda: 1)
        assert pool.submit(crew.take, last).result(WAIT_S) == 1
        assert [crew.take(future) for future in first] == [100, 100]


def test_closing_cancels_what_was_not_begun() -> None:
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with closing(Crew[bool](1)) as crew:
            crew.submit(lambda: go_on.wait(WAIT_S))
            taken = pool.submit(crew.take, crew.submit(lambda: True))
        go_on.set()
        with pytest.raises(CancelledError):
            taken.result(WAIT_S)


def test_those_that_wait_are_not_counted_up_to_a_bound() -> None:
    meeting = threading.Barrier(16)
    assert load_all(lambda _: meeting.wait(WAIT_S) >= 0, range(16), 2, patience_s=0.01) == [True] * 16
    meeting = threading.Barrier(17)
    begun = []

    def wait(number: int) -> None:
        begun.append(number)
        meeting.wait(0.5)

    with pytest.raises(threading.BrokenBarrierError):
        load_all(wait, range(17), 2, patience_s=0.01)
    assert sorted(begun[:16]) == list(range(16))


def test_after_an_error_no_more_are_begun() -> None:
    begun = []
    ended = threading.Event()

    def load(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("no good")
        assert number < 2 or ended.wait(WAIT_S)
        return number

    with pytest.raises(ValueError, match="no good"):
        load_all(load, range(1_000), 2)
    count = len(begun)
    ended.set()
    assert count < 100
    assert list(_threads()) == []


def _threads() -> Iterator[str]:
    for thread in threading.enumerate():
        if thread.name == "lancelike-load":
            thread.join(WAIT_S)
            if thread.is_alive():
                yield thread.name
