"""A server on loopback that speaks the wire format of any provider of embeddings, and fails on demand.

What all services do is here: they refuse a wrong key, too many inputs and long ones, and answer one vector for each
text. How each says it is a `Protocol`, in `wire_protocols.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

import numpy as np
import PIL.Image
from numpy.typing import NDArray

KEY = "wire-secret-0123456789"
NDIMS = 8


@dataclass(frozen=True)
class Request:
    """What a client sent; `headers` have lower-case names, `body` is JSON's value or text."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """What the server answers."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """An answer to one request in the place of vectors; with `drop`, the connection is closed without any.

    Its body is the provider's for such a status, unless one is given.
    """

    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    drop: bool = False


class Protocol:
    """How one provider's requests and answers look, and its limits; words stand for tokens."""

    max_inputs: ClassVar[int] = 96
    max_words: ClassVar[int] = 50
    refused_key_status: ClassVar[int] = 401
    headers: ClassVar[Mapping[str, str]] = {}

    def key(self, request: Request) -> str | None:
        """The key that *request* carries, without its scheme."""
        return request.headers.get("authorization", "").removeprefix("Bearer ") or None

    def wants_key(self, request: Request) -> bool:
        """Whether the service would answer *request* only with the right key."""
        return True

    def texts(self, request: Request) -> list[str] | None:
        """What to embed, an image as `seen` writes it; None for another kind of request, which `other` answers."""
        raise NotImplementedError

    def role(self, request: Request) -> Any:
        """What *request* says its texts are for."""
        return None

    def ndims(self, request: Request) -> Any:
        """Length of the vectors asked for, or None for the model's own."""
        return None

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        """Body with *vectors*, and the count of *tokens* where the provider has one."""
        raise NotImplementedError

    def error(self, status: int, message: str) -> Any:
        """Body of a refusal."""
        return {"error": {"message": message, "type": "error", "code": None}}

    def error_headers(self, status: int) -> Mapping[str, str]:
        """Headers of a refusal."""
        return {}

    def other(self, request: Request) -> Reply:
        """Answer to a request that asks for no vectors."""
        return Reply(self.error(404, f"no route {request.path}"), 404)


class WireServer:
    """The server: `requests` are all it got, `calls` those for vectors; `failures` are its next answers to these."""

    def __init__(self, protocol: Protocol, key: str | None = KEY) -> None:
        self.protocol, self.key = protocol, key
        self.requests: list[Request] = []
        self.calls: list[Request] = []
        self.failures: deque[Failure] = deque()
        self.tokens = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[WireServer]:
        """Serve within the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    @property
    def texts(self) -> list[list[str]]:
        """The texts of each call."""
        return [self.protocol.texts(call) or [] for call in self.calls]

    def answer(self, request: Request) -> Reply | None:
        """What *request* is answered with; None drops the connection."""
        self.requests.append(request)
        protocol = self.protocol
        texts = protocol.texts(request)
        if self.key is not None and protocol.wants_key(request) and protocol.key(request) != self.key:
            # Some services repeat the key they refuse.
            return self._refuse(protocol.refused_key_status, f"invalid api key {protocol.key(request)}")
        if texts is None:
            return protocol.other(request)
        self.calls.append(request)
        if self.failures:
            failure = self.failures.popleft()
            reply = self._refuse(failure.status, "not now", failure.headers)
            return None if failure.drop else replace(reply, body=failure.body or reply.body)
        if len(texts) > protocol.max_inputs:
            return self._refuse(400, f"{len(texts)} inputs are more than {protocol.max_inputs}")
        if any(len(text.split()) > protocol.max_words for text in texts):
            return self._refuse(400, "input is too long")
        tokens = sum(len(text.split()) for text in texts)
        self.tokens += tokens
        ndims = protocol.ndims(request) or NDIMS
        return Reply(protocol.answer(request, [vector(text, ndims).tolist() for text in texts], tokens))

    def _refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
        protocol = self.protocol
        return Reply(protocol.error(status, message), status, {**protocol.error_headers(status), **(headers or {})})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10
            wbufsize = -1  # one packet an answer, which else waits 40 ms for the client's acknowledgement

            def do_POST(self) -> None:
                reply = server.answer(self._request())
                if reply is None:
                    self.close_connection = True
                    self.connection.shutdown(2)
                else:
                    self._send(reply)

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                pass

            def _request(self) -> Request:
                data = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                try:
                    body = json.loads(data) if data else None
                except ValueError:
                    body = data
                headers = {name.lower(): value for name, value in self.headers.items()}
                return Request(self.command, unquote(self.path), headers, body)

            def _send(self, reply: Reply) -> None:
                is_text = isinstance(reply.body, str)
                data = (reply.body if is_text else json.dumps(reply.body)).encode()
                headers = {"content-type": "text/xml" if is_text else "application/json", **server.protocol.headers}
                self.send_response(reply.status)
                for name, value in {**headers, **reply.headers, "content-length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        return Handler


def vector(text: str, ndims: int = NDIMS) -> NDArray[np.float32]:
    """The vector that a server answers for *text*."""
    digest = hashlib.shake_256(text.encode()).digest(ndims)
    return (np.frombuffer(digest, np.uint8) / 128 - 1).astype(np.float32)


def seen(file: bytes) -> str:
    """One word for the picture that a decoder which knows nothing of EXIF sees in *file*."""
    with PIL.Image.open(io.BytesIO(file), formats=["JPEG", "PNG", "WEBP"]) as image:
        return f"image:{image.width}x{image.height}:{hashlib.sha256(image.convert('RGB').tobytes()).hexdigest()}"
