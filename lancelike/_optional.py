"""Optional packages: imported when first needed, with an error that names the extra to install."""

from __future__ import annotations

import importlib
from typing import Any

from lancelike._threads import TORCH_USERS, let_waiting_threads_sleep
from lancelike._torchvision import IMPORTERS, declare_operators


def require(module: str, *, extra: str, needed_by: str) -> Any:
    """Import *module*, or raise an ImportError that says how to install it; torch's threads then sleep while they wait.

    Args:
        module: Dotted name of the module.
        extra: The extra of lancelike that brings it.
        needed_by: What the caller was about to do, for the message.

    Raises:
        ImportError: The module, or something that it imports, is not installed.
    """
    try:
        package = module.partition(".")[0]
        if package in TORCH_USERS:
            let_waiting_threads_sleep()
        if package in IMPORTERS:
            declare_operators()
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{needed_by} needs the package {module.partition('.')[0]!r}, which can't be imported ({error}); "
            f"install it with: pip install 'lancelike[{extra}]'",
            name=module,
        ) from error


def attempt_import_or_raise(module: str, mitigation: str | None = None) -> Any:
    """The *module*, for functions that were written for LanceDB.

    Args:
        module: Its dotted name.
        mitigation: The package to install for it.

    Raises:
        ImportError: It can't be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"Please install {mitigation or module}", name=module) from error
