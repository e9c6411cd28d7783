"""What a study hands back, and the page made of it."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "pylance",
    "lancedb",
    "pyarrow",
    "numpy",
    "pandas",
    "torch",
    "sentence-transformers",
    "faiss-cpu",
    "hnswlib",
)


@dataclass(frozen=True, slots=True)
class Goal:
    """Something a figure must keep to, and whether it did."""

    what: str
    bound: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Figures of one comparison; the first row is the header."""

    title: str
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        header, *body = self.rows
        lines = [header, ["---", *["---:"] * (len(header) - 1)], *body]
        return f"**{self.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True, slots=True)
class Section:
    """A study's part of a page.

    Attributes:
        page: Which page, a key of `INTRODUCTIONS`; it is `docs/<page>.md`.
    """

    title: str
    text: str
    tables: Sequence[Table]
    goals: Sequence[Goal] = field(default=())
    page: str = "benchmarks"

    def __str__(self) -> str:
        return "\n\n".join([f"## {self.title}", *map(wrapped, self.text.split("\n\n")), *map(str, self.tables)])


@dataclass(frozen=True, slots=True)
class Page:
    """All sections of one page, with what is needed to judge and repeat them."""

    name: str
    command: str
    load_before: float
    sections: Sequence[Section]

    def __str__(self) -> str:
        parts = [INTRODUCTIONS[self.name].strip(), *self._goals(), *map(str, self.sections), self._conditions()]
        return "\n\n".join(parts) + "\n"

    def _goals(self) -> list[str]:
        rows = [["", "goal", "measured", "met"], *map(goal_row, self.all_goals)]
        return [str(Table("Goals", rows))] if self.all_goals else []

    @property
    def all_goals(self) -> list[Goal]:
        return [goal for section in self.sections for goal in section.goals]

    def _conditions(self) -> str:
        return "\n".join([f"## {MACHINE}", "", *map(wrapped, self.conditions())])

    def conditions(self) -> list[str]:
        packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := installed(name)))
        return [
            f"- Command: `{self.command}`, {datetime.now(UTC):%Y-%m-%d}.",
            f"- Machine: {os.cpu_count()} cores, {cpu_model()}, {memory_gib():.0f} GiB, {platform.system()}. Load "
            f"average {self.load_before:.1f} before the run, which was other work on the same cores, and "
            f"{os.getloadavg()[0]:.1f} at its end.",
            f"- lancelike {own_version()}, Python {platform.python_version()}, {packages}; "
            f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}.",
        ]


def installed(package: str) -> str | None:
    """The version that is installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def own_version() -> str:
    """That of the tree this runs from, installed or not."""
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"])


def goal_row(goal: Goal) -> list[str]:
    return [goal.what, goal.bound, goal.measured, "yes" if goal.met else "**no**"]


def has_others(page: str, part: Page) -> bool:
    """Whether the text of a *page* has sections that *part* has not, but the one on the machine."""
    titles = [line.removeprefix("## ") for line in page.split("\n") if line.startswith("## ")]
    return bool(set(titles) - {MACHINE} - {section.title for section in part.sections})


def with_section(page: str, part: Page) -> str:
    """The text of a *page* with the sections and goals of *part* in the places of theirs, or new; others stay."""
    head, *sections = page.rstrip().split("\n\n## ")
    goals = head.split("\n")
    for row in map(goal_row, part.all_goals):
        line = f"| {' | '.join(row)} |"
        places = [i for i, each in enumerate(goals) if each.startswith(f"| {row[0]} |")]
        goals[places[0] if places else len(goals) : (places[0] if places else len(goals)) + 1] = [line]
    conditions = "\n".join(["This part was measured by itself:", "", *map(wrapped, part.conditions())])
    for section in part.sections:
        text = f"{section}\n\n{conditions}".removeprefix("## ")
        places = [i for i, each in enumerate(sections) if each.startswith(f"{section.title}\n")]
        at = places[0] if places else len(sections) - 1  # the last is on the machine
        sections[at : at + len(places)] = [text]
    return "\n\n## ".join(["\n".join(goals), *sections]) + "\n"


MACHINE = "Machine, versions, command"
"""Title of each page's last section."""
INTRODUCTIONS = {
    "benchmarks": """
# Benchmarks

This page is written by `python -m benchmarks`, which runs all contestants in one process, in turns: each does a job
before any does the next, and who begins changes from turn to turn. *Best* is the fastest of several passes at a job
(the median of these, where there are many jobs), p50 and p95 are over all passes and jobs. A *ratio* is the median
over all turns of one contestant's time over another's in the same turn, so that what slows the machine for a while
slows both; beside it in brackets is the ratio of the best passes.
""",
    "planning": """
# Planning for many rows

How a table's time, memory and disk grow from ten thousand rows to two million, measured, and what that says of ten
million to a billion. This page is written by `python -m benchmarks --only growth --write`; [Indexes](indexes.md) says
what the settings are.
""",
}


def wrapped(paragraph: str) -> str:
    """*paragraph*, a list's item too, in lines of at most 120 characters."""
    indent = "  " if paragraph.startswith("- ") else ""
    return textwrap.fill(paragraph, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.3g}"


def ratio(of_turns: float, of_best: float) -> str:
    return f"{of_turns:.2f} ({of_best:.2f})"


def cpu_model() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def say(progress: str) -> None:
    """Tell on stderr what is being measured."""
    print(progress, file=sys.stderr, flush=True)
