"""The error of a local model that can't be loaded."""

from __future__ import annotations

import re
from pathlib import Path

from lancelike.errors import EmbeddingFunctionUnavailable

HINT = "name a folder that holds the model, or a model of the hub while the hub can be reached"
_ROOTED = re.compile(r"^(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\)")


def not_loaded(
    function: str, model: str, error: Exception, hint: str = HINT, *, weights: str = ""
) -> EmbeddingFunctionUnavailable:
    """The error of *model*, a name or a path, that can't be loaded because of *error*.

    Of a path that leads nowhere it says that, since packages take it for a name of the hub's; *weights* is one too.
    """
    named = [name for name in (model, weights) if name]
    gone = [name for name in named if _ROOTED.match(name) and not Path(name).expanduser().exists()]
    reason = f"there is nothing at {gone[0]}" if gone else " ".join(str(error).split())[:300] or type(error).__name__
    return EmbeddingFunctionUnavailable(
        f"the model {', '.join(named)!r} can't be loaded: {reason}", function=function, hint=hint
    )
