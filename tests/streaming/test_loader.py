"""With DataLoader's workers, spawned or forked, a stream is the same, and a checkpoint counts what was handed over."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

import lancelike
from lancelike.streaming import StreamingDataLoader, StreamingDataset

CONTEXTS = ["spawn", "fork"] if hasattr(os, "fork") else ["spawn"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:lance is not fork-safe"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture
def table(tmp_path: Path) -> lancelike.Table:
    return lancelike.connect(tmp_path).create_table("t", [{"id": n} for n in range(40)])


def workers(context: str | None) -> dict[str, Any]:
    return {"num_workers": 2, "multiprocessing_context": context, "timeout": 60} if context else {}


@pytest.mark.parametrize("context", [None, *CONTEXTS])
def test_a_checkpoint_counts_what_the_loader_handed_over(table: lancelike.Table, context: str | None) -> None:
    stream = StreamingDataset(table, num_splits=4)
    batches = iter(StreamingDataLoader(stream, batch_size=4, **workers(context)))
    taken = [number for batch in islice(batches, 4) for number in batch["id"].tolist()]
    state = stream.state_dict()
    assert state["samples_consumed_per_split"] == [4, 4, 4, 4]
    rest = StreamingDataset(table, num_splits=4)
    rest.load_state_dict(state)
    left = [row["id"] for row in rest]
    assert len(taken) == 16
    assert sorted(taken + left) == list(range(40))
    batches.close()  # type: ignore[attr-defined]


def test_samples_alone_are_counted_too(table: lancelike.Table) -> None:
    stream = StreamingDataset(table, num_splits=2)
    loader = StreamingDataLoader(stream, batch_size=None)
    assert [row["id"] for row in loader] == [row["id"] for row in StreamingDataset(table, num_splits=2)]
    assert stream.state_dict()["samples_consumed_per_split"] == [20, 20]


@pytest.mark.parametrize("context", CONTEXTS[-1:])
def test_a_plain_loader_gives_every_row_and_no_checkpoint(table: lancelike.Table, context: str) -> None:
    stream = StreamingDataset(table, num_splits=4)
    batches = list(DataLoader(stream, batch_size=5, **workers(context)))
    assert sorted(number for batch in batches for number in batch["id"].tolist()) == list(range(40))
    assert stream.consumed_rows == 40
    with pytest.raises(RuntimeError, match="Use StreamingDataLoader"):
        stream.state_dict()


def test_settings_that_would_lose_rows_are_refused(table: lancelike.Table) -> None:
    stream = StreamingDataset(table)
    with pytest.raises(ValueError, match="drop_last"):
        StreamingDataLoader(stream, drop_last=True, batch_size=3)
    with pytest.raises(ValueError, match="persistent_workers"):
        StreamingDataLoader(stream, persistent_workers=True, num_workers=1)
    with pytest.raises(TypeError, match="requires a StreamingDataset"):
        StreamingDataLoader([1, 2, 3])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be divisible by num_workers"):
        next(iter(StreamingDataLoader(StreamingDataset(table, num_splits=3), **workers(CONTEXTS[-1]))))
