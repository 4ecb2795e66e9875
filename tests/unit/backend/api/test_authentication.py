"""Remembering callers: for how long, and what makes them forgotten."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from aldea.credentials import mint_api_key, sha256_hex
from aldea.errors import InvalidAuth
from backend.api import authentication
from backend.api.authentication import Authenticator, KeyRow


class FakeDatabase:
    """Knows one key, unless it is deleted; counts its queries."""

    def __init__(self, key: str) -> None:
        self.key = sha256_hex(key)
        self.queries = 0
        self.during: Any = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["FakeDatabase"]:
        yield self

    async def fetchrow(self, statement: str, sha256: str) -> dict[str, Any] | None:
        self.queries += 1
        if self.during is not None:
            self.during()
        if "from api_keys" not in statement or sha256 != self.key:
            return None
        return asdict(KeyRow("k", "p", ["usage:read"], None, None, None))


@pytest.fixture
def key() -> str:
    return mint_api_key().text


@pytest.fixture
def database(key: str) -> Any:
    return FakeDatabase(key)


def request(key: str) -> Any:
    return make_mocked_request("GET", "/", headers={"Authorization": f"Token {key}"})


async def test_a_caller_is_looked_up_once_and_then_remembered(database: Any, key: str) -> None:
    subject = Authenticator(database)
    assert (await subject.authenticate(request(key)))[1] is False
    caller, remembered = await subject.authenticate(request(key))
    assert remembered
    assert caller.scopes_in("p") == frozenset({"usage:read"})
    assert database.queries == 1
    assert (await subject.authenticate(request(key), afresh=True))[1] is False


async def test_a_change_makes_them_forgotten(database: Any, key: str) -> None:
    subject = Authenticator(database)
    await subject.authenticate(request(key))
    subject.forget_all()
    database.key = "deleted"
    with pytest.raises(InvalidAuth):
        await subject.authenticate(request(key))


async def test_what_was_read_before_a_change_is_not_remembered_after_it(database: Any, key: str) -> None:
    subject = Authenticator(database)
    database.during = subject.forget_all
    await subject.authenticate(request(key))
    assert (await subject.authenticate(request(key)))[1] is False


async def test_an_unknown_credential_is_not_remembered(database: Any, key: str) -> None:
    subject = Authenticator(database)
    right, database.key = database.key, "not yet"
    with pytest.raises(InvalidAuth):
        await subject.authenticate(request(key))
    database.key = right
    await subject.authenticate(request(key))


async def test_the_memory_is_bounded(database: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MAX_REMEMBERED", 0)
    subject = Authenticator(database)
    await subject.authenticate(request(key))
    await subject.authenticate(request(key), afresh=True)
    assert len(subject._remembered) == 1
