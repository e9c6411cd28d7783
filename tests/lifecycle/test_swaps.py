"""Writes that are under way while another handle changes the model of their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import PrivateAttr

import lancelike
from lancelike.embeddings import TextEmbeddingFunction, get_registry, register
from lancelike.errors import BudgetExceeded, SchemaChangedError
from lancelike.ingest import rereading
from lancelike.ledger.canaries import TEXT_CANARIES
from lancelike.pydantic import LanceModel, Vector
from tests.lifecycle.spies import vector_of

OLD, NEW = 8, 12


@register("swapped")
class Swapped(TextEmbeddingFunction):
    """Calls back before it answers, once."""

    dim: int = OLD
    prefix: str = ""
    batch_size: int = 256
    max_retries: int = 0

    _before: list[Callable[[], object]] = PrivateAttr(default_factory=list)
    _sent: list[str] = PrivateAttr(default_factory=list)
    _refuses: list[str] = PrivateAttr(default_factory=list)

    def ndims(self) -> int:
        return self.dim

    def generate_embeddings(self, texts: Any, /) -> NDArray[np.float32]:
        if not set(texts) <= set(TEXT_CANARIES):
            self._sent.extend(texts)
            if self._before:
                self._before.pop()()
        if self._refuses and self._refuses[0] in texts:
            raise ValueError("refused")
        return np.array([self.vector_of(text) for text in texts], np.float32)

    def vector_of(self, text: str) -> list[float]:
        return vector_of(self.prefix + text, self.dim)


def function(dim: int = OLD, prefix: str = "") -> Any:
    return get_registry().get("swapped").create(dim=dim, prefix=prefix)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(rereading, "LOOK_EVERY_S", 0.0)
    made = function()
    made._sent.clear()
    made._before.clear()
    made._refuses.clear()
    return made


@pytest.fixture
def table(tmp_path: Path, old: Any) -> lancelike.Table:
    class Doc(LanceModel):
        id: int
        text: str | None = old.SourceField(default=None)
        vector: Vector(OLD) = old.VectorField()  # type: ignore[valid-type]  # made per call
        n: int | None = None

    table = lancelike.connect(tmp_path / "db").create_table("docs", schema=Doc)
    table.add(rows(0, 100))
    old._sent.clear()
    return table


def rows(start: int, stop: int, word: str = "text") -> list[dict[str, Any]]:
    return [{"id": i, "text": f"{word} {i}"} for i in range(start, stop)]


def in_step(table: lancelike.Table, new: Any) -> bool:
    table.checkout_latest()
    found = table.to_arrow().to_pylist()
    return all(row["vector"] == new.vector_of(row["text"]) for row in found) and table.verify().num_rows == 0


def swap(table: lancelike.Table, new: Any) -> Callable[[], object]:
    elsewhere = lancelike.connect(Path(table.uri).parent).open_table("docs")
    return lambda: elsewhere.reembed("vector", new)


def frame(some: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(some)


def chunks(some: list[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(some), 1_000):
        yield pa.RecordBatch.from_pylist(some[start : start + 1_000])


def stream(some: list[dict[str, Any]]) -> pa.RecordBatchReader:
    schema = pa.schema({"id": pa.int64(), "text": pa.string()})
    return pa.RecordBatchReader.from_batches(schema, chunks(some))


FORMS: list[Any] = [list, iter, frame, pa.Table.from_pylist, chunks, stream, lambda some: [chunks(some)]]


@pytest.mark.parametrize(("form", "dim"), [*((form, NEW) for form in FORMS), (chunks, OLD)])
def test_rows_being_added_get_the_new_models_vectors(form: Any, dim: int, table: lancelike.Table, old: Any) -> None:
    new = function(dim, "new: ")
    old._before.append(swap(table, new))
    result = table.add(form(rows(100, 7_100)))
    assert table.count_rows() == 7_100
    assert sorted(table.to_arrow()["id"].to_pylist()) == list(range(7_100))
    assert in_step(table, new)
    assert result.embedding.rows == 7_000
    assert result.embedding.embedded == 7_000 + len(set(old._sent))
    assert len(old._sent) <= 2 * 2_048, "what is under way ends; no more is asked of the old model"


@pytest.mark.parametrize("verb", ["update", "merge_insert", "overwrite", "refresh"])
@pytest.mark.parametrize("dim", [OLD, NEW])
def test_every_write_ends_with_the_new_models_vectors(verb: str, dim: int, table: lancelike.Table, old: Any) -> None:
    new = function(dim, "new: ")
    if verb == "refresh":
        table.to_lance().update({"text": "'foreign ' || cast(id as string)"}, where="id < 10")
        table.checkout_latest()
    old._before.append(swap(table, new))
    if verb == "update":
        assert table.update(values_sql={"text": "upper(text)"}).rows_updated == 100
    elif verb == "merge_insert":
        upsert = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merged = upsert.execute(iter(rows(50, 150, "merged")))
        assert (merged.num_updated_rows, merged.num_inserted_rows, merged.num_rows) == (50, 50, 100)
    elif verb == "overwrite":
        table.add(rows(0, 70, "over"), mode="overwrite")
        assert table.count_rows() == 70
    else:
        table.refresh()
    assert in_step(table, new)


@pytest.mark.parametrize("dim", [OLD, NEW])
def test_what_failed_before_the_swap_is_retried_with_the_new_model(dim: int, table: lancelike.Table, old: Any) -> None:
    old._refuses.append("bad")
    table.add([{"id": 500, "text": "bad"}], on_embedding_error="quarantine")
    old._refuses.clear()
    new = function(dim, "new: ")
    new._refuses[:] = ["bad"]
    elsewhere = lancelike.connect(Path(table.uri).parent).open_table("docs")
    old._before.append(lambda: elsewhere.reembed("vector", new, on_embedding_error="quarantine"))
    assert table.retry_failed().failed == 1
    assert table.embedding_errors().num_rows == 1
    new._refuses.clear()
    assert table.retry_failed().embedded == 1
    assert table.embedding_errors().num_rows == 0
    assert in_step(table, new)


def test_a_merge_begun_before_the_swap_and_run_after_it(table: lancelike.Table) -> None:
    new = function(OLD, "new: ")
    upsert = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    swap(table, new)()
    upsert.execute(rows(90, 110, "merged"))
    assert in_step(table, new)


def test_a_column_that_is_added_meanwhile_is_filled(table: lancelike.Table, old: Any) -> None:
    second = function(NEW, "second: ")
    elsewhere = lancelike.connect(Path(table.uri).parent).open_table("docs")
    old._before.append(lambda: elsewhere.add_embedding("second", second, "text"))
    table.add(iter(rows(100, 200)))
    found = table.to_arrow().to_pylist()
    assert len(found) == 200
    assert all(row["second"] == second.vector_of(row["text"]) for row in found)


def test_a_column_computed_of_what_is_updated_meanwhile_follows(table: lancelike.Table, old: Any) -> None:
    elsewhere = lancelike.connect(Path(table.uri).parent).open_table("docs")
    old._before.append(lambda: elsewhere.add_columns(computed={"loud": "upper(text)"}))
    table.update(values_sql={"text": "'new ' || text"})
    found = table.to_arrow().to_pylist()
    assert all(row["loud"] == row["text"].upper() for row in found)
    assert in_step(table, old)


def test_a_merge_into_a_table_that_gets_its_first_function_meanwhile(tmp_path: Path) -> None:
    table = lancelike.connect(tmp_path).create_table("plain", rows(0, 10))
    second = function(NEW)
    elsewhere = lancelike.connect(tmp_path).open_table("plain")

    def told(state: dict[str, Any]) -> None:
        if "vector" not in table.schema.names:
            elsewhere.add_embedding("vector", second, "text")

    table.merge_insert("id").when_not_matched_insert_all().execute(rows(10, 20), progress=told)
    found = table.to_arrow().to_pylist()
    assert [row["vector"] for row in found] == [second.vector_of(row["text"]) for row in found]


def test_rows_that_can_be_read_once_and_are_too_many_to_keep(
    table: lancelike.Table, old: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "MOST_BYTES", 10_000)
    new = function(NEW)
    old._before.append(swap(table, new))
    with pytest.raises(SchemaChangedError, match="can be read only once"):
        table.add(chunks(rows(100, 1_600)))
    assert table.count_rows() == 100
    table.add(rows(100, 1_600))
    assert in_step(table, new)


def test_the_budget_is_that_of_the_call(table: lancelike.Table, old: Any) -> None:
    new = function(NEW)
    old._before.append(swap(table, new))
    tokens = table.plan(rows(100, 150)).tokens
    with pytest.raises(BudgetExceeded):
        table.add(rows(100, 150), budget_tokens=tokens + 1)
    assert table.count_rows() == 100
