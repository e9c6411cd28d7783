"""The list of functions, in the terminal and in the documentation."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lancelike.cli import main
from lancelike.cli.catalogue import catalogue, markdown

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:.*palm:FutureWarning")


def test_the_documented_table_is_the_codes() -> None:
    """`lancelike functions --markdown` writes it."""
    assert markdown() in (ROOT / "docs" / "providers.md").read_text()


def test_every_extra_named_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {row["extra"] for row in catalogue() if row["extra"]} <= extras.keys()


def test_functions_are_listed_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["functions"]) == 0
    printed = capsys.readouterr().out
    assert "bedrock-text" in printed
    assert "text-embedding" in printed


def test_a_model_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "exported"
    assert main(["export-onnx", "all-MiniLM-L6-v2", str(target)]) == 0
    assert {"model.onnx", "tokenizer.json"} <= {path.name for path in target.iterdir()}
    assert str(target) in capsys.readouterr().out


def test_the_doctor_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import lancelike
    from lancelike.embeddings import EmbeddingFunctionConfig, get_registry

    words = get_registry().get("hash").create(dim=4)
    config = EmbeddingFunctionConfig("vector", "text", words)
    table = lancelike.connect(tmp_path).create_table("t", [{"text": "a"}], embedding_functions=[config])
    assert main(["doctor", str(tmp_path)]) == 0
    assert "yes" in capsys.readouterr().out
    table.drop_columns(["text"])
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", str(tmp_path)])
    assert stopped.value.code == 1
    assert "no column 'text'" in capsys.readouterr().out
