"""Admission against a real Redis: every verdict, and that a refusal leaves no trace."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio as redis

from aldea import errors
from aldea.admission import Admission, Grant
from aldea.credentials import Credential, mint_api_key
from aldea.ids import new_request_id
from aldea.redis import schema
from aldea.redis.connection import Wire
from aldea.redis.schema import AccountRecord, CredentialRecord, ProjectRecord
from aldea.usage.reading import Rank, UsageReading
from tests.support.proxies import patient_link

PROJECT = "0190a5e2-0000-7000-8000-00000000000a"
KEY_ID = "0190a5e2-0000-7000-8000-00000000000b"
KEY = Credential(mint_api_key().sha256)
ACTIVE = CredentialRecord(
    kind="key", state="active", project_id=PROJECT, key_id=KEY_ID, scopes=frozenset({"usage:write"})
)
UNLIMITED = ProjectRecord(state="active", requests_per_minute=None, concurrent_streams=None, monthly_audio_ms=None)


async def load(client: redis.Redis, credential: CredentialRecord = ACTIVE, project: ProjectRecord = UNLIMITED) -> None:
    records: dict[str, Any] = {
        schema.credential_key(KEY.sha256): credential.to_hash(),
        schema.project_key(PROJECT): project.to_hash(),
    }
    for account_id, owed in (("spent", 0), ("in debt", 5)):
        account = AccountRecord(plan="free", granted_micros=7, owed_micros=owed)
        records[schema.account_key(account_id)] = account.to_hash()
        records[schema.spent_key(account_id)] = {"micros": 7 + owed}
    for name, record in records.items():
        await client.hset(name, mapping=record)
    await client.set(schema.KEYS_LOADED, "1")


@pytest.fixture
async def admission(redis_url: str) -> AsyncIterator[Admission]:
    async with (
        patient_link(redis_url) as link,
        Admission(link, lane="main") as found,
    ):
        yield found


async def admit(admission: Admission, credential: Credential = KEY) -> Grant:
    return await admission.admit(
        credential, request_id=new_request_id(), service="streaming", path="/v1/listen", tags=["a"]
    )


async def everything(client: redis.Redis) -> dict[str, bytes]:
    raw: Any = client
    return {str(key): await raw.execute_command("DUMP", key, NEVER_DECODE=True) for key in await client.keys("*")}


async def readings(client: redis.Redis) -> list[UsageReading]:
    entries: Any = await client.xrange(schema.USAGE_STREAM)
    return [UsageReading.from_json(entry[schema.USAGE_FIELD]) for _, entry in entries]


async def test_an_admitted_request_has_a_lease_and_an_opening_reading(
    admission: Admission, redis_client: redis.Redis
) -> None:
    await load(redis_client)
    grant = await admit(admission)
    assert (grant.project_id, grant.key_id, grant.offline, grant.authority) == (PROJECT, KEY_ID, False, KEY.sha256)
    assert await redis_client.zrange(schema.leases_key(PROJECT), 0, -1) == [grant.request_id]
    assert await readings(redis_client) == [grant.reading(Rank.OPEN, 0)]


async def test_the_end_releases_the_lease_writes_the_final_and_books_the_audio_once(
    admission: Admission, redis_client: redis.Redis
) -> None:
    await load(redis_client)
    grant = await admit(admission)
    final = replace(grant.reading(Rank.FINAL, 1), audio_ms=1500, status=101, close_code=1000)
    await admission.finish(grant, final)
    await admission.finish(grant, final)
    assert await redis_client.zcard(schema.leases_key(PROJECT)) == 0
    assert await readings(redis_client) == [grant.reading(Rank.OPEN, 0), final]
    month = schema.month(grant.started_ms)
    assert await redis_client.get(schema.used_key(PROJECT, month)) == "1500"


def limited(**limits: Any) -> ProjectRecord:
    return replace(UNLIMITED, **limits)


@pytest.mark.parametrize(
    ("credential", "project", "refusal"),
    [
        (replace(ACTIVE, state="revoked"), UNLIMITED, errors.InvalidAuth),
        (replace(ACTIVE, expires_ms=1), UNLIMITED, errors.InvalidAuth),
        (replace(ACTIVE, kind="token", parent="00"), UNLIMITED, errors.InvalidAuth),
        (replace(ACTIVE, scopes=frozenset({"usage:read"})), UNLIMITED, errors.InsufficientPermissions),
        (ACTIVE, limited(state="suspended"), errors.InsufficientPermissions),
        (ACTIVE, limited(requests_per_minute=0), errors.TooManyRequests),
        (ACTIVE, limited(concurrent_streams=0), errors.TooManyRequests),
        (ACTIVE, limited(monthly_audio_ms=0), errors.PaymentRequired),
        (ACTIVE, limited(account_id="spent"), errors.PaymentRequired),
        (ACTIVE, limited(account_id="in debt"), errors.PaymentRequired),
        (ACTIVE, limited(account_id="not loaded yet"), errors.ServiceUnavailable),
    ],
)
async def test_a_refusal_says_why_and_changes_nothing(
    admission: Admission,
    redis_client: redis.Redis,
    credential: CredentialRecord,
    project: ProjectRecord,
    refusal: type[errors.ApiError],
) -> None:
    await load(redis_client, credential, project)
    before = await everything(redis_client)
    with pytest.raises(refusal):
        await admit(admission)
    assert await everything(redis_client) == before


async def test_an_unknown_key_is_refused_only_once_the_keys_are_loaded(
    admission: Admission, redis_client: redis.Redis
) -> None:
    with pytest.raises(errors.ServiceUnavailable) as waiting:
        await admit(admission)
    assert waiting.value.retry_after
    await load(redis_client)
    with pytest.raises(errors.InvalidAuth):
        await admit(admission, Credential(mint_api_key().sha256))


async def test_admission_is_one_round_trip_and_two_where_redis_has_forgotten_the_script(
    admission: Admission, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load(redis_client)
    await redis_client.script_flush()
    exchanged, exchange = 0, Wire.exchange

    def counted(wire: Wire, commands: bytes, count: int) -> "asyncio.Future[list[Any]]":
        """One write of all commands, one wait for all responses."""
        nonlocal exchanged
        exchanged += 1
        return exchange(wire, commands, count)

    monkeypatch.setattr(Wire, "exchange", counted)
    trips = []
    for _ in range(3):
        exchanged = 0
        await admit(admission)
        trips.append(exchanged)
    assert trips == [2, 1, 1]
