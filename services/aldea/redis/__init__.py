"""The process's link to Redis: connections, scripts, the circuit, and what is stored under which name."""

from aldea.lean_import import import_without

# OpenTelemetry is 80 ms and 3 MB that nobody uses. Here, for all modules that import redis-py afterwards.
import_without("opentelemetry", "redis.asyncio")
