from __future__ import annotations

import email.utils
import http.client
import socket
import ssl
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import pytest
import requests

from lancelike.embeddings.base import TextEmbeddingFunction
from lancelike.embeddings.retrying import CallStats, call_with_retry, classify, retry_after_s, status_of
from lancelike.errors import EmbeddingError, EmbeddingFunctionUnavailable, RetryDeadlineExceeded
from tests.embeddings.flaky_service import Answer, FlakyService, HttpEmbeddings, vector_of


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_status_that_may_pass_is_tried_again(service: FlakyService, status: int) -> None:
    service.script = [Answer(status), Answer(status)]
    stats = CallStats()
    function = HttpEmbeddings(url=service.url)

    vectors = call_with_retry(lambda: function.generate_embeddings(["ab"]), function=function, stats=stats)

    assert vectors == [vector_of("ab")]
    assert len(service.requests) == 3
    assert (stats.requests, stats.retries, stats.attempts) == (1, 2, 3)
    assert 0.02 < stats.slept_s < 0.1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_any_other_4xx_is_final(service: FlakyService, status: int) -> None:
    service.script = [Answer(status)]
    function = HttpEmbeddings(url=service.url)

    with pytest.raises(EmbeddingError, match=f"HttpEmbeddings failed: HTTPError: HTTP Error {status}") as caught:
        function.compute_source_embeddings_with_retry(["ab"])

    assert len(service.requests) == 1
    assert status_of(caught.value.__cause__) == status  # type: ignore[arg-type]
    assert not isinstance(caught.value, TimeoutError)


def test_a_refused_key_says_what_to_look_at(service: FlakyService) -> None:
    service.script = [Answer(401)]
    with pytest.raises(EmbeddingError) as caught:
        HttpEmbeddings(url=service.url).compute_query_embeddings_with_retry("ab")
    assert "variable with the key" in caught.value.hint
    assert caught.value.hint in str(caught.value)


def test_a_body_that_is_no_json_is_final(service: FlakyService) -> None:
    service.script = [Answer(body=b"<html>welcome to the hotel</html>")]
    with pytest.raises(EmbeddingError, match="JSONDecodeError") as caught:
        HttpEmbeddings(url=service.url).compute_source_embeddings_with_retry(["ab"])
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(service.requests) == 1


def test_a_dropped_line_and_a_client_timeout_are_tried_again(service: FlakyService) -> None:
    service.script = [Answer(hang_up=True), Answer(delay_s=1.3)]
    vectors = HttpEmbeddings(url=service.url).compute_source_embeddings_with_retry(["ab"])
    assert vectors == [vector_of("ab")]
    assert len(service.requests) == 3


def test_retry_after_in_seconds_is_honoured(service: FlakyService) -> None:
    service.script = [Answer(429, {"Retry-After": "0.4"})]
    HttpEmbeddings(url=service.url).compute_source_embeddings_with_retry(["ab"])
    assert 0.38 <= service.waits[0] < 1.0


def test_retry_after_as_a_date_is_honoured(service: FlakyService) -> None:
    def busy() -> Answer:
        return Answer(503, {"Retry-After": email.utils.formatdate(time.time() + 1.5, usegmt=True)})

    service.script = [busy]
    HttpEmbeddings(url=service.url).compute_source_embeddings_with_retry(["ab"])
    assert 0.4 < service.waits[0] < 1.7  # dates have whole seconds


@pytest.mark.parametrize("value", ["soon", "", "nan", "Thu, 99 Foo"])
def test_a_retry_after_that_means_nothing_leaves_the_usual_wait(service: FlakyService, value: str) -> None:
    service.script = [Answer(429, {"Retry-After": value})]
    HttpEmbeddings(url=service.url).compute_source_embeddings_with_retry(["ab"])
    assert service.waits[0] < 0.3


def test_a_date_gone_by_is_no_wait(service: FlakyService) -> None:
    service.script = [Answer(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})]
    HttpEmbeddings(url=service.url, first_wait_s=3).compute_source_embeddings_with_retry(["ab"])
    assert service.waits[0] < 0.5


def test_each_wait_is_capped(service: FlakyService) -> None:
    service.script = [Answer(429, {"Retry-After": "3600"}), Answer(500), Answer(500), Answer(500)]
    HttpEmbeddings(url=service.url, first_wait_s=1, max_wait_s=0.1).compute_source_embeddings_with_retry(["ab"])
    assert len(service.waits) == 4
    assert max(service.waits) < 0.4


def test_waits_double(service: FlakyService) -> None:
    service.script = [Answer(500)] * 4
    HttpEmbeddings(url=service.url, first_wait_s=0.08).compute_source_embeddings_with_retry(["ab"])
    lowest = [0.04, 0.08, 0.16, 0.32]
    assert all(low <= wait < 2 * low + 0.2 for low, wait in zip(lowest, service.waits, strict=True))


def test_seven_retries_then_the_cause(service: FlakyService) -> None:
    service.script = [Answer(503)] * 20
    function = HttpEmbeddings(url=service.url, first_wait_s=0)
    with pytest.raises(EmbeddingError, match="failed 8 times, the last with HTTPError") as caught:
        function.compute_source_embeddings_with_retry(["ab"])
    assert len(service.requests) == 8
    assert caught.value.attempts == 8  # type: ignore[attr-defined]
    assert status_of(caught.value.__cause__) == 503  # type: ignore[arg-type]


def test_no_retries(service: FlakyService) -> None:
    service.script = [Answer(503)]
    with pytest.raises(EmbeddingError, match="failed once"):
        HttpEmbeddings(url=service.url, max_retries=0).compute_source_embeddings_with_retry(["ab"])
    assert len(service.requests) == 1


def test_all_tries_together_have_a_deadline(service: FlakyService) -> None:
    service.script = [Answer(503)] * 20
    function = HttpEmbeddings(url=service.url, first_wait_s=0.1, deadline_s=0.5, max_retries=100)
    began = time.monotonic()
    with pytest.raises(RetryDeadlineExceeded, match=r"no time for another try within 0\.5 s") as caught:
        function.compute_source_embeddings_with_retry(["ab"])
    assert time.monotonic() - began < 0.6
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.attempts == len(service.requests) > 1
    assert 0 < caught.value.slept_s <= 0.5
    assert status_of(caught.value.__cause__) == 503  # type: ignore[arg-type]


def test_a_service_that_asks_for_more_than_the_deadline_is_not_waited_for(service: FlakyService) -> None:
    service.script = [Answer(429, {"Retry-After": "30"})]
    began = time.monotonic()
    with pytest.raises(RetryDeadlineExceeded):
        HttpEmbeddings(url=service.url, max_wait_s=60, deadline_s=2).compute_source_embeddings_with_retry(["ab"])
    assert time.monotonic() - began < 0.5


def test_waits_can_be_interrupted(service: FlakyService) -> None:
    service.script = [Answer(429, {"Retry-After": "4"})] * 3
    cancelled = threading.Event()
    function = HttpEmbeddings(url=service.url)
    threading.Timer(0.2, cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(EmbeddingError):
        call_with_retry(lambda: function.generate_embeddings(["ab"]), function=function, cancelled=cancelled)
    assert time.monotonic() - began < 1
    assert len(service.requests) <= 2


class Broken(TextEmbeddingFunction):
    def ndims(self) -> int:
        return 3

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        return texts + 1  # type: ignore[operator]


def test_a_programming_error_is_raised_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(EmbeddingError, match="Broken failed: TypeError: ") as caught:
        Broken().compute_source_embeddings_with_retry(["ab"])
    assert isinstance(caught.value.__cause__, TypeError)
    assert time.monotonic() - began < 0.5


def test_an_interrupt_goes_through() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call_with_retry(interrupted, function=Broken())


def test_an_error_of_ours_stays_itself() -> None:
    ours = EmbeddingFunctionUnavailable("no model", function="x")

    def unavailable() -> None:
        raise ours from ConnectionError("no hub")

    with pytest.raises(EmbeddingFunctionUnavailable) as caught:
        call_with_retry(unavailable, function=Broken())
    assert caught.value is ours


def test_a_missing_package_makes_the_function_unavailable() -> None:
    def needs_package() -> None:
        raise ImportError("needs the package 'openai'; install it with: pip install 'lancelike[openai]'")

    with pytest.raises(EmbeddingFunctionUnavailable, match=r"lancelike\[openai\]"):
        call_with_retry(needs_package, function=Broken())


def test_a_quoted_key_shows_nowhere(service: FlakyService, caplog: pytest.LogCaptureFixture) -> None:
    key = "sk-very-secret-123"

    class Quoting(HttpEmbeddings):
        def generate_embeddings(self, texts: Sequence[str], /) -> Any:
            try:
                return super().generate_embeddings(texts)
            except OSError as error:
                raise RuntimeError(f"Incorrect API key provided: {self.api_key}") from error

    service.script = [Answer(500), Answer(401)]
    function = Quoting(url=service.url, api_key=key)
    with pytest.raises(EmbeddingError) as caught:
        function.compute_source_embeddings_with_retry(["ab"])
    assert service.authorizations == [key, key]
    assert key not in "".join(traceback.format_exception(caught.value))
    assert key not in caplog.text
    assert "Incorrect API key provided: ***" in str(caught.value)
    assert "try 2 of 8" in caplog.text


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ask_urllib(url: str) -> None:
    urllib.request.urlopen(url, timeout=0.2).close()


def ask_http_client(url: str) -> None:
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=0.2)
    try:
        connection.request("POST", "/", b"[]")
        connection.getresponse()
    finally:
        connection.close()


def ask_requests(url: str) -> None:
    requests.post(url, b"[]", timeout=0.2).raise_for_status()


def ask_httpx(url: str) -> None:
    httpx2.post(url, content=b"[]", timeout=0.2).raise_for_status()


CLIENTS = [ask_urllib, ask_http_client, ask_requests, ask_httpx]


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_refused_connection_may_pass_whatever_the_client(ask: Callable[[str], None]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has its own
        ask(f"http://127.0.0.1:{free_port()}/")
    assert classify(caught.value) == "retry"


@pytest.mark.parametrize("ask", CLIENTS[1:])
@pytest.mark.parametrize("answer", [Answer(hang_up=True), Answer(delay_s=0.4)], ids=["hangs up", "slow"])
def test_a_lost_connection_may_pass_whatever_the_client(
    service: FlakyService, ask: Callable[[str], None], answer: Answer
) -> None:
    service.script = [answer]
    with pytest.raises(Exception) as caught:  # noqa: PT011
        ask(service.url)
    assert classify(caught.value) == "retry"


@pytest.mark.parametrize("ask", [ask_requests, ask_httpx])
def test_status_and_retry_after_are_read_from_responses(service: FlakyService, ask: Callable[[str], None]) -> None:
    service.script = [Answer(429, {"retry-after": "7"}), Answer(400)]
    with pytest.raises(Exception) as busy:  # noqa: PT011
        ask(service.url)
    with pytest.raises(Exception) as refused:  # noqa: PT011
        ask(service.url)
    assert (status_of(busy.value), retry_after_s(busy.value), classify(busy.value)) == (429, 7.0, "retry")
    assert (status_of(refused.value), retry_after_s(refused.value), classify(refused.value)) == (400, None, "bisect")


class ClientError(Exception):
    """As botocore's: the response is a dict."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"retry-after-ms": "250"}}}


def test_status_and_headers_are_read_from_botocores_responses() -> None:
    assert status_of(ClientError(503)) == 503
    assert classify(ClientError(429)) == "retry"
    assert classify(ClientError(400)) == "bisect"
    assert classify(ClientError(401)) == "give up"
    assert retry_after_s(ClientError(429)) == 0.25


def test_a_wrapped_error_is_judged_by_its_cause() -> None:
    wrapped = ValueError("embedding failed")
    wrapped.__cause__ = ConnectionResetError()
    assert classify(wrapped) == "retry"
    assert classify(ValueError("embedding failed")) == "bisect"
    assert classify(TypeError("a bug")) == "give up"


def test_a_bad_certificate_does_not_pass() -> None:
    assert classify(urllib.error.URLError(ssl.SSLCertVerificationError("self-signed"))) == "give up"
    assert classify(urllib.error.URLError("unknown url type: htp")) == "bisect"
