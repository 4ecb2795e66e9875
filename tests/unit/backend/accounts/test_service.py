"""Signing in: the same work for everybody, and limits that lock nobody else out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backend.accounts import repository, service
from backend.accounts.errors import SignInRefused
from backend.accounts.repository import User
from backend.accounts.service import AccountService


class Nothing:
    """A database whose statements are replaced, and a throttle that lets everything through."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield None

    async def take(self, *counts: Any, turn: Any = None) -> None:
        pass


class CountingPasswords:
    def __init__(self) -> None:
        self.verified: list[str | None] = []

    async def verify(self, stored: str | None, _password: str) -> bool:
        self.verified.append(stored)
        return False


async def test_an_absent_account_and_a_wrong_password_cost_one_hash_and_get_the_same_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing: Any = Nothing()
    subject = AccountService(nothing, nothing, nothing, nothing)
    passwords: Any = CountingPasswords()
    subject._passwords = passwords
    reported = []
    for user in (None, User("u", "ann@example.com", "Ann", operator=False, password_hash="h")):

        async def by_email(_connection: Any, _email: str, found: Any = user) -> Any:
            return found

        monkeypatch.setattr(repository, "by_email", by_email)
        with pytest.raises(SignInRefused) as refused:
            await subject.sign_in(email="ann@example.com", password="x", address="192.0.2.1")
        reported.append(str(refused.value))
    assert passwords.verified == [None, "h"]
    assert reported[0] == reported[1]


def test_one_address_reaches_its_own_limit_long_before_it_slows_an_account_down() -> None:
    assert service.LOGIN_PAIR.limit * 5 <= service.LOGIN_ACCOUNT.free
    assert service.LOGIN_PAIR.limit * 5 <= service.LOGIN_ADDRESS.limit
