"""The same text under the same function is paid for once; plans, budgets, receipts and progress say what is."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import lancelike
from lancelike.errors import BudgetExceeded, ColumnNotFoundError, QueryError, SchemaError
from lancelike.types import EmbeddingPlan, EmbeddingReceipt
from tests.lifecycle.spies import Spy, contents, create_docs, expected, make_spy, make_table, rows_of, vector_of

N = 500


def upsert(table: lancelike.Table, rows: Any, **options: Any) -> EmbeddingReceipt:
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    return merge.execute(rows, **options).embedding


@pytest.fixture
def spy(tmp_path: Path) -> Spy:
    return make_spy(tmp_path)


@pytest.fixture
def table(tmp_path: Path, spy: Spy) -> lancelike.Table:
    """N rows, paid for; the log is empty."""
    table = make_table(tmp_path, spy, data=rows_of(0, N))
    spy.forget()
    return table


def counts(receipt: EmbeddingReceipt) -> tuple[int, int, int, int, int]:
    return receipt.rows, receipt.texts, receipt.reused, receipt.embedded, receipt.failed


@pytest.mark.parametrize("ledger_bytes", [1 << 30, 0])
def test_equal_texts_are_sent_once_however_far_apart(ledger_bytes: int, tmp_path: Path, spy: Spy) -> None:
    table = make_table(tmp_path, spy, ledger_bytes=ledger_bytes)
    assert counts(table.add([{"id": i, "text": "same"} for i in range(50)]).embedding) == (50, 1, 0, 1, 0)
    rows = [{"id": i, "text": f"text {i % 700}"} for i in range(10_000)]
    spy.forget()
    assert counts(table.add(rows).embedding) == (10_000, 700, 0, 700, 0)
    assert len(spy.sent) == len(set(spy.sent)) == 700


def test_an_upsert_of_unchanged_rows_sends_nothing(table: lancelike.Table, spy: Spy) -> None:
    assert counts(upsert(table, rows_of(0, N))) == (N, N, N, 0, 0)
    assert spy.sent == []
    assert contents(table) == expected(rows_of(0, N))


def test_a_tenth_changed_sends_a_tenth(table: lancelike.Table, spy: Spy) -> None:
    rows = [{**row, "text": f"changed {i}"} if i % 10 == 0 else row for i, row in enumerate(rows_of(0, N))]
    assert counts(upsert(table, rows)) == (N, N, N - N // 10, N // 10, 0)
    assert sorted(spy.sent) == sorted(row["text"] for row in rows if "changed" in row["text"])
    assert contents(table) == expected(rows)


@pytest.mark.parametrize("ledger_bytes", [1 << 30, 0])
def test_insert_if_not_exists_pays_for_what_it_inserts(ledger_bytes: int, tmp_path: Path, spy: Spy) -> None:
    """Also when the existing ids come with other texts, which are not written."""
    table = make_table(tmp_path, spy, data=rows_of(0, N), ledger_bytes=ledger_bytes)
    spy.forget()
    insert = table.merge_insert("id").when_not_matched_insert_all()
    result = insert.execute(rows_of(0, N, "other"))
    assert (result.num_inserted_rows, result.num_rows, spy.sent) == (0, N, [])
    result = insert.execute(rows_of(N - 10, N + 10, "other"))
    assert (result.num_inserted_rows, result.num_rows) == (10, 20)
    assert sorted(spy.sent) == sorted(f"other {i}" for i in range(N, N + 10))
    assert contents(table) == expected(rows_of(0, N) + rows_of(N, N + 10, "other"))


def test_an_update_of_what_exists_pays_for_what_it_updates(table: lancelike.Table, spy: Spy) -> None:
    result = table.merge_insert("id").when_matched_update_all().execute(rows_of(N - 5, N + 50, "other"))
    assert (result.num_updated_rows, result.num_inserted_rows) == (5, 0)
    assert sorted(spy.sent) == sorted(f"other {i}" for i in range(N - 5, N))


def test_keys_of_two_columns_and_null_keys(tmp_path: Path, spy: Spy) -> None:
    table = make_table(tmp_path, spy, data=rows_of(0, 4))
    spy.forget()
    insert = table.merge_insert(["id", "text"]).when_not_matched_insert_all()
    insert.execute([{"id": 0, "text": "text 0"}, {"id": 1, "text": "text 9"}, {"id": 8, "text": None}])
    assert spy.sent == ["text 9"]
    assert table.count_rows() == 6
    by_text = table.merge_insert("text").when_not_matched_insert_all()
    by_text.execute([{"id": 20, "text": "text 9"}, {"id": 21, "text": "text 21"}])
    assert spy.sent == ["text 9", "text 21"]


def test_deleted_and_added_again_costs_nothing(table: lancelike.Table, spy: Spy) -> None:
    table.delete("true")
    assert counts(table.add(rows_of(0, N)).embedding) == (N, N, N, 0, 0)
    assert spy.sent == []


def test_another_table_of_the_database_reuses(table: lancelike.Table, spy: Spy, tmp_path: Path) -> None:
    other = make_table(tmp_path, spy, "other")
    assert other.add(rows_of(0, N)).embedding.reused == N
    assert spy.sent == []


def test_another_process_opens_what_was_paid_for(table: lancelike.Table, spy: Spy, tmp_path: Path) -> None:
    again = lancelike.connect(tmp_path / "db").open_table("docs")
    assert again.add(rows_of(0, N)).embedding.reused == N
    assert spy.sent == []


def test_another_model_shares_nothing(table: lancelike.Table, tmp_path: Path) -> None:
    other = make_spy(tmp_path, dim=16)
    assert make_table(tmp_path, other, "other").add(rows_of(0, N)).embedding.embedded == N
    prompted = make_spy(tmp_path, source_prompt="passage: ")
    assert make_table(tmp_path, prompted, "prompted").add(rows_of(0, N)).embedding.embedded == N


def test_other_ways_to_reach_the_model_share_all(table: lancelike.Table, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = make_spy(tmp_path / "elsewhere", batch_size=7, max_concurrency=2)
    assert make_table(tmp_path, other, "other").add(rows_of(0, N)).embedding.reused == N


def test_the_ledger_can_be_switched_off(tmp_path: Path, spy: Spy) -> None:
    table = make_table(tmp_path, spy, ledger_bytes=0)
    for _ in range(2):
        assert counts(table.add(rows_of(0, N)).embedding) == (N, N, 0, N, 0)
    assert not (tmp_path / "db/_lancelike/ledger").exists()


def test_a_ledger_deleted_under_an_open_table_is_made_anew(table: lancelike.Table, spy: Spy, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "db/_lancelike/ledger")
    assert table.add(rows_of(0, N)).embedding.embedded == N
    assert table.add(rows_of(0, N)).embedding.reused == N
    shutil.rmtree(tmp_path / "db/_lancelike")
    assert table.plan(rows_of(0, N)).to_embed == N
    assert upsert(table, rows_of(0, 2 * N)).embedded == 2 * N


def test_threads_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    spy = make_spy(tmp_path, max_concurrency=2, batch_size=20)
    tables = [make_table(tmp_path, spy, f"t{i}") for i in range(4)]
    receipts: list[EmbeddingReceipt] = []

    def add(i: int) -> None:
        receipts.append(tables[i].add(rows_of(100 * i, 100 * i + 400)).embedding)

    threads = [threading.Thread(target=add, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(receipt.texts == receipt.reused + receipt.embedded == 400 for receipt in receipts)
    assert sum(receipt.embedded for receipt in receipts) == len(spy.sent)
    for i, table in enumerate(tables):
        assert contents(table) == expected(rows_of(100 * i, 100 * i + 400))
    spy.forget()
    assert tables[0].add(rows_of(0, 700)).embedding.reused == 700


# -- plans -------------------------------------------------------------------------------------------------------------


def mixed(count: int) -> Iterator[list[dict[str, Any]]]:
    """Known and new texts, repeated near and far, nulls, and vectors that are given."""
    for start in range(0, count, 500):
        rows: list[dict[str, Any]] = [{"id": i, "text": f"text {(i * 7) % 3_000}"} for i in range(start, start + 500)]
        rows[3]["text"] = None
        rows[5]["vector"] = vector_of("given")
        yield rows


@pytest.mark.parametrize("ledger_bytes", [1 << 30, 0])
@pytest.mark.parametrize("limits", [{}, {"max_batch_tokens": 40}, {"max_concurrency": 3, "batch_size": 33}])
def test_a_plan_equals_the_receipt_of_the_run(limits: dict[str, int], ledger_bytes: int, tmp_path: Path) -> None:
    spy = make_spy(tmp_path, **limits)
    table = make_table(tmp_path, spy, data=rows_of(100, 400), ledger_bytes=ledger_bytes)
    spy.forget()
    plan = table.plan(mixed(7_000))
    assert spy.requests == []
    done = table.add(mixed(7_000)).embedding
    assert plan == EmbeddingPlan(
        rows=done.rows,
        texts=done.texts,
        reused=done.reused,
        to_embed=done.embedded,
        tokens=done.tokens,
        requests=done.requests,
    )
    assert done.requests == len(spy.requests)
    assert done.tokens == sum(sum(spy.count_tokens(request)) for request in spy.requests)
    needed = {row["text"] for rows in mixed(7_000) for row in rows if row["text"] and "vector" not in row}
    assert (plan.rows, plan.texts, plan.reused) == (7_000, len(needed), 300 if ledger_bytes else 0)
    again = table.plan(mixed(7_000))
    assert again.to_embed == (0 if ledger_bytes else len(needed))
    assert (again.requests, again.tokens) == ((0, 0) if ledger_bytes else (plan.requests, plan.tokens))


UPDATES: dict[str, dict[str, Any]] = {
    "new texts": {"values_sql": {"text": "concat(text, '!')"}},
    "texts that are there": {"values_sql": {"text": "concat('text ', cast(id + 1 as string))"}, "where": "id % 3 = 0"},
    "one text": {"values": {"text": "the same"}, "where": "id > 5"},
    "no text": {"values": {"text": None}},
    "the text as it is": {"values_sql": {"text": "text"}},
    "a vector": {"values": {"vector": [1.0] * 8, "text": "given"}},
    "no row": {"values": {"text": "of none"}, "where": "id < 0"},
    "another column": {"values": {"id": 7}},
}


@pytest.mark.parametrize("ledger_bytes", [1 << 30, 0])
@pytest.mark.parametrize("update", UPDATES)
def test_a_plan_of_an_update_equals_its_receipt(update: str, ledger_bytes: int, tmp_path: Path) -> None:
    spy = make_spy(tmp_path, batch_size=33)
    table = make_table(tmp_path, spy, data=rows_of(0, 100), ledger_bytes=ledger_bytes)
    table.add([{"id": 100, "text": None}, {"id": 101, "text": "text 101"}])
    (tmp_path / "same").symlink_to(tmp_path / "db")
    unaware = lancelike.connect(tmp_path / "same", ledger_bytes=ledger_bytes).open_table("docs")
    table.add(rows_of(102, 5_000))
    spy.forget()
    before, version = table.to_arrow(), table.version
    plan = unaware.plan_update(**UPDATES[update])
    assert (spy.requests, table.version, table.to_arrow()) == ([], version, before)
    done = table.update(**UPDATES[update]).embedding
    assert plan == EmbeddingPlan(
        rows=done.rows,
        texts=done.texts,
        reused=done.reused,
        to_embed=done.embedded,
        tokens=done.tokens,
        requests=done.requests,
    )
    assert done.requests == len(spy.requests)
    if update == "new texts":
        assert (plan.rows, plan.to_embed) == (5_000, 5_000)


def test_a_plan_of_an_update_is_refused_as_the_update_is(tmp_path: Path, spy: Spy) -> None:
    table = make_table(tmp_path, spy, data=rows_of(0, 3))
    table.add_columns(computed={"twice": "id * 2"})
    refused: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValueError, {}),
        (SchemaError, {"values": {"twice": 4}}),
        (ColumnNotFoundError, {"values": {"text": "x", "nothing": 4}}),
        (QueryError, {"values_sql": {"text": "upper("}}),
        (QueryError, {"values": {"text": "x"}, "where": "id >"}),
    ]
    for error, update in refused:
        for verb in (table.plan_update, table.update):
            with pytest.raises(error):
                verb(**update)


def test_a_plan_writes_nothing(tmp_path: Path, spy: Spy) -> None:
    table = make_table(tmp_path, spy)
    before = sorted(path for path in tmp_path.rglob("*"))
    assert table.plan(rows_of(0, N)) == EmbeddingPlan(
        rows=N, texts=N, to_embed=N, requests=5, tokens=sum(spy.count_tokens([row["text"] for row in rows_of(0, N)]))
    )
    assert sorted(path for path in tmp_path.rglob("*")) == before


# -- budgets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("verb", ["add", "merge"])
def test_a_budget_stops_before_the_request_that_exceeds_it(verb: str, concurrency: int, tmp_path: Path) -> None:
    spy = make_spy(tmp_path, max_concurrency=concurrency)
    table = make_table(tmp_path, spy)
    rows = rows_of(0, 1_000)
    whole = table.plan(rows).tokens
    budget = whole // 2

    def write(budget_tokens: int) -> EmbeddingReceipt:
        if verb == "add":
            return table.add(rows, budget_tokens=budget_tokens).embedding
        return upsert(table, rows, budget_tokens=budget_tokens)

    with pytest.raises(BudgetExceeded) as caught:
        write(budget)
    sent = sum(spy.count_tokens(spy.sent))
    assert caught.value.budget == budget
    assert caught.value.spent == sent <= budget < sent + caught.value.needed
    assert table.count_rows() == 0
    receipt = write(whole - sent)
    assert receipt.tokens == whole - sent
    assert len(spy.sent) == len(set(spy.sent)) == 1_000
    assert contents(table) == expected(rows)


def test_an_update_keeps_to_its_budget(table: lancelike.Table) -> None:
    with pytest.raises(BudgetExceeded):
        table.update(values_sql={"text": "concat(text, '!')"}, budget_tokens=300)
    assert contents(table) == expected(rows_of(0, N))
    assert table.update(values_sql={"text": "concat(text, '!')"}, budget_tokens=100_000).embedding.reused >= 100


# -- progress ----------------------------------------------------------------------------------------------------------


def test_progress_counts_what_was_embedded_reused_and_failed(table: lancelike.Table, spy: Spy) -> None:
    told: list[dict[str, Any]] = []
    rows = [*rows_of(0, 2 * N), {"id": -1, "text": "poison"}]
    table.add(rows, on_embedding_error="quarantine", progress=told.append)
    last = told[-1]
    assert (last["reused"], last["embedded"], last["failed"], last["output_rows"]) == (N, N, 1, 2 * N + 1)
    assert (last["total_rows"], last["seconds_left"], last["done"]) == (2 * N + 1, 0, True)
    assert last["rows_per_second"] > 0
    assert len({state["embedded"] for state in told}) >= 5, "after each request, not each window"
    assert all(a[key] <= b[key] for a, b in pairwise(told) for key in ("embedded", "output_rows"))


def test_progress_of_a_merge_in_a_bar(table: lancelike.Table, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    upsert(table, rows_of(0, 2 * N), progress=True)
    shown = capsys.readouterr().err
    assert f"{2 * N}/{2 * N}" in shown
    assert f"reused={N}" in shown


def test_a_progress_callback_that_raises_ends_the_call(table: lancelike.Table) -> None:
    def tell(state: dict[str, Any]) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        table.add(rows_of(N, 2 * N), progress=tell)
    assert table.count_rows() == N


def test_in_memory_too(spy: Spy) -> None:
    table = create_docs(lancelike.connect("memory://"), spy, data=rows_of(0, N))
    spy.forget()
    assert upsert(table, rows_of(0, N)).reused == N
    assert spy.sent == []
