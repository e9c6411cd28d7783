from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancelike.errors import SchemaError
from lancelike.schema import (
    EmbeddingFunctionConfig,
    StoredBinding,
    bindings_to_metadata,
    drop_from_metadata,
    rename_in_metadata,
    render_template,
    stored_bindings,
    template_fields,
)


@dataclass(eq=False)
class Fixed:
    settings: dict[str, Any] = field(default_factory=dict)

    def ndims(self) -> int:
        return 2

    def stored(self) -> dict[str, Any]:
        return {"name": "fixed", "model": self.settings}


PLAIN = EmbeddingFunctionConfig("vector", "text", Fixed({"n": 2}))
JOINED = EmbeddingFunctionConfig("joined", None, Fixed(), template="{title}\n{body} {title}")

PLAIN_JSON = """[
  {
    "name": "fixed",
    "model": {
      "n": 2
    },
    "source_column": "text",
    "vector_column": "vector"
  }
]"""


def test_a_plain_binding_is_stored_as_lancedb_does() -> None:
    assert bindings_to_metadata([PLAIN]) == {b"embedding_functions": PLAIN_JSON.encode()}


def test_a_template_is_stored_where_lancedb_does_not_look() -> None:
    metadata = bindings_to_metadata([JOINED])
    assert set(metadata) == {b"lancelike"}
    entry = {"name": "fixed", "model": {}, "template": "{title}\n{body} {title}", "vector_column": "joined"}
    assert json.loads(metadata[b"lancelike"]) == {"templates": [entry]}


def test_no_bindings_leave_no_metadata() -> None:
    assert bindings_to_metadata([]) == {}
    assert stored_bindings(None) == stored_bindings({b"pandas": b"{}"}) == []


def test_what_is_stored_is_read_back() -> None:
    assert stored_bindings(bindings_to_metadata([JOINED, PLAIN])) == [
        StoredBinding("fixed", {"n": 2}, "vector", "text", None),
        StoredBinding("fixed", {}, "joined", None, "{title}\n{body} {title}"),
    ]


def test_source_columns() -> None:
    assert PLAIN.source_columns == ("text",)
    assert (
        JOINED.source_columns == stored_bindings(bindings_to_metadata([JOINED]))[0].source_columns == ("title", "body")
    )


def test_two_functions_for_one_vector_column() -> None:
    with pytest.raises(SchemaError, match="'vector' is filled by two"):
        bindings_to_metadata([PLAIN, EmbeddingFunctionConfig("vector", "body", Fixed())])


@pytest.mark.parametrize(("source", "template"), [(None, None), ("text", "{text}")])
def test_a_binding_has_one_source(source: str | None, template: str | None) -> None:
    with pytest.raises(SchemaError, match="needs one of source_column and template"):
        EmbeddingFunctionConfig("vector", source, Fixed(), template)


@pytest.mark.parametrize(("source", "template"), [("vector", None), (None, "{text}{vector}")])
def test_a_column_does_not_feed_itself(source: str | None, template: str | None) -> None:
    with pytest.raises(SchemaError, match="its own source"):
        EmbeddingFunctionConfig("vector", source, Fixed(), template)


@pytest.mark.parametrize("template", ["", "no column", "{{title}}", "{}", "{title!r}", "{title:>3}", "{title", "}"])
def test_templates_that_say_nothing_or_too_much(template: str) -> None:
    with pytest.raises(SchemaError, match="template"):
        template_fields(template)


def test_rendering() -> None:
    template = "{{{title}}}: {body}"
    assert render_template(template, {"title": "A", "body": 3}) == "{A}: 3"
    assert render_template(template, {"title": None, "body": "b"}) == "{}: b"
    assert render_template(template, {"title": None, "body": None}) is None


def test_renaming_columns() -> None:
    metadata = bindings_to_metadata([PLAIN, JOINED]) | {b"other": b"kept"}
    renamed = rename_in_metadata(metadata, {"text": "content", "joined": "both", "title": "head", "id": "key"})
    assert renamed[b"other"] == b"kept"
    assert [(b.vector_column, b.source_columns) for b in stored_bindings(renamed)] == [
        ("vector", ("content",)),
        ("both", ("head", "body")),
    ]
    assert rename_in_metadata(renamed, {"content": "text", "both": "joined", "head": "title"}) == metadata


def test_renaming_keeps_a_templates_braces() -> None:
    metadata = bindings_to_metadata([EmbeddingFunctionConfig("v", None, Fixed(), "{{x}} {a} }}")])
    assert stored_bindings(rename_in_metadata(metadata, {"a": "b"}))[0].template == "{{x}} {b} }}"


def test_swapping_two_names() -> None:
    metadata = bindings_to_metadata([PLAIN])
    (binding,) = stored_bindings(rename_in_metadata(metadata, {"text": "vector", "vector": "text"}))
    assert (binding.vector_column, binding.source_column) == ("text", "vector")


@pytest.mark.parametrize(
    ("columns", "left"),
    [
        ([], ["vector", "joined"]),
        (["id"], ["vector", "joined"]),
        (["vector"], ["joined"]),
        (["joined", "vector"], []),
        (["text", "body"], ["vector", "joined"]),
    ],
)
def test_dropping_columns(columns: list[str], left: list[str]) -> None:
    metadata = drop_from_metadata(bindings_to_metadata([PLAIN, JOINED]) | {b"other": b"kept"}, columns)
    assert [binding.vector_column for binding in stored_bindings(metadata)] == left
    assert metadata[b"other"] == b"kept"


def test_dropping_the_last_binding_leaves_no_key() -> None:
    assert drop_from_metadata(bindings_to_metadata([PLAIN, JOINED]), ["vector", "joined"]) == {}
    assert drop_from_metadata(None, ["text"]) == {}


def test_other_entries_of_our_key_are_kept() -> None:
    metadata = {b"lancelike": json.dumps({"later": 1, "templates": []}).encode()}
    assert json.loads(drop_from_metadata(metadata, ["x"])[b"lancelike"]) == {"later": 1}


@pytest.mark.parametrize(
    "metadata",
    [
        {b"embedding_functions": b"not json"},
        {b"embedding_functions": b"{}x"},
        {b"embedding_functions": b'[{"name": "fixed"}]'},
        {b"embedding_functions": b"[3]"},
        {b"embedding_functions": b"3"},
        {b"lancelike": b"[]"},
        {b"lancelike": b'{"templates": [{}]}'},
    ],
)
def test_damaged_metadata(metadata: dict[bytes, bytes]) -> None:
    with pytest.raises(SchemaError, match="does not describe embedding functions"):
        stored_bindings(metadata)


names = st.text("abcdefg", min_size=1, max_size=3)
literal_text = st.text(max_size=8).map(lambda text: text.replace("{", "{{").replace("}", "}}"))


@st.composite
def templates(draw: st.DrawFn) -> str:
    pairs = draw(st.lists(st.tuples(literal_text, names), min_size=1, max_size=4))
    return "".join(f"{text}{{{name}}}" for text, name in pairs) + draw(literal_text)


@given(templates(), st.dictionaries(names, st.text("xyz", min_size=1, max_size=5), max_size=4))
def test_a_renamed_template_renders_the_same(template: str, renames: dict[str, str]) -> None:
    new = {old: f"{new}{number}" for number, (old, new) in enumerate(renames.items())}
    metadata = bindings_to_metadata([EmbeddingFunctionConfig("the vector", None, Fixed(), template)])
    (binding,) = stored_bindings(rename_in_metadata(metadata, new))
    values = {name: f"<{name}>" for name in template_fields(template)}
    renamed = {new.get(name, name): value for name, value in values.items()}
    assert binding.template is not None
    assert render_template(binding.template, renamed) == template.format(**values) == render_template(template, values)
