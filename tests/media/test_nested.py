"""Pictures, sounds and blobs within structs and lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas
import PIL.Image
import polars
import pyarrow as pa
import pytest
from pydantic import BaseModel

import lancelike
from lancelike import Audio, BlobType, Image
from lancelike.errors import BadDataError, SchemaError
from lancelike.media import show
from lancelike.pydantic import LanceModel, Vector
from tests.media.drawing import encoded, sound


def plain(colour: str) -> Any:
    return PIL.Image.new("RGB", (4, 4), colour)


class View(BaseModel):
    side: str
    photo: Image


class Car(LanceModel):
    id: int
    front: View | None = None
    views: list[View] | None = None
    photos: list[Image] | None = None
    sounds: list[Audio] | None = None


class Scan(BaseModel):
    photo: Annotated[Image | None, BlobType()] = None
    raw: Annotated[bytes, BlobType()]


class Page(LanceModel):
    id: int
    scan: Scan | None = None
    reads: int = 0


@pytest.fixture
def db(tmp_path: Path) -> lancelike.DBConnection:
    return lancelike.connect(tmp_path)


@pytest.fixture
def pages(db: lancelike.DBConnection) -> lancelike.Table:
    made = [Page(id=1, scan=Scan(photo=Image(plain("red")), raw=b"one")), Page(id=2), Page(id=3, scan=Scan(raw=b""))]
    return db.create_table("pages", made, schema=Page)


def colour_of(image: Image) -> Any:
    return image.pil().getpixel((0, 0))


ROW: dict[str, Any] = {
    "id": 1,
    "front": {"side": "front", "photo": plain("red")},
    "views": [{"side": "left", "photo": encoded(plain("blue"))}],
    "photos": [plain("lime"), encoded(plain("red"))],
    "sounds": [sound()],
}


@pytest.mark.parametrize("form", ["dict", "model", "pandas", "arrow"])
def test_structs_and_lists_of_pictures_come_back(db: lancelike.DBConnection, form: str) -> None:
    forms: dict[str, Any] = {
        "dict": [ROW],
        "model": [Car(**ROW)],
        "pandas": pandas.DataFrame([ROW]),
        "arrow": pa.Table.from_pylist(
            [
                {
                    **ROW,
                    "front": {"side": "front", "photo": encoded(plain("red"))},
                    "photos": [encoded(plain("lime")), encoded(plain("red"))],
                }
            ]
        ),
    }
    cars = db.create_table("cars", schema=Car)
    cars.add(forms[form])
    cars.add([{"id": 2}])
    first, second = cars.search().to_pydantic(Car)
    assert first.front is not None
    assert first.views is not None
    assert first.photos is not None
    assert first.sounds is not None
    assert (first.front.side, colour_of(first.front.photo)) == ("front", (255, 0, 0))
    assert [(view.side, colour_of(view.photo)) for view in first.views] == [("left", (0, 0, 255))]
    assert [colour_of(photo) for photo in first.photos] == [(0, 255, 0), (255, 0, 0)]
    assert first.sounds[0].sampling_rate == Audio(sound()).sampling_rate
    assert (second.front, second.views, second.photos, second.sounds) == (None, None, None, None)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("front", {"side": "front", "photo": 5}, "5 is no image"),
        ("front", {"side": "front"}, "null in its field 'photo'"),
        ("front", {"side": "front", "photo": plain("red"), "hue": 1}, "there is no field 'hue' in it"),
        ("front", "front.png", "'front.png' is no dict"),
        ("photos", [encoded(plain("red")), "gone.png"], "gone.png"),
        ("photos", 7, "7 is no list"),
    ],
)
def test_a_bad_value_is_named_by_its_row_and_column(
    db: lancelike.DBConnection, column: str, value: Any, problem: str
) -> None:
    cars = db.create_table("cars", schema=Car)
    with pytest.raises(BadDataError, match=problem) as caught:
        cars.add([ROW, {"id": 2, column: value}])
    assert (caught.value.row, caught.value.column) == (1, column)
    assert len(cars) == 0


def test_a_page_shows_what_is_within(db: lancelike.DBConnection) -> None:
    cars = db.create_table("cars", [ROW], schema=Car)
    page = cars.search().to_list()._repr_html_()  # type: ignore[attr-defined]  # declared as a list
    assert page.count("<img src=") == 4
    assert page.count("<audio") == 1
    assert "side: left" in page
    assert str(show([{"plain": {"a": [1, 2]}}])).count("<br>") == 0


def test_a_table_says_what_is_within(pages: lancelike.Table) -> None:
    page = pages._repr_html_()
    assert "struct&lt;photo: image, stored as a blob; raw: binary, stored as a blob, not null&gt;" in page
    assert page.count("<img src=") == 1
    assert "raw: <code>3 bytes, stored as a blob</code>" in page
    frame = pages.to_pandas()
    assert str(show(frame)).count("<img src=") == 1
    assert frame["scan"][0]["photo"].tell() == 0
    assert "73 bytes" in str(show(pages.to_arrow()))


def test_blobs_within_a_struct_are_read_when_they_are_looked_at(pages: lancelike.Table) -> None:
    first, second, third = pages.search().to_pydantic(Page)
    assert first.scan is not None
    assert first.scan.photo is not None
    assert third.scan is not None
    assert colour_of(first.scan.photo) == (255, 0, 0)
    assert (first.scan.raw, second.scan, third.scan.photo, third.scan.raw) == (b"one", None, None, b"")
    assert colour_of(pages.search().to_list()[0]["scan"]["photo"]) == (255, 0, 0)
    assert pages.take_offsets([2]).to_pydantic(Page)[0].id == 3
    assert pages.blob_columns() == ["scan.photo", "scan.raw"]
    [stored] = pages.search().where("id = 1").to_pydantic(pages.model())
    assert colour_of(stored.scan.photo) == (255, 0, 0)  # type: ignore[attr-defined]  # made from the table's schema


def test_writes_keep_blobs_within_structs(pages: lancelike.Table) -> None:
    pages.update(where="id = 1", values={"reads": 1})
    pages.update(where="id = 3", values={"scan": {"photo": plain("lime"), "raw": b"three"}})
    upsert = pages.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    upsert.execute([Page(id=2, scan=Scan(raw=b"two")), Page(id=4, scan=Scan(raw=b"four"))])
    pages.optimize()
    found = {page.id: page for page in pages.search().to_pydantic(Page)}
    assert {n: page.scan and page.scan.raw for n, page in found.items()} == {
        1: b"one",
        2: b"two",
        3: b"three",
        4: b"four",
    }
    assert found[1].scan is not None
    assert found[1].scan.photo is not None
    assert colour_of(found[1].scan.photo) == (255, 0, 0)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(lancelike.blob("item")),
        pa.list_(pa.struct([lancelike.blob("data")])),
        pa.struct([pa.field("several", pa.list_(lancelike.blob("item")))]),
    ],
)
def test_blobs_in_a_list_are_refused_when_the_table_is_made(db: lancelike.DBConnection, kind: pa.DataType) -> None:
    with pytest.raises(SchemaError, match="is a list of blobs, which can't be read by row: give each blob a row"):
        db.create_table("t", schema=pa.schema([pa.field("id", pa.int64()), pa.field("blobs", kind)]))


def test_blobs_in_a_models_list_are_refused(db: lancelike.DBConnection) -> None:
    class Album(LanceModel):
        photos: list[Annotated[Image, BlobType()]]

    with pytest.raises(SchemaError, match="'photos' is a list of blobs"):
        db.create_table("t", schema=Album)


def read(cell: Any) -> Any:
    """The value of a file, also within a dict."""
    if isinstance(cell, dict):
        return {name: read(each) for name, each in cell.items()}
    return cell.read() if hasattr(cell, "read") else cell


RED = encoded(plain("red"))
SCANS = [{"photo": RED, "raw": b"one"}, None, {"photo": None, "raw": b""}]


def test_a_frame_has_blobs_within_a_struct(pages: lancelike.Table) -> None:
    for frame in (pages.to_pandas(), pages.search().to_pandas(), pages.take_offsets([0, 1, 2]).to_pandas()):
        assert list(frame.columns) == ["id", "scan", "reads"]
        assert hasattr(frame["scan"][0]["raw"], "read")
        assert [read(cell) for cell in frame["scan"]] == SCANS
    assert pages.to_pandas("bytes")["scan"].tolist() == SCANS
    arrow_typed = pages.search().to_pandas(blob_mode="bytes", types_mapper=pandas.ArrowDtype)["scan"]
    assert arrow_typed.dropna().tolist() == [SCANS[0], SCANS[2]]
    assert pages.to_pandas("descriptions")["scan"][0]["raw"]["size"] == 3
    flat = pages.search().to_pandas(flatten=True, blob_mode="bytes")
    assert flat["scan.raw"].tolist() == [b"one", None, b""]
    assert flat["scan.photo"].tolist() == [RED, None, None]
    described = pages.search().to_pandas(flatten=True, blob_mode="descriptions")
    assert described["scan.raw.size"][0] == 3
    assert pages.search().where("id > 9").to_pandas()["scan"].tolist() == []


def test_a_frame_has_blobs_deep_within(db: lancelike.DBConnection) -> None:
    inner = pa.field("inner", pa.struct([lancelike.blob("data"), pa.field("n", pa.int64())]))
    schema = pa.schema([pa.field("outer", pa.struct([inner, pa.field("at", pa.timestamp("us"))]))])
    rows = [{"outer": {"inner": {"data": b"x", "n": 1}}}, {"outer": {"inner": None}}, {"outer": None}]
    deep = db.create_table("deep", rows, schema=schema)
    assert [read(cell) for cell in deep.to_pandas()["outer"]] == [
        {"inner": {"data": b"x", "n": 1}, "at": None},
        {"inner": None, "at": None},
        None,
    ]
    once = deep.search().to_pandas(flatten=1, blob_mode="bytes")
    assert once["outer.inner"].tolist() == [{"data": b"x", "n": 1}, None, None]
    twice = deep.search().to_pandas(flatten=2, blob_mode="bytes")
    assert twice["outer.inner.data"].tolist() == [b"x", None, None]
    assert deep.search().select(["outer.inner"]).to_pandas(blob_mode="bytes")["outer.inner"][0]["data"] == b"x"


@pytest.fixture
def shelf(db: lancelike.DBConnection) -> lancelike.Table:
    scans = [Scan(photo=Image(plain(colour)), raw=colour.encode()) for colour in ("red", "lime", "blue")]
    rows = [{"id": n, "name": "page", "scan": scan, "vector": [float(n), 1.0]} for n, scan in enumerate(scans)]
    table = db.create_table("shelf", rows, schema=Shelved)
    table.create_index("name", config=lancelike.index.FTS())
    return table


class Shelved(LanceModel):
    id: int
    name: str
    scan: Scan | None = None
    vector: Vector(2)  # type: ignore[valid-type]


class Raw(LanceModel):
    id: int
    raw: bytes
    photo: Image


ASKED = ["id", "scan.raw", "scan.photo"]


@pytest.mark.parametrize("by", ["scan", "vector", "words", "hybrid", "offsets", "row ids"])
def test_a_path_within_a_struct_is_selected(shelf: lancelike.Table, by: str) -> None:
    row_ids = shelf.search().where("id = 1").with_row_id(True).to_arrow()["_rowid"].to_pylist()
    queries: dict[str, Any] = {
        "scan": shelf.search().where("id = 1"),
        "vector": shelf.search([1.0, 1.0]).limit(1),
        "words": shelf.search("page", query_type="fts").where("id = 1"),
        "hybrid": shelf.search(query_type="hybrid").vector([1.0, 1.0]).text("page").where("id = 1"),
        "offsets": shelf.take_offsets([1]),
        "row ids": shelf.take_row_ids(row_ids),
    }
    query = queries[by].select(ASKED)
    [row] = query.to_list()
    assert colour_of(row["scan.photo"]) == (0, 255, 0)
    assert "<img src=" in query.to_list()._repr_html_()
    assert query.to_pandas()["scan.raw"][0].read() == b"lime"
    assert query.to_pandas(blob_mode="bytes")["scan.raw"].tolist() == [b"lime"]
    assert [field.name for field in query.to_arrow().schema][:3] == ASKED
    assert query.to_polars()["scan.raw"].struct.field("size").to_list() == [4]
    assert shelf.fetch_blobs("scan.raw", query.with_row_id(True).to_arrow()).to_pylist() == [b"lime"]
    [found] = query.select({"id": "id", "raw": "scan.raw", "photo": "`scan`.`photo`"}).to_pydantic(Raw)
    assert (found.raw, colour_of(found.photo)) == (b"lime", (0, 255, 0))


@pytest.mark.asyncio
async def test_awaited_answers_have_blobs_within_structs(shelf: lancelike.Table, tmp_path: Path) -> None:
    table = await (await lancelike.connect_async(tmp_path)).open_table("shelf")
    assert (await table.to_pandas("bytes"))["scan"][0]["raw"] == b"red"
    query = (await table.search([1.0, 1.0])).limit(1)
    assert (await query.to_pandas())["scan"][0]["raw"].read() == b"lime"
    [row] = await query.select(["scan.photo"]).to_list()
    assert colour_of(row["scan.photo"]) == (0, 255, 0)


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_lazy_frame_describes_blobs(pages: lancelike.Table, engine: Any) -> None:
    frame = pages.to_polars()
    sizes = frame.select("id", polars.col("scan").struct.field("raw").struct.field("size")).filter(polars.col("id") > 1)
    assert sizes.collect(engine=engine).rows() == [(2, None), (3, 0)]
    assert frame.collect(engine=engine).shape == (3, 3)
    assert frame.collect_schema() == frame.collect(engine=engine).schema
