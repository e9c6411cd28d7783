"""Vectors in Lance's data files, mapped into memory: they are read where they lie, and take no memory of ours.

Lance writes long vectors of floats without nulls one after the other, page by page, as they are in memory. Whether a
file does so is found out from the sizes of its pages, and from some rows of each page as Lance reads them.
"""

from __future__ import annotations

import logging
import mmap
import os
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
from lance import LanceDataset
from lance.file import LanceFileReader
from lance.fragment import LanceFragment
from numpy.typing import NDArray

from lancelike.query.plan import VectorColumn
from lancelike.storage.vectors import Positions, Vectors

LEAST_BYTES = 4 << 20
"""Of a fragment's vectors; fewer are copied as fast as a file is opened."""
LOCAL_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "f2fs", "zfs", "tmpfs", "overlay"})
"""Where a file stays readable as long as it is mapped, deleted or not: a network's file may go, and take the process
with it."""

logger = logging.getLogger("lancelike.storage")


def may_be_mapped(shown: LanceDataset, column: VectorColumn) -> bool:
    """Whether files of *shown* can be mapped, and may have the vectors of *column* as they are."""
    if column.multivector or "." in column.name or not pa.types.is_floating(column.value_type):
        return False
    folder = _folder(shown.uri)
    return folder is not None and is_local(folder)


def mapped_vectors(shown: LanceDataset, fragment: LanceFragment, column: VectorColumn) -> Vectors | None:
    """The vectors of all rows of *fragment*, deleted ones too, where its file has them; None: they are to be copied.

    Args:
        shown: The version.
        fragment: One of its.
        column: `may_be_mapped` holds.
    """
    metadata, width, folder = fragment.metadata, column.value_type.bit_width // 8, _folder(shown.uri)
    row_bytes = column.ndims * width
    if folder is None or metadata.overlays or metadata.physical_rows * row_bytes < LEAST_BYTES:
        return None
    field_id = shown.lance_schema.field(column.name).id()
    files = [each for each in metadata.files if field_id in each.fields and each.base_id is None]
    if len(files) != 1:
        return None
    [file] = files
    path = str(Path(folder, "data", file.path))
    try:
        reader = LanceFileReader(path, columns=[column.name])
        pages = reader.metadata().columns[file.column_indices[file.fields.index(field_id)]].pages
        runs = _runs([page.buffers for page in pages], row_bytes, width)
        if sum(map(len, runs)) != metadata.physical_rows:
            return None
        vectors = Vectors((_mapped(path, column),), None, np.concatenate(runs))
        return vectors if _is_as_read(vectors, np.cumsum([0, *map(len, runs)]), reader, column.name) else None
    except (OSError, ValueError, IndexError) as error:
        logger.debug("vectors in %s are copied: %s", path, error)
        return None


def _runs(pages: list[Any], row_bytes: int, width: int) -> list[Positions]:
    """Where each page's vectors begin, counted in numbers; nothing if a page is not of vectors alone."""
    runs: list[Positions] = []
    for buffers in pages:
        filled = [buffer for buffer in buffers if buffer.size]
        if len(filled) != 1 or filled[0].size % row_bytes or filled[0].position % width:
            return []
        start, stop = filled[0].position // width, (filled[0].position + filled[0].size) // width
        runs.append(np.arange(start, stop, row_bytes // width))
    return runs


def _mapped(path: str, column: VectorColumn) -> NDArray[Any]:
    """What begins at each number of the file at *path*, shape (places, ndims)."""
    with Path(path).open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    dtype = column.dtype.newbyteorder("<")
    numbers = np.frombuffer(memory, dtype, len(memory) // dtype.itemsize)
    return np.lib.stride_tricks.sliding_window_view(numbers, column.ndims)


def _is_as_read(vectors: Vectors, starts: Positions, reader: LanceFileReader, name: str) -> bool:
    """Whether the first and the last row of each page, pages beginning at *starts*, have the bits that Lance reads."""
    rows = np.unique(np.concatenate([starts[:-1], starts[1:] - 1]))
    read = reader.take_rows(rows.tolist()).to_table()[name].combine_chunks()
    values = read.flatten().to_numpy(zero_copy_only=False)
    return not read.null_count and bool(values.tobytes() == vectors.at(rows).tobytes())


def _folder(uri: str) -> str | None:
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" else None


@cache
def is_local(folder: str) -> bool:
    """Whether *folder* is known to be on a disk of this machine, whose files stay readable while they are mapped."""
    try:
        device = os.stat(folder).st_dev
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return False
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = [line.partition(" - ")[2].split()[0] for line in mounts.splitlines() if line.split()[2] == wanted]
    return bool(kinds) and set(kinds) <= LOCAL_SYSTEMS
