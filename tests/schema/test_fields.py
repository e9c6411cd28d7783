from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import BaseModel, ValidationError, create_model

from lancelike.errors import EmbeddingFunctionUnavailable, SchemaError
from lancelike.pydantic import LanceModel, MultiVector, Vector
from lancelike.schema import (
    EmbeddingFunctionConfig,
    model_to_row,
    row_to_values,
    source_field,
    stored_bindings,
    vector_field,
)


@dataclass(eq=True)
class Dims:
    """An embedding function as a schema sees it; equal ones must still be told apart."""

    n: int = 2
    api_key: str = "sk-123"
    asked: int = field(default=0, compare=False)

    def ndims(self) -> int:
        self.asked += 1
        return self.n

    def stored(self) -> dict[str, Any]:
        return {"name": "dims", "model": {"n": self.n}}


class Unavailable(Dims):
    def ndims(self) -> int:
        raise EmbeddingFunctionUnavailable("not registered", function="dims")


class AsSettings(BaseModel):
    api_key: str = "sk-123"

    def ndims(self) -> int:
        return 2

    def stored(self) -> dict[str, Any]:
        return {"name": "settings", "model": {}}


def declare(base: Any = LanceModel, **fields: Any) -> Any:
    return create_model("Declared", __base__=base, **fields)


def pairs(model: type[LanceModel]) -> dict[str, tuple[str, ...]]:
    return {config.vector_column: config.source_columns for config in model.parse_embedding_functions()}


def test_a_table_that_embeds_itself() -> None:
    function = Dims()

    class Doc(LanceModel):
        id: int
        text: str = source_field(function)
        vector: Vector(2) = vector_field(function)  # type: ignore[valid-type]

    assert Doc.parse_embedding_functions() == [EmbeddingFunctionConfig("vector", "text", function)]
    schema = Doc.to_arrow_schema()
    assert schema.field("vector").type == pa.list_(pa.float32(), 2)
    assert [b.source_column for b in stored_bindings(schema.metadata)] == ["text"]
    assert Doc.field_names() == ["id", "text", "vector"]
    assert list(Doc.safe_get_fields()) == Doc.field_names()


def test_without_functions_there_is_no_metadata() -> None:
    assert declare(id=(int, ...)).to_arrow_schema().metadata is None


def test_a_row_is_made_without_its_vector() -> None:
    function = Dims()
    model = declare(text=(str, source_field(function)), vector=(Vector(2), vector_field(function)))
    assert model(text="hi").vector is None
    assert model(text="hi", vector=None).vector is None
    assert model(text="hi", vector=[1, 2]).vector == [1.0, 2.0]
    with pytest.raises(ValidationError):
        model(text="hi", vector=[1, 2, 3])


def test_a_vector_annotated_as_a_list_has_the_functions_dimension() -> None:
    function = Dims(3)
    model = declare(
        text=(str, source_field(function)),
        vector=(list[float], vector_field(function, source="text")),
        maybe=(list[float] | None, vector_field(function, source="text")),
        several=(list[list[float]], vector_field(function, source="text")),
    )
    vector = pa.list_(pa.float32(), 3)
    assert model.to_arrow_schema().types == [pa.utf8(), vector, vector, pa.list_(vector)]
    assert all(model.to_arrow_schema().field(name).nullable for name in ("vector", "maybe", "several"))
    made = model(text="x", vector=np.array([1, 2, 3], np.float32), several=np.ones((1, 3)))
    assert (made.vector, made.maybe, made.several) == ([1.0, 2.0, 3.0], None, [[1.0, 1.0, 1.0]])


def test_the_settings_of_fields_are_pydantics() -> None:
    function = Dims()
    model = declare(
        text=(str, source_field(function, max_length=3, description="what", json_schema_extra={"x": 1})),
        vector=(Vector(2), vector_field(function, title="V", default_factory=lambda: [0.0, 0.0])),
    )
    assert model(text="abc").vector == [0.0, 0.0]
    said = model.model_json_schema()["properties"]
    assert (said["text"]["description"], said["text"]["x"], said["vector"]["title"]) == ("what", 1, "V")
    with pytest.raises(ValidationError):
        model(text="abcd")


@pytest.mark.parametrize("function", [Dims(), AsSettings()])
def test_no_schema_or_repr_shows_the_function(function: Any) -> None:
    model = declare(text=(str, source_field(function)), vector=(Vector(2), vector_field(function)))
    shown = f"{model.model_json_schema()} {model.model_fields} {model(text='')!r}"
    assert "sk-123" not in shown


def test_marks_in_annotated() -> None:
    function = Dims()
    model = declare(
        text=(Annotated[str, source_field(function)], ...), vector=(Annotated[Vector(2), vector_field(function)], None)
    )
    assert pairs(model) == {"vector": ("text",)}
    assert model(text="hi").vector is None


def test_a_subclass_keeps_the_bindings() -> None:
    function = Dims()
    base = declare(text=(str, source_field(function)), vector=(Vector(2), vector_field(function)))
    derived = declare(base, extra=(int, 0))
    (config,) = derived.parse_embedding_functions()
    assert config.function is function
    assert derived.to_arrow_schema().names == ["text", "vector", "extra"]


def test_equal_functions_are_paired_by_identity() -> None:
    first, second = Dims(), Dims()
    model = declare(
        a=(str, source_field(first)),
        b=(str, source_field(second)),
        of_b=(Vector(2), vector_field(second)),
        of_a=(Vector(2), vector_field(first)),
    )
    assert pairs(model) == {"of_b": ("b",), "of_a": ("a",)}


def test_as_many_sources_as_vectors_are_paired_in_order() -> None:
    function = Dims()
    model = declare(
        uri=(str, source_field(function)),
        image=(bytes, source_field(function)),
        of_uri=(Vector(2), vector_field(function)),
        of_image=(Vector(2), vector_field(function)),
    )
    assert pairs(model) == {"of_uri": ("uri",), "of_image": ("image",)}


def test_explicit_sources() -> None:
    function, other = Dims(), Dims(3)
    model = declare(
        text=(str, source_field(function)),
        unmarked=(str, ...),
        a=(Vector(2), vector_field(function)),
        b=(Vector(2), vector_field(function, source="text")),
        c=(Vector(3), vector_field(other, source="text")),
        d=(MultiVector(3), vector_field(other, template="{text} {unmarked}")),
    )
    assert pairs(model) == {"a": ("text",), "b": ("text",), "c": ("text",), "d": ("text", "unmarked")}


def test_what_an_explicit_source_leaves_is_paired() -> None:
    function = Dims()
    model = declare(
        a=(str, source_field(function)),
        b=(str, source_field(function)),
        of_b=(Vector(2), vector_field(function, source="b")),
        rest=(Vector(2), vector_field(function)),
    )
    assert pairs(model) == {"of_b": ("b",), "rest": ("a",)}


@pytest.mark.parametrize(
    ("sources", "vectors", "words"),
    [
        (2, 1, r"'s0', 's1' feeds which of the vector fields 'v0' is ambiguous.*VectorField\(source=.*template="),
        (1, 2, "'s0' feeds which of the vector fields 'v0', 'v1' is ambiguous"),
        (0, 1, r"nothing feeds vector field 'v0'.*SourceField\(\)"),
        (1, 0, r"source field 's0' feeds no vector.*VectorField\(\)"),
    ],
)
def test_counts_that_disagree(sources: int, vectors: int, words: str) -> None:
    function = Dims()
    model = declare(
        **{f"s{i}": (str, source_field(function)) for i in range(sources)},
        **{f"v{i}": (Vector(2), vector_field(function)) for i in range(vectors)},
    )
    with pytest.raises(SchemaError, match=words):
        model.to_arrow_schema()


def test_a_source_and_a_vector_of_two_functions() -> None:
    model = declare(text=(str, source_field(Dims())), vector=(Vector(2), vector_field(Dims())))
    with pytest.raises(SchemaError, match="same function object"):
        model.to_arrow_schema()


@pytest.mark.parametrize("said", [{"source": "body"}, {"template": "{text} {body}"}])
def test_a_source_that_is_no_field(said: dict[str, str]) -> None:
    model = declare(text=(str, ...), vector=(Vector(2), vector_field(Dims(), **said)))
    with pytest.raises(SchemaError, match="'vector' is to be made from 'body', but the fields are 'text', 'vector'"):
        model.to_arrow_schema()


def test_source_and_template() -> None:
    with pytest.raises(SchemaError, match="not both"):
        vector_field(Dims(), source="a", template="{b}")
    with pytest.raises(SchemaError, match="names no column"):
        vector_field(Dims(), template="a")


@pytest.mark.parametrize("annotation", [Vector(4), MultiVector(4), Vector(4) | None])
def test_dimensions_that_disagree(annotation: Any) -> None:
    model = declare(text=(str, ...), vector=(annotation, vector_field(Dims(8), source="text")))
    with pytest.raises(SchemaError, match=r"'vector' is declared with 4 .* vectors of 8; declare it Vector\(8\)"):
        model.to_arrow_schema()


@pytest.mark.parametrize("annotation", [str, list[str], list[int], bytes, dict[str, float]])
def test_a_vector_field_holds_numbers(annotation: Any) -> None:
    model = declare(text=(str, ...), vector=(annotation, vector_field(Dims(), source="text")))
    with pytest.raises(SchemaError, match=r"'vector' can't hold vectors.*Vector\(n\) or list\[float\]"):
        model.to_arrow_schema()


def test_a_function_that_is_not_here_can_not_disagree() -> None:
    model = declare(text=(str, ...), vector=(Vector(4), vector_field(Unavailable(), source="text")))
    assert model.to_arrow_schema().field("vector").type == pa.list_(pa.float32(), 4)


def test_a_dimension_that_nobody_tells() -> None:
    model = declare(text=(str, ...), vector=(list[float], vector_field(Unavailable(), source="text")))
    with pytest.raises(EmbeddingFunctionUnavailable):
        model.to_arrow_schema()


def test_a_vector_field_in_a_nested_model() -> None:
    inner = create_model("Inner", text=(str, ...), vector=(Vector(2), vector_field(Dims(), source="text")))
    with pytest.raises(SchemaError, match="'vector' is inside 'part'"):
        declare(part=(inner, ...)).to_arrow_schema()


def test_rows_do_not_need_the_function() -> None:
    function = Dims()
    model = declare(text=(str, source_field(function)), vector=(list[float], vector_field(function)))
    row = model_to_row(model(text="a", vector=[1, 2]))
    assert model(**row_to_values(model, row)) == model(text="a", vector=[1, 2])
    assert function.asked == 0
