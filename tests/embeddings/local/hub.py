"""A small server on this machine that speaks as much of the Hugging Face hub as downloading a model takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(repo: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the files of *folder* as the model *repo*; gives the address, and the files asked for so far."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith(f"/api/models/{repo}/tree/"):
                self.answer(json.dumps([entry(folder, file) for file in files(folder)]).encode(), {})
            elif path.startswith(f"/api/models/{repo}"):
                siblings = [{"rfilename": file} for file in files(folder)]
                self.answer(json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode(), {})
            elif path.startswith(f"/{repo}/resolve/"):
                self.file(path.split("/", 5)[5])
            else:
                self.send_error(404)

        def file(self, name: str) -> None:
            if not (folder / name).is_file():
                self.send_error(404)
                return
            content = (folder / name).read_bytes()
            if self.command == "GET":
                asked.append(name)
            tag = hashlib.sha1(content).hexdigest()
            self.answer(content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

        def answer(self, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def entry(folder: Path, name: str) -> dict[str, object]:
    content = (folder / name).read_bytes()
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
