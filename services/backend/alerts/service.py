"""Operations on webhooks and their deliveries. Each change is one transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from aldea.address_guard import AddressGuard, RefusedUrl
from aldea.postgres import Connection, Database
from backend.alerts import deliveries, repository
from backend.alerts.errors import DeliveryGone, TooManyWebhooks, UrlUnusable, WebhookDisabled, WebhookGone
from backend.alerts.events import Type
from backend.alerts.models import ChangeWebhook
from backend.alerts.webhook import new_secret
from backend.alerts.worker import DeliveryWorker, without_query
from backend.api.endpoint import Actor
from backend.api.throttle import Rule, Throttle
from backend.changes import Changes
from backend.projects import repository as projects
from backend.projects.errors import no_such_project

MAX_WEBHOOKS: Final = 10
# So long receivers have to take over a new secret.
OVERLAP_SECONDS: Final = 86_400
# Of a project: what somebody sends by a button.
MANUAL: Final = Rule("webhook-send", 60, 600)


class AlertService:
    """Webhooks of projects, their deliveries, and what accounts are notified of."""

    def __init__(
        self, database: Database, changes: Changes, throttle: Throttle, guard: AddressGuard, worker: DeliveryWorker
    ) -> None:
        self._database = database
        self._changes = changes
        self._throttle = throttle
        self._guard = guard
        self._worker = worker

    async def webhooks(self, project_id: str) -> list[repository.WebhookRow]:
        """The project's webhooks."""
        async with self._database.connection() as connection:
            return await repository.webhooks(connection, project_id)

    async def webhook(self, project_id: str, endpoint_id: str) -> repository.WebhookRow:
        """One of them. Raises WebhookGone."""
        async with self._database.connection() as connection:
            return await _found(connection, project_id, endpoint_id)

    async def create(
        self, actor: Actor, project_id: str, url: str, description: str, types: Sequence[Type] | None
    ) -> tuple[repository.WebhookRow, str]:
        """A new webhook and its secret. Raises UrlUnusable, TooManyWebhooks, ProjectGone."""
        self._check(url)
        secret = new_secret()
        async with self._changes.transaction(actor) as change:
            if not await projects.lock(change.connection, project_id):
                raise no_such_project()
            if len(await repository.webhooks(change.connection, project_id)) >= MAX_WEBHOOKS:
                raise TooManyWebhooks(f"The project has {MAX_WEBHOOKS} webhooks, as many as allowed. Delete one.")
            row = await repository.insert(change.connection, project_id, url, description, types, secret)
            change.unmirrored(
                "alert_endpoints", "webhook.create", row.endpoint_id, project_id=project_id, url=without_query(url)
            )
        return row, secret

    async def change(
        self, actor: Actor, project_id: str, endpoint_id: str, wanted: ChangeWebhook
    ) -> repository.WebhookRow:
        """Change a webhook. Raises WebhookGone, UrlUnusable."""
        if wanted.url is not None:
            self._check(wanted.url)
        async with self._changes.transaction(actor) as change:
            await projects.lock(change.connection, project_id)
            row = await _found(change.connection, project_id, endpoint_id)
            enabled = row.disabled is None if wanted.enabled is None else wanted.enabled
            changed = await repository.change(
                change.connection,
                project_id,
                endpoint_id,
                url=wanted.url or row.url,
                description=row.description if wanted.description is None else wanted.description,
                types=None if wanted.all_types else wanted.types or row.types,
                enabled=enabled,
            )
            if not enabled:
                await deliveries.give_up(change.connection, endpoint_id, "the webhook was disabled")
                change.exempt("alert_deliveries")
            change.unmirrored(
                "alert_endpoints", "webhook.change", endpoint_id, project_id=project_id,
                url=without_query(changed.url), enabled=enabled,
            )  # fmt: skip
        return changed

    async def delete(self, actor: Actor, project_id: str, endpoint_id: str) -> None:
        """Delete a webhook and its deliveries. Raises WebhookGone."""
        async with self._changes.transaction(actor) as change:
            await projects.lock(change.connection, project_id)
            row = await _found(change.connection, project_id, endpoint_id)
            await repository.delete(change.connection, endpoint_id)
            await deliveries.forget(change.connection, endpoint_id)
            change.exempt("alert_deliveries")
            change.unmirrored(
                "alert_endpoints", "webhook.delete", endpoint_id, project_id=project_id, url=without_query(row.url)
            )

    async def rotate(self, actor: Actor, project_id: str, endpoint_id: str) -> tuple[str, datetime]:
        """A new secret, and until when the former one signs, too. Raises WebhookGone."""
        secret = new_secret()
        async with self._changes.transaction(actor) as change:
            await projects.lock(change.connection, project_id)
            await _found(change.connection, project_id, endpoint_id)
            await repository.rotate(change.connection, endpoint_id, secret, OVERLAP_SECONDS)
            change.unmirrored("alert_endpoints", "webhook.rotate", endpoint_id, project_id=project_id)
        return secret, datetime.now(UTC) + timedelta(seconds=OVERLAP_SECONDS)

    async def test(self, actor: Actor, project_id: str, endpoint_id: str) -> deliveries.Delivery:
        """Send an event of type webhook.test. Raises WebhookGone, WebhookDisabled, TooManyRequests."""
        await self._throttle.take(MANUAL.of(project_id))
        async with self._changes.transaction(actor) as change:
            await _enabled(change.connection, project_id, endpoint_id)
            delivery_id = await repository.add_test_event(change.connection, project_id, endpoint_id)
            change.exempt("alert_events")
            change.unmirrored("alert_deliveries", "webhook.test", endpoint_id, project_id=project_id)
            found = await deliveries.one(change.connection, endpoint_id, delivery_id)
        assert found is not None
        self._worker.wake()
        return found

    async def page_of_deliveries(
        self, project_id: str, endpoint_id: str, before: str | None, state: deliveries.State | None, limit: int
    ) -> tuple[Sequence[deliveries.Delivery], str | None]:
        """A page of deliveries, newest first, and what to go on before (None: these are all). Raises WebhookGone."""
        async with self._database.connection() as connection:
            await _found(connection, project_id, endpoint_id)
            rows = await deliveries.page(connection, endpoint_id, before, state, limit + 1)
        return rows[:limit], rows[limit - 1].delivery_id if len(rows) > limit else None

    async def send_again(
        self, actor: Actor, project_id: str, endpoint_id: str, delivery_id: str
    ) -> deliveries.Delivery:
        """Try a delivery again, from its first attempt on. Raises WebhookGone, WebhookDisabled, DeliveryGone."""
        await self._throttle.take(MANUAL.of(project_id))
        async with self._changes.transaction(actor) as change:
            await _enabled(change.connection, project_id, endpoint_id)
            if not await deliveries.send_again(change.connection, endpoint_id, delivery_id):
                raise DeliveryGone("No such delivery of this webhook, or not any more: they are kept for 90 days.")
            change.unmirrored("alert_deliveries", "webhook.resend", delivery_id, project_id=project_id)
            found = await deliveries.one(change.connection, endpoint_id, delivery_id)
        assert found is not None
        self._worker.wake()
        return found

    async def events(
        self, project_id: str, before: str | None, limit: int
    ) -> tuple[Sequence[repository.EventRow], str | None]:
        """A page of events, newest first, and what to go on before (None: these are all)."""
        async with self._database.connection() as connection:
            rows = await repository.events(connection, project_id, before, limit + 1)
        return rows[:limit], rows[limit - 1].event_id if len(rows) > limit else None

    async def thresholds(self, user_id: str) -> Sequence[int]:
        """Below which balances of their account a person is notified. Raises ProjectGone: they have no account."""
        async with self._database.connection() as connection:
            found = await repository.thresholds(connection, user_id)
        if found is None:
            raise no_such_project()
        return found.balance_thresholds

    async def set_thresholds(self, actor: Actor, user_id: str, micros: Sequence[int]) -> Sequence[int]:
        """Change them. Raises ProjectGone."""
        wanted = sorted(set(micros), reverse=True)
        async with self._changes.transaction(actor) as change:
            found = await repository.set_thresholds(change.connection, user_id, wanted)
            if found is None:
                raise no_such_project()
            change.unmirrored("accounts", "account.alerts", user_id, balance_thresholds_micros=wanted)
            await repository.look_again(change.connection, found.account_id)
        return wanted

    def _check(self, url: str) -> None:
        try:
            self._guard.check(url)
        except RefusedUrl as refused:
            raise UrlUnusable(f"url: {refused.message}") from refused


async def _found(connection: Connection, project_id: str, endpoint_id: str) -> repository.WebhookRow:
    row = await repository.webhook(connection, project_id, endpoint_id)
    if row is None:
        raise WebhookGone("No such webhook of this project.")
    return row


async def _enabled(connection: Connection, project_id: str, endpoint_id: str) -> None:
    if (await _found(connection, project_id, endpoint_id)).disabled is not None:
        raise WebhookDisabled("The webhook is disabled, so nothing is sent to it. Enable it first.")


ALERTS: Final = web.AppKey("alerts", AlertService)
