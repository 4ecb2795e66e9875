"""Operations on accounts and sessions, and how often each may be tried."""

import secrets
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog
from aiohttp import web

from aldea import credentials
from aldea.errors import TooManyRequests
from aldea.postgres import Connection, Database
from backend.accounts import new_devices, repository
from backend.accounts.devices import Device, issue, known
from backend.accounts.errors import (
    AccountGone,
    AddressTaken,
    ResetUnusable,
    SignInRefused,
    WeakPassword,
    WrongPassword,
)
from backend.accounts.new_devices import Client
from backend.accounts.passwords import Passwords, outdated
from backend.accounts.repository import MembershipRow, User, email_key
from backend.accounts.weak_passwords import weakness
from backend.api.access import SessionCaller
from backend.api.endpoint import SYSTEM, Actor
from backend.api.throttle import Count, Pace, Rule, Throttle, Turn
from backend.changes import Changes, UnitOfWork
from backend.credits.service import welcome
from backend.projects.service import create_project
from backend.settings import BackendSettings
from backend.tokens import repository as tokens

log = structlog.get_logger("backend.accounts")

# A person mistypes a few times. By account and address together, so that nobody can lock another out from elsewhere;
# by the address alone far higher, against one who tries many accounts.
LOGIN_PAIR: Final = Rule("login-pair", 10, 15 * 60)
LOGIN_ADDRESS: Final = Rule("login-address", 100, 15 * 60)
# Against many addresses that try one account: they are slowed down. A limit would lock its owner out.
LOGIN_ACCOUNT: Final = Pace("login-account", free=100, step=50, longest=60, seconds=3600)
# In place of all these for a device that the account's owner has signed in from: nobody else's tries count there.
LOGIN_DEVICE: Final = Rule("login-device", 20, 15 * 60)
# Nobody needs more accounts; each costs a hash and rows. An office behind one address may have many people.
SIGN_UP_ADDRESS: Final = Rule("sign-up-address", 20, 3600)
PASSWORD_ACCOUNT: Final = Rule("password-account", 10, 15 * 60)
RESET_ADDRESS: Final = Rule("reset-address", 20, 3600)

WRONG: Final = "The current password is wrong. Nothing was changed."
RESET_PREFIX: Final = "rst_"
RESET_HOURS: Final = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session that was just begun. `text` is shown once."""

    text: str
    expires: datetime
    user: User
    device: Device


class AccountService:
    """Accounts, sessions and passwords."""

    def __init__(self, database: Database, changes: Changes, throttle: Throttle, settings: BackendSettings) -> None:
        self._database = database
        self._changes = changes
        self._throttle = throttle
        self._settings = settings
        self._passwords = Passwords()

    async def sign_up(
        self,
        actor: Actor,
        *,
        email: str,
        password: str,
        name: str,
        project_name: str,
        address: str,
        agent: str = "",
        replaces: str | None = None,
    ) -> NewSession:
        """A new account with a first project, signed in; the session `replaces` ends.

        Raises WeakPassword, AddressTaken, TooManyRequests.
        """
        await self._take("sign-up refused", SIGN_UP_ADDRESS.of(address), address=address)
        refuse_weak(password, email, name, project_name)
        # Before it is known whether the address is free: both responses take as long.
        password_hash = await self._passwords.hash(password)
        async with self._changes.transaction(actor) as change:
            user_id = await repository.insert_user(
                change.connection, email=email, name=name, password_hash=password_hash
            )
            if user_id is None:
                log.info("sign-up refused", address=address, reason="the e-mail address has an account")
                raise AddressTaken(
                    "The account could not be created with these details. Check them, or sign in if you have one."
                )
            change.actor = replace(actor, kind="user", actor_id=user_id)
            change.unmirrored("accounts", "account.create", user_id)
            project_id = await create_project(change, self._settings, user_id, project_name)
            await welcome(change, project_id, self._settings.plan_credit_usd)
            await new_devices.remember(change, user_id, Client.of(agent, address))
            await _end_replaced(change, replaces)
            session = await self._begin(change, user_id)
        log.info("signed up", user_id=user_id, address=address)
        return session

    async def sign_in(
        self,
        *,
        email: str,
        password: str,
        address: str,
        agent: str = "",
        device: str | None = None,
        replaces: str | None = None,
    ) -> NewSession:
        """A new session, in place of `replaces`. Raises SignInRefused, TooManyRequests.

        `device`: a proof that the device is known. Whoever has one of this account is counted by that alone. `agent`:
        what the program calls itself; a new one, without such a proof, is an event.
        """
        account = email_key(email)
        async with self._database.connection() as connection:
            user = await repository.by_email(connection, email)
        stored = None if user is None else user.password_hash
        counted = None
        if user is not None and stored is not None and device is not None:
            counted = known(device, user.user_id, stored, time.time())
        user_id = None if user is None else user.user_id
        counts: tuple[Count, ...]
        if counted is not None:
            counts = (LOGIN_DEVICE.of(f"{account} {counted}"),)
            await self._take("sign-in refused", *counts, address=address, user_id=user_id)
        else:
            turn = LOGIN_ACCOUNT.of(account, address)
            counts = (LOGIN_PAIR.of(f"{account} {address}"), LOGIN_ADDRESS.of(address))
            await self._take("sign-in refused", *counts, turn=turn, address=address, user_id=user_id)
            counts = (*counts, turn.count)
        # An absent account takes the same work and gets the same words as a wrong password.
        fits = await self._passwords.verify(stored, password)
        if user is None or stored is None or not fits:
            reason = "no account has this e-mail address" if user is None else "wrong password"
            log.info("sign-in refused", address=address, user_id=user_id, reason=reason)
            raise _refused()
        fresh = await self._passwords.hash(password) if outdated(stored) else None
        async with self._changes.transaction(SYSTEM) as change:
            # The password may have been changed while it was verified, and all sessions ended.
            if not await still_has(change.connection, user.user_id, stored):
                log.info("sign-in refused", address=address, user_id=user_id, reason="the password was just changed")
                raise _refused()
            if fresh is not None:
                await repository.set_password(change.connection, user.user_id, fresh)
                # The same password, hashed as is done today: nothing that anybody decided.
                change.exempt("users")
            noticed = counted is None and await new_devices.notice(change, user.user_id, Client.of(agent, address))
            await _end_replaced(change, replaces)
            session = await self._begin(change, user.user_id)
        log.info("signed in", user_id=user_id, address=address, known_device=counted is not None, noticed=noticed)
        await self._throttle.give_back(*counts)
        return session

    async def sign_out(self, caller: SessionCaller) -> None:
        """End the caller's session and the tokens that it granted."""
        async with self._changes.transaction(SYSTEM) as change:
            await _end_session(change, caller.sha256)
        log.info("signed out", user_id=caller.user_id)

    async def me(self, user_id: str) -> tuple[User, list[MembershipRow]]:
        """A user and their projects with roles."""
        async with self._database.connection() as connection:
            return await repository.by_id(connection, user_id), await repository.memberships(connection, user_id)

    async def change_password(self, actor: Actor, caller: SessionCaller, current: str, new: str) -> Device:
        """Change the caller's password and end their other sessions; a new proof for their device.

        Raises WeakPassword, WrongPassword, TooManyRequests.
        """
        stored = await self.prove(caller, current, "password change refused")
        async with self._database.connection() as connection:
            names = await project_names(connection, caller.user_id)
        refuse_weak(new, caller.email, caller.name, *names)
        password_hash = await self._passwords.hash(new)
        async with self._changes.transaction(actor) as change:
            # Another change may have come first, and ended this session.
            if not await still_has(change.connection, caller.user_id, stored):
                raise WrongPassword(WRONG)
            await _set_password(change, caller.user_id, password_hash, keep=caller.sha256)
        log.info("password changed", user_id=caller.user_id)
        return issue(caller.user_id, password_hash, time.time())

    async def prove(self, caller: SessionCaller, current: str, event: str) -> str:
        """The hash of the caller's password, once they gave it; `event` is logged if they did not.

        Raises WrongPassword, TooManyRequests.
        """
        count = PASSWORD_ACCOUNT.of(caller.user_id)
        await self._take(event, count, user_id=caller.user_id)
        async with self._database.connection() as connection:
            stored = (await repository.by_id(connection, caller.user_id)).password_hash
        if not await self._passwords.verify(stored, current):
            log.info(event, user_id=caller.user_id, reason="wrong password")
            raise WrongPassword(WRONG)
        await self._throttle.give_back(count)
        return stored

    async def issue_reset(self, actor: Actor, operator: SessionCaller, email: str) -> tuple[str, datetime]:
        """A token with which the user of an address sets a new password, once; when it expires. Raises AccountGone."""
        text = RESET_PREFIX + secrets.token_urlsafe(32)
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            user = await repository.by_email(connection, email)
            if user is None:
                raise AccountGone("No account has this address. Check its spelling.")
            await repository.lock(connection, user.user_id)
            expires = await repository.insert_reset(
                connection, credentials.sha256_hex(text), user.user_id, operator.user_id, RESET_HOURS
            )
            change.unmirrored("password_resets", "password_reset.issue", user.user_id)
        log.info("password reset issued", user_id=user.user_id, operator_id=operator.user_id)
        return text, expires

    async def use_reset(self, actor: Actor, *, token: str, new: str, address: str) -> None:
        """Set a password by a reset token and end all sessions of its user.

        Raises ResetUnusable, WeakPassword (the token stays good), TooManyRequests.
        """
        await self._take("password reset refused", RESET_ADDRESS.of(address), address=address)
        sha256 = credentials.sha256_hex(token)
        async with self._database.connection() as connection:
            user = await repository.reset_user(connection, sha256)
            names = [] if user is None else await project_names(connection, user.user_id)
        if user is None:
            log.info("password reset refused", address=address, user_id=None, reason="the code is not good")
            raise _unusable()
        refuse_weak(new, user.email, user.name, *names)
        password_hash = await self._passwords.hash(new)
        async with self._changes.transaction(actor) as change:
            await repository.lock(change.connection, user.user_id)
            # Meanwhile somebody else may have used it, or the password was changed.
            user_id = await repository.use_reset(change.connection, sha256)
            if user_id is None:
                log.info(
                    "password reset refused", address=address, user_id=user.user_id, reason="the code was just used"
                )
                raise _unusable()
            change.actor = replace(actor, kind="user", actor_id=user_id)
            await _set_password(change, user_id, password_hash, keep=None)
        log.info("password reset used", user_id=user_id, address=address)

    async def _take(self, event: str, *counts: Count, turn: Turn | None = None, **who: str | None) -> None:
        """Count one try of `who`; log `event` if that is one too many. Raises TooManyRequests."""
        try:
            await self._throttle.take(*counts, turn=turn)
        except TooManyRequests as error:
            log.info(event, **who, reason="too many tries", retry_after=error.retry_after)
            raise

    async def _begin(self, change: UnitOfWork, user_id: str) -> NewSession:
        minted = credentials.mint_session()
        expires = await repository.insert_session(
            change.connection, minted.sha256, user_id, self._settings.session_days
        )
        # A new session is nobody's memory yet, and the service's log has it.
        change.exempt("sessions")
        user = await repository.by_id(change.connection, user_id)
        device = issue(user_id, user.password_hash, time.time())
        return NewSession(text=minted.text, expires=expires, user=user, device=device)


async def _end_replaced(change: UnitOfWork, text: str | None) -> None:
    """End the session with this text, if there is one. Having the text is enough to end it."""
    if text is not None:
        await _end_session(change, credentials.sha256_hex(text))


async def _end_session(change: UnitOfWork, sha256: str) -> None:
    """End a session that has not ended yet, and the tokens that it granted."""
    user_id = await repository.end_session(change.connection, sha256)
    if user_id is not None:
        await tokens.end(change.connection, user_id, session=sha256)
        change.session_ended(user_id)


async def _set_password(change: UnitOfWork, user_id: str, password_hash: str, *, keep: str | None) -> None:
    await repository.set_password(change.connection, user_id, password_hash)
    await end_access(change, user_id, keep=keep)
    change.user(user_id, "password.change")


async def end_access(change: UnitOfWork, user_id: str, *, keep: str | None) -> None:
    """End whatever lets somebody in as this user, but for the session `keep` and its tokens."""
    await repository.void_resets(change.connection, user_id)
    await repository.end_sessions(change.connection, user_id, but=keep)
    await tokens.end(change.connection, user_id, but=keep)
    await new_devices.forget(change, user_id)


def refuse_weak(password: str, *known: str) -> None:
    """Raise WeakPassword for a password that is guessed first. `known`: what belongs to the account."""
    found = weakness(password, known)
    if found is not None:
        raise WeakPassword(found)


async def project_names(connection: Connection, user_id: str) -> list[str]:
    """The names of a user's projects, oldest first."""
    return [row.name for row in await repository.memberships(connection, user_id)]


async def still_has(connection: Connection, user_id: str, password_hash: str) -> bool:
    """Whether this is still the user's hash, locked until the transaction ends."""
    user = await repository.lock(connection, user_id)
    return user is not None and user.password_hash == password_hash


def _unusable() -> ResetUnusable:
    return ResetUnusable("This token resets no password: it was used, replaced or has expired. Request a new one.")


def _refused() -> SignInRefused:
    return SignInRefused("The e-mail address or the password is wrong.")


ACCOUNTS: Final = web.AppKey("accounts", AccountService)
