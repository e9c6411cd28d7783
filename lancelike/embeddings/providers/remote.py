"""What functions behind a service's API share: a model's name, a key, an address, roles, and JSON over HTTP."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import ConfigDict, Field

from lancelike._optional import require
from lancelike.embeddings.base import Embeddings, Role, TextEmbeddingFunction
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.retrying import Verdict
from lancelike.embeddings.variables import process_variables
from lancelike.errors import BadEmbeddingError, VariableNotFoundError

T = TypeVar("T")

_making = threading.RLock()


class made_once(cached_property[T]):  # noqa: N801 - used as cached_property is
    """A cached property that two threads don't make at the same time, for clients that take long to make."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        with _making:
            return super().__get__(instance, owner)


class Model(NamedTuple):
    """What is known of a service's model: the length of its vectors, and of its longest text in tokens."""

    ndims: int
    max_tokens: int | None = None


class RemoteTextFunction(TextEmbeddingFunction):
    """A text embedding function that asks a service; a subclass gives `_client` and `_embed`.

    Attributes:
        name: The model's name. One that isn't in `models` is asked for one vector, to know their length.
        stated_ndims: Length of the vectors, given as `ndims=`, so that an unknown model needn't be asked.
        base_url: Address of the service, where it is not the provider's own.
        timeout_s: Seconds that one try of a request may take.
    """

    model_config = ConfigDict(populate_by_name=True, ignored_types=(made_once,))

    max_concurrency: int = Field(4, ge=1)
    name: str
    stated_ndims: int | None = Field(None, alias="ndims", ge=1)
    base_url: str | None = None
    timeout_s: float = Field(60.0, gt=0)

    models: ClassVar[Mapping[str, Model]] = {}
    """Models known by name; others work too."""
    extra: ClassVar[str] = ""
    """The extra of lancelike that brings the packages needed."""
    key_variables: ClassVar[tuple[str, ...]] = ()
    """Variables that may hold the key, the one to recommend first."""
    roles: ClassVar[tuple[Role, ...]] = ()
    """The roles that the service is told of."""
    licence: ClassVar[str | None] = "the service's terms"
    limits: ClassVar[str] = ""
    price_unit: ClassVar[str | None] = "token"
    description: ClassVar[FunctionDescription]
    transport_settings: ClassVar[frozenset[str]] = frozenset({"stated_ndims"})

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Describe the class, and say who puts prompts before texts: a subclass may have its own ways."""
        super().__pydantic_init_subclass__(**kwargs)
        cls.description = cls._describe()
        sources = cls.compute_source_embeddings is RemoteTextFunction.compute_source_embeddings
        queries = cls.compute_query_embeddings is RemoteTextFunction.compute_query_embeddings
        cls.applies_prompts = sources and queries
        cls.batches_queries = queries

    @classmethod
    def _describe(cls) -> FunctionDescription:
        name = cls.model_fields["name"].get_default()
        model = cls.models.get(name)
        return FunctionDescription(
            modalities=("text",),
            runs="remote",
            extra=cls.extra,
            default_model=name if isinstance(name, str) and name else None,
            licence=cls.licence,
            ndims=None if model is None else model.ndims,
            context_tokens=None if model is None else model.max_tokens,
            roles=cls.roles,
            limits=cls.limits,
            price_unit=cls.price_unit,
            variables=cls.key_variables,
        )

    def ndims(self) -> int:
        """Length of the vectors; a model that isn't known is asked once."""
        return self.stated_ndims or self._known_ndims() or self._asked_ndims

    def compute_source_embeddings(self, texts: Any, /) -> Embeddings:
        """Embed *texts*, which are to be stored, with `source_prompt` before each."""
        return self._embed_prompted(texts, "source")

    def compute_query_embeddings(self, query: Any, /) -> Embeddings:
        """Embed *query*, a text or a list of them, with `query_prompt` before each."""
        return self._embed_prompted(query, "query")

    def generate_embeddings(self, texts: Sequence[str], /) -> Embeddings:
        """Embed *texts* as they are to be stored, one vector each, in their order."""
        return self._embed(list(texts), "source")

    def _embed_prompted(self, texts: Any, role: Role) -> Embeddings:
        given = self.sanitize_input(texts)
        return self._embed(self.prompted(given, role) if self.applies_prompts else given, role)

    @abstractmethod
    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        """One request: a vector for each of *texts*, in their order."""

    def classify_error(self, error: Exception) -> Verdict:
        """What *error* calls for: while there is no client yet, no input is at fault."""
        verdict = super().classify_error(error)
        return "give up" if verdict == "bisect" and "_client" not in self.__dict__ else verdict

    def redact(self, text: str) -> str:
        """*text* with the function's secrets replaced by `***`, a key that comes from a variable among them."""
        text = super().redact(text)
        for value in filter(None, map(self._variable, self.key_variables)):
            text = text.replace(value, "***")
        return text

    def preflight(self) -> None:
        """Raise ImportError or VariableNotFoundError if the client can't be made; nothing is sent."""
        getattr(self, "_client", None)

    def _known_ndims(self) -> int | None:
        model = self.models.get(self.name)
        return None if model is None else model.ndims

    @cached_property
    def _asked_ndims(self) -> int:
        vectors = self._embed(["length"], "source")
        if len(vectors) != 1:
            raise BadEmbeddingError(f"{self.label} answered {len(vectors)} vectors for 1 input", function=self.label)
        return len(vectors[0])

    def _variable(self, name: str) -> str | None:
        """Value of the variable *name*, or None."""
        return process_variables.get(name, "") or None

    def _require(self, module: str) -> Any:
        return require(module, extra=self.extra, needed_by=self.label)

    def __getstate__(self) -> dict[Any, Any]:
        """State for pickle: the settings, without clients and connections."""
        state = dict(super().__getstate__())
        state["__dict__"] = {name: value for name, value in self.__dict__.items() if name in type(self).model_fields}
        return state

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, value) for name, value in super().__repr_args__() if name != "stated_ndims"]


class KeyedTextFunction(RemoteTextFunction):
    """A remote function whose service wants a key.

    Attributes:
        api_key: The key, as `"$var:NAME"`; where it is not given, the first of `key_variables` that has a value.
    """

    api_key: str | None = None

    def _key(self, *, optional: bool = False) -> str | None:
        """The key, from its setting or a variable.

        Raises:
            VariableNotFoundError: There is none, and it is not *optional*.
        """
        if self.api_key:
            return process_variables.resolve(self.api_key)
        found = process_variables.first(self.key_variables)
        if found is None and not optional and self.key_variables:
            raise VariableNotFoundError(self.key_variables[0])
        return found


class HTTPTextFunction(KeyedTextFunction):
    """A remote function that speaks JSON over HTTP itself, where the service has no package worth asking for."""

    base_url: str

    def _headers(self) -> dict[str, str]:
        key = self._key()
        return {"Authorization": f"Bearer {key}"} if key else {}

    @made_once
    def _client(self) -> JSONClient:
        return JSONClient(self._require("requests"), self.base_url, self._headers(), self.timeout_s)


class JSONClient:
    """Requests with a body and an answer in JSON, over connections that are kept: those of *session* if it is given."""

    def __init__(
        self, requests: Any, base_url: str, headers: Mapping[str, str], timeout_s: float, *, session: Any = None
    ) -> None:
        self._requests, self._base_url, self._timeout_s = requests, base_url.rstrip("/"), timeout_s
        self._session = requests.Session() if session is None else session
        self._session.headers.update(headers)
        # Else the password that ~/.netrc has for the host would be sent in the place of our key.
        self._session.auth = _keep_headers

    def get(self, path: str) -> Any:
        """Answer to a GET of *path*."""
        return self._answer("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Answer to *body*, posted to *path*; what is None in it is left out.

        Raises:
            requests.HTTPError: The status is 4xx or 5xx; its message has the body's text, and `response` the rest.
        """
        return self._answer("POST", path, json=without_none(body))

    def post_form(self, path: str, form: Mapping[str, str]) -> Any:
        """Answer to *form*, posted to *path* as a browser would; errors are those of `post`."""
        return self._answer("POST", path, data=form)

    def set_header(self, name: str, value: str) -> None:
        """Send the header *name* with each request from now on."""
        self._session.headers[name] = value

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        response = self._session.request(method, self._base_url + path, timeout=self._timeout_s, **options)
        if response.status_code >= 400:
            raise self._requests.HTTPError(f"{response.status_code} {response.text[:500]}", response=response)
        return response.json()


def _keep_headers(request: Any) -> Any:
    return request


def without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    """*settings* that are given, as services take null for a value of its own."""
    return {name: value for name, value in settings.items() if value is not None}


def in_order(items: Iterable[Any]) -> list[Any]:
    """Embeddings of a reply in OpenAI's form, objects or dicts, in the order of the inputs."""
    vectors = [item if isinstance(item, Mapping) else vars(item) for item in items]
    return [item["embedding"] for item in sorted(vectors, key=lambda item: item.get("index") or 0)]
