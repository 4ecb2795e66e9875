"""Operations on members and invites. A project always has an owner, and no member can raise their own role."""

import secrets
from datetime import datetime
from typing import Final

from aiohttp import web

from aldea import credentials
from aldea.postgres import Connection, Database
from backend.api.access import ROLE_SCOPES, Caller, KeyCaller, Role, SessionCaller
from backend.api.authentication import still_allowed
from backend.api.endpoint import Actor
from backend.changes import Changes, UnitOfWork
from backend.members import repository
from backend.members.departure import Departure, settle
from backend.members.errors import (
    AlreadyMember,
    InviteGone,
    LastOwner,
    MemberGone,
    RoleTooHigh,
    TooManyMembers,
)
from backend.members.repository import InviteRow, MemberRow, UsedInvite
from backend.projects import repository as projects
from backend.tokens import repository as tokens

# A list of members is one response; invites count because each may become one.
MAX_MEMBERS: Final = 500
INVITE_PREFIX: Final = "inv_"
INVITE_DAYS: Final = 7.0


class MemberService:
    """Members and invites of projects. Changes of one project's members happen one after the other."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    async def members(self, project_id: str) -> list[MemberRow]:
        """The project's members."""
        async with self._database.connection() as connection:
            return await repository.members(connection, project_id)

    async def get(self, project_id: str, user_id: str) -> MemberRow:
        """One member. Raises MemberGone."""
        async with self._database.connection() as connection:
            return await _existing(connection, project_id, user_id)

    async def set_role(
        self, caller: Caller, actor: Actor, project_id: str, user_id: str, role: Role, *, keep_keys: bool = False
    ) -> Departure:
        """Give a member another role; `departure` says what a lower one ends.

        `keep_keys`: keep those that would be revoked, which only an owner may. Raises MemberGone, RoleTooHigh,
        LastOwner.
        """
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            caller = await _locked(connection, caller, project_id)
            member = await _existing(connection, project_id, user_id)
            _check_roles(caller, project_id, member.role, role)
            heir = await _heir(connection, caller, project_id, user_id) if keep_keys else None
            if role != "owner":
                await _check_owner_stays(connection, project_id, member)
            await repository.set_role(connection, project_id, user_id, role)
            change.user(user_id, "member.change", project_id=project_id, role=role, before=member.role)
            done = Departure()
            if not ROLE_SCOPES[member.role] <= ROLE_SCOPES[role]:
                done = await settle(change, project_id, user_id, role=role, heir=heir)
        done.propagated = change.propagated
        return done

    async def remove(
        self, caller: Caller, actor: Actor, project_id: str, user_id: str, *, keep_keys: bool = False
    ) -> Departure:
        """Remove a member; `departure` says what ends. Raises MemberGone, RoleTooHigh, LastOwner."""
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            caller = await _locked(connection, caller, project_id)
            member = await _existing(connection, project_id, user_id)
            _check_roles(caller, project_id, member.role)
            heir = await _heir(connection, caller, project_id, user_id) if keep_keys else None
            done = await _remove(change, "member.remove", project_id, member, heir)
        done.propagated = change.propagated
        return done

    async def leave(
        self, caller: SessionCaller, actor: Actor, project_id: str, *, keep_keys: bool = False
    ) -> Departure:
        """Remove the caller from the members. Raises MemberGone, LastOwner, RoleTooHigh."""
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            await projects.lock(connection, project_id)
            member = await _existing(connection, project_id, caller.user_id)
            now = await still_allowed(connection, caller, project_id, "project:read")
            await _check_owner_stays(connection, project_id, member)
            heir = await _heir(connection, now, project_id, caller.user_id) if keep_keys else None
            done = await _remove(change, "member.leave", project_id, member, heir)
        done.propagated = change.propagated
        return done

    async def invites(self, project_id: str) -> list[InviteRow]:
        """The project's invites that can still be accepted."""
        async with self._database.connection() as connection:
            return await repository.invites(connection, project_id)

    async def invite(
        self, caller: Caller, actor: Actor, project_id: str, email: str, role: Role
    ) -> tuple[str, datetime]:
        """A token by which the person with this address becomes a member, and when it expires.

        It takes the place of an earlier invite of theirs. Raises AlreadyMember, RoleTooHigh, TooManyMembers.
        """
        text = INVITE_PREFIX + secrets.token_urlsafe(32)
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            caller = await _locked(connection, caller, project_id)
            _check_roles(caller, project_id, role)
            if await repository.is_member(connection, project_id, email):
                raise AlreadyMember("This person is a member of the project already. Change their role instead.")
            if (earlier := await repository.invite(connection, project_id, email)) is not None:
                _check_roles(caller, project_id, earlier.role)
            elif await repository.count(connection, project_id) >= MAX_MEMBERS:
                raise TooManyMembers(
                    f"The project has {MAX_MEMBERS} members and invites, as many as allowed. Remove some first."
                )
            expires = await repository.put_invite(
                connection,
                project_id,
                email=email,
                role=role,
                sha256=credentials.sha256_hex(text),
                days=INVITE_DAYS,
                invited_by=caller.user_id,
                made_by_key=caller.key_id if isinstance(caller, KeyCaller) else None,
            )
            change.unmirrored("invites", "invite.create", email, project_id=project_id, role=role)
        return text, expires

    async def withdraw(self, caller: Caller, actor: Actor, project_id: str, email: str) -> None:
        """Withdraw the invite of an address. Raises InviteGone, RoleTooHigh."""
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            caller = await _locked(connection, caller, project_id)
            if (found := await repository.invite(connection, project_id, email)) is None:
                raise InviteGone("The project has no invite for this address.")
            _check_roles(caller, project_id, found.role)
            await repository.remove_invite(connection, project_id, email)
            change.unmirrored("invites", "invite.withdraw", found.email, project_id=project_id)

    async def accept(self, caller: SessionCaller, actor: Actor, token: str) -> tuple[str, str]:
        """Make the caller a member by an invite of theirs; the project and the role.

        Raises InviteGone, AlreadyMember.
        """
        sha256 = credentials.sha256_hex(token)
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            project_id = await repository.project_of_invite(connection, sha256, caller.email)
            # The project first, then the invite: in the order in which all others lock.
            exists = project_id is not None and await projects.lock(connection, project_id)
            invite = await repository.use_invite(connection, sha256, caller.email) if exists else None
            if project_id is None or invite is None or not _may_still_invite(invite):
                raise InviteGone(
                    "No such invite for the address of this account: it was withdrawn, used, replaced, has expired, "
                    "is for another address, or from a member who may not invite any more. Ask for a new one."
                )
            role = invite.role
            if not await repository.insert(connection, project_id, caller.user_id, role):
                raise AlreadyMember("You are a member of this project already.")
            change.user(caller.user_id, "invite.accept", project_id=project_id, role=role)
            # The invite is used up, which the line of its acceptance says.
            change.exempt("invites")
        return project_id, role


async def _locked(connection: Connection, caller: Caller, project_id: str) -> Caller:
    """The caller as they are now; no other change of the project's keys and members happens beside this transaction."""
    await projects.lock(connection, project_id)
    return await still_allowed(connection, caller, project_id, "members:write")


async def _heir(connection: Connection, caller: Caller, project_id: str, user_id: str) -> str | None:
    """Who gets the keys of a member: the owner who calls; if that is the member themselves, another owner."""
    if not isinstance(caller, SessionCaller) or caller.roles.get(project_id) != "owner":
        raise RoleTooHigh("Only a signed-in owner can have the keys of a member kept. Leave keys=keep out, or ask one.")
    return (
        caller.user_id
        if caller.user_id != user_id
        else await repository.oldest_owner(connection, project_id, but=user_id)
    )


def _may_still_invite(invite: UsedInvite) -> bool:
    """Whether the maker of the invite may invite. Older invites have no recorded maker."""
    if invite.invited_by is None:
        return True
    own = ROLE_SCOPES[invite.inviters_role] if invite.inviters_role else frozenset()
    return "members:write" in own and ROLE_SCOPES[invite.role] <= own


async def _existing(connection: Connection, project_id: str, user_id: str) -> MemberRow:
    member = await repository.member(connection, project_id, user_id)
    if member is None:
        raise _gone()
    return member


async def _remove(change: UnitOfWork, action: str, project_id: str, member: MemberRow, heir: str | None) -> Departure:
    await _check_owner_stays(change.connection, project_id, member)
    user_id = member.user_id
    await repository.remove(change.connection, project_id, user_id)
    await tokens.end(change.connection, user_id, project_id=project_id)
    change.user(user_id, action, project_id=project_id, role=member.role)
    return await settle(change, project_id, user_id, role=None, heir=heir)


async def _check_owner_stays(connection: Connection, project_id: str, member: MemberRow) -> None:
    if member.role == "owner" and await repository.owners(connection, project_id) == 1:
        raise LastOwner("This is the project's last owner. Make somebody else an owner first, or delete the project.")


def _check_roles(caller: Caller, project_id: str, *roles: Role) -> None:
    own = caller.scopes_in(project_id) or frozenset()
    beyond = [role for role in roles if not ROLE_SCOPES[role] <= own]
    if beyond:
        raise RoleTooHigh(
            f"The role {beyond[0]} may do more than this credential, which can neither give nor take it. "
            "Ask somebody with a higher role."
        )


def _gone() -> MemberGone:
    return MemberGone("The project has no such member.")


MEMBERS: Final = web.AppKey("members", MemberService)
