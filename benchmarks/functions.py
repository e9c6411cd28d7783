"""What embedding functions for the CPU cost and give: the same model, run in several ways by three libraries."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import lancedb.embeddings
import numpy as np
import onnx
from numpy.typing import NDArray

import lancelike
import lancelike.embeddings
from benchmarks.chroma import ChromaProcess, about_chroma, chroma_process
from benchmarks.data import Documented, documented
from benchmarks.embed import MODEL, Embedder, LibraryEmbedder
from benchmarks.report import Goal, Section, Table, say
from benchmarks.scale import Scale, fresh_folder
from lancelike.embeddings.batching import embed_queries
from lancelike.embeddings.local.export import export_onnx
from lancelike.embeddings.providers.sentence_transformers import find_model
from lancelike.types import Vectors

K = 10
LEAST_SPEED = {"lancelike, default": 1.3, "lancelike, default, int8": 3.0}
"""How many times as fast as another library's function lancelike's is to be."""
ABOUT_CHROMAS_GRAPH = (
    " Its default function downloads a graph; it was given the one that lancelike writes from the same weights, with "
    "its own code around it, which pads every text to 256 tokens."
)
CHROMA_FILES = ("config.json", "special_tokens_map.json", "tokenizer_config.json", "vocab.txt")

QUESTIONS: Mapping[str, frozenset[str]] = {
    question: frozenset(modules.split())
    for question, modules in {
        "how do I compress a file?": "gzip zlib bz2 lzma zipfile",
        "run something at a later time": "sched threading",
        "parse command line arguments": "argparse optparse getopt",
        "find files by a pattern such as *.txt": "glob fnmatch",
        "cache the results of a slow function": "functools",
        "how do I make a priority queue?": "heapq queue",
        "find the difference between two texts": "difflib",
        "read a spreadsheet's rows": "csv",
        "random numbers from a bell curve": "random statistics",
        "send an e-mail": "smtplib",
        "break a long paragraph into lines of a given width": "textwrap",
        "measure how long a snippet takes to run": "timeit profile cProfile",
        "calculate with thirds and sixths without rounding": "fractions",
        "the median of a list of numbers": "statistics",
        "store Python objects on disk": "pickle shelve dbm",
        "start another program and read what it prints": "subprocess",
        "a folder that is deleted when I am done with it": "tempfile",
        "walk through an XML document": "xml",
        "turn red, green and blue into hue and saturation": "colorsys",
        "what day of the week is it in that month?": "calendar datetime",
    }.items()
}
"""Question -> modules of the standard library that answer it."""


class Contestant(Embedder, Protocol):
    """An embedder that is also asked, and says what CPU time it took outside this process."""

    def embed_queries(self, queries: Sequence[str]) -> Vectors:
        """The vectors to search with, shape (len(queries), ndims)."""

    def cpu_s(self) -> float:
        """Seconds of CPU that its own process has had so far."""


class Lancelike(LibraryEmbedder):
    """A table of lancelike's, in a database of its own each time, which remembers no text."""

    library = lancelike

    def __init__(self, name: str, function: str, **settings: Any) -> None:
        self.name, self._alias, self._settings = name, function, settings

    @cached_property
    def function(self) -> Any:
        registry = lancelike.embeddings.get_registry()
        return registry.get(self._alias).create(name=find_model(MODEL), on_long="truncate", **self._settings)

    def embed_queries(self, queries: Sequence[str]) -> Vectors:
        return np.array(embed_queries(self.function, queries))

    def cpu_s(self) -> float:
        return 0.0


class LanceDB(LibraryEmbedder):
    name, library = "lancedb, sentence-transformers", lancedb

    def embed_queries(self, queries: Sequence[str]) -> Vectors:
        return np.array([self.function.compute_query_embeddings(query)[0] for query in queries], dtype=np.float32)

    def cpu_s(self) -> float:
        return 0.0


class Chroma:
    """A collection with Chroma's default function."""

    name = "chromadb, default"

    def __init__(self, process: ChromaProcess, folder: Path) -> None:
        self._process = process
        self._count = 0
        process.ask("model", str(chroma_model(folder)))

    def start(self, folder: Path) -> None:
        self._process.ask("start", str(folder))

    def add(self, texts: Sequence[str]) -> None:
        self._count = len(texts)
        self._process.ask("add", list(texts))

    def vectors(self) -> Vectors:
        return np.array(self._process.ask("vectors", self._count), dtype=np.float32)

    def embed_queries(self, queries: Sequence[str]) -> Vectors:
        return np.array(self._process.ask("embed_queries", list(queries)), dtype=np.float32)

    def cpu_s(self) -> float:
        return float(self._process.ask("cpu_s"))


def chroma_model(folder: Path) -> Path:
    """A folder as Chroma's default function unpacks it, with the graph that lancelike writes from the same weights."""
    path = export_onnx(MODEL, folder / "onnx") / "model.onnx"
    graph = onnx.load(str(path))
    if "token_type_ids" not in {each.name for each in graph.graph.input}:  # Chroma sends zeros
        shape = ["batch", "sequence"]
        graph.graph.input.append(onnx.helper.make_tensor_value_info("token_type_ids", onnx.TensorProto.INT64, shape))
        onnx.save(graph, str(path))
    for name in CHROMA_FILES:  # it looks whether they are there, and reads none of them
        (folder / "onnx" / name).touch()
    return folder


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """Seconds of a contestant's passes: of CPU, in all threads, and on the clock."""

    cpu_s: NDArray[np.float64]
    wall_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a contestant's vectors are.

    Attributes:
        cosine: Mean cosine of what it stored to what torch gives at float32.
        recall: Share of torch's K nearest of each query that are among its own K nearest.
        mrr: Mean reciprocal rank of the first right answer to each question.
    """

    cosine: float
    recall: float
    mrr: float


def run(scale: Scale) -> Section:
    say("functions")
    corpus, held_out = documented(scale.documented), documented(scale.documented, skip=True)
    texts = [each.text for each in corpus]
    queries = [*QUESTIONS, *(each.summary for each in held_out)]
    with chroma_process() as process:
        contestants: list[Contestant] = [
            Lancelike("lancelike, default", "default"),
            Lancelike("lancelike, default, int8", "default", precision="int8"),
            Lancelike("lancelike, sentence-transformers", "sentence-transformers"),
            LanceDB(),
        ]
        if process is not None:
            contestants.append(Chroma(process, scale.folder / "chroma-model"))
        costs = measure(contestants, texts, scale)
        torch = Reference()
        sources, asked = torch.encode(texts), torch.encode(queries)
        qualities = {each.name: quality(each, corpus, queries, sources, asked) for each in contestants}
    return Section(
        "Embedding functions: the same model, its cost and its quality",
        text(scale, texts, len(held_out), process),
        [as_table(len(texts), costs, qualities)],
        goals_of(costs),
    )


class Reference:
    """The model through torch at float32, with nothing of the libraries around it."""

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(find_model(MODEL), device="cpu")

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return vectors


def measure(contestants: Sequence[Contestant], texts: Sequence[str], scale: Scale) -> dict[str, Cost]:
    """Time an `add` of *texts* by every contestant, in turns; who begins changes from turn to turn."""
    seconds = {each.name: np.empty((scale.text_passes, 2)) for each in contestants}
    for each in contestants:  # models are loaded once
        timed(each, texts[:8], scale.folder)
    for turn in range(scale.text_passes):
        first = turn % len(contestants)
        for each in [*contestants[first:], *contestants[:first]]:
            seconds[each.name][turn] = timed(each, texts, scale.folder)
            say(f"functions: {each.name}: {seconds[each.name][turn][0]:.1f} s of CPU")
    return {name: Cost(*both.T) for name, both in seconds.items()}


def timed(contestant: Contestant, texts: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds of CPU and on the clock of one `add` to a new database."""
    contestant.start(fresh_folder(folder / contestant.name.replace(", ", "-")))
    clocks: tuple[Callable[[], float], ...] = (time.process_time, contestant.cpu_s, time.perf_counter)
    before = [clock() for clock in clocks]
    contestant.add(texts)
    here, there, wall = (clock() - start for clock, start in zip(clocks, before, strict=True))
    return here + there, wall


def quality(
    contestant: Contestant, corpus: Sequence[Documented], queries: Sequence[str], sources: Vectors, asked: Vectors
) -> Quality:
    stored = contestant.vectors()
    own = nearest(contestant.embed_queries(queries), stored)
    true = nearest(asked, sources)
    shared = [len(set(a[:K]) & set(b[:K])) / K for a, b in zip(own, true, strict=True)]
    modules = [each.module.partition(".")[0] for each in corpus]
    ranks = [
        next((1 / rank for rank, row in enumerate(rows, 1) if modules[row] in right), 0.0)
        for rows, right in zip(own, QUESTIONS.values(), strict=False)
    ]
    cosine = np.einsum("ij,ij->i", stored, sources, dtype=np.float64).mean()
    return Quality(float(cosine), float(np.mean(shared)), float(np.mean(ranks)))


def nearest(queries: Vectors, vectors: Vectors) -> NDArray[np.int64]:
    """Rows of *vectors*, all of unit length, from the nearest of each query on, by an exact scan."""
    rows: NDArray[np.int64] = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")
    return rows


def text(scale: Scale, texts: Sequence[str], held_out: int, chroma: ChromaProcess | None) -> str:
    lengths = np.percentile([len(each) for each in texts], [10, 50, 90]).astype(int)
    return (
        f"`add` of texts of mixed length to a new table through {MODEL} on the CPU, one thread, each library with a "
        f"function of its own. {scale.text_passes} passes in turns; models are loaded before. CPU seconds are those of "
        "all threads; the speeds beside lancedb and chromadb are medians of ratios of CPU time within a turn, which "
        f"other work on the machine disturbs least. Data: {len(texts)} whole docstrings of the standard library, of "
        f"modules and of what is in them, of {lengths[0]} (10th percentile), {lengths[1]} (median) and {lengths[2]} "
        "(90th) characters. What is over the model's 256 tokens is cut, by lancelike since `on_long` says so. "
        f"{about_chroma(chroma)}{ABOUT_CHROMAS_GRAPH if chroma else ''}\n\n"
        "Quality: *cosine* is the mean cosine of the vectors stored to those of `SentenceTransformer.encode` (torch, "
        f"float32); *recall@{K}* is the share of torch's {K} nearest texts that are among the contestant's, over "
        f"{len(QUESTIONS)} questions in plain words and the summaries of {held_out} other docstrings; *MRR* is the "
        "mean reciprocal rank of the first text of a module that answers the question, over the questions. Neighbours "
        "are by an exact scan."
    )


def as_table(count: int, costs: Mapping[str, Cost], qualities: Mapping[str, Quality]) -> Table:
    others = [name for name in (LanceDB.name, Chroma.name) if name in costs]
    header = ["", "CPU s, best", "wall s, best", "texts/CPU s, best"]
    header += [*(f"speed over {name.partition(',')[0]}" for name in others), "cosine", f"recall@{K}", "MRR"]
    body = [
        [
            name,
            *(f"{cost.cpu_s.min():.2f}", f"{cost.wall_s.min():.2f}", f"{count / cost.cpu_s.min():,.0f}"),
            *(f"{speed(cost, costs[other]):.2f}" for other in others),
            *(f"{qualities[name].cosine:.4f}", f"{qualities[name].recall:.3f}", f"{qualities[name].mrr:.3f}"),
        ]
        for name, cost in costs.items()
    ]
    return Table(f"{count} texts of mixed length", [header, *body])


def speed(cost: Cost, other: Cost) -> float:
    return float(np.median(other.cpu_s / cost.cpu_s))


def goals_of(costs: Mapping[str, Cost]) -> list[Goal]:
    goals = []
    for name, least in LEAST_SPEED.items():
        for other in (name for name in (LanceDB.name, Chroma.name) if name in costs):
            reached = speed(costs[name], costs[other])
            what = f"add of mixed texts, {name}: speed over {other}"
            goals.append(Goal(what, f"≥ {least}", f"{reached:.2f}", reached >= least))
    return goals
