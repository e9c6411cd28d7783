"""What makes two functions the same: the name, the settings that shape a vector, and its length."""

from __future__ import annotations

import hashlib
import json

from lancelike.embeddings import EmbeddingFunction


def fingerprint(function: EmbeddingFunction) -> str:
    """Hash, 32 hexadecimal digits, of all that decides which vector *function* makes of an input.

    Secrets and settings of transport (keys, addresses, retries, batch sizes, devices) are not in it, so that moving a
    table to another machine or account keeps what was paid for.
    """
    facts = {"name": function.label, "settings": function.shaping_settings(), "ndims": function.ndims()}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()[:32]
