"""A connection as text, so that another process can make the same one; no secret is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lancelike.errors import SecretError

_SECRET = re.compile(r"secret|password|token|credential|account_key|access_key|sas|api_key|service_account_key", re.I)
_CREDENTIALS_IN_URI = re.compile(r"://[^/@]+@")
_REFUSED = (
    "{} holds a secret, which is not put into a text that others may read: connect without it, and set it in the "
    "environment of each process, where the object store's client finds it (AWS_SECRET_ACCESS_KEY and the like)"
)
_INTERVAL = "read_consistency_interval_seconds"


def to_text(uri: str, storage_options: Mapping[str, str] | None, settings: Mapping[str, Any]) -> str:
    """JSON of the keyword arguments of `connect`, in LanceDB's words where it has them.

    Raises:
        SecretError: The address or a storage option holds a secret.
        ValueError: The database is in memory, where no other process finds it.
    """
    if uri.startswith("memory://"):
        raise ValueError("a database in memory is its process's own: no text leads another one to it")
    if _CREDENTIALS_IN_URI.search(uri):
        raise SecretError("uri", _REFUSED.format("the address"))
    for name in storage_options or {}:
        if _SECRET.search(name):
            raise SecretError(name, _REFUSED.format(f"storage option {name!r}"))
    values = dict(settings)
    interval: timedelta | None = values.pop("read_consistency_interval")
    seconds = None if interval is None else interval.total_seconds()
    options = dict(storage_options) if storage_options else None
    text = {"connection_type": "local", "uri": uri, "storage_options": options, _INTERVAL: seconds}
    return json.dumps({**text, "lancelike": values})


def from_text(data: str) -> dict[str, Any]:
    """The keyword arguments of `connect` that *data* says; LanceDB's own texts are understood too.

    Raises:
        ValueError: It is no connection to a local database.
    """
    text = json.loads(data)
    if not isinstance(text, dict) or text.get("connection_type") != "local":
        raise ValueError("this is no text that serialize() made of a connection to a local database")
    seconds = text.get(_INTERVAL)
    interval = None if seconds is None else timedelta(seconds=seconds)
    known = {"uri": text["uri"], "storage_options": text.get("storage_options"), "read_consistency_interval": interval}
    return {**known, **text.get("lancelike", {})}
