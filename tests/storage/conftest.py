from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lancelike.storage import Dataset, Location
from tests.storage.rows import rows

_PATIENCE_S = 30.0


@pytest.fixture
def location(tmp_path: Path) -> Location:
    return Location(tmp_path / "db")


@pytest.fixture
def dataset(location: Location) -> Dataset:
    return Dataset.create(location, "a", rows())


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, str]]:
    """Options of an S3 server of this machine; it honours `If-None-Match`, on which Lance's commits stand."""
    pytest.importorskip("moto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"},
    )
    _wait_for(port)
    yield {
        "aws_access_key_id": "testing",
        "aws_secret_access_key": "testing",
        "aws_region": "us-east-1",
        "aws_endpoint": f"http://127.0.0.1:{port}",
        "allow_http": "true",
        "aws_virtual_hosted_style_request": "false",
    }
    server.terminate()
    server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"moto_server did not start on port {port}")


@pytest.fixture
def s3_location(s3_options: dict[str, str]) -> Location:
    """An empty bucket."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    url = s3_options["aws_endpoint"].removeprefix("http://")
    host, _, port = url.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        request = f"PUT /{bucket} HTTP/1.1\r\nHost: {url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        assert b" 200 " in connection.recv(4096)
    return Location(f"s3://{bucket}/db", s3_options)


@pytest.fixture(params=["path", "memory", "s3"])
def any_location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """A database of each kind."""
    if request.param == "path":
        return Location(tmp_path / "db")
    if request.param == "memory":
        return Location("memory://")
    location: Location = request.getfixturevalue("s3_location")
    return location
