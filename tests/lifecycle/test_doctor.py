"""What is missing is said before it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lancelike
from lancelike.embeddings import EmbeddingFunctionConfig, TextEmbeddingFunction, get_registry, register


def bind(function: Any, db: lancelike.DBConnection, name: str) -> lancelike.Table:
    config = EmbeddingFunctionConfig("vector", "text", function)
    return db.create_table(name, schema=pa.schema({"text": pa.string()}), embedding_functions=[config])


def test_the_doctor_names_what_each_function_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = lancelike.connect(tmp_path)
    bind(get_registry().get("hash").create(dim=4), db, "fine")

    @register("of-another-program")
    class Custom(TextEmbeddingFunction):
        def ndims(self) -> int:
            return 4

        def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("the doctor embeds nothing")

    bind(Custom.create(), db, "custom")
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    bind(get_registry().get("openai").create(name="text-embedding-3-small", dim=4), db, "remote")
    bind(get_registry().get("hash").create(dim=4), db, "cut").drop_columns(["text"])
    get_registry()._functions.pop("of-another-program")
    monkeypatch.delenv("OPENAI_API_KEY")

    found = {row["table"]: row for row in lancelike.connect(tmp_path).doctor().to_pylist()}
    assert found.keys() == {"fine", "custom", "remote", "cut"}
    assert (found["fine"]["ok"], found["fine"]["problem"]) == (True, None)
    assert not found["custom"]["ok"]
    assert "of-another-program" in found["custom"]["problem"]
    assert "import the module" in found["custom"]["hint"]
    assert not found["remote"]["ok"]
    assert "OPENAI_API_KEY" in found["remote"]["hint"]
    assert not found["cut"]["ok"]
    assert "no column 'text'" in found["cut"]["problem"]
    assert found["fine"]["source_column"] == "text"


def test_a_database_without_functions_is_well(tmp_path: Path) -> None:
    db = lancelike.connect(tmp_path)
    db.create_table("plain", [{"n": 1}])
    assert db.doctor().num_rows == 0
