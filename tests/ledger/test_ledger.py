"""What was recorded is found again: by other handles, threads and processes, after merging, pruning and removal."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lancelike.errors import StorageError
from lancelike.ledger import Ledger
from lancelike.ledger import ledger as module
from lancelike.ledger.keys import input_keys
from lancelike.ledger.ledger import FunctionLedger
from lancelike.ledger.memory import CallMemory
from lancelike.storage import Dataset, Location
from lancelike.storage.key_index import INDEX_BYTES, KeyIndex, Keys
from tests.ledger.conftest import Counting, vectors

LARGE = 1 << 30


def keys_of(*values: Any) -> Keys:
    return input_keys("f", "source", values)


def ledger_at(location: Location, max_bytes: int = LARGE) -> FunctionLedger:
    return FunctionLedger(location.child("ledger"), "f", max_bytes)


def record_range(ledger: FunctionLedger, start: int, stop: int) -> None:
    ledger.record(keys_of(*range(start, stop)), vectors(stop - start, start))


def recalled(ledger: FunctionLedger, *values: Any) -> list[float | None]:
    return [None if vector is None else float(vector[0]) for vector in ledger.recall(keys_of(*values))]


def test_what_was_recorded_is_recalled_in_any_order(location: Location) -> None:
    ledger = ledger_at(location)
    assert recalled(ledger, 1, 2) == [None, None]
    assert not ledger.knows(keys_of(1)).any()
    record_range(ledger, 0, 5)
    record_range(ledger, 5, 9)
    assert recalled(ledger, 7, 0, 99, 7, 3) == [7, 0, None, 7, 3]
    assert ledger.knows(keys_of(7, 99)).tolist() == [True, False]
    assert [vector.dtype for vector in ledger.recall(keys_of(7)) if vector is not None] == [np.float32]
    ledger.record(keys_of(), [])
    assert ledger.recall(keys_of()) == []


def test_another_handle_sees_it_at_once(location: Location) -> None:
    one, other = ledger_at(location), ledger_at(location)
    record_range(one, 0, 3)
    assert recalled(other, 0, 1, 2) == [0, 1, 2]
    record_range(other, 3, 6)
    assert recalled(one, *range(6)) == list(range(6))


def test_multivectors_are_kept_whole(location: Location) -> None:
    ledger = ledger_at(location)
    made = [np.arange(8, dtype=np.float32).reshape(2, 4), np.ones((3, 4), np.float32)]
    ledger.record(keys_of("a", "b"), made)
    for got, expected in zip(ledger.recall(keys_of("b", "a")), reversed(made), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_other_number_types_are_kept(location: Location) -> None:
    ledger = ledger_at(location)
    ledger.record(keys_of("a"), [np.arange(4, dtype=np.float64)])
    [vector] = ledger.recall(keys_of("a"))
    assert vector is not None
    assert vector.dtype == np.float64


def record_in_process(uri: str, worker: int, count: int, barrier: Any) -> None:
    ledger = ledger_at(Location(uri))
    barrier.wait()
    for start in range(0, count, 10):
        record_range(ledger, worker * count + start, worker * count + start + 10)


def test_two_processes_make_and_fill_it_together(tmp_path: Path) -> None:
    location = Location(tmp_path / "db")
    watching = ledger_at(location)
    barrier = multiprocessing.Barrier(2)
    processes = [
        multiprocessing.Process(target=record_in_process, args=(str(tmp_path / "db"), worker, 400, barrier))
        for worker in range(2)
    ]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        places = watching.recall(keys_of(*range(800)))
        assert all(vector is None or vector[0] == i for i, vector in enumerate(places))
        watching.tidy()
    assert [process.exitcode for process in processes] == [0, 0]
    assert recalled(watching, *range(800)) == list(range(800))


def test_threads_share_one(location: Location) -> None:
    ledger = ledger_at(location)
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for start in range(worker * 100, worker * 100 + 100, 10):
                record_range(ledger, start, start + 10)
                assert recalled(ledger, start, start + 9) == [start, start + 9]
        except BaseException as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert recalled(ledger, *range(600)) == list(range(600))


def test_small_files_are_merged_and_old_versions_go(location: Location) -> None:
    ledger, other = ledger_at(location), ledger_at(location)
    for start in range(0, 700, 5):
        record_range(ledger, start, start + 5)
        if start == 300:
            assert recalled(other, 0, 304) == [0, 304]
    dataset = Dataset.open(location.child("ledger"), "f")
    assert len(dataset.fragments()) < 64
    assert len(dataset.lance.versions()) < 70
    for each in (ledger, other, ledger_at(location)):
        assert recalled(each, *range(705)) == [*range(700), *[None] * 5]


def test_merged_files_leave_nothing_behind(tmp_path: Path) -> None:
    location = Location(tmp_path / "db")
    ledger = ledger_at(location)
    for start in range(0, 70_000, 1_000):
        record_range(ledger, start, start + 1_000)
    ledger.tidy()
    on_disk = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert on_disk < 1.1 * sum(Dataset.open(location.child("ledger"), "f").fragments().values())


def test_what_was_merged_is_not_indexed_again(location: Location) -> None:
    ledger, other = ledger_at(location), ledger_at(location)
    read: list[int] = []
    add = KeyIndex.add

    def counted(self: KeyIndex, keys: Keys, numbers: Any) -> None:
        read.append(len(keys))
        add(self, keys, numbers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeyIndex, "add", counted)
        for start in range(0, 2800, 20):
            record_range(ledger, start, start + 20)
        assert recalled(ledger, 0, 2799) == [0, 2799]
        assert sum(read) == 2800
        record_range(other, 2800, 2820)
        ledger.tidy()
        assert recalled(ledger, *range(2820)) == list(range(2820))


def test_a_handle_survives_files_deleted_under_its_version(location: Location) -> None:
    stale = ledger_at(location)
    for start in range(60):
        record_range(stale, start, start + 1)
    places = stale.find(keys_of(*range(60))).tolist()
    other = ledger_at(location)
    for start in range(60, 70):
        record_range(other, start, start + 1)
    other.tidy()
    assert [float(vector[0]) for vector in stale.take(places) if vector is not None] == list(range(60))


def test_the_bound_drops_the_oldest_and_frees_the_disk(tmp_path: Path) -> None:
    location, bound = Location(tmp_path / "db"), 6_000_000
    ledger = ledger_at(location, bound)
    most = 0
    for start in range(0, 12_000, 50):
        ledger.record(keys_of(*range(start, start + 50)), vectors(50, start, dim=256))
        most = max(most, sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()))
    ledger.tidy()
    assert most < 2 * bound, "64 files of 50 kB between two tidyings, and a copy while they are merged"
    assert sum(Dataset.open(location.child("ledger"), "f").fragments().values()) <= bound
    known = ledger.knows(keys_of(*range(12_000)))
    assert known[-3_000:].all()
    assert not known[:5_000].any()
    assert known.tolist() == sorted(known.tolist()), "the oldest went first"
    assert recalled(ledger, 0, 11_999) == [None, 11_999]
    assert recalled(ledger_at(location), 0, 11_999) == [None, 11_999]
    ledger.record(keys_of(0), [np.full(256, 5.0, np.float32)])
    assert recalled(ledger, 0) == [5]


def test_pruned_between_find_and_take_is_none(location: Location) -> None:
    ledger = ledger_at(location)
    record_range(ledger, 0, 20)
    record_range(ledger, 20, 40)
    places = ledger.find(keys_of(*range(40))).tolist()
    dataset = Dataset.open(location.child("ledger"), "f")
    dataset.drop_fragments([min(dataset.fragments())])
    left = [*[None] * 20, *range(20, 40)]
    assert [None if v is None else float(v[0]) for v in ledger.take(places)] == left
    assert recalled(ledger, *range(40)) == left


def test_removed_by_hand_it_starts_anew(tmp_path: Path) -> None:
    location = Location(tmp_path / "db")
    ledger = ledger_at(location)
    record_range(ledger, 0, 3)
    shutil.rmtree(tmp_path / "db")
    assert recalled(ledger, 0, 1) == [None, None]
    record_range(ledger, 0, 3)
    assert recalled(ledger, 0, 1) == [0, 1]
    shutil.rmtree(tmp_path / "db")
    record_range(ledger, 5, 6)
    assert recalled(ledger, 0, 5) == [None, 5]


def test_what_fails_at_tidying_is_logged_only(
    location: Location, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any) -> bool:
        raise StorageError("not now")

    monkeypatch.setattr(module, "merge_small_files", refuse)
    ledger = ledger_at(location)
    with caplog.at_level(logging.WARNING, "lancelike.ledger"):
        for start in range(0, 1400, 20):
            record_range(ledger, start, start + 20)
    assert "not now" in caplog.text
    assert recalled(ledger, *range(1400)) == list(range(1400))


def test_a_database_keeps_one_for_each_function_or_none(location: Location) -> None:
    ledger = Ledger(location)
    assert ledger.of(Counting()) is ledger.of(Counting(batch_size=3))
    assert ledger.of(Counting()) is not ledger.of(Counting(dim=9))
    assert Ledger(location, 0).of(Counting()) is None


def test_a_calls_memory_is_bounded() -> None:
    memory = CallMemory(max_bytes=3 * (16 + INDEX_BYTES))
    memory.record(keys_of(*range(2)), vectors(2))
    memory.record(keys_of(*range(2, 5)), vectors(3, 2))
    memory.record(keys_of(9), vectors(1))
    assert memory.knows(keys_of(*range(5), 9)).tolist() == [True] * 3 + [False] * 3
    assert [None if v is None else float(v[0]) for v in memory.recall(keys_of(4, 1, 2))] == [None, 1, 2]


def test_a_calls_memory_keeps_multivectors() -> None:
    memory = CallMemory()
    made = [np.ones((2, 4), np.float32), np.zeros((3, 4), np.float32)]
    memory.record(keys_of("a", "b"), made)
    made[0][:] = 5
    [b, a] = memory.recall(keys_of("b", "a"))
    assert a is not None
    assert b is not None
    assert (a == 1).all()
    assert b.shape == (3, 4)
