"""What spawned processes do to a table."""

from __future__ import annotations

import pyarrow as pa

from lancelike.storage import Dataset, Location
from tests.storage.rows import rows


def append_rows(uri: str, options: dict[str, str] | None, start: int, times: int) -> list[int]:
    dataset = Dataset.open(Location(uri, options), "a")
    return [dataset.append(rows(10, start=start + 10 * each)) for each in range(times)]


def upsert(uri: str, options: dict[str, str] | None, worker: int, count: int) -> int:
    dataset = Dataset.open(Location(uri, options), "a")
    new = pa.table({"id": pa.array(range(count), pa.int64()), "text": [f"from {worker}"] * count})
    return dataset.merge(["id"], new, when_matched_update_all=True, when_not_matched_insert_all=True).version


def count_in_child(uri: str) -> int:
    return Dataset.open(Location(uri), "a").count_rows()


def cast(uri: str) -> None:
    Dataset.open(Location(uri), "a").alter_columns([{"path": "n", "data_type": pa.int64()}])


def drop_and_compute(uri: str) -> None:
    dataset = Dataset.open(Location(uri), "a")
    dataset.drop_columns(["n"])
    dataset.add_columns({"n": "CAST(id AS int)"})


def drop_and_add(uri: str) -> None:
    dataset = Dataset.open(Location(uri), "a")
    dataset.drop_columns(["n"])
    dataset.add_columns(pa.field("n", pa.int32()))


def add_column(uri: str) -> None:
    Dataset.open(Location(uri), "a").add_columns(pa.field("m", pa.int32()))


def rename(uri: str) -> None:
    Dataset.open(Location(uri), "a").alter_columns([{"path": "n", "rename": "renamed"}])
