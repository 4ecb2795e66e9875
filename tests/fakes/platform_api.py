"""A Platform API in memory, for the console's tests: the API's shapes, its refusals, and a switch for its outage."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from aiohttp import web
from aiohttp.test_utils import TestServer

SESSION = "sess_" + "a" * 38
PASSWORD = "correct horse battery"
EMAIL = "ada@example.com"
PROJECT = "0199aaaa-0000-7000-8000-000000000001"
OTHER_PROJECT = "0199aaaa-0000-7000-8000-000000000002"
ACCOUNT = "0199dddd-0000-7000-8000-000000000001"
KEY = "0199bbbb-0000-7000-8000-000000000001"
KEY_TEXT = "org_" + "k" * 38
TOKEN = "ats_" + "t" * 38
INVITE = "inv_" + "i" * 38
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)

Json = dict[str, Any]


def refusal(status: int, code: str, message: str, **headers: str) -> web.Response:
    body = {"err_code": code, "err_msg": message, "request_id": "0199cccc-0000-7000-8000-00000000000f"}
    return web.json_response(body, status=status, headers=headers)


NO_LIMITS: dict[str, int | None] = {
    "requests_per_minute": None, "concurrent_streams": None, "monthly_audio_seconds": None,
    "monthly_budget_micros": None,
}  # fmt: skip


def incident_of(**changes: Any) -> Json:
    """An incident that goes on, with one update."""
    said = {"at": NOW.isoformat(), "state": "investigating", "message": "We look.\nSoon more."}
    return {
        "incident_id": str(UUID(int=77)), "title": "Words are late <b>", "impact": "minor", "components": ["stream"],
        "began": NOW.isoformat(), "resolved": None, "updates": [said], **changes,
    }  # fmt: skip


def server_of(**changes: Any) -> Json:
    """An STT server of a lane, as a proxy sees it."""
    return {
        "lane": "live1", "name": "stt-1:8800", "circuit": "closed", "seen_by": 1, "open_at": 0, "capacity": 8,
        "used": 3, "held": 2, "draining": False, "weightless": False, "withdrawn": False, **changes,
    }  # fmt: skip


def fleet_of(**changes: Any) -> Json:
    """A platform of one lane, with something in each list."""
    at = NOW.isoformat()
    return {
        "reported": True,
        "servers": [server_of()],
        "tasks": [{"task": "t", "service": "ws-proxy", "lane": "live1", "at": at, "running": 2, "servers": 1,
                   "weight": 50, "weights": 150}],
        "failovers": [
            {"at": at, "request_id": str(UUID(int=8)), "lane": "live1", "lost": None, "taken": "stt-9:8800",
             "cause": "died"},
        ],
        "slowest": [
            {"request_id": str(UUID(int=9)), "project_id": PROJECT, "project": "Demo <b>", "lane": "live1",
             "created": at, "first_word_ms": 7000},
        ],
        "budgets": [{"objective": "handshakes", "title": "Streams", "promise": "99.9 % succeed", "left": -0.5}],
        "readings_waiting": 12, "oldest_reading_seconds": 1.5, "usage_lag_ms": 900, **changes,
    }  # fmt: skip


def story_of(found: Json) -> Json:
    """A request as operators see it."""
    return {
        "project_id": found["project_uuid"], "project": "Demo", "key": "server", "last4": "x7Qz",
        "endpoint": "listen", "charge_micros": 1872, "price_id": 3, "model": "", "features": [], "trace_id": None,
        **found,
    }  # fmt: skip


def status_of(state: str = "operational") -> Json:
    """The status of a platform whose canary began two days ago; the day in between was a bad one for streams."""
    days = [NOW.date() - timedelta(days=89 - at) for at in range(90)]
    shares: dict[str, list[float]] = {"stream": [0.5, 0.99999], "upload": [1.0, 1.0], "usage": [1.0, 0.97]}
    titles = {"stream": "Live streams", "upload": "Recorded audio", "usage": "Usage and billing"}
    return {
        "state": state,
        "at": NOW.isoformat(),
        "components": [
            {
                "component": name, "title": title, "state": state, "runs": 2000, "good": sum(shares[name]) / 2,
                "days": [
                    {"day": day.isoformat(), "runs": 0 if good is None else 1000, "good": good}
                    for day, good in zip(days, [*[None] * 88, *shares[name]], strict=True)
                ],
            }
            for name, title in titles.items()
        ],
        "objectives": [
            {"objective": "handshakes", "title": "Streams are accepted", "promise": "99.9 % succeed", "target": 0.999,
             "seconds": None, "measured": 0.5, "events": 2000},
            {"objective": "first_words", "title": "First words", "promise": "95 % within 4 s", "target": 0.95,
             "seconds": 4.0, "measured": None, "events": 0},
        ],
        "incidents": [],
    }  # fmt: skip


class FakePlatformApi:
    """State is plain attributes that a test sets. `calls`: method, path, query, body of each request, in order.

    `refuse`: path suffix → response to give instead; `refuse_changes`: the same for all but GET.
    `down`: every response is 503.
    """

    def __init__(self) -> None:
        self.down = False
        self.in_projects = True
        self.too_fine = False
        self.sessions = {SESSION}
        self.user: Json = {"user_id": str(UUID(int=7)), "email": EMAIL, "name": "Ada Lovelace", "operator": False}
        self.projects: list[Json] = [
            {"project_id": PROJECT, "name": "Demo <b>", "role": "owner", "state": "active"},
            {"project_id": OTHER_PROJECT, "name": "Second", "role": "member", "state": "active"},
        ]
        self.keys: list[Json] = []
        self.invited_by_keys: list[str] = []
        self.members: list[Json] = [self._member(self.user["user_id"], EMAIL, "owner")]
        self.invites: list[Json] = []
        self.requests: list[Json] = []
        self.streams: list[Json] = []
        self.days: list[Json] = []
        self.audit: list[Json] = []
        self.older: str | None = None
        self.lanes: list[Json] = []
        self.credits: list[Json] = []
        self.plan: Json = {"plan": "prepaid", "credit_limit_micros": None}
        self.webhooks: list[Json] = []
        self.deliveries: list[Json] = []
        self.events: list[Json] = []
        self.statement: Json = {
            "closed": False, "closes": NOW.isoformat(), "opening_micros": 30_000_000, "credited_micros": 0,
            "charged_micros": 10_000_000, "closing_micros": 20_000_000, "lines_micros": 0, "entries": [], "lines": [],
        }  # fmt: skip
        self.thresholds: list[int] | None = [10_000_000]
        self.month_audio_seconds = 0.0
        self.refuse: dict[str, Callable[[], web.Response]] = {}
        self.refuse_changes: dict[str, Callable[[], web.Response]] = {}
        self.calls: list[tuple[str, str, Json, Any]] = []
        self.own_limits: Json = dict(NO_LIMITS)
        self.account_limits: Json = {}
        self.authorizations: list[str | None] = []
        self.addresses: list[str | None] = []
        self.incidents: list[Json] = []
        self.status = status_of()
        self.fleet = fleet_of()
        self._ids = itertools.count(100)

    # -- what tests read ------------------------------------------------------------------------------------------
    def sent(self, method: str, suffix: str) -> Any:
        """The body of the last call of that kind."""
        return next(body for verb, path, _, body in reversed(self.calls) if verb == method and path.endswith(suffix))

    def queries(self, suffix: str) -> list[Json]:
        """The queries of all GETs of a path with that end; of a repeated parameter the first."""
        return [query for verb, path, query, _ in self.calls if verb == "GET" and path.endswith(suffix)]

    def query_of(self, suffix: str) -> Json:
        """The query of the last GET of a path with that end."""
        return next(query for verb, path, query, _ in reversed(self.calls) if verb == "GET" and path.endswith(suffix))

    def add_key(self, comment: str = "server", **changes: Any) -> Json:
        key = {
            "api_key_id": str(UUID(int=next(self._ids))),
            "comment": comment,
            "scopes": ["usage:read"],
            "tags": ["prod"],
            "created": NOW.isoformat(),
            "expiration_date": None,
            "last4": "x7Qz",
            "last_used": None,
            "made_by": None,
            "limits": NO_LIMITS,
            "limited_as": None,
            **changes,
        }
        self.keys.append(key)
        return key

    def add_webhook(self, url: str, description: str = "", **changes: Any) -> Json:
        made = {
            "webhook_id": str(UUID(int=next(self._ids))), "url": url, "description": description, "types": None,
            "created": NOW.isoformat(), "enabled": True, "disabled": None, "failing_since": None, **changes,
        }  # fmt: skip
        self.webhooks.append(made)
        return made

    def add_request(self, **changes: Any) -> Json:
        number = next(self._ids)
        found = {
            "request_id": str(UUID(int=number)),
            "project_uuid": PROJECT,
            "created": NOW.isoformat(),
            "path": "/v1/listen",
            "api_key_id": KEY,
            "response": None,
            "code": 200,
            "audio_seconds": 18.725,
            "channels": 1,
            "connection_seconds": 19.5,
            "bytes_in": 599_200,
            "bytes_out": 20_480,
            "close_code": 1000,
            "failovers": 0,
            "first_word_ms": 640,
            "lane": "local",
            "service": "streaming",
            "state": "final",
            "tags": ["prod"],
            **changes,
        }
        self.requests.append(found)
        return found

    # -- serving --------------------------------------------------------------------------------------------------
    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        async with TestServer(app) as server:
            yield str(server.make_url("")).rstrip("/")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body: Any = await request.json() if request.can_read_body else None
        self.calls.append((request.method, request.path, dict(request.query), body))
        self.authorizations.append(request.headers.get("Authorization"))
        self.addresses.append(request.headers.get("X-Forwarded-For"))
        if self.down:
            return refusal(503, "SERVICE_UNAVAILABLE", "The database is unavailable.", **{"Retry-After": "2"})
        refused = self.refuse if request.method == "GET" else {**self.refuse, **self.refuse_changes}
        for suffix, response in refused.items():
            if request.path.endswith(suffix):
                return response()
        if request.path == "/healthz":
            return web.json_response({"status": "ok"})
        parts = request.path.strip("/").split("/")[1:]
        if parts == ["status"]:
            return web.json_response(self.status | {"incidents": self.incidents})
        if request.method == "POST" and parts in (["accounts"], ["sessions"], ["password-resets", "use"]):
            return self._public(parts[0], body)
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in self.sessions:
            return refusal(401, "INVALID_AUTH", "Invalid credentials.")
        if parts[0] != "projects" or len(parts) < 2:
            return self._personal(request, parts, body)
        if parts[1] not in {project["project_id"] for project in self.projects}:
            return refusal(404, "PROJECT_NOT_FOUND", "No such project.")
        return self._in_project(request, parts[2:], body)

    def _public(self, what: str, body: Json) -> web.Response:
        if what == "password-resets":
            return web.json_response({"message": "ok"})
        if what == "sessions" and (body["email"], body["password"]) != (EMAIL, PASSWORD):
            return refusal(401, "INVALID_AUTH", "Unknown e-mail or wrong password.")
        if what == "accounts" and body["email"] == EMAIL:
            return refusal(409, "ACCOUNT_UNAVAILABLE", "An account could not be created with these details.")
        if what == "accounts":
            self.user |= {"email": body["email"], "name": body["name"]}
        expires = (datetime.now(UTC) + timedelta(days=14)).isoformat()
        opened = {"session_token": SESSION, "expires": expires, "user": self.user, **self._device()}
        return web.json_response(opened, status=201)

    def _device(self) -> Json:
        expires = (datetime.now(UTC) + timedelta(days=180)).isoformat()
        return {"device_token": f"dev_{next(self._ids):040}", "device_expires": expires}

    def _personal(self, request: web.Request, parts: list[str], body: Json) -> web.Response:
        match request.method, parts:
            case "GET", ["me"]:
                return web.json_response({"user": self.user, "projects": self.projects})
            case "DELETE", ["sessions", "current"]:
                self.sessions.clear()
                return web.json_response({"message": "ok"})
            case "PATCH", ["me"]:
                if "email" in body and body["current_password"] != PASSWORD:
                    return refusal(403, "INSUFFICIENT_PERMISSIONS", "The current password is wrong.")
                if "<" in body.get("name", ""):
                    return refusal(400, "Bad Request", "Use other words.")
                self.user |= {name: body[name] for name in ("name", "email") if name in body}
                return web.json_response(self.user)
            case "DELETE", ["me"]:
                if body["current_password"] != PASSWORD:
                    return refusal(403, "INSUFFICIENT_PERMISSIONS", "The current password is wrong.")
                if self.in_projects:
                    return refusal(409, "CONFLICT", "You are still a member. Leave or delete each of them first.")
                self.sessions.clear()
                return web.json_response({"message": "ok"})
            case "PUT", ["me", "password"]:
                if body["current_password"] != PASSWORD:
                    return refusal(403, "INSUFFICIENT_PERMISSIONS", "The current password is wrong.")
                return web.json_response({"message": "ok", **self._device()})
            case "POST", ["projects"]:
                made = {"project_id": str(UUID(int=next(self._ids))), "name": body["name"]}
                self.projects.append({**made, "role": "owner", "state": "active"})
                return web.json_response(made, status=201)
            case "POST", ["invites", "accept"]:
                if body["token"] != INVITE:
                    return refusal(404, "NOT_FOUND", "No such invite.")
                return web.json_response({"project_id": OTHER_PROJECT, "role": "member"})
            case "POST", ["auth", "grant"]:
                return web.json_response({"access_token": TOKEN, "expires_in": body["ttl_seconds"]})
            case "GET", ["billing", "alerts"] if self.thresholds is not None:
                return web.json_response({"balance_thresholds_micros": self.thresholds})
            case "PUT", ["billing", "alerts"]:
                self.thresholds = body["balance_thresholds_micros"]
                return web.json_response(body)
            case _, ["operator", *rest]:
                return self._operator(request, rest, body)
        return refusal(404, "NOT_FOUND", "Nothing here.")

    def _operator(self, request: web.Request, parts: list[str], body: Json) -> web.Response:
        if not self.user["operator"]:
            return refusal(403, "INSUFFICIENT_PERMISSIONS", "For operators.")
        match request.method, parts:
            case "GET", ["fleet"]:
                return web.json_response(self.fleet)
            case "GET", ["keys"]:
                keys = [key for key in self.keys if key["last4"] == request.query["last4"]]
                named = [{**key, "project_id": PROJECT, "project": "Demo", "revoked": None} for key in keys]
                return web.json_response({"keys": named})
            case "GET", ["requests", request_id]:
                one = [found for found in self.requests if found["request_id"] == request_id]
                return web.json_response(story_of(one[0])) if one else refusal(404, "NOT_FOUND", "No such request.")
            case "GET", ["incidents"]:
                return web.json_response({"incidents": self.incidents})
            case "POST", ["incidents"]:
                self.incidents.append(incident_of(**{name: body[name] for name in ("title", "impact", "components")}))
                return web.json_response(self.incidents[-1], status=201)
            case "POST", ["incidents", _, "updates"]:
                return web.json_response(self.incidents[0])
            case "GET", ["projects"]:
                wanted = request.query.get("q", "").lower()
                shown = [self._operated(project) for project in self.projects if wanted in project["name"].lower()]
                return web.json_response({"projects": shown, "next_page_token": None})
            case "GET", ["projects", project_id]:
                found = [project for project in self.projects if project["project_id"] == project_id]
                return (
                    web.json_response(self._operated(found[0]))
                    if found
                    else refusal(404, "PROJECT_NOT_FOUND", "No such project.")
                )
            case "GET", ["projects", _, "credits"]:
                granted = sum(credit["amount_micros"] for credit in self.credits)
                account = {"credit_micros": granted, "spent_micros": 1_250_000, "amount_micros": granted - 1_250_000}
                return web.json_response({"credits": self.credits, **account})
            case "GET", ["projects", _, "plan"]:
                return web.json_response(self.plan)
            case "GET", ["projects", _, "limits"]:
                return web.json_response(self._limits())
            case "GET", ["prices"]:
                price = {"plan": "free", "service": "streaming", "model": None, "micros_per_hour": 360_000}
                return web.json_response({"prices": [{**price, "effective_from": None}]})
            case "GET", ["live"]:
                return web.json_response({"lanes": self.lanes})
            case "POST", ["password-resets"]:
                return web.json_response({"token": "reset-code-123", "expires": NOW.isoformat()}, status=201)
        return web.json_response({"message": "ok"})

    def _operated(self, project: Json) -> Json:
        return {
            "project_id": project["project_id"],
            "name": project["name"],
            "state": project["state"],
            "owners": [EMAIL],
            "limits": {"requests_per_minute": 600, "concurrent_streams": None, "monthly_audio_seconds": 3_600_000},
            "month_audio_seconds": 1234.5,
            "streams_now": 2,
            "created": NOW.isoformat(),
        }

    def _limits(self) -> Json:
        return {
            "requests_per_minute": 600,
            "concurrent_streams": 100,
            "monthly_audio_seconds": 3600,
            "monthly_budget_micros": self.own_limits["monthly_budget_micros"],
            "own": self.own_limits,
            "account": {
                **NO_LIMITS,
                **self.account_limits,
                "account_id": ACCOUNT,
                "used": {"month_audio_seconds": 0.0, "month_charge_micros": 0},
            },
            "used": {
                "month_audio_seconds": self.month_audio_seconds,
                "month_charge_micros": 1_250_000,
                "streams_now": None if self.streams is None else len(self.streams),
            },
        }

    def _in_project(self, request: web.Request, parts: list[str], body: Json) -> web.StreamResponse:
        match request.method, parts:
            case "GET", ["limits"]:
                return web.json_response(self._limits())
            case "GET", ["keys"]:
                member = {"member_id": self.user["user_id"], "email": EMAIL}
                return web.json_response({"api_keys": [{"member": member, "api_key": key} for key in self.keys]})
            case "GET", ["keys", key_id]:
                made = [key for key in self.keys if key["made_by"] == key_id]
                return web.json_response({"item": {}, "made": made, "invites": self.invited_by_keys})
            case "POST", ["keys"]:
                key = self.add_key(
                    body["comment"], scopes=body["scopes"], tags=body.get("tags", []),
                    expiration_date=body.get("expiration_date"),
                )  # fmt: skip
                return web.json_response({**key, "key": KEY_TEXT, "propagation": "complete"}, status=201)
            case "POST", ["keys", key_id, "rotate"]:
                old = next(key for key in self.keys if key["api_key_id"] == key_id)
                new = self.add_key(old["comment"])
                ends = (NOW + timedelta(seconds=body["overlap_seconds"])).isoformat()
                response = {
                    **new,
                    "key": KEY_TEXT,
                    "propagation": "complete",
                    "replaces": key_id,
                    "old_key_expires": ends,
                }
                return web.json_response(response, status=201)
            case "DELETE", ["keys", key_id]:
                self.keys = [key for key in self.keys if key["api_key_id"] != key_id]
                return web.json_response({"message": "API key revoked.", "propagation": "complete"})
            case "GET", ["live"]:
                return web.json_response({"streams": self.streams, "count": len(self.streams)})
            case "GET", ["members"]:
                return web.json_response({"members": self.members})
            case "GET", ["invites"]:
                return web.json_response({"invites": self.invites})
            case "POST", ["invites"]:
                times = {"created": NOW.isoformat(), "expires": NOW.isoformat()}
                self.invites.append({"email": body["email"], "scope": body["scope"], **times})
                response = {"message": "Invited.", "token": INVITE, "expires": NOW.isoformat()}
                return web.json_response(response, status=201)
            case "DELETE", ["invites", email]:
                self.invites = [invite for invite in self.invites if invite["email"] != unquote(email)]
                return web.json_response({"message": "Invite withdrawn."})
            case "GET", ["audit"]:
                return web.json_response({"entries": self.audit, "next_page_token": self.older})
            case "GET", ["requests"]:
                return web.json_response({"page": 0, "limit": 50, "requests": self.requests, "next_page_token": None})
            case "GET", ["requests", request_id]:
                found = [item for item in self.requests if item["request_id"] == request_id]
                return web.json_response({"request": found[0]}) if found else refusal(404, "NOT_FOUND", "No request.")
            case "GET", ["usage"]:
                return web.json_response(self._usage())
            case "GET", ["usage", "breakdown"]:
                if self.too_fine and "day" in request.query.getall("grouping"):
                    return refusal(400, "Bad Request", "grouping: got more than 10000 groups.")
                return web.json_response(self._breakdown(*request.query.getall("grouping")))
            case "GET", ["usage", "csv"]:
                headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
                return web.Response(text="day,requests\n2026-11-23,2\n", content_type="text/csv", headers=headers)
            case "GET", ["usage", "json"]:
                return web.json_response(self.requests)
            case "GET", ["statements", _, "csv"]:
                return web.Response(text="month,line\n2026-11,charge\n", content_type="text/csv")
            case "GET", ["statements", month]:
                return web.json_response(self.statement | {"month": month})
            case "GET", ["billing", "breakdown"]:
                wanted = request.query["grouping"]
                groups = [{"accessor": key["api_key_id"], "tags": None} for key in self.keys[:1]]
                if wanted == "tags":
                    groups = [{"accessor": None, "tags": ["prod"]}, {"accessor": None, "tags": []}]
                return web.json_response({"results": [{"dollars": 1.25, "grouping": group} for group in groups]})
            case "GET", ["webhooks"]:
                return web.json_response({"webhooks": self.webhooks})
            case "POST", ["webhooks"]:
                hook = self.add_webhook(body["url"], body["description"])
                return web.json_response({**hook, "secret": "whsec_c2VjcmV0"}, status=201)
            case "GET", ["webhooks", webhook_id]:
                hooks = [hook for hook in self.webhooks if hook["webhook_id"] == webhook_id]
                return web.json_response(hooks[0]) if hooks else refusal(404, "NOT_FOUND", "No such webhook.")
            case "POST", ["webhooks", webhook_id, "rotate"]:
                return web.json_response({"webhook_id": webhook_id, "secret": "whsec_bmV3", "former_until": ""})
            case "GET", ["webhooks", _, "deliveries"]:
                return web.json_response({"deliveries": self.deliveries, "next_page_token": self.older})
            case "GET", ["events"]:
                return web.json_response({"events": self.events, "next_page_token": None})
            case "GET", ["balances"]:
                return web.json_response({"balances": [{"balance_id": "b1", "amount": 199.5, "units": "usd"}]})
            case "GET", ["spend"]:
                return web.json_response(
                    {"start": "", "end": "", "amount": 1.25, "units": "usd", "price_per_hour": 0.36}
                )
            case _:
                return web.json_response({"message": "ok"})

    def _amounts(self, days: list[Json]) -> Json:
        hours = sum(day["hours"] for day in days)
        audio_ms = round(hours * 3_600_000)
        return {
            "hours": hours, "total_hours": hours, "audio_ms": audio_ms,
            "requests": sum(day["requests"] for day in days),
        }  # fmt: skip

    def _usage(self) -> Json:
        results = [{**self._amounts([day]), "start": day["day"], "end": day["day"]} for day in self.days]
        return {
            "start": "", "end": "", "resolution": {"units": "day", "amount": 1}, "results": results,
            "total": self._amounts(self.days),
        }  # fmt: skip

    def _breakdown(self, grouping: str, *finer: str) -> Json:
        group: Json = {"accessor": None, "endpoint": None, "service": None, "tags": None, "start": "", "end": ""}
        chosen: dict[str, Json] = {
            "accessor": {"accessor": KEY}, "endpoint": {"endpoint": "/v1/listen"}, "tag": {"tags": ["prod"]},
            "service": {"service": "streaming"},
        }  # fmt: skip
        group |= chosen[finer[0] if finer else grouping]
        results = [{**self._amounts(self.days), "grouping": group}] if self.days else []
        if finer:
            results = [{**self._amounts([day]), "grouping": {**group, "start": day["day"]}} for day in self.days]
        return {"start": "", "end": "", "results": results, "total": self._amounts(self.days)}

    def add_member(self, email: str, role: str) -> Json:
        member = self._member(str(UUID(int=next(self._ids))), email, role)
        self.members.append(member)
        return member

    @staticmethod
    def _member(member_id: str, email: str, role: str) -> Json:
        return {
            "member_id": member_id, "email": email, "first_name": "Ada", "last_name": "Lovelace",
            "scopes": [role], "role": role,
        }  # fmt: skip
