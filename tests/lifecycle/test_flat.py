"""What a call holds in memory does not grow with the rows that it goes through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NDIMS = 512
FEW, MANY = 30_000, 180_000
WRITING = f"""
import sys, threading
import numpy as np, pyarrow as pa
import lancelike
from lancelike.embeddings import EmbeddingFunctionConfig, TextEmbeddingFunction, register

@register("lengths")
class Lengths(TextEmbeddingFunction):
    batch_size: int = 1_000

    def ndims(self):
        return {NDIMS}

    def generate_embeddings(self, texts):
        return np.repeat(np.array([[len(text)] for text in texts], np.float32), {NDIMS}, axis=1)

def texts(first, count):
    for start in range(first, first + count, 10_000):
        yield pa.record_batch({{"text": [f"text {{number}}" for number in range(start, start + 10_000)]}})

def anonymous_bytes():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024

def peak_of(call):
    peaks, over = [anonymous_bytes()], threading.Event()
    def watch():
        while not over.wait(0.005):
            peaks.append(anonymous_bytes())
    thread = threading.Thread(target=watch)
    thread.start()
    call()
    over.set()
    thread.join()
    return max(peaks)

config = EmbeddingFunctionConfig("vector", "text", Lengths.create())
table = lancelike.connect(sys.argv[1]).create_table("t", texts(0, 10_000), embedding_functions=[config])

def merge(rows):
    table.merge_insert("text").when_matched_update_all().when_not_matched_insert_all().execute(rows)

write = table.add if sys.argv[2] == "add" else merge
low, high = (peak_of(lambda: write(texts(count, count))) for count in ({FEW}, {MANY}))
assert table.count_rows("vector IS NOT NULL") == 10_000 + {FEW} + {MANY}
print(high - low)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no count of anonymous memory")
@pytest.mark.parametrize("verb", ["add", "merge"])
def test_six_times_the_rows_take_no_more_memory(tmp_path: Path, verb: str) -> None:
    """Vectors that were held would be 307 MB more, and go through the ledger as well."""
    done = subprocess.run(
        [sys.executable, "-c", WRITING, str(tmp_path), verb],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},  # what Lance's threads free would stay with each
    )
    assert int(done.stdout) < (MANY - FEW) * NDIMS * 4 / 2
