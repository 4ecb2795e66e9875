"""Every page of the console, with something on it to look at."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from playwright.async_api import Page, expect

from aldea.ids import new_request_id
from aldea.usage.reading import Rank, UsageReading
from tests.e2e.browser import PASSWORD, Account, Platform
from tests.readings import reading

# Adds up what a page does behind its reader's back: shifts of its layout, and tasks that hold up everything else.
OBSERVE: Final = """
window.observed = { shifts: [], tasks: [] };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    window.observed.shifts.push([entry.value, entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 90))]);
  }
}).observe({ type: "layout-shift", buffered: true });
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.observed.tasks.push(Math.round(entry.duration));
}).observe({ type: "longtask", buffered: true });
"""
ACCESSIBILITY: Final = (Path(__file__).parent / "accessibility.js").read_text()


@dataclass(frozen=True)
class Tour:
    """`signed_in`, `signed_out`: name → path. `dialogs`: name → path and the link that opens it.

    `faulty`: name → path, and the status that it has. `failing`: name → path, what is typed into the fields of those
    names, and the button that sends it in vain. `key`: a key.
    """

    operator: Account
    signed_in: Mapping[str, str]
    signed_out: Mapping[str, str]
    dialogs: Mapping[str, tuple[str, str]]
    faulty: Mapping[str, tuple[str, int]]
    failing: Mapping[str, tuple[str, Mapping[str, str], str]]
    key: str


def past(project_id: str, key_ids: Sequence[str], days: int = 40) -> list[UsageReading]:
    """What a small company does in some weeks, some of it in vain; the same at every call but for its end, now."""
    dice = random.Random(11)
    now = round(time.time() * 1000)
    found = []
    for day in range(days):
        weekend = datetime.fromtimestamp(now / 1000 - day * 86_400, UTC).weekday() >= 5
        for _ in range(dice.randint(2, 5) if weekend else dice.randint(9, 16) + (days - day) // 3):
            live = dice.random() < 0.6
            close = dice.choices([1000, 1011, 1008, 1012], [92, 4, 2, 2])[0] if live else None
            status = 101 if live else dice.choices([200, 400, 504], [95, 4, 1])[0]
            audio_ms = 0 if status >= 400 else round(dice.lognormvariate(11.8, 1))
            found.append(
                reading(
                    request_id=new_request_id(), started_ms=now - day * 86_400_000 - dice.randint(60_000, 30_000_000),
                    project_id=project_id, key_id=dice.choices(key_ids, [6, 3, 1])[0],
                    service="streaming" if live else "prerecorded", lane="local",
                    path=dice.choice(("/v1/listen", "/v1/listen/pcm") if live else ("/v1/listen", "/transcribe")),
                    tags=dice.choice(((), ("web",), ("mobile",), ("web", "beta"))), rank=Rank.FINAL, seq=5,
                    audio_ms=audio_ms, audio_source="stt", connection_ms=audio_ms + 700, bytes_in=audio_ms * 32,
                    bytes_out=audio_ms // 3, status=status, close_code=close,
                )
            )  # fmt: skip
    return found


# Events and what became of them, as the outbox writes them. What waits does so for days: nothing is sent meanwhile.
DELIVERIES: Final = """
    with events as (
        insert into alert_events (type, account_id, project_id, data)
        select type, account_id, project_id, data::jsonb from projects cross join (values
            ('key.created', '{"comment": "production server"}'),
            ('quota.reached', '{"percent": 80, "subject": "project"}'),
            ('balance.low', '{"balance_micros": 4990000, "threshold_micros": 5000000}'),
            ('callback.failed', json_build_object('host', $3::text)::text)
        ) as made (type, data) where project_id = $1::uuid
        returning event_id, type
    )
    insert into alert_deliveries (
        event_id, lane, kind, state, attempts, due, attempted, took_ms, status, response, error, history
    )
    select event_id, $2::uuid, 'webhook',
        case type when 'key.created' then 'delivered' when 'quota.reached' then 'waiting' else 'failed' end,
        case type when 'key.created' then 1 when 'quota.reached' then 3 else 10 end,
        now() + interval '3 days', now(), case type when 'balance.low' then null else 1234 end,
        case type when 'key.created' then 204 when 'balance.low' then null else 503 end,
        case type when 'balance.low' then null when 'key.created' then '' else $3::text end,
        case type when 'balance.low' then 'TimeoutError: no response within 10 s' end,
        (
            select jsonb_agg(jsonb_build_object(
                'attempted', now() - ago * interval '1 hour', 'took_ms', case when ago <> 1 then 20 + ago end,
                'status', case when ago <> 1 then 503 end, 'response', case when ago <> 1 then $3::text end,
                'error', case ago when 1 then 'TimeoutError: no response within 10 s' end
            ) order by ago desc)
            from generate_series(0, case type when 'key.created' then 0 when 'quota.reached' then 2 else 9 end) as ago
        )
    from events
"""
SECRET_FIELD: Final = "current-password"
# Names as nobody should give and somebody will: as long as the API takes them, without a place to break, of both
# directions of writing.
UNBROKEN: Final = "W" * 60 + "_" + "\u05d0\u05d1\u05d2" * 13


async def webhook_with_deliveries(platform: Platform, account: Account, url: str, response: str) -> str:
    """A webhook of tests alone, so that nothing else is sent to it, with deliveries in each state; its id."""
    wanted = {"url": url, "description": response[:200], "types": ["webhook.test"]}
    made = await platform.call("POST", f"/v1/projects/{account.project_id}/webhooks", account.session, wanted)
    await platform.rows(DELIVERIES, account.project_id, made["webhook_id"], response)
    return str(made["webhook_id"])


async def hostile(platform: Platform, operator: Account) -> dict[str, str]:
    """Pages of a project whose names try to push what matters out of them."""
    made = await platform.call("POST", "/v1/projects", operator.session, {"name": UNBROKEN})
    account = replace(operator, project_id=made["project_id"])
    keys = [await platform.make_key(account, UNBROKEN * 2, tags=[f"{number:02}" + "t" * 62 for number in range(16)])]
    keys.append(
        await platform.make_key(account, "plain", scopes=["usage:read", "keys:read", "keys:write", "billing:read"])
    )
    at = f"/projects/{account.project_id}"
    person = await platform.sign_up("V" * 100)
    invite = await platform.call(
        "POST", f"/v1{at}/invites", operator.session, {"email": person.email, "scope": "member"}
    )
    await platform.call("POST", "/v1/invites/accept", person.session, {"token": invite["token"]})
    address = "a" * 60 + f"@{uuid4().hex[:8]}.example.com"
    await platform.call("POST", f"/v1{at}/invites", operator.session, {"email": address, "scope": "admin"})
    now = round(time.time() * 1000)
    readings = [
        reading(
            request_id=new_request_id(), started_ms=now - 60_000 * number, project_id=account.project_id,
            key_id=keys[0]["api_key_id"], lane="local", rank=Rank.FINAL, seq=1, audio_ms=5_000_000, audio_source="stt",
            status=101, close_code=1000, tags=("t" * 500,),
        )
        for number in range(1, 4)
    ]  # fmt: skip
    await platform.write(readings)
    [found] = (await platform.call("GET", f"/v1{at}/requests?limit=1", operator.session))["requests"]
    hook = await webhook_with_deliveries(platform, account, "https://hooks.invalid/" + "h" * 1900, "e" * 500)
    return {
        "hostile-overview": f"{at}/overview",
        "hostile-keys": f"{at}/keys",
        "hostile-revoke": f"{at}/keys/{keys[0]['api_key_id']}/revoke",
        "hostile-usage": f"{at}/usage?grouping=accessor",
        "hostile-tags": f"{at}/usage?grouping=tag",
        "hostile-requests": f"{at}/usage/requests?tag={'t' * 500}",
        "hostile-request": f"{at}/usage/requests/{found['request_id']}",
        "hostile-members": f"{at}/members",
        "hostile-audit": f"{at}/audit",
        "hostile-settings": f"{at}/settings",
        "hostile-limits": f"{at}/limits",
        "hostile-billing": f"{at}/billing",
        "hostile-statement": f"{at}/billing/{datetime.now(UTC):%Y-%m}",
        "hostile-alerts": f"{at}/alerts",
        "hostile-deliveries": f"{at}/alerts/{hook}",
        "hostile-operator": f"/operator/projects/{account.project_id}",
        "hostile-plan": f"/operator/projects/{account.project_id}/plan",
    }


async def furnish(platform: Platform) -> Tour:
    """An operator's project with keys, people, usage and a past, and the pages that show them."""
    account = await platform.sign_up("Grace Hopper", "Radio archive")
    platform.appoint(account)
    session, project = account.session, account.project_id
    server = await platform.make_key(account, "production server", tags=["web"])
    mobile = await platform.make_key(account, "mobile app", time_to_live_in_seconds=3 * 86_400, tags=["mobile"])
    reports = await platform.make_key(
        account, "reports", scopes=["usage:read", "billing:read", "project:read", "keys:read"]
    )
    guest = await platform.sign_up("Mary Shelley")
    for email, role in ((guest.email, "admin"), (f"ada@{uuid4().hex[:8]}.example.com", "member")):
        invite = await platform.call(
            "POST", f"/v1/projects/{project}/invites", session, {"email": email, "scope": role}
        )
        if email == guest.email:
            await platform.call("POST", "/v1/invites/accept", guest.session, {"token": invite["token"]})
    await platform.call("PATCH", f"/v1/projects/{project}", session, {"name": "Radio archive, live"})
    await platform.call("PATCH", f"/v1/operator/projects/{project}/limits", session, {"requests_per_minute": 1200})
    runs = [
        {
            "began_ms": round(time.time() * 1000) - 60_000 * at,
            "stream": at not in (2, 3),
            "upload": True,
            "usage": True,
            "first_words_ms": 640,
            "last_words_ms": 90,
            "usage_lag_ms": 1200,
        }
        for at in range(90)
    ]
    # Of 70 days, with some bad ones, an hour apart.
    await platform.rows(
        """
        insert into canary_runs (began, key_id, stream, upload, usage, first_words_ms, last_words_ms, usage_lag_ms)
        select now() - at * interval '1 hour', $1, at not between 700 and 705 and at <> 222, at <> 703, at <> 1100,
            600 + at % 90, 80 + at % 30, 900 + at % 400
        from generate_series(3, 70 * 24) as at where at not between 1400 and 1480
        """,
        server["api_key_id"],
    )
    await platform.call("POST", "/v1/status/runs", server["key"], {"runs": runs})
    incident = {
        "title": UNBROKEN, "impact": "minor", "components": ["stream"],
        "message": "W" * 600 + "\nmore",
    }  # fmt: skip
    found = await platform.call("POST", "/v1/operator/incidents", session, incident)
    open_one = {
        **incident, "title": "Words of live streams are late",
        "message": "Some streams get their first words late. Nothing is lost, and we look for the cause.",
    }  # fmt: skip
    await platform.call("POST", "/v1/operator/incidents", session, open_one)
    await platform.call(
        "POST", f"/v1/operator/incidents/{found['incident_id']}/updates", session, {"state": "resolved", "message": "."}
    )
    await platform.write(past(project, [key["api_key_id"] for key in (server, mobile, reports)]))
    empty = (await platform.call("POST", "/v1/projects", session, {"name": "Untouched"}))["project_id"]
    members: Any = await platform.call("GET", f"/v1/projects/{project}/members", session)
    [member] = [found["member_id"] for found in members["members"] if found["email"] == guest.email]
    [request] = (await platform.call("GET", f"/v1/projects/{project}/requests?limit=1", session))["requests"]
    hook = await webhook_with_deliveries(platform, account, "https://hooks.invalid/aldea", "Service Unavailable")
    at, bare = f"/projects/{project}", f"/projects/{empty}"
    key = f"{at}/keys/{server['api_key_id']}"
    return Tour(
        operator=account,
        key=server["key"],
        signed_in={
            "overview": f"{at}/overview",
            "first-steps": f"{bare}/overview",
            "playground": f"{at}/playground",
            "keys": f"{at}/keys",
            "keys-empty": f"{bare}/keys",
            "key-new": f"{at}/keys/new",
            "key-rotate": f"{key}/rotate",
            "key-revoke": f"{key}/revoke",
            "usage": f"{at}/usage",
            "usage-by-key": f"{at}/usage?grouping=accessor",
            "usage-empty": f"{bare}/usage",
            "requests": f"{at}/usage/requests",
            "requests-failed": f"{at}/usage/requests?status=failed&min_audio_seconds=1",
            "request": f"{at}/usage/requests/{request['request_id']}",
            "billing": f"{at}/billing",
            "billing-empty": f"{bare}/billing",
            "statement": f"{at}/billing/{datetime.now(UTC):%Y-%m}",
            "statement-empty": f"{bare}/billing/2026-01",
            "alerts": f"{at}/alerts",
            "alerts-empty": f"{bare}/alerts",
            "deliveries": f"{at}/alerts/{hook}",
            "audit-empty": f"{bare}/audit",
            "limits": f"{at}/limits",
            "members": f"{at}/members",
            "member-invite": f"{at}/members/invite",
            "member-role": f"{at}/members/{member}/role",
            "member-remove": f"{at}/members/{member}/remove",
            "audit": f"{at}/audit",
            "settings": f"{at}/settings",
            "project-new": "/projects/new",
            "account": "/account",
            "invite-accept": "/invite",
            "operator": "/operator",
            "operator-project": f"/operator/projects/{project}",
            "operator-prices": "/operator/prices",
            "operator-fleet": "/operator/fleet",
            "operator-find": f"/operator/find?q={server['key'][-4:]}",
            "operator-find-nothing": "/operator/find",
            "operator-request": f"/operator/requests/{request['request_id']}",
            "operator-incidents": "/operator/incidents",
            "operator-plan": f"/operator/projects/{project}/plan",
            "operator-none": "/operator?q=nobody-at-all",
            "operator-reset": "/operator/reset",
            **await hostile(platform, account),
        },
        signed_out={
            "status": "/status",
            "login": "/login",
            "signup": "/signup",
            "reset": "/reset",
            "invite": "/invite",
        },
        faulty={
            "lost": ("/no/such/page", 404),
            "requests-fault": (f"{at}/usage/requests?request_id=mine", 422),
            "usage-fault": (f"{at}/usage?start=2026-03-02&end=2026-03-01", 422),
        },
        failing={
            "key-new-failing": (f"{at}/keys/new", {"comment": "server", "requests_per_minute": "many"}, "Create key"),
            "limits-failing": (f"{at}/limits", {"monthly_hours": "1,5"}, "Save limits"),
            "webhook-failing": (f"{at}/alerts", {"url": "ftp://example.com/"}, "Add webhook"),
            "thresholds-failing": (f"{at}/alerts", {"threshold_2": "-1"}, "Save thresholds"),
            "member-invite-failing": (f"{at}/members/invite", {"email": guest.email}, "Create invite"),
            "settings-failing": (f"{at}/settings", {"name": "\u202egnp.exe"}, "Rename"),
            "account-failing": ("/account", {"email": "nobody", "current_password": PASSWORD}, "Change e-mail"),
            "account-delete-failing": ("/account", {"current_password": "wrong"}, "Delete account"),
            "invite-failing": ("/invite", {"token": "inv_of-nobody"}, "Join"),
            "operator-plan-failing": (f"/operator/projects/{project}/plan", {"dollars": "5"}, "Change plan"),
            "operator-prices-failing": (
                "/operator/prices",
                {"dollars": "0.36", "effective_from": "2020-01-01"},
                "Add price",
            ),
            "operator-move-failing": (f"/operator/projects/{project}", {"account_id": "elsewhere"}, "Move project"),
            "operator-credit-failing": (
                f"/operator/projects/{project}",
                {"amount": "0", "note": "Nothing"},
                "Add credit",
            ),
        },
        dialogs={
            "key-limits": (f"{at}/keys", "Limits reports"),
            "key-new": (f"{at}/keys", "Create key"),
            "key-revoke": (f"{at}/keys", "Revoke reports"),
            "member-invite": (f"{at}/members", "Invite someone"),
            "operator-reset": ("/operator", "Reset a password"),
        },
    )


async def fill(page: Page, fields: Mapping[str, str], button: str) -> None:
    """Fill the form that has this button, and send it, whatever the browser thinks of what is in it.

    It is refused: then the form is there again with its text, but no password, and says so in its own part of the page.
    """
    form = page.locator("form", has=page.get_by_role("button", name=button, exact=True))
    await form.evaluate("(form) => { form.noValidate = true; }")
    for name, value in fields.items():
        await form.locator(f'[name="{name}"]').fill(value)
    await form.get_by_role("button", name=button, exact=True).click()
    shown = page.locator(".card, #panel, .login-card", has=form).locator("[role=alert]")
    await expect(shown).to_have_count(1)
    for name, value in fields.items():
        field = form.locator(f'[name="{name}"]')
        await expect(field).to_have_value("" if await field.get_attribute("autocomplete") == SECRET_FIELD else value)


async def settle(page: Page) -> None:
    """Wait until the page has its fonts and does not move, and what it polls has come once."""
    await page.evaluate(
        """async () => {
            await document.fonts.ready;
            if (document.querySelector('[hx-trigger^="tick"]')) {
                const settled = new Promise((done) => addEventListener("htmx:afterSettle", done, { once: true }));
                document.body.dispatchEvent(new CustomEvent("tick"));
                await settled;
            }
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }"""
    )
