"""Keys of inputs: 128 bits that only equal inputs of the same function and role share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.media.values import as_media

KEY_BYTES = 16
KEY_TYPE = pa.binary(KEY_BYTES)

Keys = NDArray[np.uint64]
"""Keys, shape (n, 2): each key's 16 bytes as two numbers."""


def input_keys(fingerprint: str, role: str, values: Sequence[Any]) -> Keys:
    """A key for each of *values*, which *role* ("source" or "query") gives to the function *fingerprint*.

    BLAKE2b of 128 bits: among 10^12 inputs two share a key with a probability of about 10^-15.
    """
    seed = hashlib.blake2b(f"{fingerprint}|{role}|".encode(), digest_size=KEY_BYTES)
    joined = bytearray()
    for value in values:
        hasher = seed.copy()
        hasher.update(b"s" + value.encode("utf-8", "surrogatepass") if isinstance(value, str) else _canonical(value))
        joined += hasher.digest()
    return np.frombuffer(bytes(joined), np.uint64).reshape(-1, 2)


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


class KeyIndex:
    """Finds the number last stored with a key; grows by batches, 24 bytes a key.

    Batches are sorted runs, each at least twice as long as the next: adding n keys takes about n log n steps in all,
    and finding is a few binary searches.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Keys, NDArray[np.int64]]] = []

    def __len__(self) -> int:
        return sum(len(numbers) for _, numbers in self._runs)

    def add(self, keys: Keys, numbers: NDArray[np.int64]) -> None:
        """Store *numbers*, shape (n,), for *keys*; of equal keys the later counts."""
        if not len(keys):
            return
        run = _sorted_run(keys, numbers)
        while self._runs and len(self._runs[-1][1]) < 2 * len(run[1]):
            older = self._runs.pop()
            run = _sorted_run(np.concatenate([older[0], run[0]]), np.concatenate([older[1], run[1]]))
        self._runs.append(run)

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """The number of each of *keys*, -1 where there is none, shape (len(keys),)."""
        found = np.full(len(keys), -1, np.int64)
        for run, numbers in reversed(self._runs):
            open_ = np.flatnonzero(found < 0)
            if not len(open_):
                break
            places = np.minimum(np.searchsorted(run[:, 0], keys[open_, 0]), len(run) - 1)
            equal = (run[places] == keys[open_]).all(axis=1)
            found[open_[equal]] = numbers[places[equal]]
        return found


def _sorted_run(keys: Keys, numbers: NDArray[np.int64]) -> tuple[Keys, NDArray[np.int64]]:
    """Sorted by the keys' first halves, the last of equal keys alone kept.

    Two keys that share the first 64 bits and differ in the rest are one chance in 10^7 at a million keys; the later
    hides the earlier, which is then asked for once more.
    """
    order = np.argsort(keys[:, 0], kind="stable")
    first_halves = keys[order, 0]
    last = np.append(first_halves[1:] != first_halves[:-1], True)
    kept = order[last]
    return np.ascontiguousarray(keys[kept]), numbers[kept]
