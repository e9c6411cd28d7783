"""What was paid for and what failed: the memory behind reuse, resuming, failed rows, plans and migration."""

from __future__ import annotations

from lancelike.ledger.drift import DriftGuard
from lancelike.ledger.embedder import Embedder
from lancelike.ledger.failures import TableFailures
from lancelike.ledger.fingerprint import fingerprint
from lancelike.ledger.ledger import DEFAULT_BYTES, Ledger
from lancelike.ledger.planner import Planner
from lancelike.ledger.records import TableRecords

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
