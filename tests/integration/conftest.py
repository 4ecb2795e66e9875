"""A fresh, migrated database for each test, made in milliseconds from a template; a running Platform API."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, TCPConnector, web
from aiohttp.test_utils import TestClient, TestServer

from aldea import sqs
from aldea.postgres import Database, open_database
from aldea.settings import read
from aldea.sqs_settings import SqsSettings
from backend.accounts import repository as accounts
from backend.accounts.passwords import Passwords
from backend.api.access import SCOPES
from backend.api.endpoint import SYSTEM
from backend.app import SETTINGS, make_app
from backend.changes import Changes
from backend.cli import CommandSettings
from backend.keys.service import create_key
from backend.projects.service import create_project
from backend.schema import roles
from backend.schema.migrate import migrate
from backend.settings import BackendSettings
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.support.proxies import REDIS_COMMAND_SECONDS, Customer, Service, running

TEMPLATE = "migrated"
CONSOLE_ORIGIN = "http://platform.test"
ROOT = Path(__file__).resolve().parents[2]
# Processes of Python that start all at once on a busy machine.
MIGRATION_SECONDS = 120.0


def settings_for(url: str) -> CommandSettings:
    return read(CommandSettings, database_url=url)


def database_named(server: stores.Postgres, name: str) -> str:
    return server.url.removesuffix(server.database) + name


def acting_as(url: str, role: str) -> str:
    """The same database with the rights of another role, as if it had signed in."""
    return f"{url}?role={role}"


async def administer(server: stores.Postgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url, timeout=60)
    try:
        await connection.execute(statement, timeout=60)
    finally:
        await connection.close(timeout=60)


async def migrate_in_a_process(url: str) -> int | None:
    """The exit status of `python -m backend migrate`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend", "migrate",
        env={**os.environ, "PYTHONPATH": str(ROOT / "services"), "DATABASE_URL": url},
    )  # fmt: skip
    async with asyncio.timeout(MIGRATION_SECONDS):
        return await process.wait()


@pytest.fixture
async def empty_database(postgres_server: stores.Postgres) -> AsyncIterator[str]:
    """The URL of a database of this test's own, without a table."""
    name = f"t{uuid.uuid4().hex}"
    await administer(postgres_server, f"create database {name}")
    yield database_named(postgres_server, name)
    await administer(postgres_server, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def migrated_template() -> list[str]:
    """Whether the template exists: an empty list until the first test made it."""
    return []


@pytest.fixture
async def database_url(postgres_server: stores.Postgres, migrated_template: list[str]) -> AsyncIterator[str]:
    """The URL of a migrated database of this test's own."""
    if not migrated_template:
        await administer(postgres_server, f"create database {TEMPLATE}")
        await migrate(settings_for(database_named(postgres_server, TEMPLATE)))
        migrated_template.append(TEMPLATE)
    name = f"t{uuid.uuid4().hex}"
    await administer(postgres_server, f"create database {name} template {TEMPLATE}")
    yield database_named(postgres_server, name)
    await administer(postgres_server, f"drop database {name} with (force)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a migrated database of this test's own."""
    async with open_database(settings_for(database_url), "test") as found:
        yield found


@dataclass(frozen=True)
class UsageQueues:
    """A usage queue and its dead-letter queue of this test's own."""

    usage: sqs.Queue
    dead_letters: sqs.Queue
    settings: SqsSettings


@pytest.fixture
async def usage_queues(sqs_endpoint: str) -> AsyncIterator[UsageQueues]:
    """Fresh queues; a message that was received 50 times is moved to the dead-letter queue."""
    url = f"{sqs_endpoint}/000000000000/{uuid.uuid4().hex}"
    settings = read(SqsSettings, port=0, sqs_endpoint_url=sqs_endpoint, usage_queue_url=url, usage_dlq_url=f"{url}-dlq")
    async with sqs.connect(settings) as client:
        name = url.rpartition("/")[2]
        dead = await client.create_queue(QueueName=f"{name}-dlq")
        arn = f"arn:aws:sqs:{settings.aws_region}:000000000000:{name}-dlq"
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "50"})
        made = await client.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})
        yield UsageQueues(sqs.Queue(client, made["QueueUrl"]), sqs.Queue(client, dead["QueueUrl"]), settings)


class Api:
    """A Platform API that runs in this process, and an HTTP client of it."""

    def __init__(self, client: TestClient[web.Request, web.Application], database: Database) -> None:
        self.client = client
        self.database = database

    @property
    def url(self) -> str:
        return str(self.client.make_url("/"))

    async def call(
        self, method: str, path: str, credential: str | None = None, body: Any = None, status: int | None = 200
    ) -> Any:
        """The JSON response to one request, whose status must be `status` (None: any; then (status, JSON))."""
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        async with self.client.request(method, path, headers=headers, json=body) as response:
            text = await response.text()
            assert status in (None, response.status), f"{method} {path}: {response.status} {text}"
            found = None if not text else json.loads(text)
            return (response.status, found) if status is None else found


@pytest.fixture
async def api(database_url: str, database: Database, redis_url: str) -> AsyncIterator[Api]:
    """A Platform API on a database of this test's own and an emptied Redis."""
    # No reading is published in these tests, so no queue is ever called.
    queues = {"usage_queue_url": "http://127.0.0.1:1/usage", "usage_dlq_url": "http://127.0.0.1:1/dead"}
    # With the rights that the service has in production: what an endpoint may not do there fails here.
    url = acting_as(database_url, roles.BACKEND)
    settings = read(
        BackendSettings,
        database_url=url,
        redis_url=redis_url,
        redis_command_seconds=REDIS_COMMAND_SECONDS,
        port=0,
        console_origin=CONSOLE_ORIGIN,
        # Webhooks of these tests are on this machine.
        allow_loopback_urls=True,
        **queues,
    )
    async with TestClient(TestServer(make_app(settings))) as client:
        yield Api(client, database)


@dataclass(frozen=True)
class Tenant:
    """An account with a project and a key that may do everything."""

    user_id: str
    email: str
    project_id: str
    key_id: str
    key: str


async def make_tenant(api: Api, name: str, *, operator: bool = False) -> Tenant:
    """An account called `name`, straight into the database; its password is `name` and "-password"."""
    email = f"{name}@example.com"
    settings = api.client.app[SETTINGS]
    password_hash = await Passwords().hash(f"{name}-password")
    async with Changes(api.database).transaction(SYSTEM) as change:
        user_id = await accounts.insert_user(
            change.connection, email=email, name=f"{name} Doe", password_hash=password_hash, operator=operator
        )
        assert user_id is not None
        change.unmirrored("accounts", "account.create", user_id)
        project_id = await create_project(change, settings, user_id, f"{name}'s project")
        new = await create_key(change, project_id, user_id, comment="all", scopes=sorted(SCOPES))
    return Tenant(user_id=user_id, email=email, project_id=project_id, key_id=new.key_id, key=new.text)


async def sign_in(api: Api, email: str) -> str:
    """A session of a tenant of `make_tenant`, by its password."""
    body = {"email": email, "password": email.partition("@")[0] + "-password"}
    return str((await api.call("POST", "/v1/sessions", None, body, status=201))["session_token"])


@pytest.fixture
async def ann(api: Api) -> Tenant:
    return await make_tenant(api, "ann")


@pytest.fixture
async def bob(api: Api) -> Tenant:
    return await make_tenant(api, "bob")


def backend_env(database_url: str, redis_url: str) -> dict[str, str]:
    """What a Platform API needs that is a process of its own on these stores."""
    return {
        "DATABASE_URL": acting_as(database_url, roles.BACKEND), "REDIS_URL": redis_url, "DRAIN_SECONDS": "0",
        # No reading is published in these tests, so no queue is ever called.
        "USAGE_QUEUE_URL": "http://127.0.0.1:1/usage", "USAGE_DLQ_URL": "http://127.0.0.1:1/dead",
    }  # fmt: skip


@pytest.fixture
def backend_url(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a Platform API that is a process of its own, on the stores that `api` is on."""
    with running("backend", tmp_path / "backend.log", **backend_env(database_url, redis_url)) as service:
        yield service.url


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    """A client for many streams at once, which keeps no connection once it has been used."""
    async with ClientSession(connector=TCPConnector(limit=0, force_close=True)) as session:
        yield session


@pytest.fixture(scope="module")
def stt_port() -> int:
    return free_port()


@pytest.fixture
async def stt(stt_port: int) -> AsyncIterator[FakeStt]:
    """An STT server in this process, at the same port for each test of a file."""
    server = await FakeStt().start(stt_port)
    yield server
    await server.stop()


@pytest.fixture(scope="module")
def proxy(redis_server: Process, stt_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A ws-proxy in a process of its own, before the server of `stt`; started once for a file."""
    with running(
        "ws_proxy",
        tmp_path_factory.mktemp("ws_proxy") / "log",
        REDIS_URL=redis_server.url,  # type: ignore[attr-defined]
        STT_UPSTREAMS=f"http://127.0.0.1:{stt_port}",
        STT_UPSTREAM_TOKEN="upstream-secret",
        LANE="live1",
        RENEW_SECONDS="0.1",
        FINISH_SECONDS="60",
        CLOSE_SECONDS="60",
        UPSTREAM_ANSWER_SECONDS="60",
        HANDSHAKE_SECONDS="60",
        ALLOWED_ORIGINS="https://good.example",
    ) as service:
        yield service
        assert '"level": "error"' not in service.logged()


@pytest.fixture
async def customer(redis_client: "redis.Redis") -> Customer:
    """A project with a key, in Redis alone."""
    return await Customer(redis_client).write()
