"""The endpoints of webhooks, their deliveries, and events."""

import json
from typing import Final

from aldea.errors import TooManyRequests
from aldea.turns import in_turns
from backend.alerts import models
from backend.alerts.deliveries import Delivery
from backend.alerts.errors import ERRORS, DeliveryGone, TooManyWebhooks, UrlUnusable, WebhookDisabled, WebhookGone
from backend.alerts.repository import EventRow, WebhookRow
from backend.alerts.service import ALERTS
from backend.api.access import InProject, SignedIn
from backend.api.endpoint import Call, Endpoint, Message
from backend.projects.errors import ProjectGone


async def list_webhooks(call: Call) -> models.WebhookList:
    """The webhooks of a project, oldest first."""
    rows = await call.app[ALERTS].webhooks(call.project_id)
    return models.WebhookList(webhooks=[_webhook(row) async for row in in_turns(rows)])


async def create_webhook(call: Call) -> models.CreatedWebhook:
    """A new webhook. Its secret is in this response and nowhere else; verify each event's signature with it."""
    body: models.CreateWebhook = call.body
    row, secret = await call.app[ALERTS].create(call.actor, call.project_id, body.url, body.description, body.types)
    return models.CreatedWebhook(**dict(_webhook(row)), secret=secret)


async def get_webhook(call: Call) -> models.Webhook:
    """One webhook of a project."""
    return _webhook(await call.app[ALERTS].webhook(call.project_id, call.parameters["webhook_id"]))


async def update_webhook(call: Call) -> models.Webhook:
    """Change a webhook, disable it, or enable it again. What waits for one that is disabled is given up."""
    return _webhook(
        await call.app[ALERTS].change(call.actor, call.project_id, call.parameters["webhook_id"], call.body)
    )


async def delete_webhook(call: Call) -> Message:
    """Delete a webhook, and what is known of its deliveries."""
    await call.app[ALERTS].delete(call.actor, call.project_id, call.parameters["webhook_id"])
    return Message(message="Webhook deleted.")


async def rotate_webhook_secret(call: Call) -> models.RotatedSecret:
    """A new secret. For a day events are signed with both, so that receivers have time to take the new one over."""
    webhook_id = call.parameters["webhook_id"]
    secret, until = await call.app[ALERTS].rotate(call.actor, call.project_id, webhook_id)
    return models.RotatedSecret(webhook_id=webhook_id, secret=secret, former_until=until)


async def send_test_event(call: Call) -> models.Delivery:
    """Send an event of type `webhook.test`; what came back is in its delivery a moment later."""
    return _delivery(await call.app[ALERTS].test(call.actor, call.project_id, call.parameters["webhook_id"]))


async def list_deliveries(call: Call) -> models.DeliveryPage:
    """What was sent to a webhook, and how it responded to the last attempt of each; newest first."""
    query: models.DeliveryQuery = call.query
    rows, behind = await call.app[ALERTS].page_of_deliveries(
        call.project_id, call.parameters["webhook_id"], query.page_token, query.state, query.limit
    )
    return models.DeliveryPage(deliveries=[_delivery(row) async for row in in_turns(rows)], next_page_token=behind)


async def resend_delivery(call: Call) -> models.Delivery:
    """Send an event again, under the same id: receivers know by it that they may have it already."""
    return _delivery(
        await call.app[ALERTS].send_again(
            call.actor, call.project_id, call.parameters["webhook_id"], call.parameters["delivery_id"]
        )
    )


async def list_events(call: Call) -> models.EventPage:
    """What happened to a project and its billing account, newest first; kept for 90 days."""
    query: models.PageQuery = call.query
    rows, behind = await call.app[ALERTS].events(call.project_id, query.page_token, query.limit)
    return models.EventPage(events=[_event(row) async for row in in_turns(rows)], next_page_token=behind)


async def get_alert_settings(call: Call) -> models.AlertSettings:
    """Below which balances of your billing account you are notified."""
    found = await call.app[ALERTS].thresholds(call.session.user_id)
    return models.AlertSettings(balance_thresholds_micros=list(found))


async def change_alert_settings(call: Call) -> models.AlertSettings:
    """Change them. A balance that is below a new threshold already is an event at once."""
    body: models.ChangeAlertSettings = call.body
    found = await call.app[ALERTS].set_thresholds(call.actor, call.session.user_id, body.balance_thresholds_micros)
    return models.AlertSettings(balance_thresholds_micros=list(found))


def _webhook(row: WebhookRow) -> models.Webhook:
    return models.Webhook(
        webhook_id=row.endpoint_id,
        url=row.url,
        description=row.description,
        types=row.types,
        created=row.created,
        enabled=row.disabled is None,
        disabled=row.disabled,
        failing_since=row.failing_since,
    )


def _delivery(row: Delivery) -> models.Delivery:
    return models.Delivery(
        delivery_id=row.delivery_id,
        event_id=row.event_id,
        type=row.type,
        state=row.state,
        attempts=row.attempts,
        created=row.created,
        due=row.due if row.state == "waiting" else None,
        attempted=row.attempted,
        took_ms=row.took_ms,
        status=row.status,
        response=row.response,
        error=row.error,
        history=[models.Attempt(**one) for one in json.loads(row.history)],
    )


def _event(row: EventRow) -> models.Event:
    return models.Event(
        event_id=row.event_id, type=row.type, project_id=row.project_id, created=row.created, data=json.loads(row.data)
    )


_TAG: Final = "Alerts"
_ALL: Final = "/v1/projects/{project_id}/webhooks"
_ONE: Final = _ALL + "/{webhook_id}"
_DELIVERIES: Final = _ONE + "/deliveries"
_SETTINGS: Final = "/v1/billing/alerts"
_READ: Final = InProject("project:read")
_WRITE: Final = InProject("project:write")
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_ALL, handler=list_webhooks, access=_READ, tag=_TAG, errors=ERRORS,
        summary="List webhooks", response=models.WebhookList,
    ),
    Endpoint(
        method="POST", path=_ALL, handler=create_webhook, access=_WRITE, tag=_TAG, errors=ERRORS,
        summary="Create a webhook", body=models.CreateWebhook, response=models.CreatedWebhook, status=201,
        raises=(UrlUnusable, TooManyWebhooks, ProjectGone),
    ),
    Endpoint(
        method="GET", path=_ONE, handler=get_webhook, access=_READ, tag=_TAG, errors=ERRORS, summary="Get a webhook",
        response=models.Webhook, raises=(WebhookGone,),
    ),
    Endpoint(
        method="PATCH", path=_ONE, handler=update_webhook, access=_WRITE, tag=_TAG, errors=ERRORS,
        summary="Change a webhook", body=models.ChangeWebhook, response=models.Webhook,
        raises=(WebhookGone, UrlUnusable),
    ),
    Endpoint(
        method="DELETE", path=_ONE, handler=delete_webhook, access=_WRITE, tag=_TAG, errors=ERRORS,
        summary="Delete a webhook", response=Message, raises=(WebhookGone,),
    ),
    Endpoint(
        method="POST", path=_ONE + "/rotate", handler=rotate_webhook_secret, access=_WRITE, tag=_TAG, errors=ERRORS,
        summary="Rotate a webhook's secret", response=models.RotatedSecret, raises=(WebhookGone,),
    ),
    Endpoint(
        method="POST", path=_ONE + "/test", handler=send_test_event, access=_WRITE, tag=_TAG, errors=ERRORS,
        summary="Send a test", response=models.Delivery, status=202, raises=(WebhookGone, WebhookDisabled),
        refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="GET", path=_DELIVERIES, handler=list_deliveries, access=_READ, tag=_TAG, errors=ERRORS,
        summary="List deliveries", query=models.DeliveryQuery, response=models.DeliveryPage, raises=(WebhookGone,),
    ),
    Endpoint(
        method="POST", path=_DELIVERIES + "/{delivery_id}/send", handler=resend_delivery, access=_WRITE, tag=_TAG,
        errors=ERRORS, summary="Send again", response=models.Delivery, status=202,
        raises=(WebhookGone, WebhookDisabled, DeliveryGone), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="GET", path="/v1/projects/{project_id}/events", handler=list_events, access=InProject("billing:read"),
        tag=_TAG, errors=ERRORS, summary="List events", query=models.PageQuery, response=models.EventPage,
    ),
    Endpoint(
        method="GET", path=_SETTINGS, handler=get_alert_settings, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Get what you are notified of", response=models.AlertSettings, raises=(ProjectGone,),
    ),
    Endpoint(
        method="PUT", path=_SETTINGS, handler=change_alert_settings, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Change what you are notified of", body=models.ChangeAlertSettings, response=models.AlertSettings,
        raises=(ProjectGone,),
    ),
)  # fmt: skip
