"""The command `lancelike`: a guest on the public face."""

from __future__ import annotations

from lancelike.cli.commands import main

__all__ = ["main"]
