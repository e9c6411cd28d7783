"""Rerankers whose model runs here, on small models with random weights."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import load_file, save_file

from lancelike.errors import RerankError
from lancelike.rerankers import AnswerdotaiRerankers, ColbertReranker, CrossEncoderReranker, Reranker
from tests.embeddings.local.tiny import transformers, write_bert, write_tokenizer

QUERY = "apple tart"


def write_classifier(folder: Path, labels: int = 1) -> Path:
    """A cross-encoder: BERT that classifies pairs of texts."""
    torch.manual_seed(3)
    size = write_tokenizer(folder, pad="[PAD]", start="[CLS]", end="[SEP]", unknown="[UNK]")
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(
        vocab_size=size,
        max_position_embeddings=64,
        pad_token_id=1,
        initializer_range=0.5,
        num_labels=labels,
        **shape,
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_classifier(tmp_path_factory.mktemp("cross-encoder")))


@pytest.fixture(scope="module")
def colbert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The files of a ColBERT model: BERT, with a mask token, and a linear layer of 128 over it."""
    folder = write_bert(tmp_path_factory.mktemp("colbert"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"mask_token": "~"})
    tokenizer.save_pretrained(folder)
    bert = {f"bert.{name}": weight for name, weight in load_file(folder / "model.safetensors").items()}
    linear = np.random.default_rng(0).normal(size=(128, 32)).astype(np.float32)
    save_file({**bert, "linear.weight": linear}, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def expected(model_name: str, texts: list[str]) -> list[float]:
    """The scores that the model gives each pair when asked alone, by its own classes."""
    from sentence_transformers import CrossEncoder

    return [float(CrossEncoder(model_name, device="cpu").predict((QUERY, text))) for text in texts]


def test_the_order_is_the_cross_encoder_s(classifier: str, nearest: pa.Table, matching: pa.Table) -> None:
    found = CrossEncoderReranker(classifier, device="cpu").rerank_hybrid(QUERY, nearest, matching)
    assert sorted(found["_rowid"].to_pylist()) == [1, 2, 3, 4]
    scores = found["_relevance_score"].to_numpy()
    np.testing.assert_allclose(scores, expected(classifier, found["text"].to_pylist()), rtol=1e-4)
    assert len(set(scores)) == 4
    assert list(scores) == sorted(scores, reverse=True)


def test_a_batch_equals_its_parts(classifier: str, nearest: pa.Table) -> None:
    one = CrossEncoderReranker(classifier, device="cpu", batch_size=1).rerank_vector(QUERY, nearest)
    all_at_once = CrossEncoderReranker(classifier, device="cpu").rerank_vector(QUERY, nearest)
    assert one["_rowid"].to_pylist() == all_at_once["_rowid"].to_pylist()
    np.testing.assert_allclose(one["_relevance_score"], all_at_once["_relevance_score"], rtol=1e-4)


def test_nulls_come_last_and_repeats_are_scored_once(classifier: str) -> None:
    reranker = CrossEncoderReranker(classifier, device="cpu")
    asked: list[Any] = []
    predict = reranker.model.predict

    def noted(pairs: list[Any], **options: Any) -> Any:
        asked.extend(pairs)
        return predict(pairs, **options)

    reranker.model.predict = noted
    rows = pa.table({"_rowid": [1, 2, 3], "text": ["beef", None, "beef"], "_score": [3.0, 2.0, 1.0]})
    found = reranker.rerank_fts(QUERY, rows)
    assert asked == [(QUERY, "beef")]
    assert found["_rowid"].to_pylist() == [1, 3, 2]
    assert found["_relevance_score"].to_pylist()[2] is None


def test_a_classifier_of_several_labels_is_no_reranker(tmp_path: Path, nearest: pa.Table) -> None:
    reranker = CrossEncoderReranker(str(write_classifier(tmp_path, labels=3)), device="cpu")
    with pytest.raises(RerankError, match=r"shape \(3, 3\) for 3 texts"):
        reranker.rerank_vector(QUERY, nearest)


def test_code_of_a_model_is_not_trusted_unasked() -> None:
    assert CrossEncoderReranker().trust_remote_code is False


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RerankError, match=r"empty. can.t be loaded: .*model_name= a folder") as caught:
        CrossEncoderReranker(str(tmp_path / "empty"), device="cpu").rerank_vector("a", pa.table({"text": ["b"]}))
    assert isinstance(caught.value.__cause__, OSError | ValueError)


def test_settings_of_the_model(classifier: str) -> None:
    assert CrossEncoderReranker(classifier, max_length=16, device="cpu").model.max_seq_length == 16


@pytest.mark.filterwarnings("ignore:.*torch_dtype.*")
@pytest.mark.parametrize("model_type", ["cross-encoder"])
def test_a_model_of_answerdotai_s_package(model_type: str, classifier: str, nearest: pa.Table) -> None:
    reranker = AnswerdotaiRerankers(model_type, classifier, device="cpu", dtype="float32")
    found = reranker.rerank_vector(QUERY, nearest)
    direct = reranker.reranker.rank(QUERY, nearest["text"].to_pylist())
    assert found["text"].to_pylist() == [each.document.text for each in direct.results]
    np.testing.assert_allclose(found["_relevance_score"], [each.score for each in direct.results], rtol=1e-4)


def test_colbert(colbert: str, nearest: pa.Table, matching: pa.Table) -> None:
    reranker = ColbertReranker(colbert, device="cpu", dtype="float32", query_token="a", document_token="b")
    found = reranker.rerank_hybrid(QUERY, nearest, matching)
    direct = reranker.reranker.rank(QUERY, ["apple pie", "apple tart", "beef stew", "noodle soup"])
    assert found["text"].to_pylist() == [each.document.text for each in direct.results]
    assert str(reranker) == f"ColbertReranker(model_type=colbert, model_name={colbert})"


def test_a_model_without_scores_goes_by_places(nearest: pa.Table) -> None:
    """As the chat models of the package do."""
    package: Any = importlib.import_module("rerankers")
    results: Any = importlib.import_module("rerankers.results")

    class Backwards:
        def rank(self, query: str, docs: list[str], doc_ids: list[int]) -> Any:
            turned = [package.Document(text, doc_id) for text, doc_id in zip(docs, doc_ids, strict=True)][::-1]
            return results.RankedResults([results.Result(each, rank=i) for i, each in enumerate(turned, 1)], query)

    reranker = AnswerdotaiRerankers("rankgpt", "any")
    vars(reranker)["reranker"] = Backwards()
    found = reranker.rerank_vector(QUERY, nearest)
    assert found["_rowid"].to_pylist() == [3, 2, 1]
    np.testing.assert_allclose(found["_relevance_score"], [1, 1 / 2, 1 / 3])


def test_a_kind_that_the_package_cannot_make(nearest: pa.Table, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RerankError, match="no model of type 'flashrank' here"):
        AnswerdotaiRerankers("flashrank", "any").rerank_vector(QUERY, nearest)


@pytest.mark.parametrize(
    ("reranker", "package", "extra"),
    [
        (CrossEncoderReranker(), "sentence_transformers", "sentence-transformers"),
        (ColbertReranker(), "rerankers", "rerankers"),
        (AnswerdotaiRerankers(), "rerankers", "rerankers"),
    ],
    ids=str,
)
def test_a_missing_package_is_named_with_its_extra(
    reranker: Reranker, package: str, extra: str, nearest: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"pip install 'lancelike\[{extra}\]'"):
        reranker.rerank_vector(QUERY, nearest)


def test_a_copy_of_it_works(classifier: str, nearest: pa.Table) -> None:
    reranker = CrossEncoderReranker(classifier, device="cpu")
    found = reranker.rerank_vector(QUERY, nearest)
    assert pickle.loads(pickle.dumps(reranker)).rerank_vector(QUERY, nearest).equals(found)


def test_nothing_is_loaded_for_nothing(nearest: pa.Table) -> None:
    found = CrossEncoderReranker("no/such-model").rerank_vector(QUERY, nearest[:0])
    assert (found.num_rows, "_relevance_score" in found.column_names) == (0, True)
