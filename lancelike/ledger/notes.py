"""The file of a claim: the keys that are claimed, then notes of what was paid for, each with its length and checksum.

A process that is killed leaves at most its last note torn, and that one is as if it had not been written.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

_HEAD = struct.Struct("<QI")
"""Length and CRC-32 of what follows."""


def write_part(file: int, content: bytes | pa.Buffer) -> None:
    """Append one part to a file open for appending, whole or, with an OSError, not at all."""
    end = os.fstat(file).st_size
    part = memoryview(_HEAD.pack(len(content), zlib.crc32(content)) + memoryview(content))
    try:
        while part:
            part = part[os.write(file, part) :]
    except OSError:
        os.ftruncate(file, end)
        raise


def read_parts(file: BinaryIO) -> Iterator[bytes]:
    """The parts of *file* that are whole, in order."""
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        content = file.read(length)
        if len(content) < length or zlib.crc32(content) != checksum:
            return
        yield content


def read_after(path: Path, offset: int) -> tuple[list[bytes], int]:
    """The whole parts from *offset* on of the file at *path*, and where they end; none if it isn't there any more."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            parts = list(read_parts(file))
    except FileNotFoundError:
        return [], offset
    return parts, offset + sum(_HEAD.size + len(part) for part in parts)


def to_note(rows: pa.Table) -> pa.Buffer:
    """*rows* as the content of a part."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def from_note(content: bytes) -> pa.Table:
    """The rows that `to_note` wrote."""
    return pa.ipc.open_stream(content).read_all()
