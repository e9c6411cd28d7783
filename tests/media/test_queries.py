"""Pictures and sounds that are searched for are embedded once, by their content."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import pytest
import torch

import lancelike
from lancelike import Audio, Image
from lancelike.embeddings import EmbeddingFunction, get_registry
from lancelike.errors import BadInputError, MediaError, MediaFetchError, QueryError
from lancelike.pydantic import LanceModel, Vector
from lancelike.search.vectors import QueryVectors
from tests.media.drawing import encoded, picture, rotated_by_exif, sine, sound
from tests.media.quadrants import Levels, Quadrants


@pytest.fixture(autouse=True)
def _no_calls_yet() -> None:
    get_registry().register("quadrants")(Quadrants)
    Quadrants.calls.clear()


@pytest.mark.parametrize(
    "made",
    [
        lambda path: encoded(picture()),
        lambda path: Image(encoded(picture())),
        lambda path: picture(),
        lambda path: np.asarray(picture()),
        lambda path: torch.from_numpy(np.asarray(picture()).copy()),
        lambda path: Image(path),
        lambda path: sound(),
        lambda path: Audio(sound()),
        lambda path: (sine(), 8_000),
        lambda path: {"array": sine(), "sampling_rate": 8_000},
    ],
    ids=["bytes", "Image", "PIL", "array", "tensor", "path", "sound", "Audio", "pair", "dict"],
)
def test_the_same_content_is_embedded_once(made: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(picture()))
    vectors = QueryVectors()
    first = vectors.of(Levels.create(), made(path))
    assert vectors.of(Levels.create(), made(path)) is first
    [again] = vectors.of_several(Levels.create(), [made(path)])
    assert again is first
    assert len(Quadrants.calls) == 1


def test_a_file_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    vectors, function = QueryVectors(), Quadrants.create()
    here, there = tmp_path / "here.png", tmp_path / "there.png"
    here.write_bytes(encoded(picture()))
    there.write_bytes(encoded(picture()))
    first = vectors.of(function, Image(here))
    assert vectors.of(function, Image(there)) is first
    assert vectors.of(function, encoded(picture())) is first
    here.write_bytes(encoded(PIL.Image.new("RGB", (8, 8), "red")))
    assert vectors.of(function, Image(here)).tolist() == [1, 0, 0] * 4
    assert len(Quadrants.calls) == 2


def test_pictures_that_look_different_are_different() -> None:
    red, green = ([(255, 0, 0), (0, 255, 0)][place] for place in (0, 1))
    flat = PIL.Image.new("P", (8, 8), 0)
    queries: list[Any] = [Image(rotated_by_exif(orientation)) for orientation in (3, 6)]
    for colour in (red, green):
        paletted = flat.copy()
        paletted.putpalette(bytes(colour))
        queries.append(paletted)
    queries += [np.zeros((4, 8, 3), np.uint8), np.zeros((8, 4, 3), np.uint8)]
    vectors, function = QueryVectors(), Quadrants.create()
    for query in queries:
        vectors.of(function, query)
    assert Quadrants.calls == [("image", 1)] * len(queries)
    assert vectors.of(function, queries[2])[:3].tolist() == [1, 0, 0]
    assert vectors.of(function, queries[3])[:3].tolist() == [0, 1, 0]


def test_many_threads_share_one_request() -> None:
    class Slow(Levels):
        def embed_images(self, prepared: list[Any], /) -> Any:
            time.sleep(0.3)
            return super().embed_images(prepared)

    vectors, function = QueryVectors(), Slow()
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: vectors.of(function, picture()), range(20)))
    assert Quadrants.calls == [("image", 1)]
    assert all(vector is found[0] for vector in found)


def test_what_can_not_be_read_says_so_and_is_tried_again(tmp_path: Path) -> None:
    vectors, function, path = QueryVectors(), Quadrants.create(), tmp_path / "late.png"
    with pytest.raises(BadInputError, match=r"late\.png") as caught:
        vectors.of(function, Image(path))
    assert isinstance(caught.value.__cause__, MediaFetchError)
    path.write_bytes(encoded(picture()))
    assert vectors.of(function, Image(path)).shape == (12,)


def test_a_function_of_the_plain_base_class_gets_what_was_asked_and_is_asked_once(tmp_path: Path) -> None:
    class Plain(EmbeddingFunction):
        asked: ClassVar[list[Any]] = []

        def ndims(self) -> int:
            return 2

        def compute_query_embeddings(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            self.asked.append(query)
            return [[1.0, 2.0]]

        def compute_source_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            return [[1.0, 2.0]] * len(texts)

    vectors, function = QueryVectors(), Plain()
    asked = picture()
    vectors.of(function, asked)
    vectors.of(function, picture())
    assert len(Plain.asked) == 1
    assert Plain.asked[0] is asked
    where = Image(tmp_path / "elsewhere.png")
    vectors.of(function, where)
    vectors.of(function, where)
    assert Plain.asked[1:] == [where, where]


def test_a_wait_does_not_hold_up_another_query() -> None:
    started, go_on = threading.Event(), threading.Event()

    class Held(Quadrants):
        def prepare_image(self, image: Any, /) -> Any:
            if image.size == (8, 8):
                started.set()
                assert go_on.wait(10)
            return super().prepare_image(image)

    vectors, function = QueryVectors(), Held()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(vectors.of, function, PIL.Image.new("RGB", (8, 8), "red"))
        assert started.wait(10)
        assert vectors.of(function, PIL.Image.new("RGB", (16, 16), "red")).tolist() == [1, 0, 0] * 4
        go_on.set()
        assert held.result().tolist() == [1, 0, 0] * 4


@pytest.mark.parametrize(
    "made",
    [
        lambda path: path,
        lambda path: {"bytes": None, "path": str(path)},
        lambda path: {"bytes": path.read_bytes(), "path": "elsewhere.png"},
        lambda path: (torch.from_numpy(np.asarray(picture()) / 255)).permute(2, 0, 1).bfloat16(),
        lambda path: (torch.from_numpy(np.asarray(picture()) / 255)).float().requires_grad_(),
    ],
    ids=["Path", "dict with a path", "dict with bytes", "bfloat16", "with gradients"],
)
def test_what_a_picture_may_be_as_a_query_and_in_a_row(made: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(picture()))
    function = Quadrants()

    class Item(LanceModel):
        name: str
        photo: Image = function.SourceField()
        vector: Vector(12) = function.VectorField()  # type: ignore[valid-type]

    table = lancelike.connect("memory://").create_table("t", schema=Item)
    table.add(
        [{"name": "quadrants", "photo": made(path)}, {"name": "white", "photo": np.full((4, 4, 3), 255, np.uint8)}]
    )
    for query in (made(path), [made(path)]):
        [row] = table.search(query).limit(1).to_list()
        assert (row["name"], round(row["_distance"], 3)) == ("quadrants", 0)


@pytest.mark.parametrize("rate", [8_000.0, np.int64(8_000), torch.tensor(8_000)], ids=["float", "numpy", "tensor"])
def test_a_rate_is_any_whole_number(rate: Any) -> None:
    for form in ((sine(), rate), {"array": torch.from_numpy(sine()), "sampling_rate": rate}):
        assert Audio(form).sampling_rate == 8_000
    vectors, function = QueryVectors(), Levels()
    assert vectors.of(function, (sine(), rate)) is vectors.of(function, (sine(), 8_000))


def test_an_open_file_is_one_query_and_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(BadInputError, match=r"give its bytes, read\(\)"):
        QueryVectors().of(Quadrants(), file)


def test_a_vector_with_gradients_is_a_vector() -> None:
    table = lancelike.connect("memory://").create_table("t", [{"vector": [1.0, 2.0]}])
    for query in (torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 2.0]).bfloat16()):
        assert table.search(query).to_list()[0]["_distance"] == 0
        assert table.search([query, query]).to_list()[0]["_distance"] == 0


def test_pixels_and_samples_in_another_form_say_which_is_meant(tmp_path: Path) -> None:
    get_registry().register("levels")(Levels)
    function = Levels.create()

    class Clip(LanceModel):
        clip: Audio = function.SourceField()
        vector: Vector(12) = function.VectorField()  # type: ignore[valid-type]

    clips = lancelike.connect(tmp_path).create_table("clips", [Clip(clip=sound())], schema=Clip)
    with pytest.raises(MediaError, match=r"\(samples, sampling_rate\) in this order"):
        clips.search((8_000, sine())).to_list()
    with pytest.raises(QueryError, match=r"shades of grey is lancelike\.Image\(array\)"):
        clips.search(np.asarray(picture().convert("L"))).to_list()
    with pytest.raises(QueryError, match=r"column 'vector' has 12 values a vector$"):
        clips.search(np.ones((2, 5))).to_list()
