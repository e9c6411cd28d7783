"""Lines that say what a demo is doing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TITLE_WIDTH = 18


@contextmanager
def step(title: str) -> Iterator[Callable[[str], None]]:
    """Print a line for a step of the work: its title at once, then what the block says of it and how long it took."""
    print(f"  {title:<{TITLE_WIDTH}}", end="", flush=True)
    said: list[str] = []
    start = time.perf_counter()
    yield said.append
    print(f"{', '.join(said)} ({time.perf_counter() - start:.1f} s)")
