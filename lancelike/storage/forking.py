"""Forked processes: Lance's threads stay behind in the parent, so a child that used it would hang or crash."""

from __future__ import annotations

import os

from lancelike.errors import ForkedProcessError

_at_home: int | None = None


def check_process() -> None:
    """Note that this process uses Lance, or refuse it to a child whose parent did before the fork.

    Raises:
        ForkedProcessError: This is such a child.
    """
    global _at_home  # noqa: PLW0603 - it is the process's
    process = os.getpid()
    if _at_home is None:
        _at_home = process
    if _at_home != process:
        raise ForkedProcessError
