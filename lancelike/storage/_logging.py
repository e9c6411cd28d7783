"""What Lance may say on stderr; imported before lance, which reads it once.

Adding rows to an IVF index warns of each partition that none of them falls into, and statistics of what they will hold
in a later version: both is of no use to a user, and comes at every write that brings an index up to date.
"""

from __future__ import annotations

import os

os.environ.setdefault("LANCE_LOG", "warn,lance::index::vector::builder=error,lance::index::vector::ivf=error")
