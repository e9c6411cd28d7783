"""What rerankers behind a service's API share: a key, an address, requests of a bounded size, and further tries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypedDict, Unpack

from lancelike._optional import require
from lancelike.embeddings.retrying import Verdict, call_with_retry, classify
from lancelike.embeddings.settings import redact, secret_values
from lancelike.embeddings.variables import process_variables
from lancelike.errors import EmbeddingError, QueryError, RerankError, RerankTimeoutError, VariableNotFoundError
from lancelike.rerankers.text import TextReranker


class ServiceSettings(TypedDict, total=False):
    """How a service is reached; each reranker that asks one takes these by keyword.

    Attributes:
        base_url: Address of the service, where it is not the provider's own.
        batch_size: Most documents in one request.
        timeout_s: Seconds that one try of a request may take; 60.
        max_retries: Further tries of a request that failed in passing; 7.
        deadline_s: Seconds for all tries of one request together; 120.
        first_wait_s: Seconds before the first further try, about; each next wait is about twice as long; 1.
        max_wait_s: Longest wait between two tries, in seconds; 30.
    """

    base_url: str
    batch_size: int
    timeout_s: float
    max_retries: int
    deadline_s: float
    first_wait_s: float
    max_wait_s: float


class RemoteReranker(TextReranker):
    """Base: a subclass gives `_client` and `_ask`."""

    extra: ClassVar[str] = ""
    """The extra of lancelike that brings the package needed."""
    key_variables: ClassVar[tuple[str, ...]] = ()
    """Variables that may hold the key, the one to recommend first."""
    max_documents: ClassVar[int] = 1000
    """Most documents that the service takes in one request."""
    default_url: ClassVar[str | None] = None

    def __init__(
        self,
        model_name: str,
        column: str = "text",
        top_n: int | None = None,
        return_score: str = "relevance",
        api_key: str | None = None,
        **service: Unpack[ServiceSettings],
    ) -> None:
        super().__init__(column, top_n, return_score)
        self.model_name, self.api_key = model_name, api_key
        self.base_url = service.pop("base_url", self.default_url)
        self.batch_size = service.pop("batch_size", self.max_documents)
        self.timeout_s = service.pop("timeout_s", 60.0)
        self.max_retries = service.pop("max_retries", 7)
        self.deadline_s = service.pop("deadline_s", 120.0)
        self.first_wait_s = service.pop("first_wait_s", 1.0)
        self.max_wait_s = service.pop("max_wait_s", 30.0)
        if service:
            raise TypeError(f"{type(self).__name__} takes no {', '.join(service)}; see ServiceSettings")
        if not 1 <= self.batch_size <= self.max_documents:
            raise QueryError(f"batch_size is from 1 to {self.max_documents}, got {self.batch_size}")

    def __str__(self) -> str:
        return f"{type(self).__name__}(model_name={self.model_name})"

    @property
    def label(self) -> str:
        """How messages name it."""
        return type(self).__name__

    def classify_error(self, error: Exception) -> Verdict:
        """Whether *error* may pass (`"retry"`)."""
        return classify(error)

    def redact(self, text: str) -> str:
        """*text* without the key."""
        keys = filter(None, (process_variables.get(name, "") for name in self.key_variables))
        given = secret_values({"api_key": self.api_key}, (), process_variables) if self.api_key else set()
        return redact(text, {*given, *keys})

    @property
    @abstractmethod
    def _client(self) -> Any:
        """What speaks to the service; made once."""

    @abstractmethod
    def _ask(self, query: str, documents: Sequence[str]) -> Iterable[tuple[int, float]]:
        """One request: the place of each of *documents* in them, from 0, and its score."""

    def _relevance(self, query: str, documents: list[str]) -> list[float]:
        _ = self._client  # a missing package or key is no failure of the service
        parts = [documents[start : start + self.batch_size] for start in range(0, len(documents), self.batch_size)]
        return [score for part in parts for score in self._scores(query, part)]

    def _scores(self, query: str, documents: Sequence[str]) -> list[float]:
        answer = self._tried(lambda: list(self._ask(query, documents)))
        if sorted(place for place, _ in answer) != list(range(len(documents))):
            raise RerankError(
                f"{self} was asked for the scores of {len(documents)} documents, and answered {len(answer)}, not one "
                "for each",
                reranker=self.label,
            )
        return [score for _, score in sorted(answer)]

    def _tried(self, request: Callable[[], list[tuple[int, float]]]) -> list[tuple[int, float]]:
        try:
            return call_with_retry(request, function=self)
        except EmbeddingError as error:
            kind = RerankTimeoutError if isinstance(error, TimeoutError) else RerankError
            raise kind(error.problem, reranker=self.label, hint=error.hint) from error.__cause__

    def _key(self) -> str:
        """The key, as given, or of the variable it names, or of the first of `key_variables` that has a value.

        Raises:
            VariableNotFoundError: There is none.
        """
        found = process_variables.resolve(self.api_key) if self.api_key else process_variables.first(self.key_variables)
        if not found:
            raise VariableNotFoundError(self.key_variables[0])
        return found

    def _require(self, module: str) -> Any:
        return require(module, extra=self.extra, needed_by=self.label)

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle: the settings, without clients and connections."""
        return {name: value for name, value in vars(self).items() if name not in ("_client", "_login")}
