"""Keys of inputs: 128 bits that only equal inputs of the same function and role share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lancelike.media.values import as_media
from lancelike.storage.key_index import Keys
from lancelike.storage.row_keys import digests

KEY_BYTES = 16
KEY_TYPE = pa.binary(KEY_BYTES)


def input_keys(fingerprint: str, role: str, values: Sequence[Any]) -> Keys:
    """A key for each of *values*, which *role* ("source" or "query") gives to the function *fingerprint*.

    BLAKE2b of 128 bits: among 10^12 inputs two share a key with a probability of about 10^-15.
    """
    seed = hashlib.blake2b(f"{fingerprint}|{role}|".encode(), digest_size=KEY_BYTES)
    contents = [  # a call for each text would take a fifth more
        b"s" + value.encode("utf-8", "surrogatepass") if isinstance(value, str) else _canonical(value)
        for value in values
    ]
    return digests(seed, contents)


def _canonical(value: Any) -> bytes:
    """Bytes that differ for inputs that differ, type included, and from those of texts.

    An image or sound has those of its encoded bytes; one given as a path or URL, those of that text.
    """
    if isinstance(value, bytes):
        return b"b" + value
    media = as_media(value)
    if media is not None:
        return media.key()
    return b"j" + json.dumps(value, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")


def to_texts(keys: Keys) -> list[str]:
    """Each of *keys* as 32 hexadecimal digits."""
    return [key.tobytes().hex() for key in keys]


def from_texts(texts: Sequence[str]) -> Keys:
    """The keys that `to_texts` wrote."""
    return np.frombuffer(bytes.fromhex("".join(texts)), np.uint64).reshape(-1, 2)


def to_arrow(keys: Keys) -> pa.Array:
    """*keys* as a column of fixed-size binary."""
    return pa.FixedSizeBinaryArray.from_buffers(KEY_TYPE, len(keys), [None, pa.py_buffer(np.ascontiguousarray(keys))])


def from_arrow(column: pa.Array | pa.ChunkedArray) -> Keys:
    """The keys in a column that `to_arrow` made."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if len(array) == 0:
        return np.empty((0, 2), np.uint64)
    whole = np.frombuffer(array.buffers()[1], np.uint64, count=2 * (array.offset + len(array)))
    return whole.reshape(-1, 2)[array.offset :]
