"""How the threads of OpenMP wait that torch brings: its library is asked, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from lancelike._threads import SAID_OTHERWISE

pytest.importorskip("torch")
REQUIRES = "from lancelike._optional import require; require('torch', extra='local', needed_by='a test')"


@pytest.mark.parametrize(
    ("code", "variables", "is_asleep"),
    [
        (REQUIRES, {}, True),
        (REQUIRES, {"OMP_WAIT_POLICY": "ACTIVE"}, False),
        (f"import torch; {REQUIRES}", {}, False),
    ],
    ids=["by default", "unless somebody said otherwise", "unless torch was imported before"],
)
def test_threads_that_wait_sleep(code: str, variables: Mapping[str, str], is_asleep: bool) -> None:
    others = {name: value for name, value in os.environ.items() if name not in SAID_OTHERWISE}
    environment = {**others, "OMP_DISPLAY_ENV": "VERBOSE", **variables}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stderr
    if "GOMP_SPINCOUNT" not in shown:
        pytest.skip("torch is built with another OpenMP than GCC's")
    assert ("GOMP_SPINCOUNT = '0'" in shown) == is_asleep


def test_the_environment_is_left_alone_where_nothing_is_embedded() -> None:
    code = "import os, lancelike; lancelike.connect('memory://'); print('OMP_WAIT_POLICY' in os.environ)"
    kept = {name: value for name, value in os.environ.items() if name not in SAID_OTHERWISE}
    assert subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True).stdout == "False\n"
