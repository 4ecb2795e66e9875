"""Alerts: the project's webhooks, what was sent to each and how it responded, and what happened lately."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from frontend.api import ApiRefusal, segment
from frontend.models import AlertEvent, DeliveryPage, EventPage, Webhook, WebhookList, WebhookSecret
from frontend.page_views import UNUSABLE, PageView, in_project
from frontend.rendering import go

EVENTS: Final = 20
DELIVERIES: Final = 50
# By the API's types.
_WORDS: Final[Mapping[str, str]] = {
    "balance.low": "Balance below a threshold",
    "balance.spent": "Balance spent",
    "quota.reached": "Part of a quota used",
    "budget.reached": "Part of a budget used",
    "key.created": "API key created",
    "key.rotated": "API key rotated",
    "key.revoked": "API key revoked",
    "key.expiring": "API key expires soon",
    "callback.failed": "Callback given up",
    "project.suspended": "Project suspended",
    "project.resumed": "Project resumed",
    "price.announced": "Price announced",
    "webhook.disabled": "Webhook disabled",
    "webhook.test": "Test",
}


def words(kind: str) -> str:
    """A type of event for people; a new one is shown as it is."""
    return _WORDS.get(kind, kind)


def detail(event: AlertEvent) -> str:
    """What an event is about, in a line."""
    data = event.data
    if "percent" in data:
        return f"{data['percent']} % ({data.get('subject', '')})"
    found = data.get("comment") or data.get("reason") or data.get("host") or data.get("url") or ""
    return found if isinstance(found, str) else json.dumps(found)


async def show(view: PageView) -> web.Response:
    """The webhooks and the newest events of the project."""
    return await _list(view)


async def create(view: PageView) -> web.Response:
    """A new webhook; its secret is on this page and never again."""
    fields = await view.form()
    body = {"url": fields.get("url", ""), "description": fields.get("description", "")}
    try:
        made = await view.api.make("POST", f"{view.api_path}/webhooks", WebhookSecret, body)
    except ApiRefusal as refusal:
        return await _list(view, problem=_problem(refusal), values=body)
    return await _list(view, secret=made)


async def rotate(view: PageView) -> web.Response:
    """Another secret for a webhook; it is on this page and never again."""
    try:
        made = await view.api.make("POST", f"{_path(view)}/rotate", WebhookSecret)
    except ApiRefusal as refusal:
        return await _list(view, problem=_problem(refusal))
    return await _list(view, secret=made)


async def switch(view: PageView) -> web.Response:
    """Disable a webhook, or enable it again."""
    enabled = (await view.form()).get("enabled") == "true"
    return await _changed(view, "PATCH", "", "webhook-changed", {"enabled": enabled})


async def delete(view: PageView) -> web.Response:
    """Delete a webhook."""
    return await _changed(view, "DELETE", "", "webhook-deleted")


async def show_deliveries(view: PageView) -> web.Response:
    """What was sent to a webhook, newest first."""
    return await _deliveries(view)


async def send_test(view: PageView) -> web.Response:
    """Send a test to a webhook."""
    return await _sent(view, "/test")


async def send_again(view: PageView) -> web.Response:
    """Send an event to a webhook again."""
    return await _sent(view, f"/deliveries/{segment(view.request.match_info['delivery_id'])}/send")


def _path(view: PageView) -> str:
    return f"{view.api_path}/webhooks/{segment(view.request.match_info['webhook_id'])}"


async def _changed(
    view: PageView, method: str, rest: str, notice: str, body: Mapping[str, Any] | None = None
) -> web.Response:
    try:
        await view.api.send(method, _path(view) + rest, body)
    except ApiRefusal as refusal:
        return await _list(view, problem=_problem(refusal))
    return go(view.request, f"{view.path}/alerts", notice=notice)


async def _sent(view: PageView, rest: str) -> web.Response:
    try:
        await view.api.send("POST", _path(view) + rest)
    except ApiRefusal as refusal:
        return await _deliveries(view, problem=_problem(refusal))
    here = f"{view.path}/alerts/{segment(view.request.match_info['webhook_id'])}"
    return go(view.request, here, notice="webhook-sent")


async def _list(
    view: PageView,
    *,
    secret: WebhookSecret | None = None,
    problem: str = "",
    values: Mapping[str, str] | None = None,
) -> web.Response:
    hooks, events = await asyncio.gather(
        view.api.get(f"{view.api_path}/webhooks", WebhookList),
        view.api.get(f"{view.api_path}/events", EventPage, limit=EVENTS),
    )
    return view.render(
        "alerts.html",
        section="alerts",
        status=UNUSABLE if problem else 200,
        webhooks=hooks.webhooks,
        events=[(event.created, words(event.type), detail(event)) for event in events.events],
        secret=secret,
        problem=problem,
        values=values or {"url": "", "description": ""},
    )


async def _deliveries(view: PageView, *, problem: str = "") -> web.Response:
    token = view.request.query.get("page_token")
    try:
        hook, found = await asyncio.gather(
            view.api.get(_path(view), Webhook),
            view.api.get(f"{_path(view)}/deliveries", DeliveryPage, limit=DELIVERIES, page_token=token),
        )
    except ApiRefusal as refusal:
        if refusal.status == 404:
            raise web.HTTPNotFound from None
        raise
    return view.render(
        "alert_deliveries.html",
        section="alerts",
        status=UNUSABLE if problem else 200,
        webhook=hook,
        deliveries=[(one, words(one.type)) for one in found.deliveries],
        next_token=found.next_page_token,
        problem=problem,
    )


def _problem(refusal: ApiRefusal) -> str:
    """The API's sentence. What is not the reader's to correct is raised."""
    if refusal.status in {401, 404}:
        raise refusal
    return refusal.message


_ALL: Final = "/projects/{project_id}/alerts"
_ONE: Final = _ALL + "/{webhook_id}"
ROUTES: Final = (
    web.get(_ALL, in_project(show)),
    web.post(_ALL, in_project(create)),
    web.get(_ONE, in_project(show_deliveries)),
    web.post(_ONE + "/rotate", in_project(rotate)),
    web.post(_ONE + "/switch", in_project(switch)),
    web.post(_ONE + "/delete", in_project(delete)),
    web.post(_ONE + "/test", in_project(send_test)),
    web.post(_ONE + "/deliveries/{delivery_id}/send", in_project(send_again)),
)
