"""URLs in messages, and on disk."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_SECRET_NAME = re.compile(
    r"auth|token|secret|session|signature|credential|passw|api_?key|hmac|(^|[^a-z])(sig|sas|jwt|pwd|key|policy)($|[^a-z])",
    re.IGNORECASE,
)
"""In the name of a parameter."""
_SECRET_VALUE = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[\w+/=.~-]{32,}")
_ID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
"""A UUID or MD5, which name things."""


def shown(url: str) -> str:
    """*url* fit for a message: what may be a password or a signature is left out. A path is shown as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def has_secret(source: str) -> bool:
    """Whether the URL *source* has what may be a password or a signature in it; a path has none."""
    if "://" not in source:
        return False
    try:
        parts = urlsplit(source.strip())
        parameters = [*parse_qsl(parts.query), *parse_qsl(parts.fragment)]
    except ValueError:
        return True
    return "@" in parts.netloc or any(
        _SECRET_NAME.search(name) or (_SECRET_VALUE.fullmatch(value) and not _ID.fullmatch(value))
        for name, value in parameters
    )


def without_secrets(message: str, source: str) -> str:
    """*message* about *source*, fit to be kept."""
    if not has_secret(source):
        return message
    _, _, rest = source.partition("://")
    place, _, query = rest.partition("?")
    secrets = (source, query, query.partition("#")[0], place.rpartition("@")[0], place.partition("#")[2])
    for secret in filter(None, secrets):
        message = message.replace(secret, "***")
    return message
