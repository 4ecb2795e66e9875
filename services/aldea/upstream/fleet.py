"""What a proxy sees of its STT servers, written to Redis for the operators' console: small, bounded, expiring.

A task's view replaces its last one and ends some seconds after the task does. Where Redis is unavailable there is no
view, and nothing else depends on one.
"""

import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import structlog

from aldea.redis.errors import RedisError, RedisUnavailable
from aldea.redis.link import RedisLink, Script
from aldea.redis.schema import FLEET_TASKS, fleet_task_key
from aldea.upstream.pool import Upstreams
from aldea.upstream.server import Upstream

log = structlog.get_logger("aldea.upstream.fleet")

REPORT_SECONDS: Final = 10.0
# A view outlives two reports that are lost.
KEPT_SECONDS: Final = 35
# Of one task: more servers than a lane has, and still small.
MOST_SERVERS: Final = 300

# Tasks by the time until which their views are kept, in ms of Redis' clock; those of tasks that ended go with the next
# report.
_REPORT: Final = Script(
    """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + 1000 * ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 0
"""
)


class FleetReports:
    """Writes this process's view again and again."""

    def __init__(
        self,
        link: RedisLink,
        upstreams: Upstreams,
        *,
        service: str | None,
        lane: str,
        running: Callable[[], int],
        weight: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
        """`service`: the name in the service's logs. `running`: how many requests this process works on.

        `weight`: its lane's at the load balancer, and the sum of all lanes'; None: not known.
        """
        self._link = link
        self._upstreams = upstreams
        self._service = service
        self._lane = lane
        self._running = running
        self._weight = weight
        self.task = f"{os.uname().nodename}-{uuid.uuid4().hex[:8]}"

    def view(self) -> dict[str, Any]:
        """What this process sees now."""
        servers = self._upstreams.servers
        now = time.monotonic()
        return {
            "task": self.task,
            "service": self._service,
            "lane": self._lane,
            "at_ms": time.time_ns() // 1_000_000,
            "running": self._running(),
            "weight": self._weight(),
            "servers": [_server(server, now) for server in servers[:MOST_SERVERS]],
            "left_out": max(0, len(servers) - MOST_SERVERS),
            "failovers": list(self._upstreams.failovers),
        }

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(REPORT_SECONDS * random.uniform(0.8, 1.0))
            await self.report()

    async def report(self) -> None:
        """Write the view once. Never raises for what Redis does."""
        text = json.dumps(self.view(), separators=(",", ":"))
        try:
            await self._link.call(_REPORT, [FLEET_TASKS, fleet_task_key(self.task)], [self.task, KEPT_SECONDS, text])
        except (RedisUnavailable, RedisError) as error:
            log.debug("view not reported", error=f"{type(error).__name__}: {error}")


def _server(server: Upstream, now: float) -> dict[str, Any]:
    """`fresh`: whether its statistics still say something; `weightless`: its lane's weight is 0."""
    return {
        "name": server.name,
        "circuit": server.circuit.state.value,
        "capacity": server.stats.capacity,
        "used": server.stats.used,
        "held": server.held,
        "fresh": server.load(now) is not None,
        "draining": server.stats.draining,
        "weightless": server.switched_off,
        "withdrawn": server.withdrawn,
    }
