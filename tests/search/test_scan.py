"""Reading rows without ranking them."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from lancelike.errors import ColumnNotFoundError, QueryError, QueryTimeoutError
from lancelike.query import ColumnOrdering
from lancelike.storage.dataset import Dataset

from .conftest import ROWS, search


def test_a_scan_has_no_limit_of_its_own(docs: Dataset) -> None:
    assert len(search(docs).to_list()) == ROWS
    assert len(search(docs).limit(None).to_list()) == ROWS
    assert len(search(docs).limit(0).to_list()) == ROWS


def test_limit_and_offset(docs: Dataset) -> None:
    assert search(docs).limit(3).offset(5).to_arrow()["id"].to_pylist() == [5, 6, 7]
    assert search(docs).offset(ROWS - 2).to_arrow()["id"].to_pylist() == [ROWS - 2, ROWS - 1]
    assert search(docs).where("id > 10").limit(2).offset(1).to_arrow()["id"].to_pylist() == [12, 13]


def test_select(docs: Dataset) -> None:
    assert search(docs).select(["text", "id"]).limit(1).to_arrow().column_names == ["text", "id"]
    assert search(docs).select({"next": "id + 1"}).limit(2).to_list() == [{"next": 1}, {"next": 2}]
    assert search(docs).with_row_id().with_row_address().limit(1).to_arrow().column_names == [
        "id",
        "text",
        "vector",
        "_rowid",
        "_rowaddr",
    ]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (None, ["id", "text", "vector"]),
        (["text"], ["text"]),
        (["text", "_rowid"], ["text", "_rowid"]),
        ({"text": "upper(text)"}, ["text"]),
    ],
)
def test_order_by_a_column_selected_or_not(docs: Dataset, columns: Any, names: list[str]) -> None:
    query = search(docs).select(columns).order_by([ColumnOrdering(column_name="id", ascending=False)])
    rows = query.limit(3).offset(1).to_arrow()
    assert rows.column_names == names
    assert [text.lower() for text in rows["text"].to_pylist()] == ["text 198", "text 197", "text 196"]
    assert query.output_schema() == rows.schema
    assert query.to_batches(2).read_all() == rows


def test_batches_hold_at_most_what_was_asked(docs: Dataset) -> None:
    reader = search(docs).to_batches(30)
    assert isinstance(reader, pa.RecordBatchReader)
    sizes = [batch.num_rows for batch in reader]
    assert max(sizes) == 30
    assert sum(sizes) == ROWS


def test_several_filters_must_all_hold(docs: Dataset) -> None:
    rows = search(docs).where("id < 5 OR id = 50").where("id > 2").to_arrow()
    assert rows["id"].to_pylist() == [3, 4, 50]


def test_fragments(docs: Dataset) -> None:
    docs.append(search(docs).limit(3).to_arrow().to_reader())
    assert len(search(docs).fragment_ids([1]).to_list()) == 3


def test_unknown_columns(docs: Dataset) -> None:
    with pytest.raises(ColumnNotFoundError, match="nope"):
        search(docs).select(["nope"]).to_list()
    with pytest.raises(ColumnNotFoundError, match="nope"):
        search(docs).where("nope > 3").to_list()
    with pytest.raises(QueryError):
        search(docs).where("id >").to_list()


def test_plans_and_schema(docs: Dataset) -> None:
    query = search(docs).where("id > 3").select(["id"])
    assert "LanceRead" in query.explain_plan()
    assert "output_rows" in query.analyze_plan()
    assert query.output_schema() == pa.schema([("id", pa.int64())])


def test_a_scan_in_time_and_late(docs: Dataset) -> None:
    assert len(search(docs).to_list(timeout=timedelta(seconds=30))) == ROWS
    assert search(docs).to_batches(7, timeout=timedelta(seconds=30)).read_all().num_rows == ROWS
    for timeout in (timedelta(0), timedelta(microseconds=1)):
        with pytest.raises(QueryTimeoutError, match="Query timeout"):
            search(docs).to_list(timeout=timeout)


def test_a_stream_that_is_late(docs: Dataset) -> None:
    reader = search(docs).to_batches(10, timeout=timedelta(seconds=0.3))
    assert next(reader).num_rows == 10
    time.sleep(0.35)
    with pytest.raises(QueryTimeoutError):
        reader.read_all()
