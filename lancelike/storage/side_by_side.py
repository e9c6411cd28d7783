"""Rows written to several files at a time.

One writer of Lance's makes a page of a file and writes it, one after the other, and so keeps one processor busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress

import pyarrow as pa
from lance import LanceDataset
from lance.file import LanceFileSession
from lance.fragment import FragmentMetadata, write_fragments

from lancelike.calls import current_call
from lancelike.storage.pulling import Pull, callers_errors
from lancelike.types import StorageOptions


def write_side_by_side(
    parts: Sequence[pa.RecordBatchReader | pa.Table],
    dataset: LanceDataset,
    storage_options: StorageOptions | None,
    errors: Callable[[], AbstractContextManager[None]],
) -> list[FragmentMetadata]:
    """Fragments of the rows of *parts*, in their order, that are in no version yet; without all of them, of none.

    Args:
        parts: Rows that follow each other; of several, each is read in a thread of its own.
        dataset: The version whose columns they have.
        storage_options: Of the database.
        errors: Raises in its block what Lance raises as errors of our tree.

    Raises:
        CalledOff: The call that this is for was called off.
        Exception: What the first part raised that raised anything, as itself.
    """
    pulls = [Pull(part) for part in parts]

    def stop(number: int = 0) -> None:
        for pull in pulls[number:]:
            pull.stop()

    def write(number: int) -> list[FragmentMetadata]:
        pull = pulls[number]
        try:
            with callers_errors(pull), errors():
                written: list[FragmentMetadata] = write_fragments(
                    pull.reader,
                    dataset,
                    mode="append",
                    enable_stable_row_ids=dataset.has_stable_row_ids,
                    storage_options=storage_options,
                )
                return written
        except BaseException:
            stop(number + 1)  # those before it go on: what is wrong with the first wrong row is what is raised
            raise

    current_call().on_call_off(stop)
    if len(parts) == 1:
        return write(0)
    with ThreadPoolExecutor(len(parts), "lancelike-write") as threads:
        writing = [threads.submit(write, number) for number in range(len(parts))]
        try:
            return [fragment for each in writing for fragment in each.result()]
        except BaseException:
            stop()
            discard(_written(writing), dataset, storage_options)
            raise


def discard(fragments: Iterable[FragmentMetadata], dataset: LanceDataset, options: StorageOptions | None) -> None:
    """Delete the files of *fragments*, which no version of *dataset* has; what can't be is left to its cleanup."""
    files = LanceFileSession(dataset.uri, options)
    for fragment in fragments:
        for file in fragment.files:
            with suppress(OSError):
                files.delete_file(f"data/{file.path}")


def _written(writing: Sequence[Future[list[FragmentMetadata]]]) -> list[FragmentMetadata]:
    """What was written in the end by those that came to one."""
    wait(writing)
    return [fragment for each in writing if each.exception() is None for fragment in each.result()]
