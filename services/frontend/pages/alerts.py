"""Alerts: the project's webhooks, what was sent to each, the newest events, and the reader's balance thresholds."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Final

from aiohttp import web

from frontend import limit_fields
from frontend.api import ApiRefusal, if_any, segment
from frontend.models import AlertEvent, AlertSettings, DeliveryPage, EventPage, Webhook, WebhookList, WebhookSecret
from frontend.page_views import UNUSABLE, PageView, in_project
from frontend.pages.projects import form_problem
from frontend.rendering import go
from frontend.usage_view import SERVICES
from frontend.wording import MICROS, micros

EVENTS: Final = 20
DELIVERIES: Final = 50
# The API takes as many for an account.
THRESHOLDS: Final = tuple(f"threshold_{number}" for number in range(1, 6))
_NO_THRESHOLD: Final = "A threshold is more than 0 US dollars: 10, or 12.50, or 1,000."
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
    "sign_in.new_device": "Sign-in from a new device",
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
    if "threshold_micros" in data:
        left, threshold = f"{micros(data.get('balance_micros'))} left", data["threshold_micros"]
        return f"{left}, below {micros(threshold)}" if threshold else left
    if "micros_per_hour" in data:
        service = SERVICES.get(data.get("service", ""), "Any")
        return f"{service}: {micros(data['micros_per_hour'])} an hour from {str(data.get('effective_from'))[:10]} on"
    if "network" in data:
        return f"{data.get('user_agent', '')} ({data['network']})"
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
        return await _list(view, problem=form_problem(refusal), form="webhook", values=body)
    return await _list(view, secret=made)


async def change_thresholds(view: PageView) -> web.Response:
    """Other thresholds for the balance of the reader's own billing account; an empty field is none."""
    fields = await view.form()
    typed = [fields.get(name, "") for name in THRESHOLDS]
    try:
        wanted = [_threshold(text) for text in typed if text]
    except ValueError:
        return await _list(view, problem=_NO_THRESHOLD, form="thresholds", thresholds=typed)
    try:
        await view.api.send("PUT", _SETTINGS, {"balance_thresholds_micros": wanted})
    except ApiRefusal as refusal:
        return await _list(view, problem=form_problem(refusal), form="thresholds", thresholds=typed)
    return go(view.request, f"{view.path}/alerts", notice="thresholds-changed")


async def rotate(view: PageView) -> web.Response:
    """Another secret for a webhook; it is on this page and never again."""
    try:
        made = await view.api.make("POST", f"{_path(view)}/rotate", WebhookSecret)
    except ApiRefusal as refusal:
        return await _list(view, problem=form_problem(refusal))
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
        return await _list(view, problem=form_problem(refusal))
    return go(view.request, f"{view.path}/alerts", notice=notice)


async def _sent(view: PageView, rest: str) -> web.Response:
    try:
        await view.api.send("POST", _path(view) + rest)
    except ApiRefusal as refusal:
        return await _deliveries(view, problem=form_problem(refusal))
    here = f"{view.path}/alerts/{segment(view.request.match_info['webhook_id'])}"
    return go(view.request, here, notice="webhook-sent")


async def _list(
    view: PageView,
    *,
    secret: WebhookSecret | None = None,
    problem: str = "",
    form: str = "",
    values: Mapping[str, str] | None = None,
    thresholds: Sequence[str] = (),
) -> web.Response:
    """The page. `form`: whose `problem` it is, where it is a form's with fields; `thresholds`: as they were typed."""
    hooks, events, settings = await asyncio.gather(
        view.api.get(f"{view.api_path}/webhooks", WebhookList),
        view.api.get(f"{view.api_path}/events", EventPage, limit=EVENTS),
        if_any(view.api.get(_SETTINGS, AlertSettings)),
    )
    if settings is not None and not thresholds:
        thresholds = [f"{Decimal(one) / MICROS:f}" for one in settings.balance_thresholds_micros]
    return view.render(
        "alerts.html",
        section="alerts",
        status=UNUSABLE if problem else 200,
        webhooks=hooks.webhooks,
        events=[(event.created, words(event.type), detail(event)) for event in events.events],
        secret=secret,
        problem=problem,
        form=form,
        values=values or {"url": "", "description": ""},
        # Whoever has no billing account of their own has nothing to set.
        thresholds=None
        if settings is None
        else dict(zip_longest(THRESHOLDS, thresholds[: len(THRESHOLDS)], fillvalue="")),
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


def _threshold(text: str) -> int:
    micros_typed = limit_fields.dollars(text)
    if micros_typed <= 0:
        raise ValueError(text)
    return micros_typed


_SETTINGS: Final = "/v1/billing/alerts"
_ALL: Final = "/projects/{project_id}/alerts"
_ONE: Final = _ALL + "/{webhook_id}"
ROUTES: Final = (
    web.get(_ALL, in_project(show)),
    web.post(_ALL, in_project(create)),
    web.post(_ALL + "/thresholds", in_project(change_thresholds)),
    web.get(_ONE, in_project(show_deliveries)),
    web.post(_ONE + "/rotate", in_project(rotate)),
    web.post(_ONE + "/switch", in_project(switch)),
    web.post(_ONE + "/delete", in_project(delete)),
    web.post(_ONE + "/test", in_project(send_test)),
    web.post(_ONE + "/deliveries/{delivery_id}/send", in_project(send_again)),
)
