"""Run the studies, and publish what they found."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else threads of one library spin beside those of another
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; its idle threads disturb the others

from benchmarks import (
    add,
    calls,
    embed,
    functions,
    goals,
    growth,
    indexed,
    lifecycle,
    pictures,
    search,
    shapes,
    sounds,
    watch,
)
from benchmarks.report import Page, has_others, with_section
from benchmarks.scale import full, quick
from lancelike._torchvision import declare_operators

STUDIES = {
    "goals": goals,
    "search": search,
    "indexed": indexed,
    "shapes": shapes,
    "calls": calls,
    "add": add,
    "embed": embed,
    "functions": functions,
    "lifecycle": lifecycle,
    "pictures": pictures,
    "sounds": sounds,
    "growth": growth,
}
DOCS = Path(__file__).parent.parent / "docs"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less data; prints the page")
    parser.add_argument("--only", choices=STUDIES, action="append", help="run this study alone; prints the page")
    parser.add_argument("--write", action="store_true", help="put the studies of --only into the page, in their places")
    parser.add_argument(
        "--watch", action="store_true", help="a line for each goal, beside runs kept; 1 if one is worse"
    )
    parser.add_argument("--keep", action="store_true", help="keep the run of --watch, to compare others with")
    options = parser.parse_args(arguments)
    if options.watch:
        sys.exit(look(options.keep))
    declare_operators()  # other contestants import what lancelike would declare them for
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="lancelike-bench-") as folder:
        scale = (quick if options.quick else full)(Path(folder))
        sections = [study.run(scale) for name, study in STUDIES.items() if name in (options.only or STUDIES)]
    command = " ".join(["python -m benchmarks", *(sys.argv[1:] if arguments is None else arguments)])
    for name in dict.fromkeys(section.page for section in sections):
        page = Page(name, command, load, [section for section in sections if section.page == name])
        if options.quick or (options.only and not options.write):
            print(page)
        else:
            publish(page, DOCS / f"{name}.md")


def look(keeps: bool) -> int:
    """Print each goal beside the runs kept; 1 if one is worse, else 0."""
    declare_operators()
    with tempfile.TemporaryDirectory(prefix="lancelike-bench-") as folder:
        compared = watch.compare(goals.measured(quick(Path(folder)), None), watch.kept_runs())
    print(watch.table(compared), watch.summary(compared), sep="\n\n")
    if keeps:
        watch.keep(compared)
    return int(any(each.is_worse for each in compared))


def publish(page: Page, path: Path) -> None:
    """Write *page*, or its sections alone where the page has others."""
    written = path.read_text() if path.exists() else ""
    path.write_text(with_section(written, page) if has_others(written, page) else str(page))


if __name__ == "__main__":
    main()
