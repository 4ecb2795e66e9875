"""What somebody changes of their own account: its name, its address, its end."""

from typing import Final

import structlog
from aiohttp import web

from backend.accounts import repository
from backend.accounts.errors import AddressTaken, StillMember, WrongPassword
from backend.accounts.repository import User
from backend.accounts.service import WRONG, AccountService, end_access, project_names, still_has
from backend.api.access import SessionCaller
from backend.api.endpoint import Actor
from backend.changes import Changes

log = structlog.get_logger("backend.accounts")


class OwnAccount:
    """Changes of the caller's own account. `accounts`: knows whose password is right."""

    def __init__(self, accounts: AccountService, changes: Changes) -> None:
        self._accounts = accounts
        self._changes = changes

    async def change(
        self, actor: Actor, caller: SessionCaller, *, name: str | None, email: str | None, current: str | None
    ) -> User:
        """Change the caller's name, their address, or both; an address needs their current password.

        Raises WrongPassword, AddressTaken, TooManyRequests.
        """
        stored = None
        if email is not None:
            stored = await self._accounts.prove(caller, current or "", "address change refused")
        changed = [field for field, value in (("name", name), ("email", email)) if value is not None]
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            # Another change may have come first, and ended this session.
            if stored is not None and not await still_has(connection, caller.user_id, stored):
                raise WrongPassword(WRONG)
            if not await repository.rename(connection, caller.user_id, name=name, email=email):
                raise AddressTaken("The address was not changed to this one. Check its spelling, or use another one.")
            change.user(caller.user_id, "account.change", changed=changed)
            user = await repository.by_id(connection, caller.user_id)
        log.info("account changed", user_id=caller.user_id, changed=changed)
        return user

    async def delete(self, actor: Actor, caller: SessionCaller, current: str) -> None:
        """Delete the caller's account: who they were is removed, what they did and owe is not.

        Raises WrongPassword, StillMember, TooManyRequests.
        """
        stored = await self._accounts.prove(caller, current, "account deletion refused")
        async with self._changes.transaction(actor) as change:
            if not await still_has(change.connection, caller.user_id, stored):
                raise WrongPassword(WRONG)
            if names := await project_names(change.connection, caller.user_id):
                projects = "one project" if len(names) == 1 else f"{len(names)} projects"
                raise StillMember(
                    f"You are still a member of {projects}: “{names[0]}”{' and others' if len(names) > 1 else ''}. "
                    "Leave or delete each of them first, then delete the account."
                )
            await end_access(change, caller.user_id, keep=None)
            await repository.forget(change.connection, caller.user_id)
            change.user(caller.user_id, "account.delete")
        log.info("account deleted", user_id=caller.user_id)


OWN_ACCOUNT: Final = web.AppKey("own-account", OwnAccount)
