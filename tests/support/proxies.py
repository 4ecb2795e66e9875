"""What the proxies' integration tests share: a real proxy process, credentials in Redis, readings out of Redis."""

import asyncio
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import redis.asyncio as redis

from aldea.credentials import mint_api_key, mint_token
from aldea.redis.link import PROBE_SECONDS, RedisLink
from aldea.redis.prices import schedule
from aldea.redis.schema import (
    KEYS_LOADED,
    TRANSCRIBE_SCOPE,
    USAGE_FIELD,
    USAGE_STREAM,
    AccountRecord,
    CredentialRecord,
    ProjectRecord,
    account_key,
    credential_key,
    leases_key,
    prices_key,
    project_key,
)
from aldea.usage.reading import Rank, UsageReading
from onebox.ports import free_port
from onebox.process import Process, ProcessSpec

ROOT = Path(__file__).resolve().parents[2]
# The tests' Redis shares a few cores with everything else: a busy moment is no lost Redis.
REDIS_COMMAND_SECONDS = 1.0
# Against a hang alone: what must happen does, on however slow and busy a machine, and a wait that ends costs nothing.
PATIENCE_SECONDS = 90.0


def patient_link(url: str, *, probe_seconds: float = PROBE_SECONDS) -> RedisLink:
    """A link to the tests' Redis."""
    return RedisLink(url, command_seconds=REDIS_COMMAND_SECONDS, probe_seconds=probe_seconds)


def service_spec(module: str, port: int, **env: str) -> ProcessSpec:
    """A service as its own process on a loopback port."""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    return ProcessSpec(
        name=module,
        argv=(sys.executable, "-W", "error::ResourceWarning", "-m", module),
        env={
            "PYTHONPATH": f"{ROOT}/services",
            "PORT": str(port),
            "REDIS_COMMAND_SECONDS": str(REDIS_COMMAND_SECONDS),
            **env,
        },
        ready=ready,
    )


@contextmanager
def running(module: str, log: Path, **env: str) -> Iterator["Service"]:
    """A running service, stopped at the end."""
    service = Service(module, log, **env)
    try:
        yield service
    finally:
        service.process.stop()


class Service:
    """A service's process and its address."""

    def __init__(self, module: str, log: Path, **env: str) -> None:
        self.port = free_port()
        self.log = log
        self.process = Process(service_spec(module, self.port, **env), log=log).start()
        self.url = f"http://127.0.0.1:{self.port}"

    def wait_until(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for something of the service; fails after `seconds`, or at once if it has ended."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.running, self.logged()
            assert time.monotonic() < deadline, self.logged()
            time.sleep(0.02)

    def logged(self) -> str:
        """All that it printed."""
        return self.log.read_text()


class Customer:
    """A project with a key, as Redis holds them."""

    def __init__(self, store: redis.Redis) -> None:
        self.store = store
        self.project_id = str(uuid4())
        self.key_id = str(uuid4())
        self.key = mint_api_key()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.key.text}"}

    async def write(
        self,
        *,
        key_state: Literal["active", "revoked"] = "active",
        scopes: frozenset[str] = frozenset({TRANSCRIBE_SCOPE}),
        expires_ms: int | None = None,
        project_state: Literal["active", "suspended"] = "active",
        requests_per_minute: int | None = None,
        concurrent_streams: int | None = None,
        monthly_audio_ms: int | None = None,
        account_id: str = "",
    ) -> "Customer":
        """Write the records of the key and the project, as the backend would."""
        credential = CredentialRecord(
            kind="key",
            state=key_state,
            project_id=self.project_id,
            key_id=self.key_id,
            scopes=scopes,
            expires_ms=expires_ms,
        )
        project = ProjectRecord(
            state=project_state,
            requests_per_minute=requests_per_minute,
            concurrent_streams=concurrent_streams,
            monthly_audio_ms=monthly_audio_ms,
            account_id=account_id,
        )
        await self.store.hset(credential_key(self.key.sha256), mapping=dict[Any, Any](credential.to_hash()))
        await self.store.hset(project_key(self.project_id), mapping=dict[Any, Any](project.to_hash()))
        await self.store.set(KEYS_LOADED, "1")
        return self

    async def fund(self, granted_micros: int, *, micros_per_hour: int, owed_micros: int = 0) -> str:
        """Let an account pay for the project, which was granted so much, at this price; its id."""
        account_id = str(uuid4())
        record = AccountRecord(plan="prepaid", granted_micros=granted_micros, owed_micros=owed_micros)
        prices: dict[Any, Any] = dict.fromkeys(("streaming", "prerecorded"), schedule([(0, micros_per_hour)]))
        await self.store.hset(prices_key("prepaid"), mapping=prices)
        await self.store.hset(account_key(account_id), mapping=dict[Any, Any](record.to_hash()))
        await self.write(account_id=account_id)
        return account_id

    async def token(self) -> str:
        """A short-lived token that the key granted, as the backend would write it."""
        token = mint_token()
        record = CredentialRecord(
            kind="token",
            state="active",
            project_id=self.project_id,
            key_id=self.key_id,
            scopes=frozenset({TRANSCRIBE_SCOPE}),
            expires_ms=round(time.time() * 1000) + 30_000,
            parent=self.key.sha256,
        )
        await self.store.hset(credential_key(token.sha256), mapping=dict[Any, Any](record.to_hash()))
        return token.text

    async def leases(self) -> int:
        """How many requests run now, as Redis sees it."""
        return int(await self.store.zcard(leases_key(self.project_id)))


async def readings(store: redis.Redis, *, project_id: str | None = None) -> list[UsageReading]:
    """Everything on the usage stream, or of one project (see `final_of`), oldest first."""
    entries: Any = await store.xrange(USAGE_STREAM)
    found = [UsageReading.from_json(entry[USAGE_FIELD]) for _, entry in entries]
    return [reading for reading in found if project_id in (None, reading.project_id)]


async def final_of(store: redis.Redis, request_id: str | None = None, *, project_id: str | None = None) -> UsageReading:
    """The final reading of a request (of any, if there is but one), waited for.

    A proxy that serves several tests may still write the one before's, whose customer has long had its close code:
    `project_id` leaves that out.
    """

    async def look() -> UsageReading | None:
        found = await readings(store, project_id=project_id)
        return next((one for one in found if one.rank is Rank.FINAL and request_id in (None, one.request_id)), None)

    found: UsageReading = await eventually(look)
    return found


async def eventually(look: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of `look()`, awaited if need be; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            value = look()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.01)


@asynccontextmanager
async def raw_connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare TCP connection to a proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
