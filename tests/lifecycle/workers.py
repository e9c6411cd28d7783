"""What spawned processes do until they are killed."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancelike
from tests.lifecycle.spies import Spy, requests_in, rows_of

BASE = 200
NEW = 1200


def add(table: lancelike.Table) -> Any:
    """1000 new texts, each of 200 twice."""
    return table.add([*rows_of(BASE, NEW), *({**row, "id": row["id"] + NEW} for row in rows_of(BASE, 2 * BASE))])


def merge_insert(table: lancelike.Table) -> Any:
    """200 changed texts and 800 new ones."""
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    return merge.execute(rows_of(0, NEW - BASE, "merged"))


def update(table: lancelike.Table) -> Any:
    """Every text changed."""
    return table.update(values_sql={"text": "concat(text, ' again')"})


OPERATIONS: dict[str, Callable[[lancelike.Table], Any]] = {"add": add, "merge_insert": merge_insert, "update": update}


def run(folder: Path, operation: str, delay_s: float) -> None:
    """Do *operation* to the table in *folder*, slowly."""
    Spy.delay_s = delay_s
    OPERATIONS[operation](lancelike.connect(folder / "db").open_table("docs"))


def run_until_interrupted(folder: Path, operation: str) -> None:
    """Do *operation*; when Ctrl-C ends it, say so, wait, and say how many requests there were then and after."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Spy.delay_s, log = 0.05, folder / "spy.log"
    table = lancelike.connect(folder / "db").open_table("docs")
    try:
        OPERATIONS[operation](table)
    except KeyboardInterrupt:
        at_once = len(requests_in(log))
        time.sleep(0.5)
        (folder / "interrupted").write_text(f"{at_once} {len(requests_in(log))}")


def run_with_full_disk(folder: Path, max_file_bytes: int) -> None:
    """Add to the table in *folder* while no file can grow beyond *max_file_bytes*; write down what was raised."""
    table = lancelike.connect(folder / "db").open_table("docs")
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    try:
        add(table)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        (folder / "raised").write_text(f"{type(error).__name__} {len(requests_in(folder / 'spy.log'))}")
