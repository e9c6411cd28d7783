"""Files without a name, for what is too much to hold: gone with the process, however that ends."""

from __future__ import annotations

import logging
import mmap
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.mapped import is_local

logger = logging.getLogger("lancelike.storage")

MOST_IN_MEMORY = 1 << 16
"""Numbers that are kept in memory, where a file would not be worth it."""


def unnamed_file(folder: Path | None = None) -> BinaryIO:
    """An empty file in *folder*, if that is on a disk of this machine; else, or if None, where temporary files are."""
    return TemporaryFile(dir=folder if folder is not None and is_local(str(folder)) else None)


def zeros(count: int) -> NDArray[np.uint64]:
    """*count* zeros to be written over, whose memory is a file's, and so the system's to drop.

    Its room is taken first, so that a disk which is full is no signal later: they are then in memory.
    """
    if count > MOST_IN_MEMORY and hasattr(os, "posix_fallocate"):
        try:
            with unnamed_file() as file:
                os.posix_fallocate(file.fileno(), 0, count * 8)
                return np.frombuffer(mmap.mmap(file.fileno(), count * 8), np.uint64)
        except OSError as error:
            logger.debug("%d numbers stay in memory: %s", count, error)
    return np.zeros(count, np.uint64)
