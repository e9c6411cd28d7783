"""What imports torchvision works here, whatever build of it is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["open_clip", "torchvision", "transformers.models.clip.image_processing_clip"])
def test_it_is_imported(module: str) -> None:
    """In a process of its own, since this one's imports may be done."""
    program = f"from lancelike._optional import require; require({module!r}, extra='open-clip', needed_by='the test')"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_declaring_again_changes_nothing() -> None:
    program = (
        "from lancelike import _torchvision as t; one = t.declare_operators(); t.declare_operators.cache_clear(); "
        "two = t.declare_operators(); import torchvision.transforms"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
