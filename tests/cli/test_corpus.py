from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lancelike.cli.corpus import SUMMARY_CHARS, Entry, collect_docstrings, read_source, summarize, visible


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    return {entry.name: entry for entry in collect_docstrings()}


def test_several_thousand_texts(entries: dict[str, Entry]) -> None:
    assert 4_000 < len(entries) < 12_000
    assert {entry.kind for entry in entries.values()} == {"module", "class", "function", "method"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("argparse", "module"),
        ("argparse.ArgumentParser", "class"),
        ("gzip.compress", "function"),
        ("zipfile.ZipFile.extractall", "method"),
        ("asyncio.run", "function"),  # defined in asyncio.runners
        ("os.remove", "function"),  # posix
        ("os.path.join", "function"),  # posixpath
        ("collections.deque", "class"),  # _collections, in C
        ("csv.reader", "function"),  # _csv, in C
        ("sqlite3.connect", "function"),  # _sqlite3, by way of sqlite3.dbapi2
        ("str.upper", "method"),  # builtins
        ("math.sqrt", "function"),
        ("hashlib", "module"),  # assigns __doc__
    ],
)
def test_names_are_those_a_program_writes(entries: dict[str, Entry], name: str, kind: str) -> None:
    assert entries[name].kind == kind


def test_what_no_program_should_import_is_left_out(entries: dict[str, Entry]) -> None:
    tops = {name.partition(".")[0] for name in entries}
    assert not tops & {"antigravity", "this", "idlelib", "test", "posix", "_io", "posixpath"}
    assert not [name for name in entries if "._" in name or name.startswith("_")]


def test_texts_are_short_lines(entries: dict[str, Entry]) -> None:
    for entry in entries.values():
        assert entry.text == " ".join(entry.text.split())
        assert 0 < len(entry.text) <= SUMMARY_CHARS + 2


def test_order_and_content_are_the_same_each_time(entries: dict[str, Entry]) -> None:
    assert collect_docstrings() == sorted(entries.values(), key=lambda entry: entry.name)


def test_modules_written_in_python_are_not_imported() -> None:
    code = (
        "import sys\n"
        "from lancelike.cli.corpus import collect_docstrings\n"
        "collect_docstrings()\n"
        "print(sorted({'turtle', 'webbrowser', 'pdb', 'antigravity', 'this', 'cgitb'} & sys.modules.keys()))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout == "[]\n"
    assert not run.stderr


def test_summarize_takes_whole_paragraphs_then_cuts_at_a_word() -> None:
    assert summarize("One\n   line.\n\nAnother.") == "One line. Another."
    assert summarize(f"{'first ' * 20}\n\nsecond") == ("first " * 20).strip()
    assert summarize("word " * 100).endswith("word …")
    assert summarize("") == ""


def test_a_package_shows_what_it_takes_from_itself_and_from_private_modules(tmp_path: Path) -> None:
    sources = {
        "pack/__init__.py": "from .inner import *\nfrom _hidden import secret as told\nfrom other import foreign\n",
        "pack/inner.py": "__all__ = ['shown']\ndef shown(): 'Shown.'\ndef kept(): 'Kept.'\n",
        "_hidden.py": "def secret(): 'Told.'\n",
        "other.py": "def foreign(): 'Foreign.'\n",
    }
    modules = {}
    for file, text in sources.items():
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        modules[name] = read_source(name, path)
    assert visible(modules, "pack") == {"shown": ("pack.inner", "shown"), "told": ("_hidden", "secret")}
