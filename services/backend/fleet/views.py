"""The proxies' views of their STT servers (aldea.upstream.fleet): read from Redis, and added up by server."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from aldea.redis.errors import RedisError, RedisUnavailable
from aldea.redis.link import RedisLink, Script
from aldea.redis.schema import FLEET_TASKS, USAGE_STREAM, fleet_task_key
from aldea.turns import in_turns
from backend.fleet import models

log = structlog.get_logger("backend.fleet")

# Tasks that are read, and servers and failovers that are shown: beyond it the page says nothing to anybody.
MOST_TASKS: Final = 200
MOST_SERVERS: Final = 2000
MOST_FAILOVERS: Final = 20

# Names of the tasks whose views are kept; readings that wait, and when the oldest of them came (ms of Redis' clock).
_LOOK: Final = Script(
    """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local tasks = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf', 'LIMIT', 0, ARGV[1])
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local age = -1
if oldest then age = now - tonumber(string.match(oldest[1], '(%d+)-')) end
return {redis.call('XLEN', KEYS[2]), age, tasks}
"""
)
_VIEWS: Final = Script("return redis.call('MGET', unpack(KEYS))")
_WORSE: Final[Sequence[models.CircuitState]] = ("closed", "half-open", "open")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read. `oldest_seconds`: how long the oldest reading waits; None: none does."""

    readings_waiting: int
    oldest_seconds: float | None
    views: list[Mapping[str, Any]]


async def read(link: RedisLink) -> Seen | None:
    """All views; None while Redis is unavailable."""
    try:
        waiting, age_ms, tasks = await link.call(_LOOK, [FLEET_TASKS, USAGE_STREAM], [MOST_TASKS])
        names = [fleet_task_key(_text(task)) for task in tasks]
        texts = await link.call(_VIEWS, names, []) if names else []
    except (RedisUnavailable, RedisError) as error:
        log.warning("views not read", error=f"{type(error).__name__}: {error}")
        return None
    views = [json.loads(text) async for text in in_turns(texts) if text is not None]
    return Seen(int(waiting), None if int(age_ms) < 0 else int(age_ms) / 1000, views)


def servers(views: Iterable[Mapping[str, Any]]) -> list[models.FleetServer]:
    """Each server once for each lane, by its name; of what servers say of themselves the newest view counts."""
    found: dict[tuple[str, str], models.FleetServer] = {}
    for view in sorted(views, key=lambda view: int(view["at_ms"])):
        for seen in view["servers"]:
            at = (view["lane"], seen["name"])
            if at in found or len(found) < MOST_SERVERS:
                found[at] = _added(found.get(at), view["lane"], seen)
    return [found[at] for at in sorted(found)]


def tasks(views: Iterable[Mapping[str, Any]]) -> list[models.FleetTask]:
    """The proxies, by lane and service."""
    made = []
    for view in views:
        # A proxy of before says nothing of it.
        weight, weights = view.get("weight") or (None, None)
        made.append(
            models.FleetTask(
                task=view["task"],
                service=view["service"] or "",
                lane=view["lane"],
                at=_at(view["at_ms"]),
                running=view["running"],
                servers=len(view["servers"]) + view["left_out"],
                weight=weight,
                weights=weights,
            )
        )
    return sorted(made, key=lambda task: (task.lane, task.service, task.task))


def failovers(views: Iterable[Mapping[str, Any]]) -> list[models.Failover]:
    """The newest of all proxies, newest first."""
    made = [
        models.Failover(
            at=_at(one["at_ms"]),
            request_id=one["request_id"],
            lane=view["lane"],
            lost=one["lost"],
            taken=one["taken"],
            cause=one["cause"],
        )
        for view in views
        for one in view["failovers"]
    ]
    return sorted(made, key=lambda one: one.at, reverse=True)[:MOST_FAILOVERS]


def _added(before: models.FleetServer | None, lane: str, seen: Mapping[str, Any]) -> models.FleetServer:
    says = seen["fresh"] and seen["capacity"] is not None
    circuit: models.CircuitState = seen["circuit"]
    return models.FleetServer(
        lane=lane,
        name=seen["name"],
        circuit=circuit if before is None else max(before.circuit, circuit, key=_WORSE.index),
        seen_by=1 + (before.seen_by if before else 0),
        open_at=(circuit != "closed") + (before.open_at if before else 0),
        capacity=seen["capacity"] if says else before.capacity if before else None,
        used=seen["used"] if says else before.used if before else None,
        held=seen["held"] + (before.held if before else 0),
        draining=seen["draining"] or bool(before and before.draining),
        weightless=seen["weightless"] or bool(before and before.weightless),
        withdrawn=seen["withdrawn"] or bool(before and before.withdrawn),
    )


def _at(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
