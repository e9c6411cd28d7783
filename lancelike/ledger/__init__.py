"""What was paid for and what failed: the memory behind reuse, resuming, failed rows, plans and migration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.ledger.bounds import DEFAULT_BYTES
    from lancelike.ledger.drift import DriftGuard
    from lancelike.ledger.embedder import Embedder
    from lancelike.ledger.failures import TableFailures
    from lancelike.ledger.fingerprints import fingerprint
    from lancelike.ledger.ledger import Ledger
    from lancelike.ledger.planner import Planner
    from lancelike.ledger.records import TableRecords

_HOMES = {
    "DEFAULT_BYTES": "bounds",
    "DriftGuard": "drift",
    "Embedder": "embedder",
    "Ledger": "ledger",
    "Planner": "planner",
    "TableFailures": "failures",
    "TableRecords": "records",
    "fingerprint": "fingerprints",
}

__all__ = [
    "DEFAULT_BYTES",
    "DriftGuard",
    "Embedder",
    "Ledger",
    "Planner",
    "TableFailures",
    "TableRecords",
    "fingerprint",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, _HOMES)
