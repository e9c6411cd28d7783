"""Images and texts through the remote functions that take both, by their real SDKs; the server decodes what it gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import lancelike
from lancelike import Audio, Image
from lancelike.embeddings import EmbeddingFunction, get_registry
from lancelike.embeddings.batching import embed_queries, embed_query, pack
from lancelike.embeddings.requests import embed_distinct, embed_sources
from lancelike.errors import (
    BadMediaError,
    EmbeddingError,
    EmbeddingFunctionUnavailable,
    MediaFetchError,
    MediaRefusedError,
    MediaTooLargeError,
    QueryError,
    VariableNotFoundError,
)
from lancelike.ledger import fingerprint
from lancelike.ledger.canaries import canaries_of
from lancelike.pydantic import LanceModel, Vector
from lancelike.search.modalities import modalities_of
from tests.embeddings import wire_protocols as wire
from tests.embeddings.providers.cases import Case
from tests.embeddings.wire import KEY, NDIMS, Failure, Request, WireServer, seen, vector
from tests.media import web
from tests.media.drawing import animated, encoded, picture, rotated_by_exif, sine

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


TASK_IN_TEXT = re.compile(r"^(title|task): .* \| (text|query): ")


class GeminiOfTasksInText(wire.Gemini):
    """Answers for what stands behind the task that is written before a text."""

    def texts(self, request: Request) -> list[str] | None:
        written = super().texts(request)
        return (
            None if written is None else [re.sub(r"^(title|task): .* \| (text|query): ", "", text) for text in written]
        )


CASES = [
    Case("jina", wire.Jina, "JINA_API_KEY", "requests", {"name": "jina-clip-v2"}, path="/v1"),
    Case("jina", wire.Jina, "JINA_API_KEY", "requests", {"name": "jina-embeddings-v4"}, path="/v1", label="jina-v4"),
    Case(
        "jina",
        wire.Jina,
        "JINA_API_KEY",
        "requests",
        {"name": "jina-embeddings-v5-omni-nano"},
        path="/v1",
        label="jina-v5",
    ),
    Case("voyageai", wire.Voyage, "VOYAGE_API_KEY", "voyageai", {"name": "voyage-multimodal-3.5"}),
    Case("cohere", wire.Cohere, "COHERE_API_KEY", "cohere", {"name": "embed-v4.0"}),
    Case(
        "cohere",
        wire.Cohere,
        "COHERE_API_KEY",
        "cohere",
        {"name": "embed-english-v3.0"},
        images_alone=True,
        label="cohere-v3",
    ),
    Case(
        "gemini-text",
        GeminiOfTasksInText,
        "GOOGLE_API_KEY",
        "google.genai",
        {"name": "gemini-embedding-2", "dim": NDIMS, "normalize": False},
    ),
    Case(
        "vertex-multimodal",
        wire.Vertex,
        "VERTEX_TOKEN",
        "google.auth.transport.requests",
        {"name": "multimodalembedding@001", "access_token": "$var:VERTEX_TOKEN", "project": "p"},
        texts_in_a_call=1,
    ),
    *(
        Case(
            "bedrock-text",
            wire.Bedrock,
            "AWS_ACCESS_KEY_ID",
            "boto3",
            {"name": model, "dim": NDIMS},
            texts_in_a_call=calls,
            label=f"bedrock-{model}",
        )
        for model, calls in {
            "amazon.titan-embed-image-v1": 1,
            "us.amazon.nova-2-multimodal-embeddings-v1:0": 1,
            "eu.cohere.embed-v4:0": None,
        }.items()
    ),
    Case(
        "bedrock-text",
        wire.Bedrock,
        "AWS_ACCESS_KEY_ID",
        "boto3",
        {"name": "cohere.embed-multilingual-v3"},
        images_alone=True,
        label="bedrock-cohere-v3",
    ),
]
TEXT_MODELS = {
    "jina": "jina-embeddings-v3",
    "voyageai": "voyage-3.5",
    "cohere": "embed-english-v2.0",
    "bedrock-text": "amazon.titan-embed-text-v2:0",
    "gemini-text": "gemini-embedding-001",
}
IMAGE_MODELS = {
    "jina": "jina-clip-",
    "voyageai": "voyage-multimodal-",
    "cohere": "embed-v4",
    "bedrock-text": "cohere.embed-v4",
    "gemini-text": "gemini-embedding-2",
}
FINGERPRINTS = [
    ("jina", "jina-clip-v1", "98e889a5327e8966946ca2a0d7224b51"),
    ("voyageai", "voyage-multimodal-3", "a6493473b46cd24ac90d7a56b9ed67ec"),
    ("cohere", "embed-english-v3.0", "3e698c7a0488f7db8c983c90c864ba9c"),
    ("cohere", "embed-v4.0", "315c7e29303a1bb6e6b7aa013e6a22fa"),
    ("gemini-text", "gemini-embedding-001", "227d2799f486b204556288eb4c489284"),
    ("gemini-text", "gemini-embedding-2", "653194ac205577c26a1f379455402d34"),
    ("bedrock-text", "amazon.titan-embed-text-v1", "bdcc1355f3fbe3898d063b2d16a8148c"),
    ("bedrock-text", "cohere.embed-v4:0", "0a62bdfbaeedb3a03c7266df63ea8178"),
]
"""Of functions and models, from before they took images."""


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    found: Case = request.param
    assert found.variable is not None
    monkeypatch.setenv(found.variable, KEY)
    return found


@pytest.fixture
def server(case: Case) -> Iterator[WireServer]:
    with WireServer(case.protocol()).running() as running:
        yield running


@pytest.fixture
def function(case: Case, server: WireServer) -> EmbeddingFunction:
    return case.make(server)


def plain(colour: str, width: int = 12) -> Any:
    return PIL.Image.new("RGB", (width, 8), colour)


def of_picture(image: Any) -> Any:
    """What the server answers for *image*, whatever file it came in."""
    return vector(seen(encoded(image)))


def assert_same(vectors: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(vectors), np.array(expected), rtol=1e-5, atol=1e-6)


def sent(server: WireServer) -> list[str]:
    """What was sent for vectors, an image as `seen` writes it."""
    return [text for batch in server.texts for text in batch]


def embedded(function: EmbeddingFunction, values: list[Any]) -> list[Any]:
    """A vector or an error for each of *values*."""
    return list(embed_distinct(function, values, stop_at_failure=False))


def test_images_of_every_kind_and_texts_are_one_request_in_order(
    case: Case, server: WireServer, function: EmbeddingFunction, tmp_path: Path
) -> None:
    path = tmp_path / "blue.png"
    path.write_bytes(encoded(plain("blue")))
    jpeg = encoded(picture(), "JPEG")
    values = ["a text", plain("red"), jpeg, "another", Image(path), np.asarray(plain("lime")), str(path)]
    vectors = embed_sources(function, values)
    expected = [
        vector("a text"),
        of_picture(plain("red")),
        vector(seen(jpeg)),
        vector("another"),
        of_picture(plain("blue")),
        of_picture(plain("lime")),
        of_picture(plain("blue")),
    ]
    assert_same(np.array(vectors), expected)
    expected_calls = 1 + 5 if case.images_alone else len(values) // (case.texts_in_a_call or len(values))
    assert len(server.calls) == expected_calls


def test_an_upright_jpeg_is_sent_as_it_is_and_others_as_a_viewer_shows_them(
    server: WireServer, function: EmbeddingFunction
) -> None:
    half_clear = PIL.Image.new("RGBA", (12, 8), (255, 0, 0, 0))
    upright = Image(rotated_by_exif(6)).pil()
    vectors = embed_sources(function, [rotated_by_exif(6), half_clear, encoded(plain("red").convert("CMYK"), "TIFF")])
    assert_same(vectors[0], of_picture(upright))
    assert_same(vectors[1], of_picture(plain("white")))
    assert_same(vectors[2], of_picture(plain("red")))
    [first] = embed_sources(function, [animated()])
    assert_same(first, of_picture(Image(animated()).pil()))


def test_queries_are_texts_and_images(server: WireServer, function: EmbeddingFunction) -> None:
    assert_same(embed_query(function, plain("red")), of_picture(plain("red")))
    assert_same(embed_query(function, "cat.png"), vector("cat.png"))
    mixed = embed_queries(function, ["words", plain("blue")])
    expected = [vector("words"), of_picture(plain("blue"))]
    assert_same(np.array(mixed), expected)


def test_an_image_is_told_to_be_stored_or_searched_for_as_a_text_is(
    case: Case, server: WireServer, function: EmbeddingFunction
) -> None:
    embed_sources(function, [plain("red")])
    embed_query(function, plain("red"))
    embed_sources(function, ["a"])
    embed_query(function, "a")
    stored, asked, text_stored, text_asked = map(server.protocol.role, server.calls)
    if case.images_alone:
        assert (stored, asked, text_stored, text_asked) == ("image", "image", "search_document", "search_query")
        return
    assert stored == text_stored
    assert asked == text_asked


def test_prompts_are_put_before_texts_alone(case: Case, server: WireServer) -> None:
    embed_sources(case.make(server, source_prompt="passage: "), ["a", plain("red")])
    assert sorted(sent(server)) == [seen(encoded(plain("red"))), "passage: a"]


def test_what_cannot_be_loaded_fails_alone(server: WireServer, function: EmbeddingFunction, tmp_path: Path) -> None:
    jpeg = encoded(picture(256), "JPEG")
    values = ["a text", jpeg[: len(jpeg) // 2], plain("red"), str(tmp_path / "gone.png"), Audio((sine(), 8_000)), 3]
    answers = embedded(function, values)
    assert_same(answers[0], vector("a text"))
    assert_same(answers[2], of_picture(plain("red")))
    causes = [type(answers[place].__cause__) for place in (1, 3, 4, 5)]
    assert causes == [BadMediaError, MediaFetchError, BadMediaError, BadMediaError]
    assert sorted(sent(server)) == ["a text", seen(encoded(plain("red")))]


def test_urls_are_fetched_here_under_the_rules_for_addresses(case: Case, server: WireServer) -> None:
    with web.serving() as pictures:
        url = pictures.page("red.png", encoded(plain("red")))
        [refused] = embedded(case.make(server), [url])
        assert isinstance(refused.__cause__, MediaRefusedError)
        assert (pictures.connections, server.requests) == (0, [])
        [found] = embed_sources(case.make(server, allow_private_addresses=(web.HOST,)), [url])
    assert_same(found, of_picture(plain("red")))
    assert url not in str(server.calls[0].body)


def test_strings_can_all_be_texts(case: Case, server: WireServer) -> None:
    embed_sources(case.make(server, strings="text"), ["http://127.0.0.1/cat.png", "/cat.png"])
    assert sorted(sent(server)) == ["/cat.png", "http://127.0.0.1/cat.png"]


def test_a_large_image_is_refused_and_not_made_smaller(case: Case, server: WireServer) -> None:
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    function = case.make(server, max_source_bytes=2000, max_pixels=1700)
    values = [plain("red"), noise, plain("red", width=300), encoded(plain("blue"))]
    answers = embedded(function, values)
    assert [isinstance(answer, EmbeddingError) for answer in answers] == [False, True, True, False]
    assert all(isinstance(answers[place].__cause__, MediaTooLargeError) for place in (1, 2))
    assert len(sent(server)) == 2


def test_requests_are_bounded_by_the_bytes_of_their_images(case: Case, server: WireServer) -> None:
    image = Image(encoded(plain("red")))
    function = case.make(server, batch_size=4, max_batch_bytes=2 * len(image.data()))
    assert pack(function, [image] * 5) == [[0, 1], [2, 3], [4]]


def test_an_image_that_the_service_refuses_fails_alone_and_a_passing_failure_is_tried_again(
    case: Case, server: WireServer
) -> None:
    alone = case.texts_in_a_call == 1
    server.failures += [Failure(503), *([Failure(400)] * (1 if alone else 2))]
    function = case.make(server, max_concurrency=1)
    red, blue = embedded(function, [plain("red"), plain("blue")])
    assert isinstance(red, EmbeddingError)
    assert_same(blue, of_picture(plain("blue")))
    assert len(server.calls) == (3 if alone else 4)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in TEXT_MODELS], ids=str, indirect=True)
def test_a_model_of_texts_names_those_that_take_images(case: Case, server: WireServer) -> None:
    function = case.make(server, name=TEXT_MODELS[case.name])
    assert modalities_of(function) == frozenset({"text"})
    answers = embedded(function, ["a", plain("red")])
    assert_same(answers[0], vector("a"))
    assert IMAGE_MODELS[case.name] in str(answers[1])

    class Note(LanceModel):
        text: str = function.SourceField()
        vector: Vector(NDIMS) = function.VectorField()  # type: ignore[valid-type]

    table = lancelike.connect("memory://").create_table("notes", schema=Note)
    with pytest.raises(QueryError, match=IMAGE_MODELS[case.name]):
        table.search(plain("red")).to_list()


def test_a_refused_and_a_missing_key_are_told_at_once(
    case: Case, server: WireServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.key = "another"
    with pytest.raises(EmbeddingError, match="key") as caught:
        embed_sources(case.make(server, max_concurrency=1), [plain("red"), "a"])
    assert KEY not in str(caught.value)
    assert len(server.requests) == 1
    assert case.variable is not None
    monkeypatch.delenv(case.variable)
    with pytest.raises((EmbeddingFunctionUnavailable, VariableNotFoundError), match=case.variable):
        embed_sources(case.make(server), [plain("red"), tmp_path / "gone.png"])
    assert len(server.requests) == 1


def test_a_table_of_pictures_is_searched_by_text_and_by_picture(
    case: Case, server: WireServer, function: EmbeddingFunction, tmp_path: Path
) -> None:
    class Item(LanceModel):
        name: str
        photo: Image = function.SourceField()
        vector: Vector(NDIMS) = function.VectorField()  # type: ignore[valid-type]

    table = lancelike.connect(tmp_path / "db").create_table("items", schema=Item)
    rows = [{"name": colour, "photo": plain(colour)} for colour in ("red", "lime", "blue")]
    table.add(rows)
    table.add(rows[:1])
    assert (
        sum(text.startswith("image:") for batch in server.texts for text in batch) == 3
    )  # what is paid for is not sent again
    assert table.search(plain("lime")).limit(1).to_list()[0]["name"] == "lime"
    words = table.search("a red picture").limit(3).to_list()
    by_hand = sorted(
        ("red", "red", "lime", "blue"),
        key=lambda c: float(((of_picture(plain(c)) - vector("a red picture")) ** 2).sum()),
    )
    assert [row["name"] for row in words] == by_hand[:3]


@pytest.mark.parametrize(("name", "model", "known"), FINGERPRINTS)
def test_what_was_paid_for_texts_stays_paid(name: str, model: str, known: str) -> None:
    create = get_registry().get(name).create
    assert fingerprint(create(name=model)) == known
    assert fingerprint(create(name=model, fetch_concurrency=2, max_pixels=5)) == known
    assert fingerprint(create(name=model, strings="text")) != known


@pytest.mark.parametrize("case", [case for case in CASES if str(case) == "cohere"], ids=str, indirect=True)
def test_more_bytes_than_a_request_takes_are_sent_in_several(
    case: Case, server: WireServer, function: EmbeddingFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = ["red", "lime", "blue", "black", "white"]
    files = [encoded(plain(colour)) for colour in colours]
    monkeypatch.setattr(type(function), "max_request_bytes", 3 * max(map(len, files)))
    assert_same(embed_sources(function, files), [of_picture(plain(colour)) for colour in colours])
    assert sorted(map(len, server.texts)) == [1, 2, 2]


@pytest.mark.parametrize("case", [case for case in CASES if case.name == "voyageai"], ids=str, indirect=True)
def test_more_pixels_than_a_request_takes_are_sent_in_several(
    case: Case, server: WireServer, function: EmbeddingFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(function), "max_request_pixels", 3 * 12 * 8)
    colours = ["red", "lime", "blue", "black", "white"]
    values = ["words", *(plain(colour) for colour in colours)]
    assert_same(embed_sources(function, values), [vector("words"), *(of_picture(plain(colour)) for colour in colours)])
    assert sorted(map(len, server.texts)) == [3, 3]


def test_a_service_is_known_by_texts_and_none_is_taken_for_a_path(case: Case, server: WireServer) -> None:
    assert all(isinstance(canary, str) for canary in canaries_of(case.make(server)))
    assert canaries_of(case.make(server))
    assert canaries_of(case.make(server, strings="source")) == []


@pytest.mark.parametrize("case", [case for case in CASES if case.images_alone], ids=str, indirect=True)
def test_an_image_over_the_bound_of_the_third_generation_is_not_sent(
    server: WireServer, function: EmbeddingFunction
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), np.uint8)
    [answer] = embedded(function, [noise])
    assert isinstance(answer.__cause__, MediaTooLargeError)
    assert server.calls == []
