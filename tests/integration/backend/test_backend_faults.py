"""The Platform API while its stores fail and return: under load, with what it wrote checked."""

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import redis.asyncio as redis

from aldea.credentials import sha256_hex
from aldea.redis.schema import KEYS_LOADED, credential_key
from aldea.tasks import spawn
from backend import key_sync
from backend.bootstrap import bootstrap
from backend.schema.migrate import migrate
from backend.schema.roles import BACKEND
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.integration.conftest import Api, Tenant, acting_as, settings_for
from tests.support.proxies import running

# What must happen, on however busy a machine.
EVENTUALLY_SECONDS = 60.0
WORKERS = 4


class Server:
    """A PostgreSQL of this test's own that can be stopped, killed and started again on its data."""

    def __init__(self, folder: Path) -> None:
        self.postgres = stores.Postgres(folder / "data", free_port())
        self.postgres.prepare()
        self._log = folder / "log"
        self.process = self._new().start()
        self.postgres.create_database()

    def _new(self) -> Process:
        return Process(self.postgres.spec(), log=self._log)

    def start_again(self) -> None:
        self.postgres.prepare()
        self.process = self._new().start(EVENTUALLY_SECONDS)


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="aldea-faults-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL may run as a user of its own
        found = Server(folder)
        yield found
        found.process.stop()


class Load:
    """Several kinds of requests, each sent over and over; the responses, and which keys and names were promised."""

    def __init__(self, http: aiohttp.ClientSession, url: str, project_id: str, key: str) -> None:
        self._http = http
        self._base = f"{url}/v1/projects/{project_id}"
        self._headers = {"Authorization": f"Token {key}"}
        self.statuses: dict[str, Counter[int]] = {}
        self.refusals: list[tuple[dict[str, Any], str | None]] = []
        self.keys: dict[str, str] = {}  # promised: id → text
        self.revoked: set[str] = set()
        self.enough = False  # no worker begins another round

    async def _send(self, kind: str, method: str, path: str, body: Any = None) -> Any:
        async with self._http.request(method, self._base + path, json=body, headers=self._headers) as response:
            found = await response.json()
        self.statuses.setdefault(kind, Counter())[response.status] += 1
        if response.status >= 400:
            self.refusals.append((found, response.headers.get("Retry-After")))
            return None
        return found

    async def run(self, worker: int) -> None:
        number = 0
        while not self.enough:
            number += 1
            await self._send("read", "GET", "")
            await self._send("usage", "GET", "/usage/breakdown?grouping=tag")
            await self._send("rename", "PATCH", "", {"name": f"name {worker}-{number}"})
            body = {"comment": f"{worker}-{number}", "scopes": ["usage:write"]}
            made = await self._send("create", "POST", "/keys", body)
            if made is not None:
                self.keys[made["api_key_id"]] = made["key"]
                if number % 10 and await self._send("revoke", "DELETE", f"/keys/{made['api_key_id']}") is not None:
                    self.revoked.add(made["api_key_id"])

    async def each_kind_got_a_response(self, status: int) -> None:
        """Wait until, from now on, every kind of request has met this status."""
        before = {kind: found[status] for kind, found in self.statuses.items()}
        async with asyncio.timeout(EVENTUALLY_SECONDS):
            while not all(self.statuses[kind][status] > count for kind, count in before.items() if kind != "revoke"):
                await asyncio.sleep(0.02)


async def test_requests_are_503_while_postgresql_is_away_and_succeed_when_it_is_back_with_nothing_half_written(
    server: Server, redis_url: str, tmp_path: Path
) -> None:
    url = server.postgres.url
    await migrate(settings_for(url))
    project_id, key = await _account(url)
    env = {
        "DATABASE_URL": acting_as(url, BACKEND), "REDIS_URL": redis_url, "DRAIN_SECONDS": "0",
        "USAGE_QUEUE_URL": "http://127.0.0.1:1/usage", "USAGE_DLQ_URL": "http://127.0.0.1:1/dead",
    }  # fmt: skip
    with running("backend", tmp_path / "backend.log", **env) as backend:
        async with aiohttp.ClientSession() as http:
            load = Load(http, backend.url, project_id, key)
            workers = [spawn(load.run(number), name=f"load-{number}") for number in range(WORKERS)]
            try:
                async with asyncio.timeout(EVENTUALLY_SECONDS):
                    while len(load.statuses) < 5:
                        await asyncio.sleep(0.02)
                await load.each_kind_got_a_response(200)
                for how in ("stop", "kill"):
                    await asyncio.to_thread(getattr(server.process, how))
                    await load.each_kind_got_a_response(503)
                    await asyncio.to_thread(server.start_again)
                    await load.each_kind_got_a_response(200)
            finally:
                # Not cancelled: a request whose client leaves goes on, and would change what is compared below.
                load.enough = True
                await asyncio.gather(*workers)
        assert backend.process.running
        met = sum(load.statuses.values(), Counter[int]())
        assert set(met) == {200, 503}
        for body, retry_after in load.refusals:
            assert body.keys() == {"err_code", "err_msg", "request_id"}
            assert body["err_code"] == "SERVICE_UNAVAILABLE"
            assert int(retry_after or 0) > 0
        await _nothing_is_half_written(url, redis_url, load)


async def _account(url: str) -> tuple[str, str]:
    """A project without limits and its key."""
    key = await bootstrap(
        settings_for(url), email="a@example.com", password="orchid lantern river 42", project="P", unlimited=True,
        report=lambda _: None,
    )  # fmt: skip
    assert key is not None
    async with _connected(url) as connection:
        return await connection.fetchval("select project_id::text from projects"), key


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url, timeout=60, command_timeout=60)
    try:
        yield connection
    finally:
        await connection.close(timeout=60)


async def _nothing_is_half_written(url: str, redis_url: str, load: Load) -> None:
    """What was promised is stored; and all that is stored is complete: with its line in the audit log, and in Redis."""
    async with _connected(url) as connection:
        rows = await connection.fetch("select key_id::text, sha256, revoked is not null as revoked from api_keys")
        log = await connection.fetch("select action, target, detail from audit_log order by audit_id")
        name = await connection.fetchval("select name from projects")
    kept = {row["key_id"]: row for row in rows}
    for key_id, text in load.keys.items():
        assert kept[key_id]["sha256"] == sha256_hex(text)
    assert load.revoked <= {row["key_id"] for row in rows if row["revoked"]}
    logged = Counter((line["action"], line["target"]) for line in log)
    assert {target: count for (action, target), count in logged.items() if action == "key.create"} == dict.fromkeys(
        kept, 1
    )
    assert {target for action, target in logged if action == "key.revoke"} == {
        row["key_id"] for row in rows if row["revoked"]
    }
    renames = [json.loads(line["detail"]) for line in log if line["action"] == "project.rename"]
    assert [rename["before"] for rename in renames] == ["P", *(rename["name"] for rename in renames[:-1])]
    assert name == renames[-1]["name"]
    async with redis.from_url(redis_url, decode_responses=True) as client, asyncio.timeout(EVENTUALLY_SECONDS):
        for row in rows:
            state = "revoked" if row["revoked"] else "active"
            found: Any = None
            while found != state and not (found is None and row["revoked"]):
                found = await client.hget(credential_key(row["sha256"]), "state")
                await asyncio.sleep(0)


@pytest.fixture
async def stt() -> AsyncIterator[FakeStt]:
    found = await FakeStt().start()
    yield found
    await found.stop()


async def test_keys_work_again_within_seconds_of_redis_being_emptied_and_none_is_called_bad_meanwhile(
    api: Api, ann: Tenant, stt: FakeStt, redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    assert key_sync.LOOK_SECONDS <= 1.0  # how soon it is noticed
    env = {"REDIS_URL": redis_url, "STT_UPSTREAMS": stt.url, "LANE": "live1", "DRAIN_SECONDS": "0"}
    with running("ws_proxy", tmp_path / "ws_proxy.log", **env) as proxy:
        grant = await api.call("POST", "/v1/auth/grant", ann.key, {"ttl_seconds": 3600})
        async with aiohttp.ClientSession() as http:

            async def opened_by(credential: str) -> int:
                headers = {"Authorization": f"Bearer {credential}"}
                try:
                    async with http.ws_connect(f"{proxy.url}/v1/listen", headers=headers) as stream:
                        await stream.close()
                        return 101
                except aiohttp.WSServerHandshakeError as refused:
                    return refused.status

            async def opened() -> int:
                """The worse of the two: the key's stream and that of a token that it granted."""
                statuses = [await opened_by(ann.key), await opened_by(grant["access_token"])]
                return max(statuses, key=lambda status: (status != 101, status))

            async def until_opened(seconds: float) -> Counter[int]:
                statuses: Counter[int] = Counter()
                async with asyncio.timeout(seconds):
                    while not statuses[101]:
                        statuses[await opened()] += 1
                return statuses

            await until_opened(EVENTUALLY_SECONDS)
            for _ in range(3):
                await redis_client.flushall()
                assert set(await until_opened(EVENTUALLY_SECONDS)) <= {101, 503}
                async with asyncio.timeout(EVENTUALLY_SECONDS):
                    while not await redis_client.exists(KEYS_LOADED):
                        await asyncio.sleep(0.02)
                assert await redis_client.hget(credential_key(sha256_hex(ann.key)), "state") == "active"
