"""Progress of a write: a bar, a callback, or the caller's own tqdm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from lancelike._optional import require
from lancelike.ingest.batch import Batch
from lancelike.ledger import Embedder
from lancelike.types import JSON, ProgressCallback


def report_progress(
    batches: Iterable[Batch],
    progress: Any,
    total_rows: int | None = None,
    embedder: Embedder | None = None,
) -> Iterator[Batch]:
    """*batches*, reported as they are handed on to be written, and after each request while their vectors are made.

    Args:
        batches: Rows that are ready.
        progress: None or False: nothing. True: a bar on stderr. A callable: called with `output_rows`, `output_bytes`,
            `total_rows` (None until known), `elapsed_seconds`, `rows_per_second`, `seconds_left` (None until known),
            `active_tasks`, `total_tasks`, `done`, and of the distinct inputs so far `embedded`, `reused` and `failed`.
            An object with `update`: a tqdm of the caller's, which stays open.
        total_rows: How many rows there will be, if known.
        embedder: What makes the vectors.

    Raises:
        ImportError: *progress* is True and tqdm is not installed.
        TypeError: *progress* is none of these.
    """
    if progress is None or progress is False:
        return iter(batches)
    embedder = embedder or Embedder()
    if progress is True:
        tqdm = require("tqdm.auto", extra="progress", needed_by="progress=True")
        bar = tqdm.tqdm(total=total_rows, unit=" rows")
        return _report(batches, _show_on(bar), total_rows, embedder, bar.close)
    if hasattr(progress, "update"):
        progress.total = total_rows if total_rows is not None else getattr(progress, "total", None)
        return _report(batches, _show_on(progress), total_rows, embedder, lambda: None)
    if callable(progress):
        return _report(batches, progress, total_rows, embedder, lambda: None)
    raise TypeError(f"progress is True, a callable or a tqdm, not {progress!r}")


@contextmanager
def index_progress(progress: Any) -> Iterator[ProgressCallback | None]:
    """What to call while an index is built, from what *progress* may be; a bar of ours is closed after the block.

    Args:
        progress: None or False: nothing. True: a bar on stderr, one stage after the other. A callable: called with
            `event`, `stage`, `completed`, `total` and `unit`. An object with `update`: a tqdm of the caller's.

    Raises:
        ImportError: *progress* is True and tqdm is not installed.
        TypeError: *progress* is none of these.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        tqdm = require("tqdm.auto", extra="progress", needed_by="progress=True")
        with tqdm.tqdm() as bar:
            yield partial(_show_stage, bar)
    elif hasattr(progress, "update"):
        yield partial(_show_stage, progress)
    elif callable(progress):
        yield progress
    else:
        raise TypeError(f"progress is True, a callable or a tqdm, not {progress!r}")


def _show_stage(bar: Any, state: JSON) -> None:
    bar.set_description(str(state["stage"]), refresh=False)
    bar.total, bar.n = state["total"], state["completed"] or 0
    bar.refresh()


def _show_on(bar: Any) -> ProgressCallback:
    shown = 0

    def show(state: JSON) -> None:
        nonlocal shown
        counts = {name: state[name] for name in ("embedded", "reused", "failed") if state[name]}
        if counts and hasattr(bar, "set_postfix"):
            bar.set_postfix(counts, refresh=False)
        bar.update(state["output_rows"] - shown)
        shown = state["output_rows"]

    return show


def _report(
    batches: Iterable[Batch],
    tell: ProgressCallback,
    total_rows: int | None,
    embedder: Embedder,
    close: Callable[[], object],
) -> Iterator[Batch]:
    started = time.monotonic()
    rows = size = 0

    def state(*, done: bool) -> JSON:
        so_far = embedder.receipt()
        total, elapsed = rows if done else total_rows, time.monotonic() - started
        return {
            "output_rows": rows,
            "output_bytes": size,
            "total_rows": total,
            "elapsed_seconds": elapsed,
            "rows_per_second": rows / elapsed if elapsed else 0.0,
            "seconds_left": (total - rows) * elapsed / rows if rows and total is not None else None,
            "active_tasks": 0 if done else 1,
            "total_tasks": 1,
            "done": done,
            "embedded": so_far.embedded,
            "reused": so_far.reused,
            "failed": so_far.failed,
        }

    embedder.told = lambda: tell(state(done=False))
    try:
        for batch in batches:
            rows, size = rows + len(batch), size + batch.data.nbytes
            tell(state(done=False))
            yield batch
        tell(state(done=True))
    finally:
        embedder.told = None
        close()
