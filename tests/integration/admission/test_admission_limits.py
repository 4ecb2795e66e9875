"""Admission's limits across processes that race for one project, and the rate's arithmetic against Python's."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldea import errors
from aldea.admission import Admission, Grant, gcra, scripts
from aldea.admission.grant import Application
from aldea.credentials import Credential, mint_api_key
from aldea.ids import new_request_id, started_ms
from aldea.redis import schema
from aldea.redis.link import RedisLink
from aldea.redis.schema import CredentialRecord, ProjectRecord

ROOT = Path(__file__).resolve().parents[3]
PROJECT = "0190a5e2-0000-7000-8000-00000000000a"
KEY_ID = "0190a5e2-0000-7000-8000-00000000000b"
KEY = Credential(mint_api_key().sha256)
LEASES = schema.leases_key(PROJECT)

# Requests admission as often as given and prints what became of each; then holds its leases until it is killed.
RACER = """
import asyncio, json, sys
from aldea import errors
from aldea.admission import Admission
from aldea.credentials import Credential
from aldea.ids import new_request_id
from aldea.redis.link import RedisLink

async def main(url, sha256, count, lease_ttl_ms):
    async with RedisLink(url, command_seconds=5) as link:
        admission = Admission(link, lane="main", lease_ttl_ms=lease_ttl_ms)
        async def one():
            try:
                await admission.admit(Credential(sha256), request_id=new_request_id(), service="streaming", path="/")
            except errors.ApiError as error:
                return error.err_code
            return "admitted"
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(await asyncio.gather(*(one() for _ in range(count)))), flush=True)
        await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


async def load(client: redis.Redis, **limits: int | None) -> None:
    key = CredentialRecord(
        kind="key", state="active", project_id=PROJECT, key_id=KEY_ID, scopes=frozenset({"usage:write"})
    )
    unlimited: dict[str, Any] = {"requests_per_minute": None, "concurrent_streams": None, "monthly_audio_ms": None}
    project = ProjectRecord(state="active", **{**unlimited, **limits})
    records: dict[str, Any] = {
        schema.credential_key(KEY.sha256): key.to_hash(),
        schema.project_key(PROJECT): project.to_hash(),
    }
    for name, record in records.items():
        await client.hset(name, mapping=record)
    await client.set(schema.KEYS_LOADED, "1")


class Racers:
    """Several processes that request admission at the same moment."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = ExitStack()
        self.children: list[subprocess.Popen[str]] = []

    def race(self, processes: int, each: int, lease_ttl_ms: int = 30_000) -> list[str]:
        argv = [sys.executable, "-c", RACER, self._url, KEY.sha256, str(each), str(lease_ttl_ms)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "services")}
        for _ in range(processes):
            child = subprocess.Popen(argv, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._stack.enter_context(child)
            self.children.append(child)
        for child in self.children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in self.children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        outcomes: list[str] = []
        for child in self.children:
            assert child.stdout is not None
            outcomes += json.loads(child.stdout.readline())
        return outcomes

    def kill(self) -> None:
        for child in self.children:
            child.send_signal(signal.SIGKILL)
            child.wait()

    def close(self) -> None:
        self.kill()
        self._stack.close()


@pytest.fixture
async def racers(redis_url: str) -> AsyncIterator[Racers]:
    found = Racers(redis_url)
    yield found
    found.close()


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    async with RedisLink(redis_url, command_seconds=5) as found:
        yield found


async def admit(admission: Admission) -> Grant:
    return await admission.admit(KEY, request_id=new_request_id(), service="streaming", path="/v1/listen")


async def test_processes_that_race_never_exceed_a_projects_concurrency(
    racers: Racers, redis_client: redis.Redis
) -> None:
    await load(redis_client, concurrent_streams=17)
    outcomes = racers.race(processes=3, each=40)
    assert outcomes.count("admitted") == 17
    assert outcomes.count("TOO_MANY_REQUESTS") == 120 - 17
    assert await redis_client.zcard(LEASES) == 17
    assert await redis_client.xlen(schema.USAGE_STREAM) == 17


async def test_processes_that_race_never_exceed_a_projects_rate(racers: Racers, redis_client: redis.Redis) -> None:
    await load(redis_client, requests_per_minute=12)
    began = time.monotonic()
    outcomes = racers.race(processes=3, each=20)
    # Another one is due every five seconds; a race that takes so long may see it, and no more than that.
    due = int((time.monotonic() - began) / 5) + 1
    assert gcra.burst(12) <= outcomes.count("admitted") <= gcra.burst(12) + due
    assert outcomes.count("admitted") + outcomes.count("TOO_MANY_REQUESTS") == 60


async def test_a_killed_process_frees_its_slots_within_its_leases_life(
    racers: Racers, link: RedisLink, redis_client: redis.Redis
) -> None:
    await load(redis_client, concurrent_streams=2)
    assert racers.race(processes=1, each=2, lease_ttl_ms=400) == ["admitted"] * 2
    racers.kill()
    admission = Admission(link, lane="main")

    async def refused() -> bool:
        try:
            await admit(admission)
        except errors.TooManyRequests:
            return True
        return False

    async with asyncio.timeout(60):
        for _ in range(2):  # they were taken one after the other, and lapse so
            while await refused():
                await asyncio.sleep(0.01)
    assert await redis_client.zcard(LEASES) == 2
    assert await refused()


async def test_a_flood_of_refusals_leaves_the_keyspace_as_it_was(link: RedisLink, redis_client: redis.Redis) -> None:
    # The rate's own record of the request that is let in lives for half a minute: with more a minute, for less.
    await load(redis_client, concurrent_streams=1, requests_per_minute=2)
    admission = Admission(link, lane="main")
    await admit(admission)
    raw: Any = redis_client

    async def keyspace() -> dict[str, bytes]:
        return {str(key): await raw.execute_command("DUMP", key, NEVER_DECODE=True) for key in await raw.keys("*")}

    before = await keyspace()
    outcomes = await asyncio.gather(*(admit(admission) for _ in range(500)), return_exceptions=True)
    assert all(isinstance(outcome, errors.TooManyRequests) for outcome in outcomes)
    assert await keyspace() == before


async def test_many_at_once_share_flushes_and_each_gets_its_own_response(
    link: RedisLink, redis_client: redis.Redis
) -> None:
    await load(redis_client)
    admission = Admission(link, lane="main")
    ids = [new_request_id() for _ in range(1000)]
    grants = await asyncio.gather(
        *(admission.admit(KEY, request_id=request_id, service="streaming", path="/") for request_id in ids)
    )
    assert [grant.request_id for grant in grants] == ids
    assert await redis_client.zcard(LEASES) == 1000
    calls: Any = await redis_client.info("clients")
    assert calls["connected_clients"] <= 12


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rate=st.integers(1, 5000), offset_us=st.none() | st.integers(-70_000_000, 130_000_000))
def test_the_scripts_rate_is_the_python_arithmetic_to_the_microsecond(
    redis_server: Any, rate: int, offset_us: int | None
) -> None:
    async def once() -> None:
        async with RedisLink(redis_server.url, command_seconds=5) as link:
            client = link._pool.client
            await client.flushall()
            await load(client, requests_per_minute=rate)
            seconds, micros = await client.time()
            tat = None if offset_us is None else int(seconds) * 1_000_000 + int(micros) + offset_us
            if tat is not None:
                await client.set(f"rate:{PROJECT}", tat)
            request_id = new_request_id()
            request = Application(
                request_id=request_id, started_ms=started_ms(request_id), credential_sha256=KEY.sha256,
                service="streaming", lane="main", path="/", tags=(),
            )  # fmt: skip
            response = await link.call(*scripts.admit(request, 30_000))
            now_us = int(response[-1])
            expected = gcra.decide(tat, now_us, rate)
            assert (response[0] == "admitted") == expected.allowed
            kept: Any = await client.get(f"rate:{PROJECT}")
            if kept is None:
                # It expires once it lies in the past and means nothing any more.
                seconds, micros = await client.time()
                assert int(seconds) * 1_000_000 + int(micros) >= expected.tat_us
            elif expected.allowed:
                assert int(kept) == expected.tat_us
            else:
                assert response[1:3] == ["rate", expected.retry_after_us]
                assert int(kept) == tat

    asyncio.run(once())
