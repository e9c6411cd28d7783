"""Vectors of small calls wait in a file, and are found there as in the ledger."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import lancelike
from lancelike.ledger.claims import MUTEX
from lancelike.ledger.keys import input_keys
from lancelike.ledger.ledger import FunctionLedger
from lancelike.ledger.waiting import FEW, MOST
from lancelike.storage import Dataset, Location
from lancelike.storage.key_index import Keys
from tests.ledger.conftest import vectors

LARGE = 1 << 30


def keys_of(*values: Any) -> Keys:
    return input_keys("f", "source", values)


def ledger_in(folder: Path) -> FunctionLedger:
    return FunctionLedger(Location(folder), "f", LARGE)


def recalled(ledger: FunctionLedger, *values: Any) -> list[float | None]:
    return [None if vector is None else float(vector[0]) for vector in ledger.recall(keys_of(*values))]


def notes(folder: Path) -> set[str]:
    return set(os.listdir(folder / "f.claims")) - {MUTEX}


def record_one_by_one(ledger: FunctionLedger, start: int, stop: int) -> None:
    for number in range(start, stop):
        ledger.record(keys_of(number), vectors(1, number))


def test_a_few_wait_and_are_recalled(tmp_path: Path) -> None:
    ledger, other = ledger_in(tmp_path), ledger_in(tmp_path)
    record_one_by_one(ledger, 0, 5)
    assert not Location(tmp_path).exists("f")
    assert len(notes(tmp_path)) == 1
    for each in (ledger, other):
        assert recalled(each, 3, 9, 0) == [3.0, None, 0.0]
        assert each.knows(keys_of(3, 9)).tolist() == [True, False]


def test_many_are_recorded_together(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    record_one_by_one(ledger, 0, MOST + 1)
    assert not notes(tmp_path)
    assert Dataset.open(Location(tmp_path), "f").count_rows() == MOST + 1
    assert Dataset.open(Location(tmp_path), "f").version == 1
    assert recalled(ledger, 0, MOST) == [0.0, MOST]


def test_a_large_call_records_those_that_wait_too(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    record_one_by_one(ledger, 0, 3)
    many = range(10, 10 + FEW + 1)
    ledger.record(keys_of(*many), vectors(len(many), 10))
    assert Dataset.open(Location(tmp_path), "f").count_rows() == 3 + len(many)
    assert recalled(ledger, 2, 10) == [2.0, 10.0]


def test_whoever_wants_their_places_finds_them(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    record_one_by_one(ledger, 0, 3)
    [vector] = ledger.take(ledger.find(keys_of(2)).tolist())
    assert vector is not None
    assert vector[0] == 2.0


def test_removed_by_hand_they_are_not_known(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    record_one_by_one(ledger, 0, 3)
    shutil.rmtree(tmp_path / "f.claims")
    assert recalled(ledger, 0) == [None]
    record_one_by_one(ledger, 5, 6)
    assert recalled(ledger, 5) == [5.0]
    assert len(notes(tmp_path)) == 1


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[Connection, int]]:
    """Another process, in whose ledger 0 and 1 wait, and another vector for each message; and its id."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_record_as_told, args=(tmp_path, theirs))
    process.start()
    theirs.close()
    assert process.pid
    ours.recv()
    yield ours, process.pid
    process.kill()
    process.join()


def _record_as_told(folder: Path, told: Connection) -> None:
    ledger = ledger_in(folder)
    record_one_by_one(ledger, 0, 2)
    while True:
        told.send(recalled(ledger, 0, 1))
        number = told.recv()
        record_one_by_one(ledger, number, number + 1)


def test_those_of_another_process_are_recalled(tmp_path: Path, elsewhere: tuple[Connection, int]) -> None:
    process, _ = elsewhere
    ledger = ledger_in(tmp_path)
    assert recalled(ledger, 0, 1, 2) == [0.0, 1.0, None]
    process.send(2)
    process.recv()
    assert recalled(ledger, 2) == [2.0]


def test_those_of_a_killed_process_are_recorded(tmp_path: Path, elsewhere: tuple[Connection, int]) -> None:
    process, number = elsewhere
    ledger = ledger_in(tmp_path)
    os.kill(number, signal.SIGKILL)
    with pytest.raises(EOFError):
        process.recv()
    while notes(tmp_path):
        assert recalled(ledger, 0, 1, 2) == [0.0, 1.0, None]
    assert Dataset.open(Location(tmp_path), "f").version == 1


def test_those_of_another_model_go(tmp_path: Path, elsewhere: tuple[Connection, int]) -> None:
    process, _ = elsewhere
    ledger = ledger_in(tmp_path)
    record_one_by_one(ledger, 5, 6)
    ledger.renew()
    assert recalled(ledger, 0, 5) == [None, None]
    process.send(7)
    assert process.recv() == [None, None]


def test_single_rows_make_few_commits_in_the_ledger(tmp_path: Path) -> None:
    words = lancelike.embeddings.get_registry().get("hash").create(dim=8)

    class Item(lancelike.pydantic.LanceModel):
        text: str = words.SourceField()
        vector: lancelike.pydantic.Vector(8) = words.VectorField()  # type: ignore[valid-type]  # a value, as LanceDB's

    table = lancelike.connect(tmp_path).create_table("t", schema=Item)
    receipts = [table.add([{"text": f"text {number % 20}"}]).embedding for number in range(30)]
    assert sum(each.embedded for each in receipts) == 20
    assert sum(each.reused for each in receipts) == 10
    assert not list((tmp_path / "_lancelike" / "ledger").glob("*.lance"))
