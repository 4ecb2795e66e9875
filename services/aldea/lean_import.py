"""Importing a library without an optional one that it takes where that is installed."""

import importlib
import sys


def import_without(optional: str, library: str) -> None:
    """Import `library` as where `optional` is not installed. Without effect on a process that has imported either."""
    hidden = optional not in sys.modules
    if hidden:
        sys.modules[optional] = None  # type: ignore[assignment]  # so an import of it fails (documented)
    try:
        importlib.import_module(library)
    finally:
        if hidden:
            del sys.modules[optional]
