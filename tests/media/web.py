"""A web server on loopback with every kind of picture, and of trouble, that a list of URLs has."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.media.drawing import animated, encoded, picture, rotated_by_exif, sixteen_bit

HOST = "127.0.0.2"
"""Not 127.0.0.1, so that the one can be allowed and the other refused."""
HANG_S = 30.0


class Web:
    """Serves pages, each a status, headers and a body; `hang`, `drip`, `loop` and `flaky` do what they say.

    What is asked of `meet` is answered, as `meeting` says, once that many have asked and wait.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self.closing = threading.Event()
        self.port = 0
        self.meeting = threading.Barrier(1)

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.port}/{path}"

    def page(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        self.pages[f"/{path}"] = (status, headers, body)
        return self.url(path)

    def redirect(self, path: str, to: str) -> str:
        return self.page(path, b"", 302, Location=to)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.asked[path] += 1
        if path.startswith("/hang"):
            self.closing.wait(HANG_S)
        elif path.startswith("/meet"):
            self.meeting.wait(HANG_S)
            _send(handler, *self.pages["/meet"])
        elif path.startswith("/drip"):
            self._drip(handler)
        elif path.startswith("/endless"):
            self._endless(handler)
        elif path.startswith("/flaky") and self.asked[path] == 1:
            _send(handler, 503, {}, b"later")
        elif path.startswith("/cut"):
            _send(handler, 200, {"Content-Length": "100000"}, b"\x89PNG\r\n\x1a\n")
            handler.close_connection = True
        elif path.startswith("/loop"):
            _send(handler, 302, {"Location": path}, b"")
        else:
            status, headers, body = self.pages.get(path, (404, {}, b"no such page"))
            _send(handler, status, headers, body)

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        ends = time.monotonic() + HANG_S
        while time.monotonic() < ends and not self.closing.wait(0.05):
            handler.wfile.write(b"x")

    def _endless(self, handler: BaseHTTPRequestHandler) -> None:
        """An answer that doesn't say how long it is, and is too long."""
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        while not self.closing.is_set():
            handler.wfile.write(bytes(1 << 16))


class Server(ThreadingHTTPServer):
    """Takes many connections at once, and doesn't mind that some are closed early."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Web]:
    """A running server; with TLS if it has a *certificate*, a file that has the key as well."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = HANG_S

        def setup(self) -> None:
            super().setup()
            web.connections += 1

        def do_GET(self) -> None:
            try:
                web.answer(self)
            except (OSError, threading.BrokenBarrierError):  # the client has gone, or the test is over
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = Server((HOST, 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    web.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        web.closing.set()
        web.meeting.abort()
        server.shutdown()
        thread.join()
        server.server_close()


def self_signed(folder: Path, address: str) -> Path:
    """A file with a certificate for *address* that nobody but itself vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pictures")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(pem) + secret)
    return path


def closed_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def good_pages(web: Web) -> dict[str, str]:
    """URLs of pictures that all show the quadrants, by what is odd about each."""
    shown = picture()
    transparent = shown.convert("RGBA")
    transparent.putalpha(255)
    palette = shown.convert("P", palette=1)
    pages = {
        "png": web.page("plain.png", encoded(shown)),
        "jpeg called png": web.page("jpeg.png", encoded(shown, "JPEG", quality=95)),
        "no suffix": web.page("picture?id=7", encoded(shown)),
        "wrong type": web.page("typed", encoded(shown), 200, **{"Content-Type": "text/html"}),
        "webp": web.page("a.webp", encoded(shown, "WEBP", lossless=True)),
        "bmp": web.page("a.bmp", encoded(shown, "BMP")),
        "tiff": web.page("a.tiff", encoded(shown, "TIFF")),
        "palette": web.page("palette.png", encoded(palette)),
        "alpha": web.page("alpha.png", encoded(transparent)),
        "cmyk": web.page("cmyk.jpg", encoded(shown.convert("CMYK"), "JPEG", quality=95)),
        "animated": web.page("animated.gif", animated()),
        "redirected": web.redirect("moved", web.url("plain.png")),
        "redirected, relative": web.redirect("moved-near", "plain.png"),
        "flaky": web.page("flaky", encoded(shown)),
    }
    for orientation in range(2, 9):
        pages[f"exif {orientation}"] = web.page(f"exif{orientation}.jpg", rotated_by_exif(orientation))
    return pages


def bad_pages(web: Web) -> dict[str, tuple[str, str]]:
    """URLs of pictures that can't be had, with the class of the error, by what is wrong with each."""
    good = encoded(picture(512), "JPEG", quality=95)
    return {
        "dead": (web.url("dead.png"), "MediaFetchError"),
        "forbidden": (web.page("forbidden", b"no", 403), "MediaFetchError"),
        "down": (web.page("down", b"no", 503), "MediaFetchError"),
        "refused": (f"http://{HOST}:{closed_port()}/a.png", "MediaFetchError"),
        "hanging": (web.url("hang.png"), "MediaFetchError"),
        "dripping": (web.url("drip.png"), "MediaFetchError"),
        "cut short on the way": (web.url("cut.png"), "MediaFetchError"),
        "oversized": (web.page("large.png", bytes(1 << 20)), "MediaTooLargeError"),
        "oversized, unannounced": (web.url("endless.png"), "MediaTooLargeError"),
        "too many pixels": (web.page("bomb.png", encoded(picture(2048))), "MediaTooLargeError"),
        "private": (f"http://127.0.0.1:{web.port}/plain.png", "MediaRefusedError"),
        "redirected to 127.0.0.1": (web.redirect("in", f"http://127.0.0.1:{web.port}/plain.png"), "MediaRefusedError"),
        "redirected to a name of it": (
            web.redirect("n", f"http://localhost:{web.port}/plain.png"),
            "MediaRefusedError",
        ),
        "redirected to IPv6": (web.redirect("six", f"http://[::1]:{web.port}/a.png"), "MediaRefusedError"),
        "redirected to a file": (web.redirect("file", "file:///etc/passwd"), "MediaRefusedError"),
        "redirected in a loop": (web.url("loop"), "MediaRefusedError"),
        "html": (web.page("error.png", b"<!DOCTYPE html><p>Not found"), "BadMediaError"),
        "words": (web.page("words.png", b"a picture, I promise"), "BadMediaError"),
        "truncated": (web.page("truncated.jpg", good[: len(good) // 2]), "BadMediaError"),
        "pdf": (web.page("paper.png", b"%PDF-1.7 ..."), "BadMediaError"),
        "empty": (web.page("empty.png", b""), "BadMediaError"),
        "postscript": (web.page("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "BadMediaError"),
        "scheme": ("ftp://127.0.0.1/a.png", "MediaRefusedError"),
    }


def grey_page(web: Web) -> str:
    """URL of a picture of 16 bits a pixel."""
    return web.page("deep.png", sixteen_bit())
