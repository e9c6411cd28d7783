"""Models that no folder and no package brings are taken from the hub, once, and nothing that is not needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lancelike.embeddings.local.export import export_onnx
from lancelike.embeddings.local.folder import download
from lancelike.errors import EmbeddingFunctionUnavailable
from tests.embeddings.local import hub, tiny

PROGRAM = """
import sys
from lancelike.embeddings import get_registry
from lancelike.errors import EmbeddingError
try:
    print(len(get_registry().get("onnx").create(name=sys.argv[1]).generate_embeddings(["hello"])[0]))
except EmbeddingError as error:
    print(error)
"""


def embed(name: str, endpoint: str, home: Path) -> str:
    """What a new process prints that embeds with the hub's model *name*."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, timeout=120, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    tiny.add_modules(copy, {"pooling_mode": "cls"}, normalize=True)
    (copy / "pytorch_model.bin").write_bytes(b"not needed")
    return copy


def test_weights_are_downloaded_once(folder: Path, tmp_path: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"not needed where the weights will do")
    with hub.serving("someone/model", folder) as (endpoint, asked):
        assert embed("someone/model", endpoint, tmp_path / "home") == "32"
        assert {"config.json", "tokenizer.json", "1_Pooling/config.json", "model.safetensors"} <= set(asked)
        assert not {"pytorch_model.bin", "onnx/model.onnx"} & set(asked)
        before = len(asked)
        assert embed("someone/model", endpoint, tmp_path / "home") == "32"
        assert len(asked) == before
    assert embed("someone/model", endpoint, tmp_path / "home") == "32"  # with no hub at all


def test_a_graph_is_downloaded_for_other_architectures(folder: Path, tmp_path: Path) -> None:
    graph = export_onnx(folder, tmp_path / "exported") / "model.onnx"
    (folder / "onnx").mkdir()
    shutil.copyfile(graph, folder / "onnx" / "model.onnx")
    config = (folder / "config.json").read_text().replace('"model_type": "bert"', '"model_type": "newer"')
    (folder / "config.json").write_text(config)
    with hub.serving("someone/newer", folder) as (endpoint, asked):
        assert embed("someone/newer", endpoint, tmp_path / "home") == "32"
        assert "onnx/model.onnx" in asked
        assert "model.safetensors" not in asked


def test_weights_under_a_known_name_are_checked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub, or one in between, that gives other weights for all-MiniLM-L6-v2 is not believed."""
    monkeypatch.setattr("lancelike.embeddings.local.folder._snapshot", lambda _repo, _patterns: folder)
    assert download("someone/model") == folder
    with pytest.raises(EmbeddingFunctionUnavailable, match="not the published model's"):
        download("all-MiniLM-L6-v2")


def test_a_short_name_is_one_of_sentence_transformers(folder: Path, tmp_path: Path) -> None:
    with hub.serving("sentence-transformers/model", folder) as (endpoint, _):
        assert embed("model", endpoint, tmp_path / "home") == "32"


def test_a_model_that_the_hub_has_not(folder: Path, tmp_path: Path) -> None:
    with hub.serving("someone/model", folder) as (endpoint, _):
        assert "the hub did not give it" in embed("someone/else", endpoint, tmp_path / "home")
