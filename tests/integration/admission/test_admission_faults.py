"""Admission while Redis is killed, paused, emptied, made a replica, or has forgotten its scripts."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from structlog.testing import capture_logs

from aldea import errors
from aldea.admission import Admission, Grant, Renewals, Verdict
from aldea.credentials import Credential, mint_api_key
from aldea.ids import new_request_id
from aldea.redis import schema
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.schema import AccountRecord, CredentialRecord, ProjectRecord
from aldea.usage.reading import Rank, UsageReading
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process
from tests.support.proxies import REDIS_COMMAND_SECONDS

PROJECT = "0190a5e2-0000-7000-8000-00000000000a"
KEY_ID = "0190a5e2-0000-7000-8000-00000000000b"
ACCOUNT = "0190a5e2-0000-7000-8000-00000000000c"
KEY = Credential(mint_api_key().sha256)
LEASES = schema.leases_key(PROJECT)


class Server:
    """A Redis of the test's own, to be mistreated."""

    def __init__(self, data: Path) -> None:
        self.port = free_port()
        self.url = stores.redis_url(self.port)
        self.process = Process(stores.redis_spec(data, self.port), log=data.parent / f"{data.name}.log").start()

    def kill(self) -> None:
        self.process.kill()

    def restart(self) -> None:
        self.process.start()

    def pause(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "redis")
    yield found
    if found.process.running:
        found.resume()
    found.process.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[redis.Redis]:
    async with redis.from_url(server.url, decode_responses=True) as found:
        await load(found)
        yield found


@pytest.fixture
async def admission(server: Server, client: redis.Redis) -> AsyncIterator[Admission]:
    with capture_logs():
        async with (
            RedisLink(server.url, command_seconds=REDIS_COMMAND_SECONDS, probe_seconds=0.05) as link,
            Admission(link, lane="main") as found,
        ):
            yield found


async def load(client: redis.Redis, **limits: Any) -> None:
    key = CredentialRecord(
        kind="key",
        state="active",
        project_id=PROJECT,
        key_id=KEY_ID,
        scopes=frozenset({"usage:write"}),
        tags=("of-the-key",),
    )
    unlimited: dict[str, Any] = {"requests_per_minute": None, "concurrent_streams": None, "monthly_audio_ms": None}
    project = ProjectRecord(state="active", account_id=ACCOUNT, **{**unlimited, **limits})
    account = AccountRecord(plan="free", granted_micros=10**9, owed_micros=0)
    records: dict[str, Any] = {
        schema.account_key(ACCOUNT): account.to_hash(),
        schema.credential_key(KEY.sha256): key.to_hash(),
        schema.project_key(PROJECT): project.to_hash(),
    }
    for name, record in records.items():
        await client.hset(name, mapping=record)
    await client.set(schema.KEYS_LOADED, "1")


async def new_primary(folder: Path) -> Server:
    """Another server with what the first one has: how soon the first one copies it makes no difference then."""
    server = Server(folder)
    async with redis.from_url(server.url, decode_responses=True) as client:
        await load(client)
    return server


async def admit(admission: Admission, credential: Credential = KEY) -> Grant:
    return await admission.admit(credential, request_id=new_request_id(), service="streaming", path="/v1/listen")


def final(grant: Grant, audio_ms: int = 1000, seq: int = 99) -> UsageReading:
    return replace(grant.reading(Rank.FINAL, seq), audio_ms=audio_ms, status=101)


async def readings(client: redis.Redis) -> list[UsageReading]:
    entries: Any = await client.xrange(schema.USAGE_STREAM)
    return [UsageReading.from_json(entry[schema.USAGE_FIELD]) for _, entry in entries]


async def used(client: redis.Redis, grant: Grant) -> int:
    return int(await client.get(schema.used_key(PROJECT, schema.month(grant.started_ms))) or 0)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


async def usable(admission: Admission) -> bool:
    return admission.link.available and admission.outbox.waiting == 0


class Stream:
    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.seq = 0
        self.audio_ms = 0
        self.verdicts: list[Verdict] = []

    def checkpoint(self) -> UsageReading:
        self.seq += 1
        return replace(self.grant.reading(Rank.OPEN, self.seq), audio_ms=self.audio_ms)

    def on_refused(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_while_redis_is_unavailable_known_keys_get_in_and_all_readings_arrive_afterwards(
    admission: Admission, server: Server, client: redis.Redis, fault: str
) -> None:
    running = await admit(admission)
    (server.kill if fault == "killed" else server.pause)()
    offline = await admit(admission)
    assert offline.offline
    assert offline.tags == running.tags == ("of-the-key",)
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission, Credential(mint_api_key().sha256))
    await admission.finish(running, final(running))
    await admission.finish(offline, final(offline))
    assert admission.outbox.waiting == 2
    (server.restart if fault == "killed" else server.resume)()
    await client.connection_pool.disconnect()
    await until(lambda: usable(admission))
    found = await readings(client)
    assert final(running) in found
    assert final(offline) in found
    assert await client.zcard(LEASES) == 0
    assert await used(client, running) == 2000
    assert not (await admit(admission)).offline


async def test_a_restart_between_requests_costs_nobody_anything_and_finals_are_repeated(
    admission: Admission, server: Server, client: redis.Redis
) -> None:
    grant = await admit(admission)
    await admission.finish(grant, final(grant))
    server.kill()
    server.restart()
    await client.connection_pool.disconnect()
    # A failover may lose what was written last; here the whole stream and the memory of it are lost.
    await client.delete(schema.USAGE_STREAM, schema.metered_key(grant.request_id))
    assert not (await admit(admission)).offline

    async def repeated() -> bool:
        return final(grant) in await readings(client)

    await until(repeated)
    assert await used(client, grant) == 1000


async def test_a_repeated_final_that_redis_still_has_is_not_written_twice(
    admission: Admission, server: Server, client: redis.Redis
) -> None:
    grant = await admit(admission)
    await admission.finish(grant, final(grant))
    admission.outbox._reconnected()
    await until(lambda: usable(admission))
    await admission.outbox.flush()
    assert (await readings(client)).count(final(grant)) == 1


async def test_forgotten_scripts_are_loaded_again_without_a_failure(admission: Admission, client: redis.Redis) -> None:
    grant = await admit(admission)
    await client.script_flush()
    await asyncio.gather(admit(admission), admit(admission), admission.finish(grant, final(grant)))
    assert await client.zcard(LEASES) == 2
    assert admission.link.available


async def test_an_emptied_redis_says_come_back_and_heals_with_the_next_load_and_renewal(
    admission: Admission, client: redis.Redis
) -> None:
    stream = Stream(await admit(admission))
    renewals = Renewals(admission)
    renewals.add(stream)
    stream.audio_ms = 400
    await renewals.renew_all()
    await client.flushall()
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission)
    stream.audio_ms = 900
    await renewals.renew_all()
    assert stream.verdicts == []
    assert await client.zcard(LEASES) == 1
    # The first 400 ms are in PostgreSQL's figure by way of the earlier checkpoint; only what came since is added.
    assert await used(client, stream.grant) == 500
    await load(client)
    await admit(admission)


async def test_a_primary_that_became_a_replica_is_left_for_the_new_one_by_one_retry(
    admission: Admission, server: Server, client: redis.Redis, tmp_path: Path
) -> None:
    await admit(admission)
    other = await new_primary(tmp_path / "other")
    try:
        await client.replicaof("127.0.0.1", str(other.port))
        with pytest.raises(RedisUnavailable):
            await admission.link.ping()
        offline = await admit(admission)
        assert offline.offline
        await client.replicaof("NO", "ONE")
        await load(client)
        await until(lambda: usable(admission))
        assert await client.zscore(LEASES, offline.request_id)
        assert not (await admit(admission)).offline
    finally:
        other.process.stop()


async def test_a_failover_during_traffic_is_one_retry_and_no_refusal(
    admission: Admission, server: Server, client: redis.Redis, tmp_path: Path
) -> None:
    grant = await admit(admission)
    await admission.finish(grant, final(grant))
    other = await new_primary(tmp_path / "other")
    try:
        await client.replicaof("127.0.0.1", str(other.port))
        disconnect = admission.link._pool.client.connection_pool.disconnect

        async def promoted(*args: Any, **kwargs: Any) -> None:
            # What the managed service does meanwhile: the name points to a primary by the time we reconnect.
            await client.replicaof("NO", "ONE")
            await load(client)
            await disconnect(*args, **kwargs)

        admission.link._pool.client.connection_pool.disconnect = promoted  # type: ignore[method-assign]
        admitted = await admit(admission)
        assert not admitted.offline
        assert admission.link.available
    finally:
        other.process.stop()


async def test_an_admission_that_redis_carried_out_too_late_is_taken_back(
    admission: Admission, server: Server, client: redis.Redis
) -> None:
    await client.hset(schema.project_key(PROJECT), "concurrent_streams", "1")
    server.pause()
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission)
    server.resume()

    async def taken_back() -> bool:
        # Whether the paused server carries the late command out at all depends on when the connection was closed.
        return not admission.outbox._abandoned and await client.zcard(LEASES) == 0

    await until(taken_back)
    await admit(admission)


async def test_a_retried_admission_counts_once(admission: Admission, client: redis.Redis) -> None:
    await load(client, requests_per_minute=1, concurrent_streams=1)
    request_id = new_request_id()
    for _ in range(2):
        await admission.admit(KEY, request_id=request_id, service="streaming", path="/")
    assert await client.zcard(LEASES) == 1
    assert len(await readings(client)) == 1


async def test_a_late_renewal_does_not_bring_back_the_lease_of_a_finished_request(
    admission: Admission, client: redis.Redis
) -> None:
    stream = Stream(await admit(admission))
    renewals = Renewals(admission)
    renewals.add(stream)
    await admission.finish(stream.grant, final(stream.grant))
    await renewals.renew_all()
    assert await client.zcard(LEASES) == 0
    assert len(await readings(client)) == 2


@pytest.mark.parametrize(
    ("name", "field", "value", "verdict"),
    [
        (schema.credential_key(KEY.sha256), "state", "revoked", Verdict.REVOKED),
        (schema.credential_key(KEY.sha256), "expires_ms", "1", Verdict.EXPIRED),
        (schema.project_key(PROJECT), "state", "suspended", Verdict.SUSPENDED),
        (schema.project_key(PROJECT), "monthly_audio_ms", "700", Verdict.QUOTA),
        (schema.account_key(ACCOUNT), "granted", "-1", Verdict.BALANCE),
    ],
    ids=["a revoked key", "an expired key", "a suspended project", "an exhausted quota", "a spent balance"],
)
async def test_one_renewal_ends_what_may_not_go_on(
    admission: Admission, client: redis.Redis, name: str, field: str, value: str, verdict: Verdict
) -> None:
    stream = Stream(await admit(admission))
    renewals = Renewals(admission)
    renewals.add(stream)
    stream.audio_ms = 699
    await renewals.renew_all()
    assert stream.verdicts == []
    await client.hset(name, field, value)
    stream.audio_ms = 700
    await renewals.renew_all()
    assert stream.verdicts == [verdict]
    if verdict.used_up:
        with pytest.raises(errors.PaymentRequired):
            await admit(admission)


async def test_absent_records_end_nothing(admission: Admission, client: redis.Redis) -> None:
    stream = Stream(await admit(admission))
    renewals = Renewals(admission)
    renewals.add(stream)
    await client.delete(schema.credential_key(KEY.sha256), schema.project_key(PROJECT))
    await renewals.renew_all()
    assert stream.verdicts == []


@pytest.mark.parametrize(
    "change",
    [
        (schema.credential_key(KEY.sha256), "state", "revoked"),
        (schema.credential_key(KEY.sha256), "expires_ms", "1"),
        (schema.project_key(PROJECT), "state", "suspended"),
        (schema.project_key(PROJECT), "monthly_audio_ms", "0"),
        (schema.project_key(PROJECT), "requests_per_minute", "0"),
    ],
    ids=["revoked", "expired", "suspended", "spent", "no requests"],
)
async def test_a_refusal_of_a_key_keeps_its_tokens_out_too_while_redis_is_unavailable(
    admission: Admission, client: redis.Redis, server: Server, change: tuple[str, str, str]
) -> None:
    token = Credential("70" * 32)
    record: Any = CredentialRecord(
        kind="token", state="active", project_id=PROJECT, key_id=KEY_ID,
        scopes=frozenset({"usage:write"}), parent=KEY.sha256,
    ).to_hash()  # fmt: skip
    await client.hset(schema.credential_key(token.sha256), mapping=record)
    await admit(admission, token)
    await client.hset(*change)
    with pytest.raises(errors.ApiError):
        await admit(admission)
    server.kill()
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission, token)


async def test_a_token_is_remembered_for_no_longer_than_the_key_that_granted_it(
    admission: Admission, client: redis.Redis
) -> None:
    token = Credential("70" * 32)
    ends = round(time.time() * 1000) + 60_000
    for own, parents, until_ms in (
        ("", ends, ends),
        (ends + 5, ends, ends),
        (ends - 5, ends, ends - 5),
        (ends, "", ends),
    ):
        record: Any = CredentialRecord(
            kind="token", state="active", project_id=PROJECT, key_id=KEY_ID,
            scopes=frozenset({"usage:write"}), parent=KEY.sha256,
        ).to_hash()  # fmt: skip
        await client.hset(schema.credential_key(token.sha256), mapping={**record, "expires_ms": own})
        await client.hset(schema.credential_key(KEY.sha256), "expires_ms", str(parents))
        await admit(admission, token)
        known = admission._known.recall(token.sha256)
        assert known is not None
        assert known.expires_ms == until_ms


async def test_a_token_is_checked_at_the_start_and_its_parent_at_renewals(
    admission: Admission, client: redis.Redis
) -> None:
    token = Credential("70" * 32)
    record = CredentialRecord(
        kind="token", state="active", project_id=PROJECT, key_id=KEY_ID,
        scopes=frozenset({"usage:write"}), parent=KEY.sha256,
    )  # fmt: skip
    mapping: Any = record.to_hash()
    await client.hset(schema.credential_key(token.sha256), mapping=mapping)
    stream = Stream(await admit(admission, token))
    renewals = Renewals(admission)
    renewals.add(stream)
    await client.hset(schema.credential_key(token.sha256), "expires_ms", "1")
    await renewals.renew_all()
    assert stream.verdicts == []
    with pytest.raises(errors.InvalidAuth):
        await admit(admission, token)
    await client.hset(schema.credential_key(KEY.sha256), "state", "revoked")
    await renewals.renew_all()
    assert stream.verdicts == [Verdict.REVOKED]


async def test_readings_late_double_and_out_of_order_book_the_audio_exactly_once(
    admission: Admission, client: redis.Redis
) -> None:
    stream = Stream(await admit(admission))
    grant, outbox = stream.grant, admission.outbox
    checkpoints = [replace(grant.reading(Rank.OPEN, seq), audio_ms=seq * 100) for seq in (2, 1, 2, 4, 3)]
    for checkpoint in checkpoints:
        outbox._acknowledged.clear()  # every response was lost on the way
        await outbox.renew(grant, checkpoint)
    assert await used(client, grant) == 400
    await admission.finish(grant, final(grant, audio_ms=250, seq=5))  # the STT server's own figure is lower
    await outbox.renew(grant, checkpoints[3])
    assert await used(client, grant) == 250
