"""Runs of keys that are long lie in files without a name, and take no memory of the process."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lancelike.ledger.keys import input_keys
from lancelike.storage import runs as module
from lancelike.storage.key_index import INDEX_BYTES, KeyIndex, Keys, KeySet
from lancelike.storage.runs import SortedRuns

GROWTH = """
import sys
import numpy as np
from lancelike.storage.key_index import KeyIndex, KeySet

def anonymous_bytes():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024

random, index, met, peaks = np.random.default_rng(1), KeyIndex(), KeySet(), []
for count in (300_000, 1_200_000):
    peak = 0
    while len(index) < count:
        keys = random.integers(0, 1 << 64, (10_000, 2), np.uint64)
        assert met.meet(keys).all()
        assert (index.find(keys) < 0).all()
        index.add(keys, np.arange(len(index), len(index) + len(keys)))
        peak = max(peak, anonymous_bytes())
    peaks.append(peak)
print(peaks[1] - peaks[0])
"""


def random_keys(count: int, seed: int = 0) -> Keys:
    return np.random.default_rng(seed).integers(0, 1 << 64, (count, 2), np.uint64)


@contextmanager
def in_files_from(keys: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_IN_MEMORY", keys)
        yield


def in_memory_bytes(runs: SortedRuns) -> int:
    return sum(run.nbytes for run in runs if run.flags.owndata)


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.lists(st.integers(0, 99), max_size=30), max_size=25))
def test_an_index_in_files_finds_what_a_dict_would(most: int, batches: list[list[int]]) -> None:
    expected: dict[int, int] = {}
    index, number = KeyIndex(), 0
    with in_files_from(most):
        for batch in batches:
            numbers = np.arange(number, number + len(batch), dtype=np.int64)
            index.add(input_keys("f", "source", batch), numbers)
            expected.update(zip(batch, numbers.tolist(), strict=True))
            number += len(batch)
            found = index.find(input_keys("f", "source", list(range(100))))
            assert found.tolist() == [expected.get(i, -1) for i in range(100)]
    assert len(index) >= len(expected)


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.sets(st.integers(0, 200), max_size=30), max_size=25))
def test_a_set_in_files_tells_new_keys_as_a_set_would(most: int, batches: list[set[int]]) -> None:
    keys, met = KeySet(), set[int]()
    with in_files_from(most):
        for batch in batches:
            values = list(batch)
            assert keys.meet(input_keys("f", "source", values)).tolist() == [value not in met for value in values]
            met |= batch


def test_short_runs_are_in_memory_and_long_ones_in_files_without_a_name(tmp_path: Path) -> None:
    index, count = KeyIndex(tmp_path), 200_000
    keys = random_keys(count)
    for start in range(0, count, 1_000):
        index.add(keys[start : start + 1_000], np.arange(start, start + 1_000))
    assert len(index) == count
    assert sum(run.nbytes for run in index._runs) == count * INDEX_BYTES
    assert in_memory_bytes(index._runs) <= module.MOST_IN_MEMORY * INDEX_BYTES
    assert not list(tmp_path.iterdir())
    assert index.find(keys).tolist() == list(range(count))
    assert (index.find(random_keys(1_000, seed=1)) < 0).all()


def test_a_run_of_a_later_number_counts_wherever_it_lies() -> None:
    keys = random_keys(5_000)
    index = KeyIndex()
    with in_files_from(100):
        index.add(keys, np.arange(5_000))
        index.add(keys[::7], np.arange(10_000, 10_000 + len(keys[::7])))
        index.add(keys[:2], np.array([1, 2]))
    expected: NDArray[np.int64] = np.arange(5_000)
    expected[::7] = np.arange(10_000, 10_000 + len(keys[::7]))
    expected[:2] = [1, 2]
    np.testing.assert_array_equal(index.find(keys), expected)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_where_no_file_can_be_written_runs_stay_in_memory(tmp_path: Path) -> None:
    index, keys = KeyIndex(tmp_path), random_keys(9_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with in_files_from(100):
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            for start in range(0, 6_000, 1_000):
                index.add(keys[start : start + 1_000], np.arange(start, start + 1_000))
            assert in_memory_bytes(index._runs) == 6_000 * INDEX_BYTES
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        index.add(keys[6_000:], np.arange(6_000, 9_000))
    assert in_memory_bytes(index._runs) == 0
    assert index.find(keys).tolist() == list(range(9_000))


def test_a_folder_that_is_gone_is_done_without(tmp_path: Path) -> None:
    index, keys = KeyIndex(tmp_path / "gone"), random_keys(3_000)
    with in_files_from(100):
        for start in range(0, 3_000, 500):
            index.add(keys[start : start + 500], np.arange(start, start + 500))
    assert index.find(keys).tolist() == list(range(3_000))


@pytest.mark.skipif(sys.platform != "linux", reason="no count of anonymous memory")
def test_memory_does_not_grow_with_the_keys() -> None:
    """In memory, those of the second part would take 24 bytes each, 22 MB."""
    done = subprocess.run([sys.executable, "-c", GROWTH], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 6_000_000
