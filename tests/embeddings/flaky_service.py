"""An embedding service on loopback that misbehaves as told, and a function that asks it over real HTTP."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lancelike.embeddings.base import TextEmbeddingFunction


@dataclass
class Answer:
    """One answer: a status with headers, or a body in place of the vectors, after a delay; or a dropped line.

    With `cut`, the line is dropped in the middle of the body.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_s: float = 0.0
    hang_up: bool = False
    cut: bool = False

    @property
    def is_good(self) -> bool:
        return self == Answer()


@dataclass
class FlakyService:
    """Gives the answers scripted, in order, then good ones; remembers what it was asked and when."""

    url: str = ""
    script: list[Answer | Callable[[], Answer]] = field(default_factory=list)
    requests: list[list[str]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    given: list[tuple[list[str], Answer]] = field(default_factory=list)

    @property
    def waits(self) -> list[float]:
        """Seconds between each request and the next."""
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]

    def next_answer(self) -> Answer:
        answer = self.script.pop(0) if self.script else Answer()
        return answer() if callable(answer) else answer


def vector_of(text: str) -> list[float]:
    return [float(len(text)), float(ord(text[0])) if text else 0.0, 1.0]


class HttpEmbeddings(TextEmbeddingFunction):
    """Three numbers per text, from the service at `url`."""

    url: str
    api_key: str = "$var:FLAKY_KEY:unset"
    first_wait_s: float = 0.02
    max_wait_s: float = 5.0

    def ndims(self) -> int:
        return 3

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        request = urllib.request.Request(self.url, json.dumps(texts).encode(), {"Authorization": self.api_key})
        try:
            with urllib.request.urlopen(request, timeout=1.0) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            error.close()
            raise


@contextmanager
def serving() -> Iterator[FlakyService]:
    service = FlakyService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.times.append(time.monotonic())
            service.requests.append(texts)
            service.authorizations.append(self.headers["Authorization"])
            answer = service.next_answer()
            service.given.append((texts, answer))
            time.sleep(answer.delay_s)
            if answer.hang_up:
                self.close_connection = True
                return
            body = json.dumps([vector_of(text) for text in texts]).encode() if answer.body is None else answer.body
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if answer.cut else body)
            if answer.cut:
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:  # a client that gave up waiting is no news
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}/embed"
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
