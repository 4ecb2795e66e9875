"""A key's tags in a request's readings: in the opening, which Redis writes, the same as in all that follow it."""

from typing import Any

import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldea.admission import Admission, Grant
from aldea.admission.grant import Application, united_tags
from aldea.credentials import Credential, mint_api_key
from aldea.ids import new_request_id
from aldea.redis import schema
from aldea.redis.schema import CredentialRecord, ProjectRecord
from aldea.usage.reading import MAX_TAGS, MAX_TEXT, Rank, UsageReading
from tests.support.proxies import patient_link

PROJECT = "0190a5e2-0000-7000-8000-00000000000a"
KEY_ID = "0190a5e2-0000-7000-8000-00000000000b"
KEY, TOKEN = Credential(mint_api_key().sha256), Credential(mint_api_key().sha256)


def key_with(*tags: str) -> CredentialRecord:
    scopes = frozenset({"usage:write"})
    return CredentialRecord(kind="key", state="active", project_id=PROJECT, key_id=KEY_ID, scopes=scopes, tags=tags)


def token_of(key: CredentialRecord) -> CredentialRecord:
    return CredentialRecord(
        kind="token", state="active", project_id=PROJECT, key_id=KEY_ID, scopes=key.scopes, parent=KEY.sha256
    )


async def load(client: redis.Redis, key: CredentialRecord) -> None:
    project = ProjectRecord(state="active", requests_per_minute=None, concurrent_streams=None, monthly_audio_ms=None)
    records: dict[str, Any] = {
        schema.credential_key(KEY.sha256): key.to_hash(),
        schema.credential_key(TOKEN.sha256): token_of(key).to_hash(),
        schema.project_key(PROJECT): project.to_hash(),
    }
    for name, record in records.items():
        await client.delete(name)
        await client.hset(name, mapping=record)
    await client.set(schema.KEYS_LOADED, "1")


async def admit(admission: Admission, credential: Credential, *tags: str) -> Grant:
    return await admission.admit(
        credential, request_id=new_request_id(), service="streaming", path="/v1/listen", tags=tags
    )


async def readings(client: redis.Redis) -> list[UsageReading]:
    entries: Any = await client.xrange(schema.USAGE_STREAM)
    return [UsageReading.from_json(entry[schema.USAGE_FIELD]) for _, entry in entries]


@pytest.mark.parametrize("credential", [KEY, TOKEN], ids=["key", "token"])
async def test_a_keys_tags_are_in_every_reading_also_of_its_tokens(
    redis_url: str, redis_client: redis.Redis, credential: Credential
) -> None:
    await load(redis_client, key_with("prod", "team a"))
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        grant = await admit(admission, credential, "mine", "prod", "mine")
        await admission.finish(grant, grant.reading(Rank.FINAL, 1))
    assert grant.tags == ("prod", "team a", "mine")
    assert [one.tags for one in await readings(redis_client)] == [grant.tags, grant.tags]


async def test_a_record_of_a_release_before_tags_is_admitted(redis_url: str, redis_client: redis.Redis) -> None:
    await load(redis_client, key_with("prod"))
    await redis_client.hdel(schema.credential_key(KEY.sha256), "tags")
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        assert (await admit(admission, KEY, "mine")).tags == ("mine",)
    assert [one.tags for one in await readings(redis_client)] == [("mine",)]


@pytest.mark.parametrize("credential", [KEY, TOKEN], ids=["key", "token"])
async def test_an_admission_that_is_taken_back_says_the_same_tags(
    redis_url: str, redis_client: redis.Redis, credential: Credential
) -> None:
    await load(redis_client, key_with("prod"))
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        grant = await admit(admission, credential, "mine")
        request = Application(
            request_id=grant.request_id,
            started_ms=grant.started_ms,
            credential_sha256=credential.sha256,
            service=grant.service,
            lane=grant.lane,
            path=grant.path,
            tags=("mine",),
        )
        admission.outbox.abandon(request, status=503)
        await admission.outbox.flush()
    opening, closing = await readings(redis_client)
    assert (closing.rank, closing.tags) == (Rank.FINAL, opening.tags)
    assert opening.tags == ("prod", "mine")


# Whatever may be a tag: no control characters, no surrogates.
TAG = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)
TAGS = st.lists(TAG, max_size=MAX_TAGS, unique=True).map(tuple)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(of_key=TAGS, brought=TAGS)
async def test_redis_unites_tags_as_the_proxies_do(
    redis_url: str, redis_client: redis.Redis, of_key: tuple[str, ...], brought: tuple[str, ...]
) -> None:
    await redis_client.delete(schema.USAGE_STREAM)
    await load(redis_client, key_with(*of_key))
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        grant = await admit(admission, KEY, *brought)
    assert grant.tags == united_tags(of_key, brought)
    assert [one.tags for one in await readings(redis_client)] == [grant.tags]


async def test_the_longest_tags_fit(redis_url: str, redis_client: redis.Redis) -> None:
    longest = [f"{number:02}" + "\U0001f600" * (MAX_TEXT - 2) for number in range(2 * MAX_TAGS)]
    await load(redis_client, key_with(*longest[:MAX_TAGS]))
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        grant = await admit(admission, KEY, *longest[MAX_TAGS:])
    assert grant.tags == tuple(longest[:MAX_TAGS])
    assert [one.tags for one in await readings(redis_client)] == [grant.tags]
