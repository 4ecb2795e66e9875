"""Changes of one's own account that are refused; what they do is tested on a real PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from backend.accounts import own_account
from backend.accounts.errors import StillMember, WrongPassword
from backend.accounts.own_account import OwnAccount
from backend.api.endpoint import SYSTEM


class Accounts:
    async def prove(self, _caller: Any, _current: str, _event: str) -> str:
        return "hash"


class Changes:
    @asynccontextmanager
    async def transaction(self, _actor: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(connection=None)


CALLER: Any = SimpleNamespace(user_id="u")


@pytest.fixture
def account() -> OwnAccount:
    accounts, changes = Accounts(), Changes()
    found: Any = OwnAccount
    made: OwnAccount = found(accounts, changes)
    return made


def has(monkeypatch: pytest.MonkeyPatch, *, same_password: bool = True, projects: tuple[str, ...] = ()) -> None:
    async def still_has(*_: Any) -> bool:
        return same_password

    async def project_names(*_: Any) -> list[str]:
        return list(projects)

    monkeypatch.setattr(own_account, "still_has", still_has)
    monkeypatch.setattr(own_account, "project_names", project_names)


@pytest.mark.parametrize(
    ("projects", "words"),
    [
        (("Radio",), "a member of one project: “Radio”. Leave"),
        (("Radio", "Archive"), "a member of 2 projects: “Radio” and others. Leave"),
    ],
)
async def test_a_member_of_projects_has_to_leave_them_first(
    account: OwnAccount, monkeypatch: pytest.MonkeyPatch, projects: tuple[str, ...], words: str
) -> None:
    has(monkeypatch, projects=projects)
    with pytest.raises(StillMember, match=words):
        await account.delete(SYSTEM, CALLER, "right")


async def test_a_password_that_was_changed_meanwhile_changes_and_deletes_nothing(
    account: OwnAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, same_password=False)
    with pytest.raises(WrongPassword):
        await account.delete(SYSTEM, CALLER, "right")
    with pytest.raises(WrongPassword):
        await account.change(SYSTEM, CALLER, name=None, email="new@example.com", current="right")
