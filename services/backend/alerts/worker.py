"""Delivers events: webhooks with retries over a day, mails. Several processes may do so at once."""

import asyncio
import json
import random
import uuid
from collections import Counter
from typing import Final

import asyncpg
import prometheus_client
import structlog

from aldea.address_guard import GuardedClient
from aldea.errors import ServiceUnavailable
from aldea.postgres import Database
from aldea.tasks import cancel, spawn, woken
from backend.alerts import deliveries, outbox, repository, webhook
from backend.alerts.deliveries import Claimed
from backend.alerts.events import Event
from backend.alerts.mail import Mail, Mailer, MailFailed, NoMail
from backend.alerts.mail_texts import text_of

log = structlog.get_logger("backend.alerts")

# Attempts of a process at a time.
CONCURRENT: Final = 64
# How often a process without work looks for what has become due; jittered, so that a fleet spreads out.
LOOK_SECONDS: Final = 0.5
# Until the next attempt, after each: a day all in all. A receiver that was deployed badly is well again in minutes, one
# whose disk is full in hours.
PAUSES: Final = (5.0, 60.0, 300.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 36_000.0)
JITTER: Final = 0.1
# A webhook that has failed for so long, with no success in between, is disabled.
DISABLED_AFTER_SECONDS: Final = 5 * 86_400.0

DELIVERIES: Final = prometheus_client.Counter(
    "aldea_alert_deliveries", "Attempts to deliver an event, by kind and outcome", ["kind", "outcome"]
)


class DeliveryWorker:
    """The deliveries of one backend process."""

    def __init__(
        self, database: Database, client: GuardedClient, mailer: Mailer, *, console: str | None = None
    ) -> None:
        """`console`: its origin, for mails."""
        self._database = database
        self._client = client
        self._mailer = mailer
        self._console = console
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._lanes: Counter[str] = Counter()

    def wake(self) -> None:
        """Something has become due just now."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. What is cut off is sent again by another process, under the same id."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self.start_due()
                except (ServiceUnavailable, asyncpg.PostgresError) as error:
                    log.warning("deliveries not looked for", error=f"{type(error).__name__}: {error}")
                except Exception:
                    log.exception("deliveries not looked for")
                await woken(self._wake, LOOK_SECONDS)
        finally:
            await cancel(*self._running)

    async def start_due(self) -> int:
        """Begin an attempt of whatever is due, as far as there is room; of how many."""
        room = CONCURRENT - len(self._running)
        if room <= 0:
            return 0
        async with self._database.connection() as connection:
            taken = await deliveries.claim(connection, room, str(uuid.uuid4()), +self._lanes)
        for one in taken:
            self._lanes[one.lane] += 1
            task = spawn(self._deliver(one), name="alert-delivery")
            self._running.add(task)
            task.add_done_callback(lambda task, one=one: self._ended(task, one))  # type: ignore[misc]
        return len(taken)

    async def settled(self) -> None:
        """Wait until no attempt is under way."""
        while self._running:
            await asyncio.wait(self._running)

    def _ended(self, task: "asyncio.Task[None]", one: Claimed) -> None:
        self._running.discard(task)
        self._lanes[one.lane] -= 1
        self._wake.set()

    async def _deliver(self, one: Claimed) -> None:
        try:
            await (self._to_webhook if one.kind == "webhook" else self._by_mail)(one)
        except (ServiceUnavailable, asyncpg.PostgresError) as error:
            # Due again by itself; the receiver may get it twice, under the same id.
            log.warning("delivery state not written", delivery_id=one.delivery_id, error=type(error).__name__)

    async def _to_webhook(self, one: Claimed) -> None:
        async with self._database.connection() as connection:
            to = await repository.signing(connection, one.lane)
            if to is None or to.disabled:
                await deliveries.settle(connection, one, "failed", error="the webhook is disabled")
                return
        body = webhook.payload(one.event_id, one.type, one.created, json.loads(one.data))
        signing = [to.secret] if to.former is None else [to.secret, to.former]
        outcome = await webhook.send(
            self._client, customer=to.project_id, url=to.url, event_id=one.event_id, body=body, signing=signing
        )
        again = None if outcome.gone else pause(one.attempts)
        DELIVERIES.labels("webhook", _outcome(outcome.failure, again)).inc()
        log.info(
            "webhook attempted", delivery_id=one.delivery_id, event_id=one.event_id, webhook_id=one.lane,
            attempts=one.attempts, failure=outcome.failure, took_ms=outcome.took_ms,
        )  # fmt: skip
        async with self._database.transaction() as connection:
            state: deliveries.State = "delivered"
            if outcome.failure is not None:
                state = "failed" if again is None else "waiting"
            # The webhook before its deliveries, as whoever changes or deletes it: so no two wait for each other.
            found = None
            if outcome.failure is None:
                await repository.succeeded(connection, one.lane)
            else:
                found = await repository.failed(connection, one.lane, DISABLED_AFTER_SECONDS)
            await deliveries.settle(
                connection, one, state, again_seconds=again if state == "waiting" else None,
                took_ms=outcome.took_ms, status=outcome.status, response=outcome.response, error=outcome.failure,
            )  # fmt: skip
            if found is not None and (outcome.gone or found.too_long):
                reason = "it responded 410 Gone" if outcome.gone else f"it failed since {found.failing_since:%Y-%m-%d}"
                await repository.disable(connection, one.lane)
                await deliveries.give_up(connection, one.lane, "the webhook was disabled")
                # To others, if the project has any, and by mail.
                data = {"webhook_id": one.lane, "url": without_query(found.url), "reason": reason}
                await outbox.add(connection, [Event(type="webhook.disabled", project_id=found.project_id, data=data)])
                log.warning("webhook disabled", webhook_id=one.lane, reason=reason)

    async def _by_mail(self, one: Claimed) -> None:
        async with self._database.connection() as connection:
            to = await repository.recipient(connection, one.lane, one.project_id)
        failure, final = "nobody has this account any more", True
        if to is not None:
            subject, text = text_of(one.type, json.loads(one.data), to.project, self._console)
            try:
                await self._mailer.send(Mail(one.delivery_id, to.email, subject, text))
                failure = ""
            except MailFailed as error:
                failure, final = str(error), error.final
        again = None if final else pause(one.attempts)
        DELIVERIES.labels("mail", _outcome(failure or None, again)).inc()
        if failure and not isinstance(self._mailer, NoMail):
            log.warning("mail not sent", delivery_id=one.delivery_id, attempts=one.attempts, reason=failure)
        async with self._database.connection() as connection:
            if not failure:
                await deliveries.settle(connection, one, "delivered")
            elif again is None:
                await deliveries.settle(connection, one, "failed", error=failure)
            else:
                await deliveries.settle(connection, one, "waiting", again_seconds=again, error=failure)


def pause(attempts: int) -> float | None:
    """Seconds until the next attempt after so many; None: that was the last one."""
    if attempts > len(PAUSES):
        return None
    return PAUSES[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)


def without_query(url: str) -> str:
    """A URL as others may see it: its query may hold a secret."""
    return url.partition("?")[0]


def _outcome(failure: str | None, again: float | None) -> str:
    return "delivered" if failure is None else "given up" if again is None else "failed"
