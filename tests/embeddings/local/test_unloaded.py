"""A path that leads nowhere, in the place of a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from lancelike.embeddings import get_registry
from lancelike.errors import EmbeddingFunctionUnavailable

NAMES = {"siglip": "model_name", "colpali": "model_name"}


@pytest.mark.parametrize("function", ["clap", "clip", "colpali", "huggingface", "model2vec", "open-clip", "siglip"])
@pytest.mark.parametrize("place", ["{}/no-such-model", "~/no-such-model", "./no-such-model"])
def test_it_is_said_that_there_is_nothing(function: str, place: str, tmp_path: Path) -> None:
    path = place.format(tmp_path)
    with pytest.raises(EmbeddingFunctionUnavailable, match=f"can't be loaded: there is nothing at {path}"):
        get_registry().get(function).create(**{NAMES.get(function, "name"): path}).ndims()


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    function = get_registry().get("open-clip").create(name="ViT-B-32", pretrained=str(tmp_path / "weights.pt"))
    with pytest.raises(EmbeddingFunctionUnavailable, match=f"there is nothing at {tmp_path}/weights.pt"):
        function.ndims()
