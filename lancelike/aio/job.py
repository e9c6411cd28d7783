"""Awaited: work that goes on in the background."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar

from lancelike.aio.threads import in_own_thread
from lancelike.job import Job, State

__all__ = ["AsyncJob"]

Result = TypeVar("Result")


class AsyncJob(Generic[Result]):
    """One call of ours in a thread of its own; it ends with the process, and goes on when its `wait` is cancelled.

    Args:
        job: The blocking job.
    """

    id: str | None = None
    """None: no server knows it."""

    def __init__(self, job: Job[Result]) -> None:
        self._job = job

    def __repr__(self) -> str:
        return f"Async{self._job!r}"

    @property
    def job_type(self) -> str:
        """What it does."""
        return self._job.job_type

    @property
    def creation_ms(self) -> int:
        """When it began, in milliseconds since 1970."""
        return self._job.creation_ms

    @property
    def state(self) -> State:
        """`"running"`, `"finished"`, `"failed"`, or `"cancelled"`."""
        return self._job.state

    @property
    def result(self) -> Result | None:
        """What it returned; None until then."""
        return self._job.result

    @property
    def failure(self) -> str | None:
        """Why it failed; None if it didn't."""
        return self._job.failure

    async def status(self) -> State:
        """The same as `state`."""
        return self._job.state

    async def refresh(self) -> None:
        """Do nothing: `state` is always what is the case."""

    async def wait(self, timeout: timedelta | None = None) -> Result:
        """What it returns, once it has. Errors are those of `Job.wait`."""
        result: Result = await in_own_thread(lambda: self._job.wait(timeout))
        return result

    async def cancel(self) -> None:
        """Have it end without a commit; nothing, if it has committed already."""
        self._job.cancel()
