"""Events that proxies report: they reach Redis and no database, so they write to a stream, which is read here."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import structlog

from aldea.postgres import Database
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.schema import ALERTS_FIELD, ALERTS_STREAM
from backend.alerts import outbox
from backend.alerts.events import Event
from backend.sweeping import Sweeping

log = structlog.get_logger("backend.alerts")

LOOK_SECONDS: Final = 1.0
PAGE: Final = 200


class Reports(Sweeping):
    """The reader of one backend process. Several may read the same entries: each is an event once."""

    def __init__(self, database: Database, link: RedisLink, made: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            name="alert-reports", every=LOOK_SECONDS, again=LOOK_SECONDS, failure="reports not read", log=log
        )
        self._database = database
        self._link = link
        self._made = made

    async def sweep_now(self) -> int:
        """Take over what is in the stream; how many events that were. Raises DatabaseUnavailable."""
        try:
            return await self._take_over()
        except RedisUnavailable as error:
            log.warning("reports not read, will retry", error=str(error))
            return 0

    async def _take_over(self) -> int:
        entries = await self._link.run(lambda client: client.xrange(ALERTS_STREAM, count=PAGE))
        if not entries:
            return 0
        events = [event for _, fields in entries if (event := event_of(fields or {})) is not None]
        async with self._database.connection() as connection:
            count = await outbox.add(connection, events)
        # After the commit: what is read twice is written once.
        names = [name for name, _ in entries if name is not None]
        await self._link.run(lambda client: client.xdel(ALERTS_STREAM, *names))
        if count:
            self._made()
        return count


def event_of(fields: Mapping[Any, Any]) -> Event | None:
    """The event that an entry reports; None: it cannot be read, which is logged."""
    try:
        found = json.loads(fields[ALERTS_FIELD])
        request_id, project_id = str(UUID(found["request_id"])), str(UUID(found["project_id"]))
        kind: Any = {"callback.failed": "callback.failed"}[found["type"]]
        data = {
            "request_id": request_id,
            "host": str(found["host"]),
            "attempts": int(found["attempts"]),
            "reason": str(found["reason"]).replace("\0", ""),
        }
    except (KeyError, TypeError, ValueError) as error:
        log.warning("unreadable report dropped", error=type(error).__name__)
        return None
    return Event(type=kind, project_id=project_id, dedup=f"callback.failed:{request_id}", data=data)
