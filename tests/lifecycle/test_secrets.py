"""No secret is on disk, shown, logged or in an error, wherever it was put."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, get_registry, register
from lancelike.errors import EmbeddingError, SchemaError, SecretError
from lancelike.index import IvfFlat
from lancelike.pydantic import LanceModel, Vector

DIM = 4
PLACES = ("key", "header", "url-user", "url-password", "nested", "variable", "default", "typed", "object", "code")
MARK = {place: f"MARK-{place}-7f3a9c/+é" for place in PLACES}
"""A secret for each place it can be put, with characters that URLs and JSON write in other ways."""
ASCII_MARK = {place: f"MARK-{place}-7f3a9c" for place in PLACES}


class Client(BaseModel):
    retries: int = 1
    password: str = ""


@dataclass
class Proxy:
    host: str
    token: str


FAIL_WITH: list[str] = []


@register("secret-keeper")
class Keeper(TextEmbeddingFunction):
    """A custom function whose service quotes every secret it was sent."""

    api_key: str = "$var:LC_KEY"
    base_url: str = ""
    default_headers: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    pat: SecretStr | None = None
    license: str = ""
    note: str = ""
    max_retries: int = 1
    first_wait_s: float = 0.0

    transport_settings: ClassVar[frozenset[str]] = frozenset({"options", "note"})

    @staticmethod
    def sensitive_keys() -> list[str]:
        return ["license"]

    def ndims(self) -> int:
        return DIM

    def generate_embeddings(self, texts: Sequence[str], /) -> Any:
        kind = next((word for text in texts for word in FAIL_WITH if word in text), None)
        if kind:
            self._fail(kind)
        return [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]

    def _fail(self, kind: str) -> None:
        quoted = f"{self._quoted()} {json.dumps(self._quoted())} {'x' * 400} {self._quoted()}"
        try:
            raise KeyError(quoted)
        except KeyError as error:
            raised: Exception = {
                "os": OSError(5, quoted, quoted),
                "value": ValueError({"sent": quoted}, quoted),
                "retried": ConnectionError(quoted),
                "group": ExceptionGroup(quoted, [ValueError(quoted)]),
                "attribute": _with_body(quoted),
                "pydantic": _validation_error(quoted),
            }[kind]
            raised.add_note(quoted)
            raise raised from error

    def _quoted(self) -> str:
        settings = (self.api_key, self.base_url, self.default_headers, self.options, self.license, self.note)
        return f"{settings} {self.pat.get_secret_value() if self.pat else ''}"


def _with_body(text: str) -> Exception:
    error = RuntimeError(text)
    vars(error)["body"] = text  # as HTTP clients do
    return error


def _validation_error(text: str) -> Exception:
    try:
        Client.model_validate({"retries": text})
    except ValueError as error:
        return error
    raise AssertionError


def leaks(text: str) -> list[str]:
    """Which markers are in *text*, by place."""
    return sorted({place for place, mark in ASCII_MARK.items() if mark in text})


def leaks_on_disk(folder: Path) -> list[str]:
    """The same for the bytes of every file under *folder*, and their names."""
    found = {
        f"{place} in {path.relative_to(folder)}"
        for path in folder.rglob("*")
        for place, mark in ASCII_MARK.items()
        if mark in str(path.relative_to(folder)) or (path.is_file() and mark.encode() in path.read_bytes())
    }
    return sorted(found)


def all_shown(error: BaseException) -> str:
    """Everything of *error* that a program or a traceback may show."""
    texts, waiting, seen = ["".join(traceback.format_exception(error))], [error], set[int]()
    while waiting:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        texts += [str(link), repr(link), repr(link.args), repr(vars(link))]
        waiting += [each for each in (link.__cause__, link.__context__) if each is not None]
    return "\n".join(texts)


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LC_KEY", MARK["key"])
    monkeypatch.setenv("LC_AUTH", f"Bearer {MARK['header']}")
    monkeypatch.setenv("LC_URL", f"https://{ASCII_MARK['url-user']}:{ASCII_MARK['url-password']}@host.invalid/v1")
    monkeypatch.setenv("LC_NESTED", MARK["nested"])
    monkeypatch.setenv("LC_SERVICE_TOKEN", MARK["variable"])
    monkeypatch.setenv("LC_TYPED", MARK["typed"])
    monkeypatch.delenv("LC_UNSET", raising=False)
    yield
    FAIL_WITH.clear()


def keeper(**settings: Any) -> Keeper:
    return Keeper.create(
        api_key="$var:LC_KEY",
        base_url="$var:LC_URL",
        default_headers={"Authorization": "$var:LC_AUTH", "X-Team": "search"},
        options={"client": [{"password": "$var:LC_NESTED"}]},
        pat="$var:LC_TYPED",
        note="$var:LC_SERVICE_TOKEN",
        **settings,
    )


LITERALS: list[tuple[str, dict[str, Any]]] = [
    ("api_key", {"api_key": MARK["key"]}),
    ("license", {"license": MARK["key"]}),
    ("pat", {"pat": MARK["typed"]}),
    ("note", {"note": SecretStr(MARK["typed"])}),
    ("base_url", {"base_url": f"https://me:{ASCII_MARK['url-password']}@host.invalid"}),
    ("base_url", {"base_url": f"https://{ASCII_MARK['url-user']}@host.invalid"}),
    ("base_url", {"base_url": f"https://host.invalid/?api_key={MARK['url-user']}"}),
    ("default_headers.Authorization", {"default_headers": {"Authorization": MARK["header"]}}),
    ("default_headers.X-Service-Key", {"default_headers": {"X-Service-Key": MARK["header"]}}),
    ("default_headers.X-Custom", {"default_headers": {"X-Custom": f"Bearer {MARK['header']}"}}),
    ("options.client.password", {"options": {"client": [{"password": MARK["nested"]}]}}),
    ("options.client.password", {"options": {"client": Client(password=MARK["object"])}}),
    ("options.proxy.token", {"options": {"proxy": Proxy("host", MARK["object"])}}),
]


@pytest.mark.parametrize(("place", "settings"), LITERALS)
def test_a_secret_written_out_is_refused_by_the_name_of_its_setting(place: str, settings: dict[str, Any]) -> None:
    with pytest.raises(SecretError) as caught:
        Keeper.create(**settings)
    assert caught.value.setting == place
    assert place in str(caught.value)
    assert leaks(all_shown(caught.value)) == []


@pytest.mark.parametrize(("place", "settings"), [each for each in LITERALS if each[0] != "note"])
def test_a_function_made_without_create_stores_none_either(
    tmp_path: Path, place: str, settings: dict[str, Any]
) -> None:
    function = Keeper(**settings)
    assert leaks(json.dumps(function.stored()) + repr(function) + str(function)) == []

    class Doc(LanceModel):
        text: str = function.SourceField()
        vector: Vector(DIM) = function.VectorField()  # type: ignore[valid-type]  # made per call

    lancelike.connect(tmp_path).create_table("docs", [{"text": "a"}], schema=Doc)
    assert leaks_on_disk(tmp_path) == []


def test_nothing_is_on_disk_shown_or_logged_in_a_tables_whole_life(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    function = keeper(license=f"$var:LC_UNSET:{MARK['default']}")
    assert MARK["key"] in function._quoted()
    assert MARK["default"] in function._quoted()

    class Doc(LanceModel):
        id: int
        text: str = function.SourceField()
        vector: Vector(DIM) = function.VectorField()  # type: ignore[valid-type]  # made per call

    shown: list[str] = []
    with caplog.at_level(logging.DEBUG):
        db = lancelike.connect(tmp_path)
        table = db.create_table("docs", [{"id": i, "text": f"text {i}"} for i in range(20)], schema=Doc)
        table.create_index("vector", config=IvfFlat(num_partitions=1))
        FAIL_WITH[:] = ["os", "value", "retried", "group", "attribute", "pydantic"]
        bad = [{"id": 100 + i, "text": f"this fails with {kind}"} for i, kind in enumerate(FAIL_WITH)]
        for row in bad:
            with pytest.raises(EmbeddingError) as caught:
                table.add([row])
            shown.append(all_shown(caught.value))
        bad = [row for row in bad if "retried" not in str(row["text"])]
        table.add([*bad, {"id": 200, "text": "good"}], on_embedding_error="quarantine")
        with pytest.raises(EmbeddingError) as caught:
            table.search("what fails with os").to_list()
        shown.append(all_shown(caught.value))
        assert table.embedding_errors().num_rows == len(bad)
        table.retry_failed()
        shown += [str(table.embedding_errors().to_pylist())]
        FAIL_WITH.clear()
        assert table.retry_failed().embedded == len(bad)
        table.update("id = 1", values={"text": "another"})
        table.merge_insert("id").when_matched_update_all().execute([{"id": 2, "text": "merged"}])
        table.reembed("vector", Keeper.create(api_key="$var:LC_KEY", source_prompt="passage: "))
        table.rollback_embedding("vector")
        table.optimize()
    shown += [
        *(repr(each) for each in (function, db, table, table.embedding_functions, table.schema, table.health())),
        *(
            str(each)
            for each in (function, table.schema.metadata, db.doctor().to_pylist(), table.plan([{"id": 1, "text": "x"}]))
        ),
        *(repr(each) for each in (table.search("x"), table.model(), table.model().model_fields, Doc.model_fields)),
        *(json.dumps(each.model_json_schema()) for each in (Doc, table.model(), Keeper)),
        json.dumps(function.stored()),
        repr(get_registry()),
    ]
    assert leaks("\n".join(shown)) == []
    assert leaks(caplog.text) == []
    assert "try 2 of 2" in caplog.text
    assert leaks_on_disk(tmp_path) == []
    assert b"$var:LC_KEY" in table.schema.metadata[b"embedding_functions"]


def test_reopened_without_the_key_the_table_reads_and_a_text_search_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = keeper()

    class Doc(LanceModel):
        text: str = function.SourceField()
        vector: Vector(DIM) = function.VectorField()  # type: ignore[valid-type]  # made per call

    lancelike.connect(tmp_path).create_table("docs", [{"text": "a"}, {"text": "b"}], schema=Doc)
    monkeypatch.delenv("LC_KEY")
    table = lancelike.connect(tmp_path).open_table("docs")
    assert table.count_rows("text = 'a'") == 1
    assert len(table.search([0.0] * DIM).to_list()) == 2
    with pytest.raises(EmbeddingError, match="LC_KEY") as caught:
        table.search("a").to_list()
    assert leaks(all_shown(caught.value)) == []


def test_a_new_key_is_the_same_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a vector paid for again for it, wherever the key is put."""
    before = keeper().shaping_settings()
    monkeypatch.setenv("LC_KEY", "another-key")
    monkeypatch.setenv("LC_NESTED", "another-one")
    monkeypatch.setenv("LC_TYPED", "a-third")
    assert keeper().shaping_settings() == before


def test_a_constructor_that_quotes_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = keeper()

    class Doc(LanceModel):
        text: str = function.SourceField()
        vector: Vector(DIM) = function.VectorField()  # type: ignore[valid-type]  # made per call

    lancelike.connect(tmp_path).create_table("docs", [{"text": "a"}], schema=Doc)
    Keeper._instances.clear()

    @register("picky")
    class Picky(Keeper):
        @field_validator("api_key")
        @classmethod
        def refuse(cls, value: str) -> str:
            raise ValueError(f"no key: {value}")

    with pytest.raises(SchemaError, match=r"no key: \*\*\*") as caught:
        Picky.create(api_key="$var:LC_KEY")
    assert leaks(all_shown(caught.value)) == []

    def refuse(self: Keeper, **settings: Any) -> None:
        raise RuntimeError(f"can't start with {settings}")

    monkeypatch.setattr(Keeper, "__init__", refuse)
    db = lancelike.connect(tmp_path)
    table = db.open_table("docs")
    with pytest.raises(EmbeddingError, match="can't start") as unavailable:
        table.search("a").to_list()
    shown = [all_shown(unavailable.value), repr(table.embedding_functions), str(db.doctor().to_pylist())]
    assert leaks("\n".join(shown)) == []


def test_what_another_program_wrote_out_is_not_written_again(tmp_path: Path) -> None:
    """LanceDB stores the keys of custom functions: a table made here from such a function has none."""
    function = get_registry().make(
        "secret-keeper", {"api_key": MARK["key"], "default_headers": {"X-Key": MARK["header"]}}
    )

    class Doc(LanceModel):
        text: str = function.SourceField()
        vector: Vector(DIM) = function.VectorField()  # type: ignore[valid-type]  # made per call

    table = lancelike.connect(tmp_path).create_table("docs", [{"text": "a"}], schema=Doc)
    assert leaks_on_disk(tmp_path) == []
    assert leaks(repr(function) + repr(table.embedding_functions)) == []


def test_a_default_in_the_code_is_not_in_the_json_schema() -> None:
    class Careless(Keeper):
        api_key: str = MARK["code"]
        pat: SecretStr | None = SecretStr(MARK["code"])

    schema = Careless.model_json_schema()
    assert leaks(json.dumps(schema)) == []
    assert "api_key" in schema["properties"]
    assert leaks(repr(Careless()) + json.dumps(Careless().safe_model_dump())) == []
    assert leaks(Careless().redact(f"refused {MARK['code']}")) == []


def test_credentials_of_the_database_are_not_shown() -> None:
    secret = ASCII_MARK["url-password"]
    db = lancelike.connect(f"s3://me:{secret}@bucket/path", storage_options={"aws_secret_access_key": secret})
    assert leaks(repr(db) + str(db) + repr(db._location)) == []
