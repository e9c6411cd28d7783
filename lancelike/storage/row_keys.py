"""Rows found again by the values of their key columns, in memory that does not grow with their number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lancelike.storage.key_index import KeyIndex, Keys

_KEY_BYTES = 16


class RowsByKey:
    """Rows in the order that they come in, found by the values in their key columns. A null is like nothing.

    Args:
        fields: The key columns.
    """

    def __init__(self, fields: pa.Schema) -> None:
        self._fields, self._index = fields, KeyIndex()
        self._rows = self._keyed = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Take in *rows*; each is numbered one higher than the row before it."""
        keys, has_key = self._keys(rows)
        self._index.add(keys[has_key], self._rows + np.flatnonzero(has_key))
        self._rows += len(rows)
        self._keyed += int(has_key.sum())

    def find(self, rows: pa.RecordBatch) -> NDArray[np.int64]:
        """The number of the row that has the same key as each of *rows*, -1 where none has, shape (len(rows),)."""
        keys, has_key = self._keys(rows)
        found = self._index.find(keys)
        found[~has_key] = -1
        return found

    @property
    def are_distinct(self) -> bool:
        """Whether no two rows have the same key."""
        return self._index.count_distinct() == self._keyed

    def _keys(self, rows: pa.RecordBatch) -> tuple[Keys, NDArray[np.bool_]]:
        return row_keys([rows.column(field.name).cast(field.type) for field in self._fields])


def row_keys(columns: Sequence[pa.Array]) -> tuple[Keys, NDArray[np.bool_]]:
    """A key for each row of *columns*, that only rows of the same values share, and which rows have no null.

    Numbers, times and the like of up to 64 bits differ in the first half of their keys already.
    """
    has_key = np.logical_and.reduce([pc.is_valid(column).to_numpy(zero_copy_only=False) for column in columns])
    keys = [_column_keys(column) for column in columns]
    if len(keys) == 1:
        return keys[0], has_key
    joined = np.hstack(keys).tobytes()
    width = _KEY_BYTES * len(keys)
    return digests(hashlib.blake2b(digest_size=_KEY_BYTES), _cut(joined, width)), has_key


def digests(seed: hashlib.blake2b, contents: Iterable[bytes]) -> Keys:
    """What *seed*, a hash of 128 bits, makes of each of *contents*."""
    joined = bytearray()
    for content in contents:
        hasher = seed.copy()
        hasher.update(content)
        joined += hasher.digest()
    return np.frombuffer(bytes(joined), np.uint64).reshape(-1, 2)


def _column_keys(column: pa.Array) -> Keys:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    kind = column.type
    if pa.types.is_boolean(kind):
        return _number_keys(column.cast(pa.uint8()))
    if pa.types.is_primitive(kind) and kind.bit_width <= 64:
        return _number_keys(column)
    seed = hashlib.blake2b(digest_size=_KEY_BYTES)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return digests(seed, column.cast(pa.large_binary()).fill_null(b"").to_pylist())
    return digests(seed, (repr(value).encode("utf-8", "surrogatepass") for value in column.to_pylist()))


def _number_keys(column: pa.Array) -> Keys:
    if not len(column):
        return np.empty((0, 2), np.uint64)
    whole = np.frombuffer(column.buffers()[1], f"u{column.type.bit_width // 8}", count=column.offset + len(column))
    numbers = whole[column.offset :].astype(np.uint64)
    return np.stack([_mixed(numbers, 0x9E3779B97F4A7C15), _mixed(numbers, 0xD1B54A32D192ED03)], axis=1)


def _mixed(numbers: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """SplitMix64 of *numbers*: a permutation of all of 64 bits (Steele, Lea and Flood, 2014)."""
    mixed = numbers + np.uint64(salt)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _cut(content: bytes, width: int) -> Iterable[bytes]:
    return (content[start : start + width] for start in range(0, len(content), width))
