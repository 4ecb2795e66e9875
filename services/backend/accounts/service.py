"""What can be done with accounts and sessions, and how often it may be tried."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import asyncpg
import structlog
from aiohttp import web

from aldea import credentials
from aldea.postgres import Connection, Database
from backend.accounts import repository
from backend.accounts.errors import AccountGone, AddressTaken, ResetUnusable, SignInRefused, WrongPassword
from backend.accounts.passwords import Passwords, outdated
from backend.accounts.repository import email_key
from backend.api.access import SessionCaller
from backend.api.endpoint import Actor
from backend.audit import repository as audit
from backend.changes import announce
from backend.mirror import Entry
from backend.projects import repository as projects
from backend.projects.service import create_project
from backend.propagation import Propagation
from backend.settings import BackendSettings
from backend.throttle import Rule, Throttle
from backend.tokens import repository as tokens

log = structlog.get_logger("backend.accounts")

# A person mistypes a few times. By account and address together, so that nobody can lock another out from elsewhere;
# by each alone far higher, against one who tries many accounts and many who try one.
LOGIN_PAIR: Final = Rule("login-pair", 10, 15 * 60)
LOGIN_ACCOUNT: Final = Rule("login-account", 100, 15 * 60)
LOGIN_ADDRESS: Final = Rule("login-address", 100, 15 * 60)
# Nobody needs more accounts; each costs a hash and rows. An office behind one address may have many people.
SIGN_UP_ADDRESS: Final = Rule("sign-up-address", 20, 3600)
PASSWORD_ACCOUNT: Final = Rule("password-account", 10, 15 * 60)
RESET_ADDRESS: Final = Rule("reset-address", 20, 3600)

RESET_PREFIX: Final = "rst_"
RESET_HOURS: Final = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session that was just begun. `text` is shown once."""

    text: str
    expires: datetime
    user: asyncpg.Record


class AccountService:
    """Accounts, sessions and passwords."""

    def __init__(
        self, database: Database, propagation: Propagation, throttle: Throttle, settings: BackendSettings
    ) -> None:
        self._database = database
        self._propagation = propagation
        self._throttle = throttle
        self._settings = settings
        self._passwords = Passwords()

    async def sign_up(
        self, actor: Actor, *, email: str, password: str, name: str, project_name: str, address: str
    ) -> NewSession:
        """A new account with a first project, signed in. Raises AddressTaken, TooManyRequests."""
        await self._throttle.take(SIGN_UP_ADDRESS.of(address))
        # Before it is known whether the address is free: both answers take as long.
        password_hash = await self._passwords.hash(password)
        async with self._database.transaction() as connection:
            user_id = await repository.insert_user(connection, email=email, name=name, password_hash=password_hash)
            if user_id is None:
                raise AddressTaken(
                    "The account could not be created with these details. Check them, or sign in if you have one."
                )
            actor = replace(actor, kind="user", actor_id=user_id)
            await audit.record(connection, actor, "account.create", user_id)
            credit = self._settings.plan_credit_usd
            project_id = await create_project(
                connection, self._settings, actor, user_id, project_name, credit_usd=credit
            )
            entries = await projects.entries_of(connection, project_id)
            session = await self._begin(connection, user_id)
        await self._propagation.committed(*entries)
        return session

    async def sign_in(self, *, email: str, password: str, address: str) -> NewSession:
        """A new session. Raises SignInRefused, TooManyRequests."""
        account = email_key(email)
        counts = (LOGIN_PAIR.of(f"{account} {address}"), LOGIN_ACCOUNT.of(account), LOGIN_ADDRESS.of(address))
        await self._throttle.take(*counts)
        async with self._database.connection() as connection:
            user = await repository.by_email(connection, email)
        stored = None if user is None else str(user["password_hash"])
        # An absent account takes the same work and gets the same words as a wrong password.
        fits = await self._passwords.verify(stored, password)
        if user is None or stored is None or not fits:
            log.info("sign-in refused", address=address)
            raise _refused()
        fresh = await self._passwords.hash(password) if outdated(stored) else None
        async with self._database.transaction() as connection:
            # The password may have been changed while it was verified, and all sessions ended.
            if not await repository.has_password(connection, user["user_id"], stored):
                raise _refused()
            if fresh is not None:
                await repository.set_password(connection, user["user_id"], fresh)
            session = await self._begin(connection, user["user_id"])
        await self._throttle.give_back(*counts)
        return session

    async def sign_out(self, caller: SessionCaller) -> None:
        """End the caller's session and the tokens that it granted."""
        async with self._database.transaction() as connection:
            await repository.end_session(connection, caller.sha256)
            entries = await tokens.end(connection, caller.user_id, session=caller.sha256)
            await announce(connection, "user", caller.user_id)
        await self._propagation.committed(*entries)

    async def me(self, user_id: str) -> tuple[asyncpg.Record, list[asyncpg.Record]]:
        """A user and their projects with roles."""
        async with self._database.connection() as connection:
            return await repository.by_id(connection, user_id), await repository.memberships(connection, user_id)

    async def change_password(self, actor: Actor, caller: SessionCaller, current: str, new: str) -> None:
        """Change the caller's password and end their other sessions. Raises WrongPassword, TooManyRequests."""
        count = PASSWORD_ACCOUNT.of(caller.user_id)
        await self._throttle.take(count)
        async with self._database.connection() as connection:
            stored = str((await repository.by_id(connection, caller.user_id))["password_hash"])
        if not await self._passwords.verify(stored, current):
            raise WrongPassword("The current password is wrong. Nothing was changed.")
        password_hash = await self._passwords.hash(new)
        async with self._database.transaction() as connection:
            entries = await self._set_password(connection, actor, caller.user_id, password_hash, keep=caller.sha256)
        await self._propagation.committed(*entries)
        await self._throttle.give_back(count)

    async def issue_reset(self, actor: Actor, operator: SessionCaller, email: str) -> tuple[str, datetime]:
        """A token with which the user of an address sets a new password, once; when it expires. Raises AccountGone."""
        text = RESET_PREFIX + secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            user = await repository.by_email(connection, email)
            if user is None:
                raise AccountGone("No account has this address. Check its spelling.")
            expires = await repository.insert_reset(
                connection, credentials.sha256_hex(text), user["user_id"], operator.user_id, RESET_HOURS
            )
            await audit.record(connection, actor, "password_reset.issue", user["user_id"])
        return text, expires

    async def use_reset(self, actor: Actor, *, token: str, new: str, address: str) -> None:
        """Set a password by a reset token and end all sessions of its user. Raises ResetUnusable, TooManyRequests."""
        await self._throttle.take(RESET_ADDRESS.of(address))
        password_hash = await self._passwords.hash(new)
        async with self._database.transaction() as connection:
            user_id = await repository.use_reset(connection, credentials.sha256_hex(token))
            if user_id is None:
                raise ResetUnusable("This token resets no password: it was used, replaced or has expired. Ask anew.")
            actor = replace(actor, kind="user", actor_id=user_id)
            entries = await self._set_password(connection, actor, user_id, password_hash, keep=None)
        await self._propagation.committed(*entries)

    async def _begin(self, connection: Connection, user_id: str) -> NewSession:
        minted = credentials.mint_session()
        expires = await repository.insert_session(connection, minted.sha256, user_id, self._settings.session_days)
        return NewSession(text=minted.text, expires=expires, user=await repository.by_id(connection, user_id))

    async def _set_password(
        self, connection: Connection, actor: Actor, user_id: str, password_hash: str, *, keep: str | None
    ) -> list[Entry]:
        await repository.set_password(connection, user_id, password_hash)
        await repository.end_sessions(connection, user_id, but=keep)
        entries = await tokens.end(connection, user_id, but=keep)
        await audit.record(connection, actor, "password.change", user_id)
        await announce(connection, "user", user_id)
        return entries


def _refused() -> SignInRefused:
    return SignInRefused("The e-mail address or the password is wrong.")


ACCOUNTS: Final = web.AppKey("accounts", AccountService)
