"""Columns that store pictures, filled from URLs of which some are dead: a row that fails fails alone."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import numpy as np
import pandas
import pyarrow as pa
import pytest
from pydantic import BaseModel

import lancelike
from lancelike import Audio, BlobType, Image
from lancelike.embeddings import EmbeddingFunction, get_registry
from lancelike.errors import BadDataError
from lancelike.media.urls import has_secret
from lancelike.pydantic import LanceModel, Vector
from lancelike.storage import Dataset, Location
from tests.media.drawing import VECTOR, encoded, picture, sound
from tests.media.quadrants import Quadrants
from tests.media.web import HOST, Web, serving


@pytest.fixture(autouse=True)
def _registered() -> None:
    get_registry().register("quadrants")(Quadrants)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        running.page("good.png", encoded(picture()))
        yield running


@pytest.fixture
def db(tmp_path: Path) -> lancelike.DBConnection:
    return lancelike.connect(tmp_path)


def function(**settings: Any) -> Quadrants:
    return Quadrants.create(**{"allow_private_addresses": [HOST], "fetch_timeout_s": 5.0, **settings})


def pictures(db: lancelike.DBConnection, embedding: EmbeddingFunction | None = None, kind: Any = Image | None) -> Any:
    embed = embedding or function()

    class Picture(LanceModel):
        id: int
        title: str | None = None
        photo: kind = embed.SourceField()
        vector: Vector(12) = embed.VectorField()  # type: ignore[valid-type]

    return db.create_table("pictures", schema=Picture), Picture


def state(table: Any) -> dict[int, tuple[bool, bool]]:
    """By id, whether a row has its picture, and its vector."""
    rows = sorted(table.to_arrow().to_pylist(), key=lambda row: row["id"])
    return {row["id"]: (row["photo"] is not None, row["vector"] is not None) for row in rows}


def listed(table: Any) -> list[tuple[Any, ...]]:
    names = ("vector_column", "source_column", "input", "error_class", "attempts")
    return [tuple(row[name] for name in names) for row in table.embedding_errors().to_pylist()]


FORMS: dict[str, Callable[[list[dict[str, Any]], Any], Any]] = {
    "dicts": lambda rows, model: rows,
    "models": lambda rows, model: [model(**row) for row in rows],
    "iterator": lambda rows, model: iter(rows),
    "pandas": lambda rows, model: pandas.DataFrame(rows),
    "arrow": lambda rows, model: pa.Table.from_pylist(rows),
    "reader": lambda rows, model: pa.Table.from_pylist(rows).to_reader(max_chunksize=1),
    "batches": lambda rows, model: iter(pa.Table.from_pylist(rows).to_batches(max_chunksize=2)),
    "hugging face": lambda rows, model: pa.Table.from_pylist(
        [{**row, "photo": {"bytes": None, "path": row["photo"]}} for row in rows]
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_dead_url_is_a_quarantined_row_and_is_read_again(db: lancelike.DBConnection, web: Web, form: str) -> None:
    table, model = pictures(db)
    good, dead = web.url("good.png"), web.url("late.png")
    rows: list[dict[str, Any]] = [
        {"id": 0, "photo": good},
        {"id": 1, "photo": dead},
        {"id": 2, "photo": None},
        {"id": 3, "photo": good},
    ]
    receipt = table.add(FORMS[form](rows, model), on_embedding_error="quarantine").embedding
    assert (receipt.rows, receipt.texts, receipt.embedded, receipt.failed) == (4, 2, 1, 1)
    assert state(table) == {0: (True, True), 1: (False, False), 2: (False, False), 3: (True, True)}
    assert listed(table) == [("vector", "photo", dead, "MediaFetchError", 1)]
    [row] = table.search().where("id = 1").with_row_id(True).to_list()
    assert table.embedding_errors()["row_id"].to_pylist() == [row["_rowid"]]

    version = table.version
    again = table.retry_failed()
    assert (again.rows, again.failed, table.version) == (1, 1, version)
    assert listed(table) == [("vector", "photo", dead, "MediaFetchError", 2)]

    web.page("late.png", encoded(picture()))
    again = table.retry_failed()
    assert (again.rows, again.reused, again.failed, table.version) == (1, 1, 0, version + 1)
    assert state(table) == {0: (True, True), 1: (True, True), 2: (False, False), 3: (True, True)}
    assert listed(table) == []
    assert table.verify().num_rows == 0
    np.testing.assert_allclose(table.search().where("id = 1").to_list()[0]["vector"], VECTOR, atol=0.02)

    table.restore(version)
    assert listed(table) == [("vector", "photo", dead, "MediaFetchError", 2)]


def test_raise_names_the_row_and_writes_nothing(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db)
    secret = web.url("dead.png").replace("http://", "http://me:hunter2@")
    with pytest.raises(
        BadDataError, match=r"row 1, column 'photo': .*status 404; on_embedding_error='quarantine'"
    ) as e:
        table.add([{"id": 0, "photo": web.url("good.png")}, {"id": 1, "photo": secret}])
    assert (e.value.row, e.value.column, e.value.value) == (1, "photo", secret)
    assert "hunter2" not in str(e.value)
    assert (len(table), listed(table)) == (0, [])


def test_drop_leaves_rows_out_until_they_can_be_read(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db, kind=Image)
    rows = [{"id": i, "photo": web.url(name)} for i, name in enumerate(("late.png", "good.png", "late.png"))]
    receipt = table.add(rows, on_embedding_error="drop").embedding
    assert (receipt.rows, receipt.texts, receipt.failed, len(table)) == (1, 2, 1, 1)
    assert listed(table) == [("vector", "photo", web.url("late.png"), "MediaFetchError", 1)]
    assert table.embedding_errors()["row_id"].to_pylist() == [None]
    assert table.retry_failed().rows == 0
    web.page("late.png", encoded(picture()))
    table.add(rows[:1], on_embedding_error="drop")
    assert (state(table), listed(table)) == ({0: (True, True), 1: (True, True)}, [])


def test_a_column_that_takes_no_null_keeps_no_such_row(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db, kind=Image)
    with pytest.raises(BadDataError, match=r"row 1, column 'photo'.*declare it with `\| None`, or .*'drop'"):
        table.add(
            [{"id": 0, "photo": web.url("good.png")}, {"id": 1, "photo": web.url("dead.png")}],
            on_embedding_error="quarantine",
        )
    assert (len(table), listed(table)) == (0, [])


def test_the_limits_are_those_of_every_function_that_embeds_the_column(db: lancelike.DBConnection, web: Web) -> None:
    large, small = function(max_source_bytes=10_000), function(max_pixels=64 * 64, salt=1)

    class Twice(LanceModel):
        id: int
        photo: Image | None = large.SourceField()
        one: Vector(12) = large.VectorField(source="photo")  # type: ignore[valid-type]
        two: Vector(12) = small.VectorField(source="photo")  # type: ignore[valid-type]

    table = db.create_table("twice", schema=Twice)
    urls = [
        web.page("small.png", encoded(picture(32))),
        web.page("wide.png", encoded(picture(128))),
        web.page("heavy", bytes(20_000)),
        "http://127.0.0.1/a.png",
    ]
    table.add([{"id": i, "photo": url} for i, url in enumerate(urls)], on_embedding_error="quarantine")
    reasons = [(row["vector_column"], row["error_class"]) for row in table.embedding_errors().to_pylist()]
    assert sorted(reasons) == sorted(
        (column, name)
        for column in ("one", "two")
        for name in ("MediaTooLargeError", "MediaTooLargeError", "MediaRefusedError")
    )
    with pytest.raises(BadDataError, match="more than 10000 bytes"):
        table.update(where="id = 0", values={"photo": urls[2]})


@pytest.mark.parametrize("page", ["truncated.jpg", "page.png", "empty.png"])
def test_what_is_fetched_is_seen_to_be_a_whole_picture(db: lancelike.DBConnection, web: Web, page: str) -> None:
    jpeg = encoded(picture(256), "JPEG", quality=95)
    web.page("truncated.jpg", jpeg[: len(jpeg) // 2])
    web.page("page.png", b"<!DOCTYPE html>")
    web.page("empty.png", b"")
    table, _ = pictures(db)
    table.add([{"id": 0, "photo": web.url(page)}], on_embedding_error="quarantine")
    assert listed(table) == [("vector", "photo", web.url(page), "BadMediaError", 1)]
    web.page(page, jpeg)
    assert table.retry_failed().embedded == 1
    assert state(table) == {0: (True, True)}


def test_a_column_without_a_function_has_the_same_policy(db: lancelike.DBConnection, tmp_path: Path) -> None:
    class Album(LanceModel):
        id: int
        photo: Image | None = None
        sound: Audio | None = None

    table = db.create_table("album", schema=Album)
    (tmp_path / "half.wav").write_bytes(sound()[:1000])
    row = {"id": 1, "photo": str(tmp_path / "gone.png"), "sound": str(tmp_path / "half.wav")}
    with pytest.raises(BadDataError, match=r"gone.png.*No such file"):
        table.add([row])
    table.add([row], on_embedding_error="quarantine")
    assert [each[:4] for each in listed(table)] == [
        (None, "photo", row["photo"], "MediaFetchError"),
        (None, "sound", row["sound"], "BadMediaError"),
    ]
    (tmp_path / "gone.png").write_bytes(encoded(picture()))
    (tmp_path / "half.wav").write_bytes(sound())
    table.retry_failed()
    assert listed(table) == []
    [album] = table.search().to_pydantic(Album)
    assert album.photo is not None
    assert album.photo.pil().size == picture().size
    assert album.sound == Audio(sound())


# -- which row it is ---------------------------------------------------------------------------------------------------


def test_rows_stay_listed_whatever_is_done_to_them(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db)
    urls = [web.url(f"late{i}.png") for i in range(4)]
    table.add([{"id": i, "photo": url} for i, url in enumerate(urls)], on_embedding_error="quarantine")
    table.add([{"id": 9, "photo": None}])
    table.update(values={"title": "new"})
    table.delete("id = 0")
    table.update(where="id = 1", values={"photo": encoded(picture())})
    table.merge_insert("id").when_matched_update_all().execute([{"id": 2, "title": "newer"}])
    table.optimize()
    table.alter_columns({"path": "title", "rename": "name"}, {"path": "photo", "rename": "image"})
    assert [row[:3] for row in listed(table)] == [("vector", "image", urls[2]), ("vector", "image", urls[3])]
    for url in urls:
        web.page(url.rpartition("/")[2], encoded(picture()))
    table.retry_failed()
    assert listed(table) == []
    assert table.count_rows("image IS NULL") == 1


@pytest.mark.parametrize("stable", ["true", "false"])
def test_rows_that_are_alike_get_each_its_picture(tmp_path: Path, web: Web, stable: str) -> None:
    db = lancelike.connect(tmp_path, storage_options={"new_table_enable_stable_row_ids": stable})
    table, _ = pictures(db)
    urls = [web.url(f"late{i}.png") for i in range(3)]
    rows = [{"id": 1, "photo": url} for url in urls]
    table.add([*rows, {"id": 2, "photo": urls[0]}], on_embedding_error="quarantine")
    table.optimize()
    assert sorted(row[2] for row in listed(table)) == sorted([*urls, urls[0]])
    assert len(set(table.embedding_errors()["row_id"].to_pylist())) == 4
    shades = [picture(size) for size in (32, 64, 96)]
    for url, shade in zip(urls, shades, strict=True):
        web.page(url.rpartition("/")[2], encoded(shade))
    table.retry_failed()
    assert listed(table) == []
    stored = table.to_arrow().to_pylist()
    assert sorted(len(row["photo"]) for row in stored if row["id"] == 1) == sorted(len(encoded(s)) for s in shades)
    assert [row["photo"] for row in stored if row["id"] == 2] == [encoded(shades[0])]


@pytest.mark.parametrize("stable", ["true", "false"])
def test_a_row_is_known_by_columns_that_come_back_as_they_were(tmp_path: Path, stable: str) -> None:
    db = lancelike.connect(tmp_path, storage_options={"new_table_enable_stable_row_ids": stable})
    photo = pa.field("photo", pa.large_binary(), metadata={b"lancelike:type": b'{"kind": "image"}'})
    kinds = {
        "half": pa.float16(),
        "zone": pa.timestamp("ns", "Europe/Paris"),
        "lasts": pa.duration("ns"),
        "kind": pa.dictionary(pa.int8(), pa.string()),
        "json": pa.json_(),
        "uuid": pa.uuid(),
        "list": pa.list_(pa.float32()),
    }
    table = db.create_table("kinds", schema=pa.schema([*kinds.items(), photo]))
    now = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    row = {"half": 0.1, "zone": now, "lasts": timedelta(1), "kind": "x", "json": '{"b": 1,  "a": 0.50}', "list": [0.1]}
    table.add([{**row, "uuid": uuid4().bytes, "photo": "/gone.png"}], on_embedding_error="quarantine")
    assert [each[1:3] for each in listed(table)] == [("photo", "/gone.png")]


def test_records_go_when_no_version_needs_them(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db)
    table.add([{"id": i, "photo": web.url(f"late{i}.png")} for i in range(2)], on_embedding_error="quarantine")
    web.page("late0.png", encoded(picture()))
    table.retry_failed()
    table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
    assert [each.input for each in table._records.failures.unread.latest()] == [web.url("late1.png")]
    db.drop_table("pictures")
    assert table._records.failures.unread.latest() == []


# -- other writes ------------------------------------------------------------------------------------------------------


def test_a_merge_has_the_same_policy(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db)
    table.add([{"id": i, "photo": web.url("good.png")} for i in range(3)])
    new = [{"id": 1, "photo": web.url("late.png")}, {"id": 5, "photo": web.url("late.png")}]
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    with pytest.raises(BadDataError, match="row 0, column 'photo'"):
        merge.execute(iter(new))
    assert merge.execute(iter(new), on_embedding_error="drop").num_rows == 0
    assert state(table) == {0: (True, True), 1: (True, True), 2: (True, True)}
    merge.execute(iter(new), on_embedding_error="quarantine")
    assert state(table) == {0: (True, True), 1: (False, False), 2: (True, True), 5: (False, False)}
    assert [row[1:3] for row in listed(table)] == [("photo", web.url("late.png"))] * 2
    again = web.url("later.png")
    merge.execute([{"id": 1, "photo": again}], on_embedding_error="quarantine")
    assert [row[1:3] for row in listed(table)] == [("photo", web.url("late.png")), ("photo", again)]
    web.page("later.png", encoded(picture()))
    web.page("late.png", encoded(picture()))
    table.retry_failed()
    assert set(state(table).values()) == {(True, True)}
    asked = web.asked["/good.png"]
    inserting = table.merge_insert("id").when_not_matched_insert_all()
    inserting.execute([{"id": 1, "photo": web.url("good.png")}])
    assert web.asked["/good.png"] == asked, "a row that the merge does not write is not fetched"


def test_an_update_takes_what_can_be_read_and_nothing_else(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db)
    table.add([{"id": 1, "photo": web.url("dead.png")}, {"id": 2, "photo": picture()}], on_embedding_error="quarantine")
    for policy in ("raise", "quarantine"):
        with pytest.raises(BadDataError, match="status 404"):
            table.update(where="id = 2", values={"photo": web.url("dead.png")}, on_embedding_error=policy)
    assert state(table) == {1: (False, False), 2: (True, True)}
    table.update(where="id = 1", values={"photo": web.url("good.png")})
    assert (state(table), listed(table)) == ({1: (True, True), 2: (True, True)}, [])


def test_a_table_that_is_made_with_rows(db: lancelike.DBConnection, web: Web) -> None:
    table = db.create_table(
        "inferred",
        [{"id": 1, "photo": Image(picture())}, {"id": 2, "photo": Image("/gone.png")}],
        on_embedding_error="quarantine",
    )
    assert listed(table) == [(None, "photo", "/gone.png", "MediaFetchError", 1)]
    assert table.schema.field("photo").type == pa.large_binary()
    assert table.add([{"id": 3, "photo": "/gone.jpg"}], mode="overwrite", on_embedding_error="quarantine").version == 2
    assert [row[2] for row in listed(table)] == ["/gone.jpg"]


# -- structs, lists and blobs ------------------------------------------------------------------------------------------


class View(BaseModel):
    side: str
    photo: Image | None = None


class Car(LanceModel):
    id: int
    front: View | None = None
    photos: list[Image | None] | None = None


@pytest.mark.parametrize("form", ["dicts", "arrow"])
def test_what_is_within_structs_and_lists(db: lancelike.DBConnection, tmp_path: Path, form: str) -> None:
    cars = db.create_table("cars", schema=Car)
    late, good = tmp_path / "late.png", tmp_path / "good.png"
    good.write_bytes(encoded(picture()))
    rows = [
        {"id": 1, "front": {"side": "left", "photo": str(late)}, "photos": [str(good), str(late)]},
        {"id": 2, "front": {"side": "right", "photo": str(good)}, "photos": [str(good)]},
    ]
    with pytest.raises(BadDataError, match=r"row 0, column 'front'.*late.png"):
        cars.add(FORMS[form](rows, Car))
    cars.add(FORMS[form](rows, Car), on_embedding_error="quarantine")
    assert [row[1:3] for row in listed(cars)] == [("front.photo", str(late)), ("photos[1]", str(late))]
    first, second = cars.search().to_pydantic(Car)
    assert first.front is not None
    assert (first.front.side, first.front.photo) == ("left", None)
    assert cars.to_arrow()["photos"].to_pylist()[0] == [encoded(picture()), None]
    assert second.photos == [Image(encoded(picture()))]
    late.write_bytes(encoded(picture(32)))
    version = cars.version
    assert cars.retry_failed().rows == 1
    assert (cars.version, listed(cars)) == (version + 1, [])
    [first] = cars.search().where("id = 1").to_pydantic(Car)
    assert first.photos == [Image(encoded(picture())), Image(encoded(picture(32)))]


def test_blobs(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db, kind=Annotated[Image | None, BlobType()])
    rows = [{"id": 0, "photo": web.url("good.png")}, {"id": 1, "photo": web.url("late.png")}]
    table.add(rows, on_embedding_error="quarantine")
    assert [row[2] for row in listed(table)] == [web.url("late.png")]
    web.page("late.png", encoded(picture(32)))
    table.retry_failed()
    assert listed(table) == []
    found = {row["id"]: row["photo"].pil().size for row in table.search().to_list()}
    assert found == {0: picture().size, 1: (32, 32)}


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_no_secret_of_a_url_is_kept(db: lancelike.DBConnection, web: Web, tmp_path: Path) -> None:
    table, _ = pictures(db)
    urls = [
        web.url("dead.png").replace("http://", "http://me:hunter2@"),
        web.url("dead.png?sig=hunter2&se=2026"),
        web.url("dead.png#access_token=hunter2"),
        "http://[hunter2@/a.png",
    ]
    for policy in ("quarantine", "drop"):
        table.add([{"id": i, "photo": url} for i, url in enumerate(urls)], on_embedding_error=policy)
    assert len(table.embedding_errors()) == 8
    assert {row[2] for row in listed(table)} == {web.url("dead.png"), "/a.png"} | {row[2] for row in listed(table)}
    for row in table.embedding_errors().to_pylist():
        assert "hunter2" not in str(row)
        assert "update the row" in row["message"]
    web.page("dead.png", encoded(picture()))
    assert table.retry_failed().rows == 0
    search = subprocess.run(["grep", "-r", "-l", "hunter2", str(tmp_path)], capture_output=True, text=True, check=False)
    assert search.stdout == ""


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://host/a.png", False),
        ("https://host/a.png?id=7&size=large&design=new&v=9e107d9d372bb6826bd81d3542a419d6", False),
        ("https://host/a?id=550e8400-e29b-41d4-a716-446655440000", False),
        ("/pictures/token=1.png", False),
        ("https://me@host/a.png", True),
        ("https://host/a.png?X-Amz-Signature=ab&X-Amz-Credential=cd", True),
        ("https://host/a.png?sv=1&sig=ab", True),
        ("https://host/a.png?Key-Pair-Id=ab", True),
        ("https://host/a.png?t=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", True),
    ],
)
def test_which_urls_have_secrets(url: str, secret: bool) -> None:
    assert has_secret(url) is secret


# -- many --------------------------------------------------------------------------------------------------------------


def test_those_that_keep_waiting_hold_up_no_others(db: lancelike.DBConnection, web: Web) -> None:
    table, _ = pictures(db, function(fetch_concurrency=8, fetch_timeout_s=10.0))
    web.page("meet", encoded(picture()))
    web.meeting = threading.Barrier(48)
    table.add([{"id": i, "photo": web.url(f"meet?{i}")} for i in range(48)])
    assert set(state(table).values()) == {(True, True)}


def test_rows_are_in_order_whatever_comes_first(db: lancelike.DBConnection, tmp_path: Path) -> None:
    table, _ = pictures(db)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(8)))
    rows = [{"id": i, "photo": encoded(picture(8)) if i // 100 % 2 else str(path)} for i in range(1_500)]
    rows[700]["photo"] = "/gone.png"
    table.add(iter(rows), on_embedding_error="drop")
    assert table.to_arrow()["id"].to_pylist() == [i for i in range(1_500) if i != 700]


def test_many_dead_ones_are_listed_in_few_commits(db: lancelike.DBConnection) -> None:
    table, _ = pictures(db)
    table.add([{"id": i, "photo": f"/gone/{i}.png"} for i in range(2_500)], on_embedding_error="quarantine")
    records = Dataset.open(Location(db.uri).child("_lancelike/unread"), "pictures")
    assert records.version <= 8
    assert table.embedding_errors().num_rows == 2_500
    assert table.retry_failed().failed == 2_500
    assert set(table.embedding_errors()["attempts"].to_pylist()) == {2}
