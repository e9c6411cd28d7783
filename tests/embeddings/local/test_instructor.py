from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lancelike.embeddings.base import EmbeddingFunction
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.providers.instructor import InstructorEmbeddingFunction
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import EmbeddingFunctionUnavailable
from lancelike.testing import EmbeddingFunctionContract
from tests.embeddings.local import tiny

TEXT = "3D ActionSLAM: wearable person tracking"
SOURCE = "Represent the Science title: "
QUERY = "Represent the Science question: "


class TestContract(EmbeddingFunctionContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def use_folder(self, tiny_instructor: Path) -> None:
        self.folder = tiny_instructor

    def make_function(self) -> EmbeddingFunction:
        return get_registry().get("instructor").create(name=str(self.folder))


@pytest.fixture
def function(tiny_instructor: Path) -> InstructorEmbeddingFunction:
    return InstructorEmbeddingFunction.create(
        name=str(tiny_instructor), source_instruction=SOURCE, query_instruction=QUERY
    )


def by_hand(folder: Path, instruction: str, text: str) -> Any:
    """The published computation: the mean over the tokens after the instruction, a dense layer, unit length."""
    tokenizer = tiny.transformers.AutoTokenizer.from_pretrained(folder)
    model = tiny.transformers.T5EncoderModel.from_pretrained(folder).eval()
    tokens = tokenizer(instruction + text, return_tensors="pt")
    skipped = len(tokenizer(instruction, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        hidden = model(input_ids=tokens["input_ids"]).last_hidden_state[0]
    weights = torch.load(folder / "2_Dense" / "pytorch_model.bin")["linear.weight"]
    vector = hidden[skipped:].mean(0) @ weights.T
    return (vector / vector.norm()).numpy()


def test_the_instruction_is_read_and_left_out_of_the_mean(
    function: InstructorEmbeddingFunction, tiny_instructor: Path
) -> None:
    vector = np.array(embed_sources(function, [TEXT]))[0]
    np.testing.assert_allclose(vector, by_hand(tiny_instructor, SOURCE, TEXT), atol=1e-5)
    np.testing.assert_allclose(embed_query(function, TEXT), by_hand(tiny_instructor, QUERY, TEXT), atol=1e-5)
    assert np.abs(vector - embed_query(function, TEXT)).max() > 1e-3


def test_prompts_come_after_the_instruction(tiny_instructor: Path) -> None:
    function = InstructorEmbeddingFunction.create(
        name=str(tiny_instructor), source_instruction=SOURCE, source_prompt="passage "
    )
    vector = np.array(embed_sources(function, [TEXT]))[0]
    np.testing.assert_allclose(vector, by_hand(tiny_instructor, SOURCE, f"passage {TEXT}"), atol=1e-5)


def test_settings_of_lancedb_are_taken(tiny_instructor: Path) -> None:
    model = {
        "name": str(tiny_instructor),
        "batch_size": 32,
        "device": "cpu",
        "show_progress_bar": True,
        "normalize_embeddings": False,
        "quantize": False,
        "source_instruction": "represent the document for retrieval",
        "query_instruction": "represent the document for retrieving the most similar documents",
    }
    assert get_registry().make("instructor", model).ndims() == 24


def test_quantized_vectors_are_near(function: InstructorEmbeddingFunction, tiny_instructor: Path) -> None:
    quantized = InstructorEmbeddingFunction.create(name=str(tiny_instructor), source_instruction=SOURCE, quantize=True)
    exact, near = function.generate_embeddings([TEXT])[0], quantized.generate_embeddings([TEXT])[0]
    assert 0.99 < float(exact @ near) < 1.0


def test_no_such_model() -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match="can't be loaded"):
        InstructorEmbeddingFunction.create(name="no/such-model").ndims()
