"""Settings of embedding functions as plain values: resolving variables, and keeping secrets out of sight.

A setting may be nested, as the headers of a client are; a leaf is named by its path, `default_headers.Authorization`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import BaseModel

from lancelike.embeddings.variables import PREFIX, Variables, is_reference, variable_of
from lancelike.errors import SecretError, VariableNotFoundError

MASK = "***"
SECRET_NAME = re.compile(
    r"(^|_)(api_?key|access_?key|private_?key|account_?key|subscription_?key|secret(_?key)?|client_secret|credentials?"
    r"|pass(word|wd|phrase)|authorization|auth|cookie|(auth|access|api|bearer|session|refresh|security|hf)_?token)$"
    r"|^token$"
)
SECRET_SOUNDING = re.compile(r"auth|key|token|secret|cookie|session|signature|credential|passw")
"""In the name of a header or of a variable, which others chose, and of which more are secrets than of settings."""
AUTH_VALUE = re.compile(r"(?i)^(?P<scheme>bearer|basic|token|apikey|digest|negotiate)\s+(?P<credential>\S{8,})$")
"""An Authorization header's value; under another name only `Bearer` tells it from words."""
_SHORTEST_USER_TOKEN = 8
"""Characters from which the user in a URL is taken for a token as well, `https://TOKEN@host`."""
_OMITTED = object()

LeafChange = Callable[[str, Any, bool], Any]


def is_secret_name(name: str) -> bool:
    """Whether a setting or header of that name plainly holds a secret."""
    return SECRET_NAME.search(_words(name)) is not None


def resolve(settings: Mapping[str, Any], variables: Variables) -> dict[str, Any]:
    """*settings* with the value of each variable in the place of its reference."""
    return _map(
        settings, lambda _path, leaf, _secret: variables.resolve(leaf) if isinstance(leaf, str) else leaf, opened=False
    )


def check_secrets(settings: Mapping[str, Any], sensitive: Collection[str]) -> None:
    """Refuse secrets given by value.

    Raises:
        SecretError: A sensitive setting, or credentials in a URL, are written out.
    """

    def check(path: str, leaf: Any, secret: bool) -> Any:
        if not is_reference(leaf) and _secrets_of(leaf, secret):
            raise SecretError(path)
        return leaf

    _map(settings, check, sensitive)


def storable(settings: Mapping[str, Any], sensitive: Collection[str]) -> dict[str, Any]:
    """*settings* as they may be written to disk.

    Secrets are left out, and of a reference to a variable the default, if that is one.
    """

    def keep(_path: str, leaf: Any, secret: bool) -> Any:
        if is_reference(leaf):
            return _without_secret_default(leaf, secret)
        return _OMITTED if _secrets_of(leaf, secret) else leaf

    return _map(settings, keep, sensitive)


def mask(settings: Mapping[str, Any], sensitive: Collection[str]) -> dict[str, Any]:
    """*settings* fit to be shown: names of variables stay, secrets are `***`."""

    def hide(_path: str, leaf: Any, secret: bool) -> Any:
        if is_reference(leaf):
            return _without_secret_default(leaf, secret)
        return MASK if _secrets_of(leaf, secret) else leaf

    return _map(settings, hide, sensitive)


def secret_values(settings: Mapping[str, Any], sensitive: Collection[str], variables: Variables) -> set[str]:
    """The secrets among *settings*, as texts that must not appear in a message; unset variables hold none.

    What a variable holds is one, too, if the variable's name says so.
    """
    found: set[str] = set()

    def gather(_path: str, leaf: Any, secret: bool) -> Any:
        named = is_reference(leaf) and _sounds_secret(variable_of(leaf))
        with suppress(VariableNotFoundError):
            value = variables.resolve(leaf) if isinstance(leaf, str) else leaf
            found.update(_secrets_of(value, secret or named))
        return leaf

    _map(settings, gather, sensitive)
    return found


def redact(text: str, secrets: Collection[str]) -> str:
    """*text* with each of *secrets* replaced by `***`, also as URLs and JSON write them."""
    forms = {form for value in secrets for form in (value, quote(value, safe=""), json.dumps(value)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def digest(settings: Mapping[str, Any]) -> str:
    """A key that is equal for equal *settings* and doesn't disclose them."""
    text = json.dumps(settings, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _map(
    settings: Mapping[str, Any], change: LeafChange, sensitive: Collection[str] = (), *, opened: bool = True
) -> dict[str, Any]:
    """*settings* with each leaf as *change* gives it, which gets its path and whether a name on that path is secret.

    Args:
        settings: May be nested.
        change: May give `_OMITTED`.
        sensitive: Names at the top that are secret, beside those that say so.
        opened: Go through objects with fields as through mappings.
    """

    def walk(path: str, value: Any, secret: bool, in_headers: bool) -> Any:
        value = _opened(value) if opened else value
        if isinstance(value, Mapping):
            return each(value, f"{path}.", secret, in_headers or _words(path).endswith("headers"))
        if isinstance(value, list | tuple):
            return [item for item in (walk(path, item, secret, in_headers) for item in value) if item is not _OMITTED]
        return change(path, value, secret)

    def each(values: Mapping[Any, Any], prefix: str, secret: bool, in_headers: bool) -> dict[Any, Any]:
        def is_secret(name: str) -> bool:
            return secret or is_secret_name(name) or (in_headers and _sounds_secret(name))

        walked = {k: walk(f"{prefix}{k}", v, is_secret(str(k)), in_headers) for k, v in values.items()}
        return {k: v for k, v in walked.items() if v is not _OMITTED}

    top = {k: walk(k, v, k in sensitive or is_secret_name(k), False) for k, v in settings.items()}
    return {k: v for k, v in top.items() if v is not _OMITTED}


def _opened(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _without_secret_default(reference: str, secret: bool) -> str:
    variable = variable_of(reference)
    default = reference.removeprefix(PREFIX + variable).removeprefix(":")
    is_secret = bool(default and _secrets_of(default, secret or _sounds_secret(variable)))
    return PREFIX + variable if is_secret else reference


def _secrets_of(leaf: Any, secret: bool) -> list[str]:
    """The secrets in a leaf, which is one as a whole if *secret*."""
    if hasattr(leaf, "get_secret_value"):
        secret = True
    match = AUTH_VALUE.match(leaf) if isinstance(leaf, str) else None
    if secret:
        return [*([_text(leaf)] if _is_value(leaf) else []), *([match["credential"]] if match else [])]
    return [match["credential"]] if match and match["scheme"].lower() == "bearer" else _url_secrets(leaf)


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", name).lower()


def _sounds_secret(name: str) -> bool:
    return SECRET_SOUNDING.search(_words(name)) is not None


def _is_value(leaf: Any) -> bool:
    return leaf is not None and not isinstance(leaf, bool | int | float) and _text(leaf) != ""


def _text(leaf: Any) -> str:
    reveal = getattr(leaf, "get_secret_value", None)
    value = reveal() if reveal else leaf
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _url_secrets(leaf: Any) -> list[str]:
    if not isinstance(leaf, str) or "://" not in leaf:
        return []
    try:
        url = urlsplit(leaf)
    except ValueError:
        return []
    given = [value for name, value in parse_qsl(f"{url.query}&{url.fragment}") if is_secret_name(name)]
    if url.password:
        given.append(url.password)
    if url.username and len(url.username) >= _SHORTEST_USER_TOKEN:
        given.append(url.username)
    return [*given, *(plain for value in given if (plain := unquote(value)) != value)]
