"""A table of 100 URLs, as lists of URLs are: every picture is found right side up, every other row has its reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest

import lancelike
from lancelike import Image
from lancelike.embeddings import EmbeddingFunctionRegistry, get_registry
from lancelike.errors import BadInputError
from lancelike.pydantic import LanceModel, Vector
from tests.media.drawing import VECTOR, encoded, picture
from tests.media.quadrants import Quadrants
from tests.media.web import HOST, Web, bad_pages, good_pages, grey_page, serving

TIMEOUT_S = 2.0
SLACK_S = 20.0
"""For a busy machine; far below what the hanging URLs would take one after the other."""


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        yield running


@pytest.fixture
def registry() -> EmbeddingFunctionRegistry:
    registry = get_registry()
    registry.register("quadrants")(Quadrants)
    return registry


def function() -> Quadrants:
    return Quadrants.create(
        allow_private_addresses=[HOST],
        fetch_timeout_s=TIMEOUT_S,
        max_source_bytes=1 << 19,
        max_pixels=1024 * 1024,
        batch_size=100,
    )


def table_of(registry: EmbeddingFunctionRegistry, embedding: Quadrants | None = None, kind: Any = str) -> Any:
    quadrants = embedding or function()

    class Picture(LanceModel):
        id: int
        url: kind = quadrants.SourceField()
        vector: Vector(12) = quadrants.VectorField()  # type: ignore[valid-type]

    return lancelike.connect("memory://").create_table("pictures", schema=Picture)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", [str, Image | None], ids=["addresses", "bytes"])
def test_a_hundred_sources(kind: Any, web: Web, registry: EmbeddingFunctionRegistry) -> None:
    good, bad = good_pages(web), bad_pages(web)
    urls = {f"good: {name}": url for name, url in good.items()} | {
        f"bad: {name}": url for name, (url, _) in bad.items()
    }
    rows = [
        {"id": i, "url": f"{url}{'&' if '?' in url else '#'}{i}" if i >= len(urls) else url}
        for i, url in enumerate(islice(cycle(urls.values()), 100))
    ]
    table = table_of(registry, kind=kind)
    started = time.monotonic()
    receipt = table.add(rows, on_embedding_error="quarantine").embedding
    took_s = time.monotonic() - started
    assert len(table) == 100
    errors = {row["input"]: row for row in table.embedding_errors().to_pylist()}
    reasons = dict(bad.values())
    names = dict(zip([row["id"] for row in rows], cycle(urls), strict=False))
    for row in table.to_arrow().to_pylist():
        name, url = names[row["id"]], rows[row["id"]]["url"]
        if name.startswith("good") and "?" not in url:
            np.testing.assert_allclose(row["vector"], VECTOR, atol=0.05, err_msg=name)
        elif name.startswith("bad"):
            assert row["vector"] is None, name
            assert kind is str or row["url"] is None, name
            assert errors[url]["error_class"] == reasons[url.partition("#")[0]], name
            assert len(errors[url]["message"]) > 10
            assert errors[url]["row_id"] is not None
    assert receipt.failed == len(errors)
    assert receipt.requests == 1
    assert took_s < TIMEOUT_S + SLACK_S


def test_those_that_keep_waiting_hold_up_no_others(web: Web) -> None:
    """48 URLs, fetched 8 at once, are answered when all of them wait: hanging ones take the time of one, not of six."""
    quadrants = Quadrants.create(allow_private_addresses=[HOST], fetch_concurrency=8, fetch_timeout_s=10.0)
    web.page("meet", encoded(picture()))
    web.meeting = threading.Barrier(48)
    for vector in quadrants.compute_source_embeddings([web.url(f"meet?{i}") for i in range(48)]):
        np.testing.assert_allclose(vector, VECTOR, atol=0.02)


def test_what_hangs_in_one_request_is_waited_for_while_others_are(
    web: Web, registry: EmbeddingFunctionRegistry
) -> None:
    """All of 40 URLs wait at the same time, though the model is asked one after the other, for 4 of them each."""
    quadrants = Quadrants.create(
        allow_private_addresses=[HOST], fetch_concurrency=8, fetch_timeout_s=10.0, batch_size=4, max_concurrency=1
    )
    web.page("meet", encoded(picture()))
    web.meeting = threading.Barrier(40)
    table = table_of(registry, quadrants)
    receipt = table.add([{"id": i, "url": web.url(f"meet?{i}")} for i in range(40)]).embedding
    assert (receipt.embedded, receipt.failed) == (40, 0)


def test_a_failure_that_passes_is_tried_again_and_one_that_does_not_is_not(web: Web) -> None:
    quadrants = function()
    urls = [web.url("dead.png"), web.page("down", b"no", 503), web.page("flaky", b"soon")]
    answers = quadrants.compute_source_embeddings(urls)
    assert [getattr(answer, "attempts", None) for answer in answers] == [1, 3, None]
    assert [getattr(answer, "status", None) for answer in answers] == [404, 503, None]
    assert (web.asked["/dead.png"], web.asked["/down"], web.asked["/flaky"]) == (1, 3, 2)


def test_the_good_ones_are_paid_for_once_however_often_the_bad_ones_fail(
    web: Web, registry: EmbeddingFunctionRegistry
) -> None:
    good, dead = good_pages(web)["png"], web.url("late.png")
    table = table_of(registry)
    Quadrants.calls.clear()
    rows = [{"id": 1, "url": good}, {"id": 2, "url": dead}]
    with pytest.raises(BadInputError, match=r"row 1, column 'url'.*status 404"):
        table.add(rows)
    assert len(table) == 0
    table.add(rows, on_embedding_error="quarantine")
    assert web.asked["/plain.png"] == 1
    assert [call for call in Quadrants.calls if call[0] == "image"] == [("image", 1)]
    web.page("late.png", web.pages["/plain.png"][2])
    assert table.retry_failed().embedded == 1
    assert table.embedding_errors().num_rows == 0
    np.testing.assert_allclose(table.to_arrow()["vector"].to_pylist()[1], VECTOR, atol=0.02)


def test_sixteen_bits_are_scaled_not_cut_off(web: Web) -> None:
    [vector] = function().compute_source_embeddings([grey_page(web)])
    np.testing.assert_allclose(vector[:6], 0x20 / 255, atol=0.01)
    np.testing.assert_allclose(vector[6:], 0xE0 / 255, atol=0.01)


def test_a_public_name_that_leads_inside_is_refused(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the address that is connected to, looked up once: a second lookup could answer otherwise."""
    import socket

    lookups: list[str] = []

    def rebound(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    [answer] = function().compute_source_embeddings([f"http://pictures.example:{web.port}/plain.png"])
    assert type(answer).__name__ == "MediaRefusedError"
    assert "127.0.0.1" in str(answer)
    assert lookups == ["pictures.example"]
    assert not web.asked
