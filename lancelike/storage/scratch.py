"""Files without a name, for what is too much to hold: gone with the process, however that ends."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from lancelike.storage.mapped import is_local


def unnamed_file(folder: Path | None = None) -> BinaryIO:
    """An empty file in *folder*, if that is on a disk of this machine; else, or if None, where temporary files are."""
    return TemporaryFile(dir=folder if folder is not None and is_local(str(folder)) else None)
