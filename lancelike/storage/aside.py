"""Reading beside the searches that will want what is read, in threads that end with the program."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("lancelike.storage")


class _StoppedError(Exception):
    """The interpreter is about to exit."""


def read_aside(name: str, what: str, read: Callable[[Callable[[], None]], object]) -> None:
    """Run *read* in a thread of its own. What it raises is logged: whoever needs what it reads will say why it can't.

    Args:
        name: The thread's.
        what: What is read, in words.
        read: Is given what it has to call now and then, which raises once the program has come to its end.
    """
    threading.Thread(target=_try, args=(what, read), name=name).start()


def _try(what: str, read: Callable[[Callable[[], None]], object]) -> None:
    try:
        read(_check_that_main_thread_runs)
    except _StoppedError:
        pass
    except Exception as error:  # noqa: BLE001 - said again to the search that must have it
        logger.debug("%s could not be read: %s", what, error)


def _check_that_main_thread_runs() -> None:
    """End a thread's work once the interpreter waits for it: the main thread's last act is to wait for the others."""
    if not threading.main_thread().is_alive():
        raise _StoppedError
