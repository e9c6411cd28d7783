"""Another model behind the same name is noticed before it makes a vector."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, get_registry, register
from lancelike.errors import EmbeddingError, ModelDriftError, ModelDriftWarning
from lancelike.ledger.canaries import TEXT_CANARIES
from lancelike.pydantic import LanceModel, Vector

SENT: list[str] = []


def define_model(seed: int, noise: float = 0.0) -> None:
    """(Re)define the class registered as drifting; another *seed* is another model of the same name and length."""

    @register("drifting")
    class Drifting(TextEmbeddingFunction):
        def ndims(self) -> int:
            return 8

        def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            SENT.extend(texts)
            return [vector_of(text, seed) + noise for text in texts]


def vector_of(text: str, seed: int) -> Any:
    return np.random.default_rng([seed, *text.encode()]).standard_normal(8)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    SENT.clear()
    yield
    get_registry()._functions.pop("drifting", None)


def make_table(folder: Path, name: str = "docs") -> lancelike.Table:
    function = get_registry().get("drifting").create()

    class Doc(LanceModel):
        text: str = function.SourceField()
        vector: Vector(8) = function.VectorField()  # type: ignore[valid-type]  # made per call

    return lancelike.connect(folder).create_table(name, schema=Doc)


def test_another_model_is_refused_by_text_search_and_add_alone(tmp_path: Path) -> None:
    define_model(1)
    make_table(tmp_path).add([{"text": "cat"}, {"text": "dog"}])
    define_model(2)
    table = lancelike.connect(tmp_path).open_table("docs")
    with pytest.raises(ModelDriftError, match="drifting is not the model") as caught:
        table.search("cat").to_list()
    assert caught.value.cosine < 0.999
    assert caught.value.stored == caught.value.current
    with pytest.raises(ModelDriftError):
        table.add([{"text": "bird"}])
    with pytest.raises(ModelDriftError):
        table.update(where="text = 'cat'", values={"text": "bird"})
    assert table.search(vector_of("cat", 1)).limit(1).to_list()[0]["text"] == "cat"
    table.add([{"text": "given", "vector": [1.0] * 8}])
    assert table.count_rows() == 3


def test_allow_drift_warns(tmp_path: Path) -> None:
    define_model(1)
    make_table(tmp_path).add([{"text": "cat"}])
    define_model(2)
    for table in (
        lancelike.connect(tmp_path, allow_drift=True).open_table("docs"),
        lancelike.connect(tmp_path).open_table("docs", allow_drift=True),
    ):
        with pytest.warns(ModelDriftWarning, match="drifting"):
            table.search("cat").to_list()


def test_the_last_digits_may_change(tmp_path: Path) -> None:
    define_model(1)
    make_table(tmp_path).add([{"text": "cat"}])
    define_model(1, noise=1e-3)
    table = lancelike.connect(tmp_path).open_table("docs")
    table.add([{"text": "dog"}])
    assert table.search("dog").limit(1).to_list()[0]["text"] == "dog"


def test_a_new_table_takes_nothing_of_the_other_model_from_the_ledger(tmp_path: Path) -> None:
    define_model(1)
    make_table(tmp_path).add([{"text": "cat"}])
    define_model(2)
    table = make_table(tmp_path, "other")
    assert table.add([{"text": "cat"}]).embedding.reused == 0
    np.testing.assert_allclose(table.to_arrow()["vector"][0].as_py(), vector_of("cat", 2), rtol=1e-6)
    with pytest.raises(ModelDriftError):
        lancelike.connect(tmp_path).open_table("docs").search("cat").to_list()


def test_reembed_moves_the_table_to_the_model_that_took_the_name(tmp_path: Path) -> None:
    define_model(1)
    make_table(tmp_path).add([{"text": "cat"}, {"text": "dog"}])
    define_model(2)
    table = lancelike.connect(tmp_path).open_table("docs")
    receipt = table.reembed("vector", get_registry().get("drifting").create())
    assert (receipt.texts, receipt.reused, receipt.embedded) == (2, 0, 2)
    assert table.search("dog").limit(1).to_list()[0]["text"] == "dog"
    np.testing.assert_allclose(table.to_arrow()["vector"][0].as_py(), vector_of("cat", 2), rtol=1e-6)
    define_model(1)
    with pytest.raises(ModelDriftError):
        lancelike.connect(tmp_path).open_table("docs").search("cat").to_list()


def test_canaries_are_sent_once_and_are_in_no_receipt(tmp_path: Path) -> None:
    define_model(1)
    table = make_table(tmp_path)
    receipt = table.add([{"text": "cat"}]).embedding
    assert (receipt.texts, receipt.embedded, receipt.requests) == (1, 1, 1)
    table.add([{"text": "dog"}])
    table.search("bird").to_list()
    again = make_table(tmp_path, "again")
    again.add([{"text": "cow"}])
    assert [text for text in SENT if text in TEXT_CANARIES] == list(TEXT_CANARIES)


def test_no_canaries_no_check(tmp_path: Path) -> None:
    define_model(1)
    make_table(tmp_path).add([{"text": "cat"}])
    shutil.rmtree(tmp_path / "_lancelike")
    define_model(2)
    with warnings.catch_warnings():
        lancelike.connect(tmp_path).open_table("docs").search("cat").to_list()


def test_a_dropped_table_leaves_no_canaries(tmp_path: Path) -> None:
    define_model(1)
    table = make_table(tmp_path)
    table.add([{"text": "cat"}])
    db = lancelike.connect(tmp_path)
    db.rename_table("docs", "renamed")
    define_model(2)
    with pytest.raises(ModelDriftError):
        db.open_table("renamed").search("cat").to_list()
    db.drop_table("renamed")
    assert list((tmp_path / "_lancelike" / "canaries").iterdir()) == []


def test_a_function_that_fails_on_the_canaries_fails_as_itself(tmp_path: Path) -> None:
    @register("drifting")
    class Broken(TextEmbeddingFunction):
        def ndims(self) -> int:
            return 8

        def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> Any:
            raise TypeError("broken")

    with pytest.raises(EmbeddingError, match="TypeError: broken"):
        make_table(tmp_path).add([{"text": "cat"}])
