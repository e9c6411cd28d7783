"""What can be done to a table's vectors after they were written: plans, retries, checks, migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.lifecycle import doctor, failed, forgetting, freshness, health, lengths, migration, planning

__all__ = ["doctor", "failed", "forgetting", "freshness", "health", "lengths", "migration", "planning"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, {}, __all__)
