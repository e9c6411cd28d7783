from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelike.embeddings import EmbeddingFunctionConfig, get_registry
from lancelike.errors import BadDataError, BadEmbeddingError, EmbeddingError, EmbeddingFunctionUnavailable
from lancelike.ingest import (
    Batch,
    EmbedInputs,
    align,
    embed,
    embed_batches,
    embed_rows,
    fit_vectors,
    ingest,
    read_batches,
)
from lancelike.ingest.embed import MOST_WINDOW_ROWS, WINDOW_ROWS
from lancelike.ledger import Embedder
from tests.fuzzing import examples
from tests.ingest.conftest import NDIMS, Counted, Untouchable, vector_of_text

VECTOR = pa.list_(pa.float32(), NDIMS)
SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("vector", VECTOR)])
GIVEN = [9.0, 9.0, 9.0, 9.0]


def binding_of(function: Any, **kwargs: Any) -> EmbeddingFunctionConfig:
    return EmbeddingFunctionConfig(**{"vector_column": "vector", "source_column": "text", **kwargs}, function=function)


def embedded(data: Any, function: Any, schema: pa.Schema = SCHEMA, **kwargs: Any) -> list[dict[str, Any]]:
    table = ingest(data, schema, [binding_of(function)], **kwargs).read_all()
    table.validate(full=True)
    return list(table.to_pylist())


def filled(
    data: Any, embed: EmbedInputs, schema: pa.Schema = SCHEMA, *, drop_failed: bool = False
) -> list[dict[str, Any]]:
    """Rows of *data* with *embed* in the place of a function."""
    bindings = [binding_of(Counted())]
    batches = fit_vectors(align(read_batches(data, schema).batches, schema, bindings), schema, bindings)
    done = embed_batches(batches, schema, bindings, embed, drop_failed=drop_failed)
    return [row for batch in done for row in batch.data.to_pylist()]


def test_vectors_come_from_their_sources(function: Counted) -> None:
    rows = embedded([{"id": 1, "text": "ab"}, {"id": 2, "text": "c"}], function)
    assert [row["vector"] for row in rows] == [vector_of_text("ab"), vector_of_text("c")]
    assert function.requests == [["ab", "c"]]


def test_rows_that_carry_a_vector_keep_it_and_the_others_are_filled(function: Counted) -> None:
    data = [{"id": i, "text": f"t{i}", "vector": GIVEN if i % 2 else None} for i in range(6)]
    rows = embedded(data, function)
    assert [row["vector"] for row in rows] == [GIVEN if i % 2 else vector_of_text(f"t{i}") for i in range(6)]
    assert function.sent == ["t0", "t2", "t4"]


def test_a_null_source_is_never_sent_and_gives_a_null_vector(function: Counted) -> None:
    rows = embedded([{"id": 1, "text": None}, {"id": 2, "text": "a"}, {"id": 3}], function)
    assert [row["vector"] for row in rows] == [None, vector_of_text("a"), None]
    assert function.sent == ["a"]


def test_equal_inputs_are_sent_once(function: Counted) -> None:
    rows = embedded([{"text": text} for text in "abcabcaab"], function)
    assert function.sent == ["a", "b", "c"]
    assert [row["vector"] for row in rows] == [vector_of_text(text) for text in "abcabcaab"]


def test_a_function_that_no_row_needs_is_not_touched() -> None:
    rows = embedded([{"text": "a", "vector": GIVEN}, {"text": None}], Untouchable())
    assert [row["vector"] for row in rows] == [GIVEN, None]


def test_a_function_that_is_not_here_is_missed_only_when_needed() -> None:
    stored = {"embedding_functions": b'[{"name":"nowhere","model":{},"source_column":"text","vector_column":"vector"}]'}
    bindings = get_registry().bindings({key.encode(): value for key, value in stored.items()})
    assert ingest([{"text": "a", "vector": GIVEN}], SCHEMA, bindings).read_all().num_rows == 1
    with pytest.raises(EmbeddingFunctionUnavailable) as error:
        ingest([{"text": "a", "vector": GIVEN}, {"text": "b"}], SCHEMA, bindings).read_all()
    assert (error.value.row, error.value.column) == (1, "text")


def test_small_batches_are_gathered(function: Counted) -> None:
    data = (pa.record_batch({"id": [i], "text": [f"t{i}"]}) for i in range(500))
    assert len(embedded(data, function)) == 500
    assert [len(request) for request in function.requests] == [256, 244]


def test_large_batches_are_split_so_that_nothing_waits_for_all_of_it(function: Counted) -> None:
    data = pa.table({"id": np.arange(6_000), "text": [f"t{i}" for i in range(6_000)]})
    reader = ingest(data, SCHEMA, [binding_of(function)])
    assert reader.read_next_batch().num_rows == WINDOW_ROWS
    assert len(function.sent) == WINDOW_ROWS
    assert sum(batch.num_rows for batch in reader) == 6_000 - WINDOW_ROWS


def test_windows_do_not_depend_on_how_the_rows_come(function: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "FAST_WINDOW_S", 0)
    data = (pa.record_batch({"text": [f"{start}-{i}" for i in range(start)]}) for start in (3_500, 6_000, 700, 900))
    sizes = [batch.num_rows for batch in ingest(data, SCHEMA, [binding_of(function)])]
    assert sizes == [WINDOW_ROWS, WINDOW_ROWS, 11_100 - 2 * WINDOW_ROWS]


def test_a_window_that_was_fast_doubles_the_next(function: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "FAST_WINDOW_S", math.inf)
    data = pa.table({"text": [f"t{i}" for i in range(60_000)]})
    sizes = [batch.num_rows for batch in ingest(data, SCHEMA, [binding_of(function)])]
    assert (sizes[:2], max(sizes), sum(sizes)) == ([WINDOW_ROWS, 2 * WINDOW_ROWS], MOST_WINDOW_ROWS, 60_000)


def test_windows_of_a_fast_function_are_large() -> None:
    class Fast(Counted):
        """Answers that cost nothing but a moment."""

        record_within_s: ClassVar[float] = 0.2

    data = (pa.record_batch({"text": [f"{start}-{i}" for i in range(3_000)]}) for start in range(6))
    sizes = [batch.num_rows for batch in ingest(data, SCHEMA, [binding_of(Fast())])]
    assert sizes == [MOST_WINDOW_ROWS, 18_000 - MOST_WINDOW_ROWS]


def test_large_values_close_a_window_early(function: Counted) -> None:
    text = "x" * (20 << 20)
    data = (pa.record_batch({"text": [f"{i}{text}"]}) for i in range(8))
    reader = ingest(data, SCHEMA, [binding_of(function)])
    assert reader.read_next_batch().num_rows == 4


def test_a_stream_is_pulled_no_further_than_one_window(function: Counted) -> None:
    pulled: list[int] = []

    def stream() -> Iterator[pa.RecordBatch]:
        for i in range(100):
            pulled.append(i)
            yield pa.record_batch({"text": [f"{i}-{j}" for j in range(1_000)]})

    reader = ingest(stream(), SCHEMA, [binding_of(function)])
    assert len(pulled) == 1
    reader.read_next_batch()
    assert len(pulled) <= -(-WINDOW_ROWS // 1_000)


def test_a_failing_row_is_named_in_the_callers_data(function: Counted) -> None:
    data = [{"id": i, "text": "boom" if i == 777 else f"t{i}"} for i in range(1_000)]
    with pytest.raises(EmbeddingError, match="column 'text'") as error:
        embedded(data, function)
    assert (error.value.row, error.value.column) == (768, "text")  # first of the request that failed
    assert isinstance(error.value.__cause__, TypeError)


def test_row_numbers_survive_dropped_rows_and_repeated_texts() -> None:
    function = Counted(batch_size=1)
    bad = [float("nan")] * NDIMS
    data: list[dict[str, Any]] = [
        {"text": "same", "vector": bad if i < 5 else GIVEN if i < 8 else None} for i in range(10)
    ]
    data.append({"text": "boom"})
    with pytest.raises(EmbeddingError) as error:
        embedded(data, function, on_bad_vectors="drop")
    assert error.value.row == 10


def test_a_bad_vector_made_null_is_made_by_the_function(function: Counted) -> None:
    rows = embedded([{"text": "ab", "vector": [1.0]}], function, on_bad_vectors="null")
    assert rows[0]["vector"] == vector_of_text("ab")


def test_two_bindings_in_one_table() -> None:
    first, second = Counted(), Counted(size=2)
    schema = pa.schema([("title", pa.string()), ("text", pa.string()), ("a", VECTOR), ("b", VECTOR), ("c", VECTOR)])
    bindings = [
        binding_of(first, vector_column="a"),
        binding_of(first, vector_column="b", source_column="title"),
        binding_of(Untouchable(), vector_column="c", source_column="title"),
    ]
    data = [{"title": "t", "text": "xy", "c": GIVEN}, {"title": None, "text": "z", "c": GIVEN}]
    rows = ingest(data, schema, bindings).read_all().to_pylist()
    assert [(row["a"], row["b"]) for row in rows] == [
        (vector_of_text("xy"), vector_of_text("t")),
        (vector_of_text("z"), None),
    ]
    with pytest.raises(BadEmbeddingError):
        ingest(data, schema, [binding_of(second, vector_column="a")]).read_all()


def test_a_template_joins_columns_and_is_null_when_all_are() -> None:
    function = Counted()
    schema = pa.schema([("title", pa.string()), ("year", pa.int64()), ("vector", VECTOR)])
    data = [{"title": "a", "year": 1}, {"title": None, "year": 2}, {"title": None, "year": None}]
    binding = binding_of(function, source_column=None, template="{title} ({year})")
    rows = ingest(data, schema, [binding]).read_all().to_pylist()
    assert function.sent == ["a (1)", " (2)"]
    assert [row["vector"] is None for row in rows] == [False, False, True]


def test_a_function_of_another_length_is_named() -> None:
    with pytest.raises(BadEmbeddingError, match="makes vectors of length 7, column 'vector' holds length 4"):
        embedded([{"text": "a"}], Counted(size=7))


def test_a_null_vector_where_none_is_taken_names_the_row(function: Counted) -> None:
    schema = pa.schema([("text", pa.string()), pa.field("vector", VECTOR, nullable=False)])
    assert len(embedded([{"text": "a"}], function, schema)) == 1
    with pytest.raises(BadDataError, match="row 1, column 'vector': null in a column that takes none"):
        embedded([{"text": "a"}, {"text": None}], function, schema)


@pytest.mark.parametrize("number", [pa.float16(), pa.float64()], ids=str)
def test_vectors_take_the_columns_number_type(number: pa.DataType, function: Counted) -> None:
    schema = pa.schema([("text", pa.string()), ("vector", pa.list_(number, NDIMS))])
    assert embedded([{"text": "ab"}], function, schema)[0]["vector"] == vector_of_text("ab")


def test_multivectors_are_filled_too() -> None:
    schema = pa.schema([("text", pa.string()), ("vector", pa.list_(VECTOR))])

    def embed(_: EmbeddingFunctionConfig, inputs: Sequence[Any]) -> list[Any]:
        return [
            EmbeddingError("no") if text == "-" else np.full((len(text), NDIMS), len(text), np.float32)
            for text in inputs
        ]

    data = [{"text": "ab"}, {"text": "-"}, {"text": None}, {"text": "c", "vector": [GIVEN]}]
    rows = filled(data, embed, schema)
    assert [row["vector"] for row in rows] == [[[2.0] * 4] * 2, None, None, [GIVEN]]


@pytest.mark.parametrize("drop_failed", [False, True])
def test_an_error_among_the_answers_is_a_null_vector_or_no_row(drop_failed: bool) -> None:
    asked: list[list[Any]] = []

    def embed(binding: EmbeddingFunctionConfig, inputs: Sequence[Any]) -> list[Any]:
        asked.append(list(inputs))
        return [
            EmbeddingError("lost") if text == "lost" else np.array(vector_of_text(text), np.float32) for text in inputs
        ]

    texts = ("a", "lost", "a", "lost", None, "b")
    rows = filled([{"text": text} for text in texts], embed, drop_failed=drop_failed)
    assert asked == [["a", "lost", "b"]]
    kept = [text for text in texts if not (drop_failed and text == "lost")]
    assert [row["text"] for row in rows] == kept
    made = [None if text in (None, "lost") else vector_of_text(text) for text in kept]
    assert [row["vector"] for row in rows] == made


def test_sources_that_are_not_text() -> None:
    asked: list[list[Any]] = []

    def embed(binding: EmbeddingFunctionConfig, inputs: Sequence[Any]) -> list[Any]:
        asked.append(list(inputs))
        return [np.zeros(NDIMS, np.float32) for _ in inputs]

    for values in ([b"x", b"y", b"x"], [1, 1.0, 2], [["a"], ["b"], ["a"]]):
        data = pa.table({"text": pa.array(values)})
        filled(data, embed, pa.schema([("text", data.schema.field(0).type), ("vector", VECTOR)]))
    assert asked == [[b"x", b"y"], [1.0, 2.0], [["a"], ["b"]]]


class TestEmbedRows:
    def batch(self) -> pa.RecordBatch:
        vectors = pa.array([GIVEN, GIVEN], VECTOR)
        return pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array(["a", None]), vectors], schema=SCHEMA)

    def test_vectors_follow_their_touched_source(self, binding: EmbeddingFunctionConfig) -> None:
        assert embed_rows(self.batch(), [binding], ["text"], Embedder()).column("vector").to_pylist() == [
            vector_of_text("a"),
            None,
        ]

    def test_other_vectors_stay(self) -> None:
        for touched in (["id"], ["text", "vector"], []):
            assert embed_rows(self.batch(), [binding_of(Untouchable())], touched, Embedder()).equals(self.batch())

    def test_errors_name_no_row_since_no_rows_were_given(self) -> None:
        data = self.batch().set_column(1, "text", pa.array(["a", "boom"]))
        with pytest.raises(EmbeddingError) as error:
            embed_rows(data, [binding_of(Counted())], ["text"], Embedder())
        assert (error.value.row, error.value.column) == (None, "text")


texts = st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", "longer", "ü"]))
some_rows = st.lists(st.tuples(texts, st.booleans()), max_size=40)


@settings(max_examples=examples(60))
@given(some_rows, st.lists(st.integers(1, 15), max_size=6))
def test_how_rows_are_batched_changes_nothing(rows: list[tuple[str | None, bool]], cuts: list[int]) -> None:
    """Row i depends on row i alone, in order, whatever the batches."""

    def batches() -> Iterator[Batch]:
        start, sizes = 0, iter(cuts)
        while start < len(rows):
            part = rows[start : start + next(sizes, len(rows))]
            columns = [
                pa.array(range(start, start + len(part))),
                pa.array([text for text, _ in part], pa.string()),
                pa.array([GIVEN if has_vector else None for _, has_vector in part], VECTOR),
            ]
            yield Batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA), range(start, start + len(part)))
            start += len(part)

    function = Counted(batch_size=7)
    done = list(embed_batches(batches(), SCHEMA, [binding_of(function)], Embedder()))
    got = [row for batch in done for row in batch.data.to_pylist()]
    assert [row["id"] for row in got] == list(range(len(rows)))
    assert [int(row) for batch in done for row in batch.rows] == list(range(len(rows)))
    for (text, has_vector), row in zip(rows, got, strict=True):
        made = None if text is None else vector_of_text(text)
        assert row["vector"] == (GIVEN if has_vector else made)
    assert len(function.sent) == len(set(function.sent)) <= sum(not has for _, has in rows)
