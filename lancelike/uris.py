"""Addresses of databases: their scheme, and paths below them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

Base = TypeVar("Base", str, Path)


def get_uri_scheme(uri: str) -> str:
    """The scheme of *uri*: `"file"` for a path, also one that starts with a drive's letter; `"s3"` for s3a and s3n."""
    scheme = urlsplit(uri).scheme
    if len(scheme) < 2:
        return "file"
    return "s3" if scheme in ("s3a", "s3n") else scheme


def join_uri(base: Base, *parts: str) -> Base:
    """*base* with *parts* below it: a Path for a Path; in an address the query stays behind the path."""
    if isinstance(base, Path):
        return base.joinpath(*parts)
    if get_uri_scheme(base) == "file":
        return str(Path(base, *parts))
    address = urlsplit(base)
    path = "/".join(part.rstrip("/") for part in (address.path, *parts))
    return address._replace(path=path).geturl()
