from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import BaseModel, PrivateAttr, SecretStr

from lancelike.embeddings import EmbeddingFunction, EmbeddingFunctionRegistry, TextEmbeddingFunction
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.providers.hash import HashEmbeddings
from lancelike.errors import SchemaError, SecretError, VariableNotFoundError
from lancelike.schema.fields import source_mark, vector_mark

SECRET = "sk-very-secret-123"


class Keyed(TextEmbeddingFunction):
    api_key: str
    base_url: str | None = None
    headers: dict[str, str] | None = None

    def ndims(self) -> int:
        return 2

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        return np.ones((len(texts), 2))


@pytest.fixture(autouse=True)
def _registered(registry: EmbeddingFunctionRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register("keyed")(Keyed)
    monkeypatch.setenv("TEST_KEY", SECRET)


def test_settings_that_name_variables_are_resolved_and_stored_as_they_are() -> None:
    function = Keyed.create(api_key="$var:TEST_KEY", headers={"Authorization": "$var:TEST_KEY"}, max_retries=3)
    assert function.api_key == SECRET
    assert function.headers == {"Authorization": SECRET}
    assert function.stored() == {
        "name": "keyed",
        "model": {"api_key": "$var:TEST_KEY", "headers": {"Authorization": "$var:TEST_KEY"}, "max_retries": 3},
    }


def test_a_secrets_default_works_and_is_not_stored() -> None:
    function = Keyed.create(api_key="$var:UNSET_KEY:some_value")
    assert function.api_key == "some_value"
    assert function.safe_model_dump() == {"api_key": "$var:UNSET_KEY"}


def test_a_secret_written_out_and_a_missing_variable_are_errors() -> None:
    with pytest.raises(SecretError, match="Sensitive key 'api_key' cannot be set to a hardcoded value"):
        Keyed.create(api_key=SECRET)
    with pytest.raises(ValueError, match="Variable 'UNSET_KEY' not found"):
        Keyed.create(api_key="$var:UNSET_KEY")
    assert issubclass(VariableNotFoundError, ValueError)


def test_no_text_of_a_function_shows_its_secrets() -> None:
    made = Keyed.create(api_key="$var:TEST_KEY", headers={"Authorization": "$var:TEST_KEY"})
    direct = Keyed(api_key=SECRET, base_url=f"https://me:{SECRET}@host")
    for function in (made, direct):
        for text in (repr(function), str(function), f"{[function]}", str(function.stored())):
            assert SECRET not in text
    assert repr(made) == "Keyed(api_key='$var:TEST_KEY', headers={'Authorization': '$var:TEST_KEY'})"
    assert repr(direct) == "Keyed(api_key='***', base_url='***')"
    assert direct.safe_model_dump() == {}


def test_a_setting_that_does_not_fit_is_named_without_its_value() -> None:
    with pytest.raises(
        SchemaError, match=r"keyed can't be made: nmae: Extra inputs.*its settings are .*base_url"
    ) as typo:
        Keyed.create(api_key="$var:TEST_KEY", nmae="small")
    with pytest.raises(SchemaError, match="batch_size: Input should be greater than") as zero:
        Keyed.create(api_key="$var:TEST_KEY", batch_size=0)
    with pytest.raises(SchemaError, match="base_url: Input should be a valid string") as wrong:
        Keyed.create(api_key="$var:TEST_KEY", base_url=[SECRET])
    for caught in (typo, zero, wrong):
        assert SECRET not in str(caught.value) + str(caught.value.__cause__)


def test_a_function_in_a_model_stays_out_of_its_json_schema() -> None:
    function = Keyed.create(api_key="$var:TEST_KEY")

    class Doc(BaseModel):
        text: str = function.SourceField(description="what it says")
        vector: list[float] | None = function.VectorField()

    schema = str(Doc.model_json_schema())
    assert SECRET not in schema
    assert "TEST_KEY" not in schema
    assert "what it says" in schema
    source, vector = source_mark(Doc.model_fields["text"]), vector_mark(Doc.model_fields["vector"])
    assert source is not None
    assert vector is not None
    assert source.function is vector.function is function


def test_vector_fields_pass_on_their_source_or_template() -> None:
    function = HashEmbeddings()
    mark = vector_mark(function.VectorField(source="body"))
    assert mark is not None
    assert (mark.source, mark.template) == ("body", None)
    mark = vector_mark(function.VectorField(template="{title}\n{body}"))
    assert mark is not None
    assert (mark.source, mark.template) == (None, "{title}\n{body}")


def test_a_function_made_without_create_stores_the_settings_given() -> None:
    assert HashEmbeddings(dim=3, query_prompt="q: ").safe_model_dump() == {"dim": 3, "query_prompt": "q: "}


def test_a_class_without_a_name_cannot_be_stored() -> None:
    class Nameless(HashEmbeddings):
        pass

    with pytest.raises(SchemaError, match=r"Nameless has no name.*@register\('name'\)"):
        Nameless().stored()


def test_functions_are_equal_by_class_and_settings() -> None:
    assert HashEmbeddings(dim=3) == HashEmbeddings(dim=3) != HashEmbeddings(dim=4)
    assert len({HashEmbeddings(dim=3), HashEmbeddings(dim=3), HashEmbeddings(dim=4)}) == 2
    assert HashEmbeddings() != "hash"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("abc", ["abc"]),
        (b"png", [b"png"]),
        (7, [7]),
        (["a", "b"], ["a", "b"]),
        (("a", "b"), ["a", "b"]),
        (np.array(["a", "b"]), ["a", "b"]),
        (pa.array(["a", None]), ["a", None]),
        (pa.chunked_array([["a"], ["b"]]), ["a", "b"]),
    ],
)
def test_input_becomes_a_list(values: Any, expected: list[Any]) -> None:
    assert HashEmbeddings().sanitize_input(values) == expected


def test_classes_as_lancedbs_users_write_them_work() -> None:
    """An __init__ of its own, attributes that are no fields, private ones, cached properties, a secret type."""

    class Theirs(TextEmbeddingFunction):
        name: str = "small"
        model_name: str = "protected prefix"
        token: SecretStr | None = None
        _client: Any = PrivateAttr()

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self._ndims = None
            self._client = object()
            self._undeclared = 3

        def ndims(self) -> int:
            if self._ndims is None:
                self._ndims = len(self.generate_embeddings(["foo"])[0])
            return int(self._ndims)

        def generate_embeddings(self, texts: Any) -> list[Any]:
            return [self._weights * len(text) for text in texts]

        @cached_property
        def _weights(self) -> Any:
            return np.ones(self._undeclared)

        @staticmethod
        def sensitive_keys() -> list[str]:
            return ["token"]

    function = Theirs.create(name="large", token="$var:TEST_KEY")
    assert (function.ndims(), embed_query(function, "ab").tolist()) == (3, [2, 2, 2])
    assert function.token is not None
    assert function.token.get_secret_value() == SECRET
    assert function.redact(f"bad key {SECRET}!") == "bad key ***!"
    assert function == Theirs.create(name="large", token="$var:TEST_KEY")
    assert hash(function) == hash(Theirs.create(name="large", token="$var:TEST_KEY"))
    assert function.safe_model_dump() == {"name": "large", "token": "$var:TEST_KEY"}


def test_a_function_of_any_values_gives_three_methods() -> None:
    class Sizes(EmbeddingFunction):
        def ndims(self) -> int:
            return 1

        def compute_source_embeddings(self, images: Any, *args: Any, **kwargs: Any) -> Any:
            return [[len(image)] for image in self.sanitize_input(images)]

        def compute_query_embeddings(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            return self.compute_source_embeddings(query)

    function = Sizes.create()
    assert function.compute_source_embeddings_with_retry([b"png", b"jpeg"]) == [[3], [4]]
    assert function.compute_query_embeddings_with_retry(b"png") == [[3]]
    with pytest.raises(TypeError, match="abstract"):
        EmbeddingFunction()  # type: ignore[abstract]
