"""Shared library of the platform's services: only what two of them or more need."""

import sys


def _import_structlog() -> None:
    """Import structlog without rich, which it takes where that is installed: 66 modules for tracebacks in colours.

    Our logs are JSON, and never show one. Here, so that it comes before every module that imports structlog.
    """
    hidden = "rich" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment]  # so an import of it fails (documented)
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        if hidden:
            del sys.modules["rich"]


_import_structlog()
