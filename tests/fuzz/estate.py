"""All services of the platform in this process, before real stores: what the fuzz strikes, and what it must leave."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis.asyncio as redis
from aiohttp import web
from prometheus_client import REGISTRY

from aldea import credentials
from aldea.postgres import Database
from aldea.redis.schema import leases_key
from aldea.service.lifecycle import LIFECYCLE, app_runner
from aldea.settings import read
from backend import app as backend
from backend.accounts import repository as accounts
from backend.accounts.passwords import Passwords
from backend.api.access import SCOPES
from backend.api.endpoint import SYSTEM
from backend.changes import Changes
from backend.credits import repository as credits_of
from backend.keys.service import create_key
from backend.projects.service import create_project
from backend.reference.page import example
from backend.schema import roles
from backend.settings import BackendSettings
from frontend import app as frontend
from frontend.settings import FrontendSettings
from http_proxy import app as http_proxy
from http_proxy.client_connection import upload_runner
from http_proxy.settings import HttpProxySettings
from onebox import balancer
from stt_api import app as stt_api
from stt_api.settings import SttSettings
from tests.fuzz import nasty
from tests.fuzz.inputs import Route, Target
from tests.integration.conftest import UsageQueues, acting_as, settings_for
from tests.support.estates import DOCUMENT
from tests.support.proxies import REDIS_COMMAND_SECONDS, eventually
from ws_proxy import app as ws_proxy
from ws_proxy.settings import Settings as WsSettings

# Requests may delete what their credentials are good for.
TENANTS: Final = 6
# Gauges of what is under way, all 0 at rest.
GAUGES: Final = ("aldea_http_requests_in_flight", "aldea_active_streams", "aldea_stt_streams", "aldea_stt_requests")
# By which the balancer knows whose a request is.
HOSTS: Final = {"backend": balancer.HOSTS.backend, "frontend": balancer.HOSTS.platform}

# Of JSON bodies, what an example of the document's is not.
GOOD: Final = {
    "email": "new@example.com",
    "password": "a-password-of-theirs",
    "new_password": "a-password-of-theirs",
    "current_password": "a-password-of-theirs",
}


class Estate:
    """The running services. `targets`: where requests go."""

    def __init__(self, store: redis.Redis, targets: list[Target], projects: list[str]) -> None:
        self._store = store
        self.targets = targets
        self._projects = projects
        self._at_rest = set(self._tasks())

    def _tasks(self) -> dict[str, asyncio.Task[Any]]:
        # A connection that is kept open has a task that waits for its next request.
        return {
            task.get_name(): task
            for task in asyncio.all_tasks()
            if "RequestHandler.start" not in repr(task.get_coro()) and task is not asyncio.current_task()
        }

    async def leftovers(self) -> list[str]:
        """What is under way now that was not at rest: leases, places, tasks."""
        left = [f"{name} {value:g}" for name in GAUGES if (value := REGISTRY.get_sample_value(name)) not in {None, 0.0}]
        held = [int(await self._store.zcard(leases_key(project))) for project in self._projects]
        if any(held):
            left.append(f"leases {held}")
        return left + [_where(task) for name, task in sorted(self._tasks().items()) if name not in self._at_rest]

    async def comes_to_rest(self) -> list[str]:
        """The leftovers that remain."""
        try:
            await eventually(self._rests, 60)
        except TimeoutError:
            return await self.leftovers()
        return []

    async def _rests(self) -> bool:
        return not await self.leftovers()


def _where(task: asyncio.Task[Any]) -> str:
    """A task, and through which calls it waits."""
    awaited: Any = task.get_coro()
    places = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None:
            places.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    return f"task {task.get_name()} at {' > '.join(places)}"


@asynccontextmanager
async def estate(database: Database, database_url: str, redis_url: str, queues: UsageQueues) -> AsyncIterator[Estate]:
    """All services, with tenants whose keys the proxies know."""
    keys, sessions, ids = await _tenants(database)
    common: Any = {"port": 0, "redis_url": redis_url, "redis_command_seconds": REDIS_COMMAND_SECONDS}
    async with AsyncExitStack() as stack:

        async def serve(app: web.Application, runner: web.BaseRunner) -> int:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return int(runner.addresses[0][1])

        engine = stt_api.make_app(
            read(SttSettings, port=0, stt_workers=1, stt_streams_per_worker=8, stt_waiting_streams=8)
        )
        ports = {"stt_api": await serve(engine, app_runner(engine))}
        await eventually(lambda: engine[stt_api.POOL].workers[0].ready, 60)
        upstreams = f"http://127.0.0.1:{ports['stt_api']}"
        live = ws_proxy.make_app(read(WsSettings, stt_upstreams=upstreams, **common))
        ports["ws_proxy"] = await serve(live, app_runner(live))
        recorded = http_proxy.make_app(read(HttpProxySettings, stt_upstreams=upstreams, **common))
        ports["http_proxy"] = await serve(recorded, upload_runner(recorded))
        api = backend.make_app(
            read(
                BackendSettings,
                database_url=acting_as(database_url, roles.BACKEND),
                sqs_endpoint_url=queues.settings.sqs_endpoint_url,
                usage_queue_url=queues.usage.url,
                usage_dlq_url=queues.dead_letters.url,
                **common,
            )
        )
        ports["backend"] = await serve(api, app_runner(api))
        base = f"http://127.0.0.1:{ports['backend']}"
        console = frontend.make_app(
            read(FrontendSettings, port=0, platform_api_url=base, public_api_url=base, cookie_secure=False)
        )
        ports["frontend"] = await serve(console, app_runner(console))
        targets = {name.replace("_", "-"): f"http://127.0.0.1:{port}" for name, port in ports.items()}
        front = balancer.make_app(read(balancer.BalancerSettings, port=0, targets=targets))
        ports["balancer"] = await serve(front, balancer.runner(front))
        apps = {"stt_api": engine, "ws_proxy": live, "http_proxy": recorded, "backend": api, "frontend": console}
        routes = {name: _routes(app, HOSTS.get(name, "x")) for name, app in apps.items()}
        routes["balancer"] = tuple(
            route for name in ("ws_proxy", "http_proxy", "backend", "frontend") for route in routes[name]
        )
        store = await stack.enter_async_context(redis.from_url(redis_url, decode_responses=True))
        found = [
            Target(
                name,
                ports[name],
                routes[name],
                secrets=() if name in {"frontend", "stt_api"} else (*keys, *sessions),
                sessions=tuple(sessions) if name in {"frontend", "balancer"} else (),
                ids=tuple(ids),
            )
            for name in sorted(ports)
        ]
        for app in apps.values():
            await eventually(partial(_ready, app), 60)
        yield Estate(store, found, ids[:TENANTS])


async def _ready(app: web.Application) -> bool:
    return not await app[LIFECYCLE].failing_checks()


async def _tenants(database: Database) -> tuple[list[str], list[str], list[str]]:
    """Keys, sessions, and ids of projects and then of keys."""
    password_hash = await Passwords().hash("a-password-of-theirs")
    keys, sessions, projects, key_ids = [], [], [], []
    async with Changes(database).transaction(SYSTEM) as change:
        connection = change.connection
        change.exempt("sessions")
        for number in range(TENANTS):
            email = f"tenant{number}@example.com"
            user_id = await accounts.insert_user(
                connection, email=email, name="Ann Doe", password_hash=password_hash, operator=False
            )
            assert user_id is not None
            change.unmirrored("accounts", "account.create", user_id)
            project = await create_project(change, settings_for("postgresql://u@h/d"), user_id, "project")
            key = await create_key(change, project, user_id, comment="all", scopes=sorted(SCOPES))
            session = credentials.mint_session()
            await accounts.insert_session(connection, session.sha256, user_id, 1)
            keys.append(key.text)
            sessions.append(session.text)
            projects.append(project)
            key_ids.append(key.key_id)
    for project in projects:
        # Enough for all that is uploaded: without it the first transcript spends the account's balance.
        async with database.transaction() as connection:
            await credits_of.insert(connection, project, 1_000_000_000, "of the tests")
    return keys, sessions, projects + key_ids


def _routes(app: web.Application, host: str) -> tuple[Route, ...]:
    endpoints = {(endpoint.method, endpoint.path): endpoint for endpoint in backend.ENDPOINTS if endpoint.body}
    found = []
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        endpoint = endpoints.get((route.method, path))
        fields, good = tuple(nasty.FIELD_VALUES), {}
        if endpoint is not None and endpoint.body is not None:
            fields = tuple(endpoint.body.model_fields)
            whole = example(DOCUMENT, {"$ref": f"#/components/schemas/{endpoint.body.__name__}"}) | GOOD
            good = {name: json.dumps(whole[name]) for name in fields if name in whole}
        found.append(Route(route.method, path, fields, host, good))
    return tuple(found)
