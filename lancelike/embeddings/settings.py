"""Settings of embedding functions as plain values: resolving variables, and keeping secrets out of sight.

A setting may be nested, as the headers of a client are; a leaf is named by its path, `default_headers.Authorization`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lancelike.embeddings.variables import PREFIX, Variables, is_reference
from lancelike.errors import SecretError, VariableNotFoundError

MASK = "***"
SECRET_NAME = re.compile(
    r"(^|_)(api_?key|access_?key|private_?key|account_?key|subscription_?key|secret(_?key)?|client_secret|credentials?"
    r"|pass(word|wd|phrase)|authorization|auth|cookie|(auth|access|api|bearer|session|refresh|security|hf)_?token)$"
    r"|^token$"
)
LeafChange = Callable[[str, Any, bool], Any]


def is_secret_name(name: str) -> bool:
    """Whether a setting or header of that name plainly holds a secret."""
    return SECRET_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", name).lower()) is not None


def resolve(settings: Mapping[str, Any], variables: Variables) -> dict[str, Any]:
    """*settings* with the value of each variable in the place of its reference."""
    return _map(settings, lambda _path, leaf, _secret: variables.resolve(leaf) if isinstance(leaf, str) else leaf)


def check_secrets(settings: Mapping[str, Any], sensitive: Collection[str]) -> None:
    """Refuse secrets given by value.

    Raises:
        SecretError: A sensitive setting, or credentials in a URL, are written out.
    """

    def check(path: str, leaf: Any, secret: bool) -> Any:
        if not is_reference(leaf) and (_is_value(leaf) if secret else _url_secrets(leaf)):
            raise SecretError(path)
        return leaf

    _map(settings, check, sensitive)


def storable(settings: Mapping[str, Any], sensitive: Collection[str]) -> dict[str, Any]:
    """*settings* as they may be written to disk: a default beside the name of a secret's variable is left out."""

    def drop_default(_path: str, leaf: Any, secret: bool) -> Any:
        return PREFIX + leaf.removeprefix(PREFIX).partition(":")[0] if secret and is_reference(leaf) else leaf

    return _map(settings, drop_default, sensitive)


def mask(settings: Mapping[str, Any], sensitive: Collection[str]) -> dict[str, Any]:
    """*settings* fit to be shown: names of variables stay, secrets are `***`."""

    def hide(_path: str, leaf: Any, secret: bool) -> Any:
        if is_reference(leaf):
            return leaf
        return MASK if (_is_value(leaf) if secret else _url_secrets(leaf)) else leaf

    return _map(storable(settings, sensitive), hide, sensitive)


def secret_values(settings: Mapping[str, Any], sensitive: Collection[str], variables: Variables) -> set[str]:
    """The secrets among *settings*, as texts that must not appear in a message; unset variables hold none."""
    found: set[str] = set()

    def gather(_path: str, leaf: Any, secret: bool) -> Any:
        with suppress(VariableNotFoundError):
            value = variables.resolve(leaf) if isinstance(leaf, str) else leaf
            found.update([_text(value)] if secret and _is_value(value) else _url_secrets(value))
        return leaf

    _map(settings, gather, sensitive)
    return found


def digest(settings: Mapping[str, Any]) -> str:
    """A key that is equal for equal *settings* and doesn't disclose them."""
    text = json.dumps(settings, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _map(settings: Mapping[str, Any], change: LeafChange, sensitive: Collection[str] = ()) -> dict[str, Any]:
    def walk(path: str, value: Any, secret: bool) -> Any:
        if isinstance(value, Mapping):
            return {k: walk(f"{path}.{k}", v, secret or is_secret_name(str(k))) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [walk(path, item, secret) for item in value]
        return change(path, value, secret)

    return {k: walk(k, v, k in sensitive or is_secret_name(k)) for k, v in settings.items()}


def _is_value(leaf: Any) -> bool:
    return leaf is not None and not isinstance(leaf, bool | int | float) and _text(leaf) != ""


def _text(leaf: Any) -> str:
    reveal = getattr(leaf, "get_secret_value", None)
    return str(reveal() if reveal else leaf)


def _url_secrets(leaf: Any) -> list[str]:
    if not isinstance(leaf, str) or "://" not in leaf:
        return []
    try:
        url = urlsplit(leaf)
    except ValueError:
        return []
    in_query = [value for name, value in parse_qsl(url.query) if is_secret_name(name)]
    return in_query + ([url.password] if url.password else [])
