"""Bytes of an http(s) URL: within a time and a size, from public addresses, tried again while a failure may pass."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from lancelike.errors import MediaFetchError, MediaRefusedError, MediaTooLargeError, shorten
from lancelike.media.addresses import AllowedAddresses, RefusedAddress, clock, connect
from lancelike.media.crew import hold
from lancelike.media.limits import DEFAULT, MediaLimits
from lancelike.media.urls import shown

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING_STATUSES = frozenset({408, 425, 429})
FIRST_WAIT_S = 0.25
_HEADERS = {"User-Agent": "lancelike", "Accept": "*/*", "Accept-Encoding": "identity"}
_PART_BYTES = 1 << 16
_MOST_CONNECTIONS = 128
_making_pools = threading.Lock()


class _Passing(Exception):
    """A failure that another try may not meet."""

    def __init__(self, problem: str, status: int | None = None) -> None:
        super().__init__(problem)
        self.status = status


def fetch(url: str, limits: MediaLimits = DEFAULT) -> bytes:
    """What *url* answers with.

    Raises:
        MediaFetchError: It answers with an error, or not in time.
        MediaRefusedError: It leads to an address within this machine or its network, or on and on.
        MediaTooLargeError: The answer is larger than allowed.
    """
    _pools(limits.allow_private_addresses)  # before the time runs
    with _timed(limits):
        for attempt in range(1, limits.max_retries + 2):
            try:
                return _follow(url, limits)
            except _Passing as failure:
                wait_s = FIRST_WAIT_S * 2 ** (attempt - 1)
                if attempt > limits.max_retries or clock.ends - time.monotonic() <= wait_s:
                    raise MediaFetchError(
                        str(failure), source=shown(url), status=failure.status, attempts=attempt
                    ) from failure.__cause__
                time.sleep(wait_s)
    raise AssertionError("the last try returns or raises")


@contextmanager
def _timed(limits: MediaLimits) -> Iterator[None]:
    clock.ends, clock.read_timeout_s = time.monotonic() + limits.timeout_s, limits.read_timeout_s
    try:
        yield
    finally:
        del clock.ends, clock.read_timeout_s


def _follow(url: str, limits: MediaLimits) -> bytes:
    """What is at the end of *url*'s redirects; each is looked at as the first URL is."""
    at = url
    for _ in range(limits.max_redirects + 1):
        if not at.lower().startswith(("http://", "https://")):
            raise MediaRefusedError(f"it leads to {shown(at)}, and only http and https are followed", source=shown(url))
        with _asked(url, at, limits) as response:
            target = response.headers.get("Location") if response.status in REDIRECTS else None
            if target is None:
                return _body(url, response, limits)
            at = _joined(at, target)
    raise MediaRefusedError(f"it was redirected more than {limits.max_redirects} times", source=shown(url))


def _joined(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError as error:
        raise MediaFetchError(f"it leads to {shorten(target)}, which is no URL", source=shown(url)) from error


@contextmanager
def _asked(url: str, at: str, limits: MediaLimits) -> Iterator[urllib3.BaseHTTPResponse]:
    """The answer of *at*, to which *url* led, its body not yet read."""
    try:
        response = _pools(limits.allow_private_addresses).urlopen(
            "GET",
            at,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            headers=_HEADERS,
            timeout=urllib3.Timeout(connect=clock.left_s(limits.connect_timeout_s), read=limits.read_timeout_s),
        )
        try:
            yield response
        except BaseException:
            response.close()
            raise
        response.drain_conn() if response.status in REDIRECTS else response.release_conn()
    except RefusedAddress as refusal:
        raise MediaRefusedError(
            f"{refusal}; allow_private_addresses=True lets it be fetched", source=shown(url)
        ) from refusal
    except (HTTPError, OSError) as error:
        if isinstance(error, MediaFetchError | MediaRefusedError):
            raise
        _judge(url, error)


def _judge(url: str, error: Exception) -> NoReturn:
    """Raise what *error* of the transport means."""
    reason = error.__cause__ or error.__context__ or error
    if isinstance(error, TimeoutError | Urllib3TimeoutError) or isinstance(reason, TimeoutError):
        raise _Passing("there was no answer in time") from error
    if isinstance(error, LocationValueError):
        raise MediaFetchError(f"it is no URL ({error})", source=shown(url)) from error
    if isinstance(error, NewConnectionError | SSLError) or isinstance(
        reason, ConnectionRefusedError | socket.gaierror | ssl.SSLError
    ):
        raise MediaFetchError(f"it can't be reached ({reason})", source=shown(url)) from error
    said = error.args[0] if error.args else error  # beside it is the exception that says the same
    raise _Passing(f"the connection was lost ({said})") from error


def _body(url: str, response: urllib3.BaseHTTPResponse, limits: MediaLimits) -> bytes:
    _refuse_status(url, response.status)
    announced = response.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > limits.max_bytes:
        raise _too_large(url, limits)
    data = bytearray()
    for part in response.stream(_PART_BYTES, decode_content=False):
        data += part
        clock.ends += hold(len(part))
        if len(data) > limits.max_bytes:
            raise _too_large(url, limits)
    return bytes(data)


def _refuse_status(url: str, status: int) -> None:
    if status == 200:
        return
    problem = f"it answers with status {status}"
    if status in PASSING_STATUSES or status >= 500:
        raise _Passing(problem, status)
    raise MediaFetchError(problem, source=shown(url), status=status)


def _too_large(url: str, limits: MediaLimits) -> MediaTooLargeError:
    return MediaTooLargeError(f"it has more than {limits.max_bytes} bytes", source=shown(url), limit=limits.max_bytes)


# -- connections -------------------------------------------------------------------------------------------------------


class _HTTP(HTTPConnection):
    allowed: AllowedAddresses = False

    def _new_conn(self) -> socket.socket:
        return _connected(self, self.allowed)


class _HTTPS(HTTPSConnection):
    allowed: AllowedAddresses = False

    def _new_conn(self) -> socket.socket:
        return _connected(self, self.allowed)


def _connected(connection: HTTPConnection, allowed: AllowedAddresses) -> socket.socket:
    timeout_s = connection.timeout if isinstance(connection.timeout, int | float) else DEFAULT.connect_timeout_s
    return connect(connection.host, connection.port or connection.default_port, timeout_s, allowed)


def _pools(allowed: AllowedAddresses) -> urllib3.PoolManager:
    with _making_pools:  # many threads ask for the first at the same time, and each would read all certificates
        return _made_pools(allowed, os.getpid())


@cache
def _made_pools(allowed: AllowedAddresses, process: int) -> urllib3.PoolManager:
    """Connections that are kept, those of this *process*."""

    class AllowedHTTP(_HTTP):
        pass

    class AllowedHTTPS(_HTTPS):
        pass

    class HTTPPool(urllib3.HTTPConnectionPool):
        ConnectionCls = AllowedHTTP

    class HTTPSPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = AllowedHTTPS

    AllowedHTTP.allowed = AllowedHTTPS.allowed = allowed
    pools = urllib3.PoolManager(num_pools=_MOST_CONNECTIONS, maxsize=_MOST_CONNECTIONS, ssl_context=_tls())
    pools.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}
    return pools


class _TimedTLSSocket(ssl.SSLSocket):
    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(clock.left_s(clock.read_timeout_s))
        return super().recv_into(*args, **kwargs)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = _TimedTLSSocket
    return context
