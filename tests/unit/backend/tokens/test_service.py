"""Granting by a key: what the token's record says, and what is refused."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aldea.credentials import sha256_hex
from aldea.errors import ServiceUnavailable
from aldea.redis.errors import RedisUnavailable
from aldea.redis.schema import CredentialRecord
from backend.api.access import KeyCaller, SessionCaller
from backend.replication.mirror import Token
from backend.tokens.errors import ForeignProject, MayNotTranscribe, ProjectNeeded
from backend.tokens.service import TokenService


class Recorder:
    """A database, a mirror and a throttle."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.put: list[Token] = []
        self.redis_unavailable = False

    async def take(self, *_counts: Any) -> None:
        pass

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Recorder"]:
        yield self

    async def execute(self, _statement: str, sha256: str, *_values: Any) -> None:
        self.kept.append(sha256)

    async def put_tokens(self, tokens: list[Token]) -> None:
        if self.redis_unavailable:
            raise RedisUnavailable("unavailable")
        self.put += tokens


@pytest.fixture
def recorder() -> Any:
    return Recorder()


@pytest.fixture
def subject(recorder: Any) -> TokenService:
    return TokenService(recorder, recorder, recorder, recorder)


def key(*scopes: str, expires: float | None = None) -> KeyCaller:
    return KeyCaller(sha256="aa", key_id="k", project_id="p", scopes=frozenset(scopes), user_id=None, expires=expires)


async def test_a_token_is_booked_on_its_key_ends_with_it_and_may_transcribe_only(
    subject: TokenService, recorder: Any
) -> None:
    text, seconds = await subject.grant(key("usage:write", "keys:write"), None, 60)
    assert text.startswith("ats_")
    assert seconds == 60
    record = CredentialRecord(
        kind="token", state="active", project_id="p", key_id="k", scopes=frozenset({"usage:write"}), parent="aa"
    )
    assert recorder.put == [Token.of(sha256_hex(text), record, 60_000)]
    assert recorder.kept == [sha256_hex(text)]


async def test_a_token_is_not_promised_for_longer_than_its_key(subject: TokenService) -> None:
    _, seconds = await subject.grant(key("usage:write", expires=time.time() + 10), "p", 60)
    assert 0 < seconds <= 10


async def test_what_a_key_may_not_it_does_not_hand_on(subject: TokenService, recorder: Any) -> None:
    with pytest.raises(MayNotTranscribe):
        await subject.grant(key("keys:write"), None, 60)
    with pytest.raises(ForeignProject):
        await subject.grant(key("usage:write"), "other", 60)
    assert recorder.put == recorder.kept == []


async def test_a_session_must_name_a_project_of_its_own(subject: TokenService) -> None:
    session = SessionCaller(sha256="0", user_id="u", email="e", name="n", operator=True, roles={"p": "owner"})
    with pytest.raises(ProjectNeeded):
        await subject.grant(session, None, 60)
    with pytest.raises(ForeignProject):
        await subject.grant(session, "other", 60)


async def test_without_redis_no_token_is_granted(subject: TokenService, recorder: Any) -> None:
    recorder.redis_unavailable = True
    with pytest.raises(ServiceUnavailable):
        await subject.grant(key("usage:write"), None, 60)
