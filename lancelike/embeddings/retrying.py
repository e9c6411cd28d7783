"""Trying a request again: which failures pass, how long to wait, and when to give up."""

from __future__ import annotations

import logging
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import tenacity

from lancelike.errors import (
    EmbeddingError,
    EmbeddingFunctionUnavailable,
    LancelikeError,
    RetryDeadlineExceeded,
    VariableNotFoundError,
    shorten,
)

logger = logging.getLogger("lancelike.embeddings")

T = TypeVar("T")
Verdict: TypeAlias = Literal["retry", "bisect", "give up"]

RETRIED_STATUSES = frozenset({408, 409, 429})
STATUSES_OF_CALLERS = frozenset({401, 402, 403, 404, 405, 407})
"""Refusals that have nothing to do with what was sent: the key, the account, the address."""
PROGRAMMING_ERRORS = (TypeError, NameError, AttributeError, ImportError, NotImplementedError, VariableNotFoundError)
CONNECTION_ERRORS = (ConnectionError, TimeoutError)
CONNECTION_ERROR_NAMES = frozenset(
    {
        "IncompleteRead",  # http.client
        "NetworkError",  # httpx
        "RemoteProtocolError",
        "TimeoutException",
        "APIConnectionError",  # openai, anthropic, voyageai
        "ConnectionError",  # requests, redis
        "ChunkedEncodingError",
        "Timeout",
        "ClientConnectionError",  # aiohttp
        "EndpointConnectionError",  # botocore
        "ConnectionClosedError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
    }
)
"""Bases of the connection errors of HTTP clients, by name so that none of the clients is imported."""


class Retried(Protocol):
    """What is known of a function whose requests are tried again."""

    max_retries: int
    deadline_s: float
    first_wait_s: float
    max_wait_s: float

    @property
    def label(self) -> str:
        """How messages name the function."""

    def classify_error(self, error: Exception) -> Verdict:
        """What *error* calls for."""

    def redact(self, text: str) -> str:
        """*text* without the function's secrets."""


@dataclass(slots=True)
class CallStats:
    """What a number of requests took.

    Attributes:
        requests: Requests asked for, each counted once however often it was tried.
        retries: Further tries of these.
        slept_s: Seconds waited between tries.
    """

    requests: int = 0
    retries: int = 0
    slept_s: float = 0.0

    @property
    def attempts(self) -> int:
        """Tries in all."""
        return self.requests + self.retries


def classify(error: BaseException) -> Verdict:
    """Verdict on *error*.

    408, 409, 429, 5xx and lost connections may pass. What says no to the caller (401, 403, 404, ...), a certificate, a
    missing package and a bug in the function's code (`TypeError`, ...) are final. Any other failure is laid to what was
    sent. An exception raised `from` another is judged by the first of the chain that says something.
    """
    for link in _chain(error):
        status = status_of(link)
        if status is not None:
            return _verdict_of_status(status)
        if _is_certificate_error(link):
            return "give up"
        if _is_connection_error(link):
            return "retry"
    return "give up" if isinstance(error, PROGRAMMING_ERRORS) else "bisect"


def _verdict_of_status(status: int) -> Verdict:
    if status in RETRIED_STATUSES or status >= 500:
        return "retry"
    return "give up" if status in STATUSES_OF_CALLERS else "bisect"


def status_of(error: BaseException) -> int | None:
    """HTTP status that *error* carries, in any of the ways HTTP clients have, or None."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        candidates = [response.get("ResponseMetadata", {}).get("HTTPStatusCode")]
    else:
        candidates = [getattr(error, name, None) for name in ("status_code", "code", "status", "http_status")]
        candidates += [getattr(response, name, None) for name in ("status_code", "status")]
    return next((int(c) for c in candidates if isinstance(c, int) and 100 <= c <= 599), None)


def retry_after_s(error: BaseException) -> float | None:
    """Seconds that the service asks to be left alone, or None where it doesn't say.

    From `Retry-After`, as seconds or as an HTTP date (RFC 9110, 10.2.3), or the `retry-after-ms` of some services.
    """
    for link in _chain(error):
        headers = _headers(link)
        if "retry-after-ms" in headers:
            return _seconds(headers["retry-after-ms"], scale=1e-3)
        if "retry-after" in headers:
            return _seconds(headers["retry-after"])
    return None


def call_with_retry(
    call: Callable[[], T],
    *,
    function: Retried,
    stats: CallStats | None = None,
    cancelled: threading.Event | None = None,
) -> T:
    """What *call* returns, tried again while its failures may pass.

    At most `function.max_retries` further tries. The first wait is about `first_wait_s`, each next one about twice as
    long; where the service says how long to wait, that long; never longer than `max_wait_s`.

    Args:
        call: The request.
        function: Whose request it is, with its limits.
        stats: Counts are added to it, also when the call fails.
        cancelled: When set, a wait ends at once and there are no more tries.

    Raises:
        EmbeddingError: A failure that won't pass, or one try too many; the provider's exception is the cause.
        RetryDeadlineExceeded: The next wait would end after `deadline_s`; its cause is the provider's last exception.
        EmbeddingFunctionUnavailable: A package or a variable is missing.
    """
    stats = CallStats() if stats is None else stats
    cancelled = threading.Event() if cancelled is None else cancelled
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: _may_pass(error, function)),
        stop=tenacity.stop_any(
            tenacity.stop_after_attempt(function.max_retries + 1),
            tenacity.stop_before_delay(function.deadline_s),
            tenacity.stop_when_event_set(cancelled),
        ),
        wait=_Wait(function.first_wait_s, function.max_wait_s),
        sleep=tenacity.sleep_using_event(cancelled),
        before_sleep=lambda state: _note_retry(state, function, stats),
    )
    stats.requests += 1
    try:
        return retrying(call)
    except tenacity.RetryError as error:
        last = error.last_attempt
        exception = last.exception()
        assert isinstance(exception, Exception)
        cause = exception
        _scrub(cause, function)
        failure = _given_up(cause, function, last.attempt_number, retrying.statistics)
    except EmbeddingError as error:
        _scrub(error, function)
        raise
    except Exception as error:  # noqa: BLE001 - raised below
        _scrub(error, function)
        cause, failure = error, _failed(error, function)
    raise failure from _presentable(cause, function)  # out of the handler, whose exception would be its context


class _Wait(tenacity.wait.wait_base):
    """As long as the service asks, else twice as long each time with jitter; never over the cap."""

    def __init__(self, first_s: float, cap_s: float) -> None:
        self._cap_s = cap_s
        # Between half of the exponential and the whole: many clients of one busy service spread out.
        self._backoff = tenacity.wait_exponential(multiplier=first_s / 2, max=cap_s / 2)
        self._jitter = tenacity.wait_random_exponential(multiplier=first_s / 2, max=cap_s / 2)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = None if error is None else retry_after_s(error)
        wait = self._backoff(retry_state) + self._jitter(retry_state) if asked is None else asked
        return min(wait, self._cap_s)


def _may_pass(error: BaseException, function: Retried) -> bool:
    if isinstance(error, LancelikeError) or not isinstance(error, Exception):
        return False
    return function.classify_error(error) == "retry"


def _note_retry(state: tenacity.RetryCallState, function: Retried, stats: CallStats) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.upcoming_sleep
    stats.retries += 1
    stats.slept_s += wait
    logger.warning(
        "%s: %s; try %d of %d in %.1f s",
        function.label,
        _summary(error, function),
        state.attempt_number + 1,
        function.max_retries + 1,
        wait,
    )


def _failed(error: Exception, function: Retried) -> EmbeddingError:
    problem = f"{function.label} failed: {_summary(error, function)}"
    if isinstance(error, ImportError | VariableNotFoundError):
        return EmbeddingFunctionUnavailable(problem, function=function.label)
    return EmbeddingError(problem, function=function.label, hint=_hint(status_of(error)))


def _given_up(cause: Exception, function: Retried, attempts: int, statistics: Mapping[str, Any]) -> EmbeddingError:
    slept_s = float(statistics.get("idle_for", 0.0))
    last = f"the last with {_summary(cause, function)}"
    facts: dict[str, Any] = {"function": function.label, "attempts": attempts, "slept_s": slept_s}
    tries = "once" if attempts == 1 else f"{attempts} times"
    if attempts > function.max_retries:
        return EmbeddingError(
            f"{function.label} failed {tries}, {last}",
            hint="raise max_retries, or try again when the service is well",
            **facts,
        )
    return RetryDeadlineExceeded(
        f"{function.label} failed {tries}, {last}, and has no time for another try within {function.deadline_s:g} s",
        hint="raise deadline_s, or try again when the service is well",
        **facts,
    )


def _scrub(error: BaseException, function: Retried) -> None:
    """Take the function's secrets out of *error*, which tracebacks show: some services quote the key they refuse."""
    for link in _shown_with(error):
        link.args = tuple(_scrubbed(arg, function) for arg in link.args)
        for name, value in [*vars(link).items(), *((name, getattr(link, name, None)) for name in _SLOTS)]:
            clean = _scrubbed(value, function) if isinstance(value, str | dict | list) else value
            if clean != value:
                with suppress(AttributeError):  # read-only ones
                    setattr(link, name, clean)
        if notes := getattr(link, "__notes__", None):
            link.__notes__ = [_scrubbed(note, function) for note in notes]


_SLOTS = ("strerror", "filename", "reason", "msg", "object")
"""Where built-in exceptions keep the texts they show, beside `args`."""


def _presentable(error: Exception, function: Retried) -> Exception:
    """*error* if it is without the function's secrets; of one that can't be changed the name and the text."""
    shown = "".join(str(link) for link in _shown_with(error))
    if function.redact(shown) == shown:
        return error
    stand_in: Exception = type(type(error).__name__, (Exception,), {})(function.redact(str(error)))
    vars(stand_in)["status_code"] = status_of(error)
    return stand_in


def _scrubbed(value: Any, function: Retried) -> Any:
    if isinstance(value, dict):
        return {key: _scrubbed(each, function) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_scrubbed(each, function) for each in value)
    shown = value if isinstance(value, str) else repr(value)
    clean = function.redact(shown)
    return value if clean == shown else clean


def _shown_with(error: BaseException) -> Iterator[BaseException]:
    """*error* and every other that its traceback shows."""
    waiting, seen = [error], set[int]()
    while waiting:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = link.exceptions if isinstance(link, BaseExceptionGroup) else ()
        waiting += [each for each in (link.__cause__, link.__context__, _reason(link), *inner) if each is not None]


def _hint(status: int | None) -> str:
    if status in (401, 403):
        return "see that the variable with the key is set to one the service accepts"
    if status == 404:
        return "see that the model's name and the address of the service are right"
    return ""


def _summary(error: BaseException | None, function: Retried) -> str:
    text = " ".join(function.redact(str(error)).split())
    shown = text if len(text) <= 500 else shorten(text, 500)[1:-1]
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or _reason(link)


def _reason(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)  # urllib.error.URLError
    return reason if isinstance(reason, BaseException) else None


def _is_certificate_error(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError)


def _is_connection_error(error: BaseException) -> bool:
    if isinstance(error, CONNECTION_ERRORS) or (isinstance(error, OSError) and type(error).__name__ == "gaierror"):
        return True
    return any(base.__name__ in CONNECTION_ERROR_NAMES for base in type(error).__mro__)


def _headers(error: BaseException) -> dict[str, str]:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    else:
        headers = getattr(error, "headers", None) or getattr(response, "headers", None)
    try:
        return {str(name).lower(): str(value) for name, value in headers.items()} if headers else {}
    except (AttributeError, TypeError):
        return {}


def _seconds(value: str, scale: float = 1.0) -> float | None:
    try:
        seconds = float(value) * scale
    except ValueError:
        seconds = _seconds_until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    from email.utils import parsedate_to_datetime  # 10 ms to import, and few services send dates

    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return math.nan
