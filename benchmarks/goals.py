"""The goals: each kind of work beside lancedb's time for it, and that of who else does it; a line each."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import elsewhere
from benchmarks.chroma import ChromaProcess, about_chroma, chroma_process
from benchmarks.contestants import K
from benchmarks.data import NDIMS, ROWS_PER_CLUSTER
from benchmarks.lines import HEADER, Line
from benchmarks.report import Goal, Section, Table, say
from benchmarks.scale import Scale
from benchmarks.searching import indexed, pq, real, scans
from benchmarks.storing import by_id, by_text, embedding, ingest, opening


def run(scale: Scale) -> Section:
    with chroma_process() as chroma:
        lines = list(measured(scale, chroma))
        about = text(scale, chroma)
    table = Table("Beside lancedb, and others", [HEADER, *(line.cells() for line in lines)])
    due = [line for line in lines if line.size in (None, line.measured_size)]
    goals = [Goal(line.work, line.bound, line.measured, line.met) for line in due]
    return Section("Goals: every kind of work beside lancedb", about, [table], goals)


def measured(scale: Scale, chroma: ChromaProcess | None) -> Iterator[Line]:
    for study in (scans, indexed, pq, real, ingest, by_id, opening, embedding, by_text):
        say(f"goals: {study.__name__.replace('_', ' ')}")
        yield from study(scale, chroma)


def text(scale: Scale, chroma: ChromaProcess | None) -> str:
    return (
        "The same calls to both libraries, in turns, in one process; medians. Each has files of its own of the same "
        f"rows: an id, a short text, {NDIMS} float32 in clusters of {ROWS_PER_CLUSTER}; answers have all columns of "
        f"the {K} nearest. A goal that is for another size than was measured says so, and isn't judged. Recall is "
        "against an exact scan in float64, ties counted. Vectors are in memory before the first search that is timed, "
        f"save where that is timed. {scale.queries} queries, asked {scale.passes} times; an index is built once. "
        "Who searches asks all of them in a row before the next one does, since so were the figures found that the "
        "goals were set by; *singly* is what one takes where each asks one in turn, and finds the processor's caches "
        "as the others left them. "
        "A filter is another each time, but for *the same again*, which lancelike remembers. "
        "Rows are added right after the same rows by the same library, untimed. Memory is what a fresh process gains "
        "when it reads the index and searches, vectors in files that are mapped "
        "told apart; of those that have no files, what the index takes.\n\n"
        "*Elsewhere* are others in the same turns, to be compared with and not to be beaten. numpy, faiss and hnswlib "
        "have vectors in memory and answer with their numbers alone: no files, columns, filters by SQL, deletions or "
        "versions. One query takes one thread of theirs, several at once and building take all cores. faiss's and "
        "hnswlib's effort is the least that reaches the recall stated. Chroma's answers have ids, texts and distances, "
        "and its times are taken in its process. " + absent(chroma)
    )


def absent(chroma: ChromaProcess | None) -> str:
    """Who was there and who was not, as sentences."""
    missing = elsewhere.missing()
    return (f"Not installed here: {' and '.join(missing)}. " if missing else "") + about_chroma(chroma)
