"""A table opens and works without its model's package, key, class or a network; text search says what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lancelike
from lancelike.embeddings import EmbeddingFunctionConfig, TextEmbeddingFunction, get_registry, register

BLOCKED = """
import socket, sys

ATTEMPTS = []

def refuse(*args, **kwargs):
    ATTEMPTS.append(args)
    raise AssertionError(f"a connection was tried: {args}")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse

sys.modules.update(dict.fromkeys(MISSING))
"""
USES = """
import json, warnings
import lancelike

warnings.simplefilter("error")
table = lancelike.connect(FOLDER).open_table("docs")
facts = {}
facts["rows"] = table.count_rows()
facts["filtered"] = table.count_rows("id > 0")
facts["read"] = table.to_arrow().num_rows
facts["nearest"] = table.search([1.0] * DIM).limit(1).to_list()[0]["id"]
facts["added"] = table.add([{"id": 9, "text": "given", "vector": [0.5] * DIM}]).version
facts["updated"] = table.update("id = 9", values={"id": 10}).rows_updated
merge = table.merge_insert("id").when_not_matched_insert_all()
facts["merged"] = merge.execute([{"id": 11, "text": "given too", "vector": [0.1] * DIM}]).num_inserted_rows
facts["stale"] = table.verify().num_rows
facts["advice"] = table.health().advice
facts["deleted"] = table.delete("id >= 10").num_deleted_rows
facts["doctor"] = lancelike.connect(FOLDER).doctor().to_pylist()[0]
uses = {"search": lambda: table.search("a text").to_list(), "add": lambda: table.add([{"id": 1, "text": "new"}])}
for name, use in uses.items():
    try:
        use()
    except lancelike.errors.EmbeddingFunctionUnavailable as error:
        facts[name] = str(error)
        facts["function"], facts["hint"] = error.function, error.hint
facts["kept"] = table.count_rows()
facts["attempts"] = len(ATTEMPTS)
facts["loaded"] = [name for name in ("torch", "onnxruntime", "transformers", "openai") if sys.modules.get(name)]
print(json.dumps(facts))
"""
SEES = """
import json
import lancelike
import lancelike.errors

table = lancelike.connect(FOLDER).open_table("docs")
table.add([{"id": 3, "text": "a lamp on the desk"}])
found = table.search("a lamp on a desk").limit(1).to_list()[0]["id"]
print(json.dumps({"found": found, "attempts": len(ATTEMPTS)}))
"""


def run(script: str, folder: Path, dim: int, missing: tuple[str, ...] = ()) -> dict[str, Any]:
    """What *script* prints in a new process without a network, without the packages *missing*, without variables."""
    head = f"FOLDER, DIM, MISSING = {str(folder)!r}, {dim}, {missing!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", head + BLOCKED + script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(lancelike.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def make(folder: Path, function: Any, dim: int) -> None:
    """Two rows with vectors given, in a table that *function* embeds for."""
    schema = pa.schema({"id": pa.int64(), "text": pa.string(), "vector": pa.list_(pa.float32(), dim)})
    config = EmbeddingFunctionConfig("vector", "text", function)
    table = lancelike.connect(folder).create_table("docs", schema=schema, embedding_functions=[config])
    rows = [{"id": i, "text": f"text {i}", "vector": [float(i)] * dim} for i in range(2)]
    table.add(rows)


def check_all_but_texts(facts: dict[str, Any]) -> None:
    expected = {"rows": 2, "filtered": 1, "read": 2, "nearest": 1, "added": 3, "updated": 1, "merged": 1, "deleted": 2}
    assert {name: facts[name] for name in expected} == expected
    assert (facts["stale"], facts["advice"], facts["kept"]) == (0, [], 2)
    assert (facts["attempts"], facts["loaded"]) == (0, [])
    assert not facts["doctor"]["ok"]


def test_without_the_package(tmp_path: Path) -> None:
    make(tmp_path, get_registry().get("sentence-transformers").create(name="all-MiniLM-L6-v2"), 384)
    facts = run(USES, tmp_path, 384, ("sentence_transformers", "torch", "transformers"))
    check_all_but_texts(facts)
    for message in (facts["search"], facts["add"]):
        assert "sentence-transformers" in message
        assert "pip install" in message
    assert facts["function"] == "sentence-transformers"
    assert "pip install" in facts["doctor"]["problem"] + facts["doctor"]["hint"]


def test_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    make(tmp_path, get_registry().get("openai").create(name="text-embedding-3-small", dim=8), 8)
    facts = run(USES, tmp_path, 8)
    check_all_but_texts(facts | {"loaded": []})
    assert "OPENAI_API_KEY" in facts["search"]
    assert "OPENAI_API_KEY" in facts["doctor"]["problem"]


def test_without_the_class(tmp_path: Path) -> None:
    @register("of-a-module-not-imported")
    class Custom(TextEmbeddingFunction):
        def ndims(self) -> int:
            return 8

        def generate_embeddings(self, texts: Any, /) -> Any:
            return [[0.0] * 8 for _ in texts]

    make(tmp_path, Custom.create(), 8)
    facts = run(USES, tmp_path, 8)
    check_all_but_texts(facts)
    assert "'of-a-module-not-imported'" in facts["search"]
    assert "import the module that registers it" in facts["hint"]


def test_with_the_model_on_this_machine_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    function = get_registry().get("default").create()
    make(tmp_path, function, function.ndims())
    assert run(SEES, tmp_path, function.ndims()) == {"found": 3, "attempts": 0}
