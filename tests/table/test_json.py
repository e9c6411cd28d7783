"""Columns of Arrow's JSON: given as dicts, read as JSON or as dicts, and looked into by filters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pytest

import lancelike
from lancelike.embeddings import get_registry
from lancelike.errors import BadDataError
from lancelike.pydantic import LanceModel

words = get_registry().get("hash").create(dim=8)


class Chunk(LanceModel):
    id: int
    text: str = words.SourceField()
    meta: Annotated[dict[str, Any] | None, pa.json_()] = None
    vector: list[float] = words.VectorField()


@pytest.fixture
def chunks() -> lancelike.Table:
    table = lancelike.connect("memory://").create_table("chunks", schema=Chunk)
    table.add([Chunk(id=1, text="a", meta={"page": 1, "by": {"name": "Lem"}}), Chunk(id=2, text="b")])
    table.add([{"id": 3, "text": "c", "meta": {"page": 3}}, {"id": 4, "text": "d", "meta": '{"page": 4}'}])
    return table


def metas(table: lancelike.Table) -> dict[int, Any]:
    return {row.id: row.meta for row in table.search().to_pydantic(Chunk)}


def pages(table: lancelike.Table, page: int) -> list[int]:
    return [row["id"] for row in table.search().where(f"json_get_int(meta, 'page') = {page}").to_list()]


def test_what_is_given_comes_back(chunks: lancelike.Table) -> None:
    assert chunks.schema.field("meta").type == pa.json_()
    by_lem = {"page": 1, "by": {"name": "Lem"}}
    assert metas(chunks) == {1: by_lem, 2: None, 3: {"page": 3}, 4: {"page": 4}}
    assert [row["meta"] for row in chunks.search().where("id = 3").to_list()] == ['{"page":3}']
    assert chunks.model().to_arrow_schema() == chunks.schema


def test_filters_and_projections_look_into_it(chunks: lancelike.Table) -> None:
    assert [pages(chunks, page) for page in (1, 3, 4)] == [[1], [3], [4]]
    assert chunks.count_rows("json_extract(meta, '$.by.name') = '\"Lem\"'") == 1
    found = chunks.search("a").where("json_get_int(meta, 'page') > 0").select({"page": "json_get_int(meta, 'page')"})
    assert found.limit(1).to_list()[0]["page"] == 1


def test_writes_keep_it(chunks: lancelike.Table) -> None:
    chunks.update(where="id = 1", values={"meta": {"page": 10}})
    chunks.update(where="id = 3", values={"text": "new", "meta": {"page": 30}})
    chunks.update(where="id = 4", values={"text": "newer"})
    chunks.merge_insert("id").when_matched_update_all().execute([{"id": 2, "meta": {"page": 20}}])
    assert [pages(chunks, page) for page in (10, 20, 30, 4)] == [[1], [2], [3], [4]]


def test_a_plain_schema(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("meta", pa.json_())])
    table = lancelike.connect(tmp_path).create_table("t", schema=schema)
    table.add([{"id": 1, "meta": {"page": 1}}, {"id": 2, "meta": [1, 2]}, {"id": 3, "meta": None}])
    again = lancelike.connect(tmp_path)["t"]
    assert again.to_arrow()["meta"].to_pylist() == ['{"page":1}', "[1,2]", None]
    assert pages(again, 1) == [1]


def test_what_is_no_json(chunks: lancelike.Table) -> None:
    version = chunks.version
    with pytest.raises(BadDataError, match=r"is no JSON: .* give a dict or a list"):
        chunks.add([{"id": 9, "text": "e", "meta": "page 9"}])
    with pytest.raises(BadDataError, match="no JSON"):
        chunks.update(where="id = 1", values={"meta": "page 9"})
    assert chunks.version == version
