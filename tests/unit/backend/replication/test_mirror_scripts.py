"""The scripts that write records, in a real Redis: what overwrites what, and what is left as it is."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis

from aldea.redis.link import RedisLink
from backend.replication.mirror import Entry, Token
from backend.replication.mirror_scripts import PUT, PUT_TOKENS, REMOVE, STALE


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    async with RedisLink(redis_url, command_seconds=5) as found:
        yield found


def entry(revision: int, **fields: str) -> Entry:
    return Entry("cred:00", revision, fields)


async def put(link: RedisLink, one: Entry, instead: str | None = None) -> list[Any]:
    response: list[Any] = await link.call(PUT, [one.name], [one.to_json(instead)])
    return response


async def test_a_later_revision_is_written_over_an_earlier_one_and_nothing_of_that_shows_through(
    link: RedisLink, redis_client: redis.Redis
) -> None:
    assert await put(link, entry(1, a="1", b="1")) == [1, []]
    assert await put(link, entry(2, a="2")) == [1, []]
    found: Any = await redis_client.hgetall("cred:00")
    assert found == {"revision": "2", "digest": entry(2, a="2").digest, "a": "2"}


async def test_what_is_stored_already_is_not_written_again_and_is_no_conflict(link: RedisLink) -> None:
    await put(link, entry(2, a="1"))
    assert await put(link, entry(2, a="1")) == [0, []]
    assert await put(link, entry(2, a="1"), instead=f"2 {entry(2, a='1').digest}") == [0, []]


@pytest.mark.parametrize("stored", [entry(3, a="1"), entry(2, a="other")])
async def test_a_conflicting_record_is_named_and_overwritten_only_by_a_writer_that_has_seen_it(
    link: RedisLink, stored: Entry
) -> None:
    await put(link, stored)
    seen = f"{stored.revision} {stored.digest}"
    assert await put(link, entry(2, a="1")) == [0, [[1, seen]]]
    assert await put(link, entry(2, a="1"), instead="3 0000") == [0, [[1, seen]]]
    assert await put(link, entry(2, a="1"), instead=seen) == [1, []]


async def test_of_one_revision_the_record_of_the_later_release_stays(
    link: RedisLink, redis_client: redis.Redis
) -> None:
    await put(link, entry(2, a="1"))
    await redis_client.hdel("cred:00", "digest")  # the release before digests
    assert await put(link, entry(2, a="1")) == [1, []]
    assert await put(link, entry(2, a="1", b="new")) == [1, []]
    assert await put(link, entry(2, a="1")) == [0, []]


async def stale(link: RedisLink, one: Entry) -> bool:
    figures = [str(one.revision), one.digest, str(len(one.fields) + 2)]
    return bool(await link.call(STALE, [one.name], figures))


async def test_whatever_differs_is_stale(link: RedisLink) -> None:
    assert await stale(link, entry(2, a="1"))
    await put(link, entry(2, a="1", b="1"))
    assert not await stale(link, entry(2, a="1", b="1"))
    assert await stale(link, entry(1, a="1", b="1"))
    assert await stale(link, entry(3, a="1", b="1"))
    assert await stale(link, entry(2, a="2", b="1"))
    assert not await stale(link, entry(2, a="1")), "a later release wrote it"


async def test_tokens_are_written_where_there_is_none_and_expire(link: RedisLink, redis_client: redis.Redis) -> None:
    tokens = [Token("00", {"kind": "token", "tags": json.dumps(["é"])}, 60_000), Token("01", {"kind": "token"}, -5)]
    names = [f"cred:{token.sha256}" for token in tokens]
    records = [token.to_json() for token in tokens]
    assert await link.call(PUT_TOKENS, names, records) == 1
    assert await link.call(PUT_TOKENS, names, records) == 0
    assert 0 < await redis_client.pttl("cred:00") <= 60_000
    found: Any = await redis_client.hgetall("cred:00")
    assert json.loads(found["tags"]) == ["é"]
    assert int(found["expires_ms"]) > 1_700_000_000_000
    assert not await redis_client.exists("cred:01")


async def test_everything_but_tokens_is_removed(link: RedisLink, redis_client: redis.Redis) -> None:
    for name, kind in (("cred:k", "key"), ("cred:s", "session"), ("cred:t", "token")):
        await redis_client.hset(name, "kind", kind)
    await redis_client.hset("project:p", "state", "active")
    assert await link.call(REMOVE, ["cred:k", "cred:s", "cred:t", "project:p", "project:unknown"], []) == 3
    assert await redis_client.exists("cred:t")
