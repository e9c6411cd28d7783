"""A stream gives each row once, in an order that no number of processes changes, and goes on where it stopped."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import torch

import lancelike
from lancelike.errors import ColumnNotFoundError
from lancelike.streaming import StreamingDataset


@pytest.fixture
def table(tmp_path: Path) -> lancelike.Table:
    """Ids 0 to 99, and as many tokens in each row as its id has ones."""
    rows = pa.table({"id": range(100), "tokens": [[n] * n.bit_count() for n in range(100)]})
    return lancelike.connect(tmp_path).create_table("t", rows)


def ids(stream: Iterator[Any]) -> list[int]:
    return [row["id"] for row in stream]


def test_each_row_comes_once(table: lancelike.Table) -> None:
    found = ids(iter(StreamingDataset(table, num_splits=4, read_batch_size=7)))
    assert sorted(found) == list(range(100)) != found
    assert found == ids(iter(StreamingDataset(table, num_splits=4, read_batch_size=64)))
    assert found != ids(iter(StreamingDataset(table, num_splits=4, epoch=1)))
    assert len(ids(iter(StreamingDataset(table, num_splits=3)))) == 99


def test_without_shuffling_splits_are_in_table_order(table: lancelike.Table) -> None:
    found = ids(iter(StreamingDataset(table, num_splits=2, shuffle=False, filter="id < 10", columns=["id"])))
    assert found == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]


def worker(number: int, of: int) -> Any:
    return SimpleNamespace(id=number, num_workers=of)


def test_steps_are_the_same_for_any_number_of_ranks_and_workers(table: lancelike.Table) -> None:
    whole = ids(iter(StreamingDataset(table, num_splits=4)))
    parts = [
        ids(
            iter(StreamingDataset(table, num_splits=4, rank=rank, world_size=2, worker_info_override=worker(number, 2)))
        )
        for rank in range(2)
        for number in range(2)
    ]
    assert [row for step in zip(*parts, strict=True) for row in step] == whole


@pytest.mark.parametrize("taken", [0, 1, 3, 20, 42, 99])
def test_a_stream_goes_on_where_it_stopped(table: lancelike.Table, taken: int) -> None:
    whole = ids(iter(StreamingDataset(table, num_splits=4)))
    first = StreamingDataset(table, num_splits=4)
    stream = iter(first)
    before = ids(islice(stream, taken))
    state = json.loads(json.dumps(first.state_dict()))
    table.delete("id < 50")  # the checkpoint is of the version before
    table.add([{"id": 1000, "tokens": []}])
    second = StreamingDataset(table, num_splits=4)
    second.load_state_dict(state)
    assert before + ids(iter(second)) == whole


def test_a_stream_goes_on_with_another_number_of_ranks(table: lancelike.Table) -> None:
    whole = ids(iter(StreamingDataset(table, num_splits=4)))
    ranks = [StreamingDataset(table, num_splits=4, rank=rank, world_size=2) for rank in range(2)]
    for rank in ranks:
        list(islice(iter(rank), 20))  # ten steps
    merged = StreamingDataset.merge_state_dicts([rank.state_dict() for rank in ranks])
    assert merged == ranks[0].state_dict() == ranks[1].state_dict()
    alone = StreamingDataset(table, num_splits=4)
    alone.load_state_dict(merged)
    assert ids(iter(alone)) == whole[40:]


def halves(batch: pa.RecordBatch) -> list[int]:
    if 13 in batch["id"].to_pylist() or 14 in batch["id"].to_pylist():
        raise ValueError("unlucky")
    halved: list[int] = [number // 2 for number in batch["id"].to_pylist()]
    return halved


@pytest.mark.parametrize("on_error", ["skip", "warn", lambda error: "unlucky" in str(error)])
def test_rows_that_fail_are_left_out_and_counted(
    table: lancelike.Table, on_error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stream = StreamingDataset(table, shuffle=False, transform=halves, on_transform_error=on_error)
    found = list(islice(iter(stream), 20))
    assert found == [number // 2 for number in range(22) if number not in (13, 14)]
    state = stream.state_dict()
    assert (state["samples_consumed_per_split"], state["positions_consumed_per_split"]) == ([20], [22])
    assert ("skipped 2 of 64 rows" in caplog.text) == (on_error == "warn")
    again = StreamingDataset(table, shuffle=False, transform=halves, on_transform_error="skip")
    again.load_state_dict(state)
    assert next(iter(again)) == 11
    assert len(list(again)) == 77
    assert (stream.rows_skipped, again.rows_skipped) == (2, 0)


def test_a_transform_that_fails_stops_the_stream(table: lancelike.Table) -> None:
    with pytest.raises(ValueError, match="unlucky"):
        list(StreamingDataset(table, transform=halves))
    with pytest.raises(ValueError, match="returned 1 rows for a batch of 64"):
        list(StreamingDataset(table, transform=lambda batch: [1]))
    with pytest.raises(ValueError, match="lucky"):
        list(StreamingDataset(table, transform=halves, on_transform_error=lambda error: False))


def test_documents_are_packed_into_blocks(table: lancelike.Table) -> None:
    stream = StreamingDataset(
        table,
        shuffle=False,
        filter="id IN (1, 3, 7)",
        columns=["tokens"],
        pack_sequences=4,
        eos_id=-1,
        pad_id=-2,
        blocks_per_epoch=3,
    )
    blocks = list(stream)
    assert [block["input_ids"].tolist() for block in blocks] == [[1, -1, 3, 3], [-1, 7, 7, 7], [-1, -2, -2, -2]]
    assert [block["doc_ids"].tolist() for block in blocks] == [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]
    assert blocks[0]["input_ids"].dtype == torch.int64


def packed(table: lancelike.Table, **changes: Any) -> StreamingDataset:
    settings = {"pack_sequences": 8, "eos_id": -1, "pad_id": -2, "blocks_per_epoch": "auto", "columns": ["tokens"]}
    return StreamingDataset(table, **{"num_splits": 2, **settings, **changes})


def test_packing_goes_on_amid_a_document(table: lancelike.Table) -> None:
    whole = [block["input_ids"].tolist() for block in packed(table)]
    tokens = sum(number.bit_count() + 1 for number in range(100))
    assert len(whole) == tokens // 8 // 2 * 2
    first = packed(table)
    stream = iter(first)
    before = [block["input_ids"].tolist() for block in islice(stream, 6)]
    second = packed(table)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert before + [block["input_ids"].tolist() for block in second] == whole
    next(stream)
    with pytest.raises(RuntimeError, match="complete logical step"):
        first.state_dict()


def test_packed_ranks_are_merged(table: lancelike.Table) -> None:
    whole = [block["input_ids"].tolist() for block in packed(table)]
    ranks = [packed(table, rank=rank, world_size=2) for rank in range(2)]
    for rank in ranks:
        list(islice(iter(rank), 3))
    alone = packed(table)
    alone.load_state_dict(StreamingDataset.merge_state_dicts([rank.state_dict() for rank in ranks]))
    assert [block["input_ids"].tolist() for block in alone] == whole[6:]
    with pytest.raises(ValueError, match="not captured at the same global step"):
        StreamingDataset.merge_state_dicts([ranks[0].state_dict(), packed(table).state_dict()])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_splits": 3, "world_size": 2}, "must be divisible by world_size"),
        ({"io_queue_depth": 0}, "io_queue_depth must be greater than 0"),
        ({"on_transform_error": "ignore"}, "on_transform_error must be"),
        ({"blocks_per_epoch": 2}, "requires pack_sequences"),
        ({"pack_sequences": 8, "columns": ["tokens"]}, "are required"),
        ({"pack_sequences": 8, "eos_id": 0, "pad_id": 1, "blocks_per_epoch": 2}, "exactly one"),
        ({"pack_sequences": 8, "eos_id": 0, "pad_id": 1, "blocks_per_epoch": 2, "columns": ["id"]}, "has type int64"),
    ],
)
def test_settings_that_cannot_be_met(table: lancelike.Table, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        StreamingDataset(table, **settings)


def test_bad_columns_and_checkpoints(table: lancelike.Table) -> None:
    with pytest.raises(ColumnNotFoundError, match="nope"):
        StreamingDataset(table, filter="nope > 1")
    state = StreamingDataset(table).state_dict()
    others: list[dict[str, Any]] = [{"num_splits": 2}, {"shuffle_seed": 7}, {"epoch": 1}]
    for changes in others:
        with pytest.raises(ValueError, match=f"{next(iter(changes))} mismatch"):
            StreamingDataset(table, **changes).load_state_dict(state)
        with pytest.raises(ValueError, match=f"{next(iter(changes))} mismatch"):
            StreamingDataset.merge_state_dicts([state, {**state, **changes}])
    with pytest.raises(ValueError, match="at least one"):
        StreamingDataset.merge_state_dicts([])


def test_one_iteration_at_a_time(table: lancelike.Table) -> None:
    stream = StreamingDataset(table)
    first = iter(stream)
    next(first)
    with pytest.raises(RuntimeError, match="concurrent iteration"):
        next(iter(stream))
    first.close()  # type: ignore[attr-defined]
    assert len(list(stream)) == 99


def test_counts(table: lancelike.Table) -> None:
    stream = StreamingDataset(table, read_batch_size=10, io_queue_depth=2)
    rows = iter(stream)
    next(rows)
    assert (stream.consumed_rows, stream.prefetch_queue_depth >= 9) == (1, True)
    assert 60 <= stream.unscanned_rows <= 80
    list(rows)
    assert (stream.consumed_rows, stream.unscanned_rows, stream.raw_queue_depth, stream.prefetch_queue_depth) == (
        100,
        0,
        0,
        0,
    )
    assert stream.bytes_loaded > 0
    assert stream.fetch_time > 0
    assert stream.transform_time > 0


def test_a_pickle_has_its_own_place(table: lancelike.Table) -> None:
    stream = StreamingDataset(table)
    list(islice(iter(stream), 30))
    copy = pickle.loads(pickle.dumps(stream))
    assert ids(iter(copy)) == ids(iter(stream))
