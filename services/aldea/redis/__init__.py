"""The process's link to Redis: connections, scripts, the circuit, and what is stored under which name."""

import sys


def _import_client() -> None:
    """Import redis-py without OpenTelemetry, which it takes where it is installed: 80 ms and 3 MB that nobody uses."""
    hidden = "opentelemetry" not in sys.modules
    if hidden:
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # so an import of it fails (documented)
    try:
        import redis.asyncio  # noqa: F401, PLC0415 - here, for all modules that import it afterwards
    finally:
        if hidden:
            del sys.modules["opentelemetry"]


_import_client()
