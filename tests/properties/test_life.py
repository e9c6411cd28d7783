"""Whatever is done to a table through two handles, filters, vectors and words find what a plain Python model says."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import lancelike
from lancelike.embeddings import get_registry
from lancelike.errors import BadVectorError, EmbeddingError, ReadOnlyTableError, SchemaError
from lancelike.index import FTS, Bitmap, BTree, IvfFlat, LabelList
from lancelike.pydantic import LanceModel, Vector
from tests.fuzzing import examples
from tests.lifecycle.spies import Refused, Spy, vector_of
from tests.properties.modelled import (
    DIMS,
    FILTERS,
    WORDS,
    Row,
    State,
    assert_same,
    bad_points,
    bounds,
    by_id,
    distance,
    forms,
    has_failed,
    in_form,
    merged,
    points,
    policies,
    row,
    rows,
    with_points_that_fit,
    words,
)

MAIN = "main"
TRIAL = "trial"


def spy_of(log: Path, dim: int) -> Spy:
    return get_registry().get("lifecycle-spy").create(log=str(log / f"{dim}.log"), dim=dim)  # type: ignore[return-value]


@dataclass
class Line:
    """A branch: what its versions hold, the latest among them."""

    latest: State
    history: dict[int, State] = field(default_factory=dict)


class TableLife(RuleBasedStateMachine):
    """A table seen through two handles that don't know of each other, as two processes have them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "db").mkdir()
        (self.folder / "same").symlink_to(self.folder / "db")
        self.spies = {dim: spy_of(self.folder, dim) for dim in DIMS}
        self.refuses = True
        self.answered: dict[int, list[str]] = {dim: [] for dim in DIMS}
        self.requests = dict.fromkeys(DIMS, 0)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(given=rows)
    def create(self, given: list[Row]) -> None:
        spy = self.spies[DIMS[0]]

        class Doc(LanceModel):
            id: int
            text: str | None = spy.SourceField(default=None)
            n: int | None = None
            labels: list[str] | None = None
            given_vector: Vector(2) | None = None  # type: ignore[valid-type]  # made per call
            vector: Vector(DIMS[0]) | None = spy.VectorField(default=None)  # type: ignore[valid-type]

        db = lancelike.connect(self.folder / "db")
        empty = State([])
        table = db.create_table("t", in_form(given, empty, "dicts"), schema=Doc, on_embedding_error="quarantine")
        self.handles = [table, lancelike.connect(self.folder / "same", vector_cache_bytes=0).open_table("t")]
        self.pinned: list[int | None] = [None, None]
        self.branches = [MAIN, MAIN]
        self.current = 0
        self.lines = {MAIN: Line(replace(empty, rows=empty.new(given, self.make)))}
        self.tags: dict[str, tuple[str, int]] = {}
        self.untagged: set[int] = set()
        self.record()

    # -- what the model has -------------------------------------------------------------------------------------------

    @property
    def table(self) -> lancelike.Table:
        return self.handles[self.current]

    @property
    def writes(self) -> bool:
        return self.pinned[self.current] is None

    @property
    def branch(self) -> str:
        return self.branches[self.current]

    @property
    def line(self) -> Line:
        return self.lines[self.branch]

    @property
    def latest(self) -> State:
        return self.line.latest

    def make(self, text: str | None, dim: int) -> list[float] | None:
        """What the function of so many dimensions has for *text* now; what was paid for is kept."""
        if text is None or (self.refuses and "poison" in text and text not in self.answered[dim]):
            return None
        return vector_of(text, dim)

    def record(self) -> None:
        self.line.history[self.table.version] = self.latest

    def write(self, change: Callable[[], object], after: State) -> None:
        """Make a write, and expect it to leave the state *after*; of a past version, that nothing can be written."""
        if not self.writes:
            with pytest.raises(ReadOnlyTableError):
                change()
            return
        change()
        self.line.latest = after
        self.record()

    def write_texts(self, change: Callable[[], object], policy: str, refused: bool, after: State) -> None:
        """Make a write that embeds texts, one of them *refused*: then `"raise"` changes nothing."""
        if not (self.writes and refused and policy == "raise"):
            return self.write(change, after)
        with pytest.raises(EmbeddingError):
            change()
        self.record()
        return None

    # -- rows ---------------------------------------------------------------------------------------------------------

    @rule(given=rows, form=forms, policy=policies, overwrite=st.booleans())
    def add(self, given: list[Row], form: str, policy: Any, overwrite: bool) -> None:
        state, new = self.latest, self.latest.new(given, self.make)
        kept = new if policy != "drop" else [row for row in new if not has_failed(row)]
        mode: Any = "overwrite" if overwrite else "append"
        self.write_texts(
            lambda: self.table.add(in_form(given, state, form), mode, on_embedding_error=policy),
            policy,
            any(map(has_failed, new)),
            replace(state, rows=kept if overwrite else [*state.rows, *kept]),
        )

    @precondition(lambda self: self.writes)
    @rule(given=st.lists(row, min_size=1, max_size=4), bad=bad_points, form=forms, data=st.data())
    def add_bad_vectors(self, given: list[Row], bad: Any, form: str, data: st.DataObject) -> None:
        given = [{**row, "text": None, "given": None} for row in given]
        given[data.draw(st.integers(0, len(given) - 1))]["given_vector"] = bad
        policy: Any = data.draw(st.sampled_from(["error", "drop", "fill", "null"]))
        fitting, state = with_points_that_fit(given, policy), self.latest

        def run() -> None:
            rows = in_form(given, state, form)
            self.table.add(rows, on_bad_vectors=policy, fill_value=7.0)

        if fitting is None:
            with pytest.raises(BadVectorError):
                run()
            self.record()
        else:
            self.write(run, replace(state, rows=[*state.rows, *state.new(fitting, self.make)]))

    @rule(below=bounds, text=words, policy=st.sampled_from(["raise", "quarantine"]))
    def update_text(self, below: int, text: str | None, policy: Any) -> None:
        state = self.latest
        rows = [self.with_text(row, text) if row["id"] < below else row for row in state.rows]
        self.write_texts(
            lambda: self.table.update(f"id < {below}", {state.text: text}, on_embedding_error=policy),
            policy,
            any(has_failed(row) for row in rows if row["id"] < below),
            replace(state, rows=rows),
        )

    @rule(above=bounds)
    def append_word(self, above: int) -> None:
        state = self.latest
        changed = [
            self.with_text(row, None if row["text"] is None else row["text"] + " fox") if row["id"] > above else row
            for row in state.rows
        ]
        name = state.text
        self.write(
            lambda: self.table.update(
                f"id > {above}", values_sql={name: f"{name} || ' fox'"}, on_embedding_error="quarantine"
            ),
            replace(state, rows=changed),
        )

    def with_text(self, row: Row, text: str | None) -> Row:
        """*row* after an update of its text: the same one leaves the vectors that there are."""
        state = self.latest
        if text == row["text"]:
            return replace(state, rows=[row]).retried(self.make)[0]
        return state.embedded({**row, "text": text}, self.make)

    @rule(above=bounds, step=st.integers(-1, 1))
    def update_number(self, above: int, step: int) -> None:
        def changed(row: Row) -> Row:
            return {**row, "n": None if row["n"] is None else row["n"] + step} if row["id"] > above else row

        self.write(
            lambda: self.table.update(f"id > {above}", values_sql={"n": f"n + {step}"}),
            replace(self.latest, rows=list(map(changed, self.latest.rows))),
        )

    @rule(where=st.sampled_from(sorted(FILTERS)), point=points, labels=row.map(lambda row: row["labels"]))
    def update_values(self, where: str, point: list[float], labels: list[str] | None) -> None:
        new = {"given_vector": point, "labels": labels}
        changed = [{**row, **new} if FILTERS[where](row) else row for row in self.latest.rows]
        self.write(lambda: self.table.update(self.latest.sql(where), new), replace(self.latest, rows=changed))

    @rule(where=st.sampled_from(sorted(FILTERS)), given=st.sampled_from([0.25, 2.0]), text=st.none() | words)
    def update_vector(self, where: str, given: float, text: str | None) -> None:
        state = self.latest
        vector = [given] * state.dims["vector"]

        def changed(row: Row) -> Row:
            row = row if text is None else self.with_text(row, text)
            return {**row, "vectors": {**row["vectors"], "vector": vector}}

        rows = [changed(row) if FILTERS[where](row) else row for row in state.rows]
        values: dict[str, Any] = {"vector": vector} if text is None else {"vector": vector, state.text: text}
        self.write(
            lambda: self.table.update(state.sql(where), values, on_embedding_error="quarantine"),
            replace(state, rows=rows),
        )

    @rule(where=st.sampled_from(sorted(FILTERS)))
    def delete(self, where: str) -> None:
        kept = [row for row in self.latest.rows if not FILTERS[where](row)]
        self.write(lambda: self.table.delete(self.latest.sql(where)), replace(self.latest, rows=kept))

    @rule(
        given=rows,
        form=forms,
        update=st.sampled_from([None, "all", "where"]),
        insert=st.booleans(),
        prune=st.sampled_from([None, "all", "where"]),
        columns=st.sampled_from(
            [None, None, ["id", "n"], ["id", "text"], ["id", "labels", "given_vector"], ["id", "given"]]
        ),
        use_index=st.booleans(),
    )
    def merge(
        self,
        given: list[Row],
        form: str,
        update: str | None,
        insert: bool,
        prune: str | None,
        columns: list[str] | None,
        use_index: bool,
    ) -> None:
        if not (update or insert or prune) or not given:
            return
        given = by_id(given)
        if update == "where" and columns is not None and "n" not in columns:
            update = "all"
        if columns is not None:
            given = [{name: row[name] for name in columns} for row in given]
        if columns == ["id", "given"]:
            given = [{**row, "given": row["given"] or 3.0} for row in given]
        state = self.latest
        rows = merged(state, [state.embedded(row, self.make) for row in given], update, insert, prune)

        def run() -> None:
            merge = self.table.merge_insert("id").use_index(use_index)
            if update:
                merge = merge.when_matched_update_all(where="target.n < source.n" if update == "where" else None)
            if insert:
                merge = merge.when_not_matched_insert_all()
            if prune:
                merge = merge.when_not_matched_by_source_delete("n > 0" if prune == "where" else None)
            merge.execute(in_form(given, state, form), on_embedding_error="quarantine")

        self.write(run, replace(state, rows=rows))

    # -- versions -----------------------------------------------------------------------------------------------------

    @rule()
    def switch(self) -> None:
        self.current = 1 - self.current

    @rule(data=st.data())
    def checkout(self, data: st.DataObject) -> None:
        name: Any = data.draw(st.sampled_from([*sorted(self.line.history), *sorted(self.tags)]))
        self.table.checkout(name)
        self.branches[self.current], self.pinned[self.current] = self.tags.get(name, (self.branch, name))

    @rule()
    def checkout_latest(self) -> None:
        self.pinned[self.current] = None
        self.table.checkout_latest()
        assert self.table.version == max(self.line.history)

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        tags = [name for name, (branch, _) in self.tags.items() if branch == self.branch]
        name: Any = data.draw(st.sampled_from([*sorted(self.line.history), *sorted(tags)]))
        self.pinned[self.current] = None
        self.table.restore(name)
        self.line.latest = self.line.history[self.tags[name][1] if name in self.tags else name]
        self.record()

    @rule(name=st.sampled_from(["one", "two"]), data=st.data())
    def tag(self, name: str, data: st.DataObject) -> None:
        if name in self.tags:
            self.table.tags.delete(name)
            del self.tags[name]
        else:
            version = data.draw(st.sampled_from(sorted(self.line.history)))
            self.tags[name] = (self.branch, version)
            self.table.tags.create(name, version)

    @rule(data=st.data())
    def begin_or_delete_branch(self, data: st.DataObject) -> None:
        if TRIAL not in self.lines:
            version = data.draw(st.sampled_from(sorted(self.line.history)))
            begun = self.table.branches.create(TRIAL, self.branch, version)
            state = self.line.history[version]
            self.lines[TRIAL] = Line(state, {begun.version: state})
        elif TRIAL not in self.branches:
            for name in [name for name, (branch, _) in self.tags.items() if branch == TRIAL]:
                self.table.tags.delete(name)
                del self.tags[name]
            self.table.branches.delete(TRIAL)
            del self.lines[TRIAL]

    @rule(data=st.data())
    def checkout_branch(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.lines)))
        version = data.draw(st.none() | st.sampled_from(sorted(self.lines[name].history)))
        self.table.checkout((None if name == MAIN else name, version))
        self.branches[self.current], self.pinned[self.current] = name, version

    # -- columns ------------------------------------------------------------------------------------------------------

    @rule()
    def rename_source(self) -> None:
        other = "text" if self.latest.text == "body" else "body"
        self.write(
            lambda: self.table.alter_columns({"path": self.latest.text, "rename": other}),
            replace(self.latest, text=other, previous=None),
        )

    @rule(sql=st.booleans())
    def add_or_drop_column(self, sql: bool) -> None:
        if self.latest.extra:
            dropped = [{name: row[name] for name in row if name != "extra"} for row in self.latest.rows]
            after = replace(self.latest, extra=None, rows=dropped)
            return self.write(lambda: self.table.drop_columns(["extra"]), after)
        transforms: Any = {"extra": "n + 10"} if sql else pa.field("extra", pa.int64())
        rows = [{**row, "extra": row["n"] + 10 if sql and row["n"] is not None else None} for row in self.latest.rows]
        return self.write(lambda: self.table.add_columns(transforms), replace(self.latest, extra="extra", rows=rows))

    @rule()
    def compute_or_drop_column(self) -> None:
        if self.latest.doubled:
            self.write(lambda: self.table.drop_columns("doubled"), replace(self.latest, doubled=False))
        else:
            computed = {"doubled": "n * 2"}
            self.write(lambda: self.table.add_columns(computed=computed), replace(self.latest, doubled=True))

    # -- indices and files --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.writes)
    @rule(
        index=st.sampled_from(
            [("id", BTree()), ("id", Bitmap()), ("n", BTree()), ("n", Bitmap()), ("labels", LabelList())]
        )
    )
    def create_scalar_index(self, index: tuple[str, Any]) -> None:
        self.table.create_index(index[0], config=index[1])
        self.record()

    @precondition(lambda self: self.writes)
    @rule()
    def create_fts_index(self) -> None:
        config = FTS(stem=False, remove_stop_words=False, with_position=True)
        self.table.create_index(self.latest.text, config=config, name="words")
        self.record()

    @precondition(lambda self: self.writes)
    @rule(column=st.sampled_from(["given_vector", "vector"]))
    def create_vector_index(self, column: str) -> None:
        if column in self.latest.dims or column == "given_vector":
            self.table.create_index(column, config=IvfFlat(num_partitions=2))
            self.record()

    @precondition(lambda self: self.writes)
    @rule(data=st.data())
    def drop_index(self, data: st.DataObject) -> None:
        self.table.checkout_latest()
        if names := [index.name for index in self.table.list_indices()]:
            self.table.drop_index(data.draw(st.sampled_from(names)))
            self.record()

    @rule()
    def prewarm(self) -> None:
        self.table.prewarm_data()

    @precondition(lambda self: self.writes)
    @rule()
    def compact_files(self) -> None:
        self.table.compact_files()
        self.record()

    @precondition(lambda self: self.writes)
    @rule()
    def optimize(self) -> None:
        self.table.optimize()
        self.record()

    @precondition(lambda self: self.writes)
    @rule(delete_unverified=st.booleans())
    def clean_up(self, delete_unverified: bool) -> None:
        self.table.cleanup_old_versions(timedelta(0), delete_unverified=delete_unverified)
        self.record()
        left = {version["version"] for version in self.table.list_versions()}
        assert left >= {version for branch, version in self.tags.values() if branch == self.branch}
        self.line.history = {version: state for version, state in self.line.history.items() if version in left}
        for handle in (0, 1):
            if self.branches[handle] == self.branch and self.pinned[handle] not in left:
                self.handles[handle].checkout_latest()
                self.pinned[handle] = None

    # -- functions ----------------------------------------------------------------------------------------------------

    @rule()
    def refuse_or_take_poison(self) -> None:
        self.refuses = not self.refuses
        for spy in self.spies.values():
            spy.refuse(refuse_poison if self.refuses else lambda text: None)

    @precondition(lambda self: self.writes)
    @rule(refresh=st.booleans())
    def mend(self, refresh: bool) -> None:
        def run() -> None:
            if refresh:
                self.table.refresh(on_embedding_error="quarantine")
            else:
                self.table.retry_failed()

        self.write(run, replace(self.latest, rows=self.latest.retried(self.make)))

    @precondition(lambda self: self.writes)
    @rule()
    def add_or_drop_embedding(self) -> None:
        dims = dict(self.latest.dims)
        if dims.pop("second", None):
            return self.write(lambda: self.table.drop_columns("second"), replace(self.latest, dims=dims))
        return self.write(
            lambda: self.table.add_embedding(
                "second", self.spies[DIMS[2]], self.latest.text, on_embedding_error="quarantine"
            ),
            self.latest.refilled("second", DIMS[2], self.make),
        )

    @precondition(lambda self: self.writes)
    @rule(dim=st.sampled_from(DIMS[:2]))
    def reembed(self, dim: int) -> None:
        if dim != self.latest.dims["vector"]:
            self.write(
                lambda: self.table.reembed("vector", self.spies[dim], on_embedding_error="quarantine"),
                self.latest.reembedded(dim, self.branch, self.make),
            )

    @precondition(lambda self: self.writes and self.latest.previous)
    @rule()
    def roll_back(self) -> None:
        previous = self.latest.previous
        assert previous is not None
        if previous.tag in self.untagged:
            with pytest.raises(SchemaError, match="was deleted"):
                self.table.rollback_embedding("vector")
            return self.record()
        after, refused = self.latest.rolled_back(self.make)
        self.write_texts(lambda: self.table.rollback_embedding("vector"), "raise", refused, after)
        if not refused and previous.branch == self.branch:
            self.untagged.add(previous.tag)
        return None

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def all_holds(self) -> None:
        self.both_handles_show_rows_of_their_version()
        self.filters_find_what_python_finds()
        self.words_find_the_rows_that_have_them()
        self.vectors_find_the_nearest()
        self.what_waits_is_listed()
        self.each_text_is_paid_for_once()

    def both_handles_show_rows_of_their_version(self) -> None:
        for handle, pinned, branch in zip(self.handles, self.pinned, self.branches, strict=True):
            assert pinned in (None, handle.version)
            assert handle.current_branch() == (None if branch == MAIN else branch)
            state = self.lines[branch].history[handle.version]
            assert_same(handle.to_arrow().to_pylist(), state.shown())
            assert handle.count_rows() == len(state.rows)

    def filters_find_what_python_finds(self) -> None:
        state = self.line.history[self.table.version]
        for filter, test in FILTERS.items():
            where = state.sql(filter)
            expected = sorted(row["id"] for row in state.rows if test(row))
            assert self.table.count_rows(where) == len(expected), where
            found = self.table.search().where(where).select(["id"]).limit(1000).to_arrow()["id"].to_pylist()
            assert sorted(found) == expected, where

    def words_find_the_rows_that_have_them(self) -> None:
        state = self.line.history[self.table.version]
        if not any(index.name == "words" for index in self.table.list_indices()):
            return
        for word in WORDS:
            expected = sorted(row["id"] for row in state.rows if word in (row["text"] or "").split())
            found = self.table.search(word, query_type="fts").limit(1000).to_list()
            assert sorted(row["id"] for row in found) == expected, word
            assert all(word in row[state.text].split() for row in found)
            assert len(self.table.search(word, query_type="fts").limit(2).to_list()) == min(2, len(expected))
        phrase = self.table.search('"red fox"', query_type="fts").where("id < 4").limit(1000).to_list()
        expected = sorted(row["id"] for row in state.rows if row["id"] < 4 and " red fox " in f" {row['text']} ")
        assert sorted(row["id"] for row in phrase) == expected

    def vectors_find_the_nearest(self) -> None:
        state = self.line.history[self.table.version]
        for column in ("given_vector", *state.dims):
            rows = [row for row in state.shown() if row[column] is not None]
            query = np.ones(state.dims.get(column, 2), np.float32)
            for where in (None, "n IS NULL OR n < 0"):
                near = sorted(distance(row[column], query) for row in rows if where is None or FILTERS[where](row))
                search = self.table.search(query, vector_column_name=column).limit(3).nprobes(2)
                found = (search.where(where) if where else search).to_list()
                np.testing.assert_allclose([row["_distance"] for row in found], near[:3], rtol=1e-5)
                np.testing.assert_allclose(
                    [distance(row[column], query) for row in found], [row["_distance"] for row in found], rtol=1e-5
                )

    def what_waits_is_listed(self) -> None:
        for handle, branch in zip(self.handles, self.branches, strict=True):
            waiting = self.lines[branch].history[handle.version].waiting()
            errors = [error for error in handle.embedding_errors().to_pylist() if error["row_id"] is not None]
            ids = {row["_rowid"]: row["id"] for row in handle.search().with_row_id(True).limit(1000).to_list()}
            listed = [(ids[e["row_id"]], e["input"], e["vector_column"], e["source_column"]) for e in errors]
            assert Counter(listed) == waiting
        unfit = self.table.verify().to_pylist()  # shows the latest version, unless a past one is checked out
        ids = {row["_rowid"]: row["id"] for row in self.table.search().with_row_id(True).limit(1000).to_list()}
        found = [(ids[row["row_id"]], row["vector_column"], row["reason"]) for row in unfit]
        waiting = self.line.history[self.table.version].waiting()
        assert Counter(found) == Counter((id, column, "no vector") for id, _, column, _ in waiting.elements())

    def each_text_is_paid_for_once(self) -> None:
        for dim, spy in self.spies.items():
            requests = spy.requests
            for texts in requests[self.requests[dim] :]:
                if not (self.refuses and any("poison" in text for text in texts)):
                    self.answered[dim] += texts
            self.requests[dim] = len(requests)
            assert not [text for text, times in Counter(self.answered[dim]).items() if times > 1]


def refuse_poison(text: str) -> Exception | None:
    return Refused(f"can't embed {text!r}") if "poison" in text else None


@pytest.mark.hypothesis
def test_a_tables_life() -> None:
    run_state_machine_as_test(TableLife, settings=settings(max_examples=examples(25), stateful_step_count=15))
