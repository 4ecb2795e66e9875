"""Shared library of the platform's services: only what two of them or more need."""

from aldea.lean_import import import_without

# rich is 66 modules for tracebacks in colours, and our logs are JSON, which never shows one. Here, so that it comes
# before every module that imports structlog.
import_without("rich", "structlog")
