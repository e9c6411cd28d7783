"""Bytes of a path or URL, from wherever it leads."""

from __future__ import annotations

import base64
import binascii
import importlib
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urlsplit

from pyarrow import fs

from lancelike.errors import MediaError, MediaFetchError, MediaRefusedError, MediaTooLargeError, shorten
from lancelike.media.crew import hold
from lancelike.media.limits import DEFAULT, MediaLimits
from lancelike.media.urls import shown
from lancelike.media.waiting import at_most

OBJECT_STORES = frozenset({"s3", "gs", "gcs", "abfs", "abfss"})
SCHEMES = frozenset({"http", "https", "file", "data"}) | OBJECT_STORES
SUFFIXES = re.compile(
    r"\.(jpe?g|jfif|png|gif|webp|bmp|tiff?|avif|jp2|p[bgpn]m|ico|wav|flac|ogg|oga|opus|mp3|aiff?|au)$", re.IGNORECASE
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # one letter would be a Windows drive
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+://|data:[\w/;,=+.-]+,)\S")
_ROOTED = re.compile(r"^(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\)\S")
_HARMLESS_OPTIONS = frozenset({"region"})
_REMOTE = frozenset({"http", "https"}) | OBJECT_STORES


@runtime_checkable
class Stored(Protocol):
    """Bytes that lie in a table, and are read when they are asked for."""

    @property
    def size(self) -> int:
        """How many they are."""

    def read_bytes(self) -> bytes:
        """All of them.

        Raises:
            MediaError: They can't be read.
        """


def scheme_of(source: str) -> str:
    """Scheme of the URL *source* in lower case; `""` for a path."""
    match = _SCHEME.match(source)
    return match[1].lower() if match else ""


def looks_like_source(text: str) -> bool:
    """Whether *text* is a path or URL of media rather than words, as far as its form tells; nothing is opened.

    It is if it begins as a URL, an absolute path or one from `.`, `..` or `~` does, or ends like the name of an image's
    or sound's file; and has one line.
    """
    text = text.strip()
    if "\n" in text:
        return False
    return any(pattern.search(text) for pattern in (_URL, _ROOTED, SUFFIXES))


def ends_like_source(text: str) -> bool:
    """Whether *text* ends like the name of an image's or sound's file; nothing is opened."""
    return SUFFIXES.search(text.strip()) is not None


def is_remote(source: str) -> bool:
    """Whether *source* is waited for rather than read from a disk."""
    return scheme_of(source) in _REMOTE


def unpacked(value: Any) -> Any:
    """The bytes or the path in *value*, if that is a dict of Hugging Face's with `bytes` and `path`; else *value*."""
    if isinstance(value, Mapping) and {"bytes", "path"} <= value.keys():
        return value["bytes"] if value["bytes"] is not None else value["path"]
    return value


def read_source(source: str | os.PathLike[str], limits: MediaLimits = DEFAULT) -> bytes:
    """The bytes of *source*: a path (`~` is the home directory), or a `file:`, `data:`, `http(s)` or object-store URL.

    Raises:
        MediaFetchError: It can't be read.
        MediaRefusedError: It leads where it must not.
        MediaTooLargeError: It has more bytes than allowed.
    """
    text = os.fspath(source)
    if scheme_of(bare := text.strip()):  # a line of a CSV file has blanks after its commas
        text = bare
    try:
        return _from_anywhere(text, scheme_of(text), limits)
    except ValueError as error:
        if isinstance(error, MediaError):
            raise
        raise MediaFetchError(f"it is no URL ({error})", source=shown(text)) from error


def _from_anywhere(text: str, scheme: str, limits: MediaLimits) -> bytes:
    if scheme in ("http", "https"):
        return _from_web(text, limits)
    if scheme == "data":
        return _from_data_url(text, limits)
    if scheme in OBJECT_STORES:
        return _from_object_store(text, limits)
    if scheme == "file":
        return _from_file(_path_of_url(text), limits)
    if scheme and "://" in text:
        known = ", ".join(sorted(SCHEMES))
        raise MediaRefusedError(f"the scheme {scheme!r} is not read here, only {known}", source=shown(text))
    return _from_file(_local_path(text), limits)


def _from_web(url: str, limits: MediaLimits) -> bytes:
    """What *url* answers with; the code that speaks HTTP is imported for the first one, as it takes 25 ms."""
    fetch: Callable[[str, MediaLimits], bytes] = importlib.import_module("lancelike.media.fetch").fetch
    return fetch(url, limits)


def _path_of_url(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise MediaRefusedError("a file URL of another host is not read", source=url)
    path = unquote(parts.path)
    return Path(path[1:] if os.name == "nt" and re.match(r"/[A-Za-z]:", path) else path)


def _local_path(text: str) -> Path:
    path, bare = _at_home(text), text.strip()
    if bare != text and not path.exists():
        return _local_path(bare)
    if "\\" in text and os.name != "nt" and not path.exists():
        return _at_home(PureWindowsPath(text).as_posix())
    return path


def _at_home(text: str) -> Path:
    """*text* as a path, with `~` and `~user` replaced; as it is where there is no such user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _from_file(path: Path, limits: MediaLimits) -> bytes:
    try:
        found = path.stat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # to open a pipe would wait for its writer
            raise MediaRefusedError("it is no regular file", source=str(path))
        if found.st_size > limits.max_bytes:
            raise _too_large(str(path), limits)
        hold(found.st_size)
        with path.open("rb") as file:
            return file.read(limits.max_bytes)
    except MediaError:
        raise
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise MediaFetchError(f"it can't be read ({problem})", source=shorten(str(path))) from error


def _from_data_url(url: str, limits: MediaLimits) -> bytes:
    head, comma, payload = url.partition(",")
    if len(payload) > 4 * limits.max_bytes:
        raise _too_large(head, limits)
    try:
        data = base64.b64decode(unquote(payload), validate=True) if head.endswith(";base64") else None
    except (binascii.Error, ValueError) as error:
        raise MediaFetchError("its base64 is broken", source=head[:80]) from error
    data = unquote_to_bytes(payload) if data is None else data
    if not comma or len(data) > limits.max_bytes:
        raise _too_large(head[:80], limits) if comma else MediaFetchError("it has no data", source=head[:80])
    return data


def _from_object_store(url: str, limits: MediaLimits) -> bytes:
    options = set(parse_qs(urlsplit(url).query))
    if options - _HARMLESS_OPTIONS and limits.allow_private_addresses is not True:
        among = ", ".join(sorted(options - _HARMLESS_OPTIONS))
        raise MediaRefusedError(
            f"its options ({among}) could lead anywhere; allow_private_addresses=True lets them", source=shown(url)
        )
    try:
        data = at_most(limits.timeout_s, lambda: _object(url, limits))
    except MediaError:
        raise
    except TimeoutError as error:
        raise MediaFetchError("there was no answer in time", source=shown(url)) from error
    except (OSError, ValueError, NotImplementedError) as error:
        raise MediaFetchError(f"it can't be read ({shorten(str(error), 200)})", source=shown(url)) from error
    if len(data) > limits.max_bytes:
        raise _too_large(shown(url), limits)
    hold(len(data))
    return data


def _object(url: str, limits: MediaLimits) -> bytes:
    store, path = fs.FileSystem.from_uri(url)
    info = store.get_file_info(path)
    if info.type != fs.FileType.File:
        raise MediaFetchError("there is no such object", source=shown(url))
    if info.size is not None and info.size > limits.max_bytes:
        raise _too_large(shown(url), limits)
    with store.open_input_stream(path) as stream:
        return bytes(stream.read(limits.max_bytes + 1))


def _too_large(source: str, limits: MediaLimits) -> MediaTooLargeError:
    return MediaTooLargeError(f"it has more than {limits.max_bytes} bytes", source=source, limit=limits.max_bytes)
