from __future__ import annotations

import dataclasses
import json

import pytest

from lancelike.embeddings.description import FunctionDescription, description_of
from lancelike.embeddings.registry import get_registry

LOCAL = ["onnx", "default", "model2vec", "instructor", "huggingface", "colbert", "gte-text"]


@pytest.mark.parametrize("name", LOCAL)
def test_what_is_said_is_what_the_class_does(name: str) -> None:
    description = description_of(get_registry().get(name))
    assert description is not None
    assert description.default_model == get_registry().get(name).model_fields["name"].default
    assert description.runs == "local"
    assert description.extra
    assert json.loads(json.dumps(description.to_dict()))["modalities"] == ["text"]


def test_the_figures_of_a_model_that_is_here() -> None:
    function = get_registry().get("default").create()
    description = description_of(type(function))
    assert description is not None
    assert description.ndims == function.ndims()
    assert description.context_tokens == function._encoder.folder.max_length  # type: ignore[attr-defined]  # its own


def test_a_class_that_states_nothing() -> None:
    assert description_of(object) is None


def test_a_description_is_a_value() -> None:
    description = FunctionDescription(modalities=("text",), runs="remote")
    with pytest.raises(dataclasses.FrozenInstanceError):
        description.runs = "local"  # type: ignore[misc]  # that is the point
