"""Text models run by onnxruntime give the vectors that sentence-transformers gives, from a folder, with no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
import sentence_transformers
import torch

from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.local import models
from lancelike.embeddings.local.encoder import TextEncoder, _passes, usable_threads
from lancelike.embeddings.local.export import export_onnx
from lancelike.embeddings.local.folder import Pooling, download, read_folder
from lancelike.embeddings.local.graph import write_graph
from lancelike.embeddings.providers.default import DefaultEmbeddings
from lancelike.embeddings.providers.onnx import OnnxEmbeddings
from lancelike.embeddings.registry import EmbeddingFunctionRegistry
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import EmbeddingFunctionUnavailable, SchemaError
from tests.embeddings.local import tiny
from tests.embeddings.local.conftest import MINILM
from tests.embeddings.local.tiny import TEXTS

OLD_POOLING_KEYS = [
    ("pooling_mode_cls_token", "cls"),
    ("pooling_mode_mean_tokens", "mean"),
    ("pooling_mode_max_tokens", "max"),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
    ("pooling_mode_weightedmean_tokens", "weightedmean"),
    ("pooling_mode_lasttoken", "lasttoken"),
]


def encode_with_torch(folder: Path, texts: list[str]) -> Any:
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.encode(texts, show_progress_bar=False)


def cosines(left: Any, right: Any) -> Any:
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    """A folder to change: a tiny BERT without sentence-transformers' configuration."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


class TestTheRealModel:
    def test_vectors_are_those_of_sentence_transformers(self, minilm: Path) -> None:
        ours = DefaultEmbeddings.create().generate_embeddings(TEXTS)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, encode_with_torch(minilm, TEXTS), atol=2e-6)

    def test_int8_is_near_float32(self) -> None:
        words = ["vector", "index", "file", "table", "query", "row", "commit", "search", "filter", "text", "image"]
        texts = [f"{a} of a {b} with {c}" for a, b, c in zip(words, words[3:], words[5:], strict=False)] + TEXTS
        exact = DefaultEmbeddings.create().generate_embeddings(texts)
        fast = DefaultEmbeddings.create(precision="int8").generate_embeddings(texts)
        assert cosines(exact, fast).mean() > 0.99
        assert cosines(exact, fast).min() > 0.97

    @pytest.mark.parametrize("precision", ["float32", "int8"])
    def test_a_vector_depends_on_its_text_alone(self, precision: models.Precision) -> None:
        function = DefaultEmbeddings.create(precision=precision)
        alone = np.concatenate([function.generate_embeddings([text]) for text in TEXTS])
        np.testing.assert_allclose(function.generate_embeddings(TEXTS * 3), np.tile(alone, (3, 1)), atol=1e-5)

    def test_like_texts_are_near(self) -> None:
        function = DefaultEmbeddings.create()
        stored = np.array(embed_sources(function, ["A recipe for bread", "The engine of a car", "A lullaby"]))
        assert int(np.argmax(stored @ embed_query(function, "how do I bake a loaf?"))) == 0

    def test_it_needs_no_torch(self, minilm: Path, graph_cache: Path) -> None:
        program = (
            "import sys\n"
            "from lancelike.embeddings import get_registry\n"
            "function = get_registry().get('default').create()\n"
            "print(len(function.generate_embeddings(['hello'])[0]))\n"
            "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))\n"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
        assert ran.stdout.split("\n")[:2] == ["384", "[]"]
        assert not ran.stderr

    def test_default_is_the_model_by_name(self) -> None:
        assert DefaultEmbeddings.create().name == MINILM
        assert DefaultEmbeddings.create().ndims() == 384
        by_full_name = OnnxEmbeddings.create(name=f"sentence-transformers/{MINILM}")
        np.testing.assert_array_equal(
            by_full_name.generate_embeddings(["x"]), DefaultEmbeddings.create().generate_embeddings(["x"])
        )


class TestFolders:
    @pytest.mark.parametrize(("key", "mode"), OLD_POOLING_KEYS)
    @pytest.mark.parametrize("normalize", [True, False])
    def test_pooling_and_normalisation_are_the_folders(
        self, folder: Path, key: str, mode: str, normalize: bool
    ) -> None:
        flags = {each: each == key for each, _ in OLD_POOLING_KEYS}
        tiny.add_modules(folder, flags, normalize=normalize)
        ours = OnnxEmbeddings.create(name=str(folder)).generate_embeddings(TEXTS)
        np.testing.assert_allclose(ours, encode_with_torch(folder, TEXTS), atol=1e-5)
        tiny.add_modules(folder, {"pooling_mode": mode}, normalize=normalize)
        assert read_folder(folder).pooling == mode

    @pytest.mark.parametrize("mode", get_args(Pooling))
    def test_settings_go_before_the_folders(self, folder: Path, mode: Pooling) -> None:
        tiny.add_modules(folder, {"pooling_mode": mode}, normalize=True)
        by_folder = OnnxEmbeddings.create(name=str(folder)).generate_embeddings(TEXTS)
        bare = Path(shutil.copytree(folder, folder.with_name("bare")))
        (bare / "modules.json").unlink()
        by_settings = OnnxEmbeddings.create(name=str(bare), pooling=mode, normalize=True)
        np.testing.assert_allclose(by_settings.generate_embeddings(TEXTS), by_folder, atol=1e-6)

    def test_a_bare_transformer_is_pooled_by_mean(self, tiny_bert: Path) -> None:
        ours = OnnxEmbeddings.create(name=str(tiny_bert)).generate_embeddings(TEXTS)
        np.testing.assert_allclose(ours, encode_with_torch(tiny_bert, TEXTS), atol=1e-5)

    def test_roberta_counts_positions_after_padding(self, tiny_roberta: Path) -> None:
        ours = OnnxEmbeddings.create(name=str(tiny_roberta)).generate_embeddings(TEXTS)
        np.testing.assert_allclose(ours, encode_with_torch(tiny_roberta, TEXTS), atol=1e-5)

    @pytest.mark.parametrize("activation", ["relu", "gelu_new"])
    def test_activations(self, tmp_path: Path, activation: str) -> None:
        folder = tiny.write_bert(tmp_path / "model", hidden_act=activation)
        ours = OnnxEmbeddings.create(name=str(folder)).generate_embeddings(TEXTS)
        np.testing.assert_allclose(ours, encode_with_torch(folder, TEXTS), atol=1e-5)

    def test_a_graph_made_elsewhere(self, folder: Path) -> None:
        """With token types among its inputs, and no weights beside it."""
        model = tiny.transformers.BertModel.from_pretrained(folder).eval()
        expected = encode_with_torch(folder, TEXTS[:2])
        write_foreign_graph(model, folder / "model.onnx")
        (folder / "model.safetensors").unlink()
        function = OnnxEmbeddings.create(name=str(folder))
        np.testing.assert_allclose(function.generate_embeddings(TEXTS[:2]), expected, atol=1e-5)
        fast = OnnxEmbeddings.create(name=str(folder), precision="int8").generate_embeddings(TEXTS[:2])
        assert cosines(fast, expected).min() > 0.99

    def test_max_length_cuts(self, tiny_bert: Path) -> None:
        short = OnnxEmbeddings.create(name=str(tiny_bert), max_length=5)
        np.testing.assert_array_equal(*short.generate_embeddings(["abcdef", "abcxyz"]))
        assert len(models.load_encoder(str(tiny_bert), "float32", 5, None).tokenize(["abcdef"])[0]) == 5
        longest = models.load_encoder(str(tiny_bert), "float32", 9999, None)
        assert len(longest.tokenize(["a" * 9999])[0]) == tiny.LONGEST

    def test_tokens_are_counted_whole(self, tiny_bert: Path) -> None:
        assert OnnxEmbeddings.create(name=str(tiny_bert)).count_tokens(["", "abc", "x" * 500]) == [2, 5, 502]

    def test_lowercase(self, folder: Path) -> None:
        tiny.add_modules(folder, {"pooling_mode": "mean"}, normalize=False)
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20, "do_lower_case": True}))
        np.testing.assert_array_equal(*OnnxEmbeddings.create(name=str(folder)).generate_embeddings(["ABC", "abc"]))

    def test_lone_surrogates_are_taken(self, tiny_bert: Path) -> None:
        assert np.isfinite(OnnxEmbeddings.create(name=str(tiny_bert)).generate_embeddings(["a\udc00b"])).all()

    def test_no_texts(self, tiny_bert: Path) -> None:
        assert OnnxEmbeddings.create(name=str(tiny_bert)).generate_embeddings([]).shape == (0, 32)


def write_foreign_graph(model: Any, path: Path) -> None:
    """A graph that takes token types, as exporters write it."""
    ours = write_graph(read_folder(path.parent))
    kinds = onnx.helper.make_tensor_value_info("token_type_ids", onnx.TensorProto.INT64, ["batch", "sequence"])
    ours.graph.input.append(kinds)
    onnx.save(ours, path)
    with torch.no_grad():
        assert model(torch.tensor([[0, 5, 2]])).last_hidden_state.shape == (1, 3, 32)


class TestWhatCantBeUsed:
    def unavailable(self, folder: Path, **settings: Any) -> str:
        with pytest.raises(EmbeddingFunctionUnavailable) as caught:
            OnnxEmbeddings.create(name=str(folder), **settings).ndims()
        return str(caught.value)

    def test_no_tokenizer(self, folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        assert "tokenizer.json" in self.unavailable(folder)

    def test_no_weights(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        assert "has no model.safetensors" in self.unavailable(folder)

    @pytest.mark.parametrize(
        ("key", "value"), [("model_type", "mamba"), ("position_embedding_type", "relative_key"), ("hidden_act", "silu")]
    )
    def test_another_architecture(self, folder: Path, key: str, value: str) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, key: value}))
        problem = self.unavailable(folder)
        assert value in problem
        assert "sentence-transformers" in problem

    def test_a_module_it_can_t_do(self, folder: Path) -> None:
        tiny.add_modules(folder, {"pooling_mode": "mean"}, normalize=True)
        modules = (folder / "modules.json").read_text().replace("models.Normalize", "models.Dense")
        (folder / "modules.json").write_text(modules)
        assert "has a module Dense" in self.unavailable(folder)

    def test_two_ways_of_pooling(self, folder: Path) -> None:
        tiny.add_modules(folder, {"pooling_mode": ["mean", "max"]}, normalize=True)
        assert "mean and max" in self.unavailable(folder)

    def test_no_such_model(self) -> None:
        problem = self.unavailable(Path("no-such-model"))
        assert "neither a folder nor in an installed package" in problem

    def test_settings_out_of_range(self) -> None:
        with pytest.raises(SchemaError, match="precision"):
            OnnxEmbeddings.create(precision="int4")

    def test_a_graph_with_other_inputs(self, folder: Path) -> None:
        graph = write_graph(read_folder(folder))
        extra = onnx.helper.make_tensor_value_info("pixel_values", onnx.TensorProto.FLOAT, ["batch"])
        graph.graph.input.append(extra)
        onnx.save(graph, folder / "model.onnx")
        assert "pixel_values" in self.unavailable(folder)


class TestGraphsOnDisk:
    def test_written_once(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LANCELIKE_CACHE", str(tmp_path / "cache"))
        opened = read_folder(folder)
        first = models.graph_file(opened, "float32")
        assert isinstance(first, Path)
        written = first.stat().st_mtime_ns
        assert models.graph_file(opened, "float32") == first
        assert first.stat().st_mtime_ns == written
        assert models.graph_file(opened, "int8") != first
        assert sorted(first.parent.iterdir()) == sorted({first, models.graph_file(opened, "int8")})

    def test_other_weights_are_another_graph(self, folder: Path) -> None:
        before = models.graph_file(read_folder(folder), "float32")
        shutil.copyfile(
            tiny.write_bert(folder.with_name("other"), hidden_act="relu") / "config.json", folder / "config.json"
        )
        assert models.graph_file(read_folder(folder), "float32") != before

    def test_where_none_can_be_written(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("LANCELIKE_CACHE", str(tmp_path / "file"))
        graph = models.graph_file(read_folder(folder), "float32")
        assert isinstance(graph, bytes)
        assert TextEncoder(read_folder(folder), graph, 1).ndims == 32

    def test_one_model_per_process(self, tiny_bert: Path) -> None:
        loaded = models.load_encoder(str(tiny_bert), "float32", None, None)
        assert models.load_encoder(str(tiny_bert), "float32", None, None) is loaded


class TestExport:
    @pytest.mark.parametrize("precision", ["float32", "int8"])
    def test_the_folder_stands_alone(self, folder: Path, tmp_path: Path, precision: models.Precision) -> None:
        tiny.add_modules(folder, {"pooling_mode": "cls"}, normalize=True)
        expected = OnnxEmbeddings.create(name=str(folder), precision=precision).generate_embeddings(TEXTS)
        target = export_onnx(folder, tmp_path / "deep" / "out", precision=precision)
        assert not (target / "model.safetensors").exists()
        ours = OnnxEmbeddings.create(name=str(target)).generate_embeddings(TEXTS)
        np.testing.assert_allclose(ours, expected, atol=1e-6)

    def test_files_are_not_written_over(self, tiny_bert: Path, tmp_path: Path) -> None:
        export_onnx(tiny_bert, tmp_path / "out")
        with pytest.raises(FileExistsError, match="overwrite=True"):
            export_onnx(tiny_bert, tmp_path / "out")
        export_onnx(tiny_bert, tmp_path / "out", overwrite=True)


class TestRunning:
    def test_many_threads_at_once(self, tiny_bert: Path) -> None:
        function = OnnxEmbeddings.create(name=str(tiny_bert))
        expected = function.generate_embeddings(TEXTS)
        answers: list[Any] = []
        threads = [
            threading.Thread(target=lambda: answers.append(function.generate_embeddings(TEXTS))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 8
        for answer in answers:
            np.testing.assert_array_equal(answer, expected)

    def test_passes_hold_texts_of_like_length(self) -> None:
        tokens = [[0] * n for n in (300, 3, 5, 100, 4, 90, 2000)]
        passes = list(_passes(tokens, 256))
        assert passes == [[1, 4, 2], [5, 3], [0], [6]]

    def test_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert usable_threads() == 3
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert usable_threads() >= 1

    def test_a_table_records_the_settings_given(self) -> None:
        registry = EmbeddingFunctionRegistry()
        stored = registry.get("onnx").create(name="folder", precision="int8").stored()
        assert stored == {"name": "onnx", "model": {"name": "folder", "precision": "int8"}}
        assert registry.get("default").create().stored() == {"name": "default", "model": {}}


def test_download_says_what_the_hub_said() -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match="the hub did not give it"):
        download("someone/nothing")
