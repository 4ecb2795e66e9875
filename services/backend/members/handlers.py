"""The endpoints of members and invites, in the public management API's shapes."""

from typing import Final, get_args

from aldea.turns import in_turns
from backend.api.access import ROLE_SCOPES, SCOPES, InProject, Role, SignedIn
from backend.api.endpoint import Call, Endpoint, Message, propagation
from backend.members import models
from backend.members.departure import Departure
from backend.members.errors import (
    ERRORS,
    AlreadyMember,
    InviteGone,
    LastOwner,
    MemberGone,
    RoleTooHigh,
    TooManyMembers,
)
from backend.members.repository import MemberRow
from backend.members.service import MEMBERS


async def list_members(call: Call) -> models.MemberList:
    """The members of a project with their roles."""
    rows = await call.app[MEMBERS].members(call.project_id)
    return models.MemberList(members=[_member(row) async for row in in_turns(rows)])


async def get_member_scopes(call: Call) -> models.MemberScopes:
    """What a member may do."""
    row = await call.app[MEMBERS].get(call.project_id, call.parameters["member_id"])
    return models.MemberScopes(scopes=_scopes(row.role), role=row.role)


async def update_member_scopes(call: Call) -> models.MemberChange:
    """Give a member another role. It counts from their next request on.

    A lower role withdraws their open invites and revokes those of their API keys that may do more than the role may.
    """
    body: models.ChangeScope = call.body
    member_id = call.parameters["member_id"]
    done = await call.app[MEMBERS].set_role(
        call.caller, call.actor, call.project_id, member_id, body.scope, keep_keys=_keep_keys(call)
    )
    return _changed(f"The member's role is {body.scope} now.", done)


async def delete_member(call: Call) -> models.MemberChange:
    """Remove a member. Their open invites are withdrawn and their API keys revoked."""
    member_id = call.parameters["member_id"]
    done = await call.app[MEMBERS].remove(
        call.caller, call.actor, call.project_id, member_id, keep_keys=_keep_keys(call)
    )
    return _changed("Member removed.", done)


async def leave_project(call: Call) -> models.MemberChange:
    """Leave a project. Its last owner cannot. Your open invites are withdrawn and your API keys revoked."""
    done = await call.app[MEMBERS].leave(call.session, call.actor, call.project_id, keep_keys=_keep_keys(call))
    return _changed("You left the project.", done)


async def list_invites(call: Call) -> models.InviteList:
    """The invites of a project that can still be accepted."""
    rows = await call.app[MEMBERS].invites(call.project_id)
    return models.InviteList(
        invites=[
            models.Invite(email=row.email, scope=row.role, created=row.created, expires=row.expires)
            async for row in in_turns(rows)
        ]
    )


async def create_invite(call: Call) -> models.CreatedInvite:
    """Invite a person by their address, in place of an earlier invite of theirs. Hand them the token yourself."""
    body: models.CreateInvite = call.body
    token, expires = await call.app[MEMBERS].invite(call.caller, call.actor, call.project_id, body.email, body.scope)
    return models.CreatedInvite(message="Invite created.", token=token, expires=expires)


async def delete_invite(call: Call) -> Message:
    """Withdraw the invite of an address."""
    await call.app[MEMBERS].withdraw(call.caller, call.actor, call.project_id, call.parameters["email"])
    return Message(message="Invite withdrawn.")


async def accept_invite(call: Call) -> models.Joined:
    """Become a member by an invite. It must be for the address of the signed-in account."""
    body: models.AcceptInvite = call.body
    project_id, role = await call.app[MEMBERS].accept(call.session, call.actor, body.token)
    return models.Joined.model_validate({"project_id": project_id, "role": role})


def _keep_keys(call: Call) -> bool:
    query: models.KeysQuery = call.query
    return query.keys == "keep"


def _changed(message: str, done: Departure) -> models.MemberChange:
    revoked, kept = (
        [models.MembersKey(api_key_id=key.key_id, comment=key.comment) for key in found]
        for found in (done.revoked, done.kept)
    )
    return models.MemberChange(
        message=message,
        propagation=propagation(done.propagated),
        keys_revoked=revoked,
        keys_kept=kept,
        invites_withdrawn=done.invites,
    )


def _member(row: MemberRow) -> models.Member:
    first, _, last = row.name.partition(" ")
    return models.Member(
        member_id=row.user_id,
        email=row.email,
        first_name=first,
        last_name=last,
        scopes=_scopes(row.role),
        role=row.role,
    )


def _scopes(role: str) -> list[str]:
    """The contract's scopes of a role; what owners may beyond those is no scope that a key can have."""
    found: Role = next(known for known in get_args(Role) if known == role)
    return sorted(ROLE_SCOPES[found] & SCOPES)


_TAG: Final = "Members"
_PROJECT: Final = "/v1/projects/{project_id}"
_READ: Final = InProject("members:read")
_WRITE: Final = InProject("members:write")
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PROJECT + "/members", handler=list_members, access=_READ, tag=_TAG, errors=ERRORS,
        summary="List members", response=models.MemberList,
    ),
    Endpoint(
        method="GET", path=_PROJECT + "/members/{member_id}/scopes", handler=get_member_scopes, access=_READ,
        tag=_TAG, errors=ERRORS, summary="Get a member's scopes", response=models.MemberScopes, raises=(MemberGone,),
    ),
    Endpoint(
        method="PUT", path=_PROJECT + "/members/{member_id}/scopes", handler=update_member_scopes, access=_WRITE,
        tag=_TAG, errors=ERRORS, summary="Change a member's role", body=models.ChangeScope, query=models.KeysQuery,
        response=models.MemberChange,
        raises=(MemberGone, RoleTooHigh, LastOwner),
    ),
    Endpoint(
        method="DELETE", path=_PROJECT + "/members/{member_id}", handler=delete_member, access=_WRITE, tag=_TAG,
        errors=ERRORS, summary="Remove a member", query=models.KeysQuery, response=models.MemberChange,
        raises=(MemberGone, RoleTooHigh, LastOwner),
    ),
    Endpoint(
        method="DELETE", path=_PROJECT + "/leave", handler=leave_project,
        access=InProject("project:read", signed_in=True), tag=_TAG, errors=ERRORS, summary="Leave a project",
        query=models.KeysQuery, response=models.MemberChange, raises=(MemberGone, LastOwner, RoleTooHigh),
    ),
    Endpoint(
        method="GET", path=_PROJECT + "/invites", handler=list_invites, access=_READ, tag=_TAG, errors=ERRORS,
        summary="List invites", response=models.InviteList,
    ),
    Endpoint(
        method="POST", path=_PROJECT + "/invites", handler=create_invite, access=_WRITE, tag=_TAG, errors=ERRORS,
        summary="Invite a person", body=models.CreateInvite, response=models.CreatedInvite,
        raises=(MemberGone, AlreadyMember, RoleTooHigh, TooManyMembers),
    ),
    Endpoint(
        method="DELETE", path=_PROJECT + "/invites/{email}", handler=delete_invite, access=_WRITE, tag=_TAG,
        errors=ERRORS, summary="Withdraw an invite", response=Message, raises=(InviteGone, RoleTooHigh),
    ),
    Endpoint(
        method="POST", path="/v1/invites/accept", handler=accept_invite, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Accept an invite", body=models.AcceptInvite, response=models.Joined,
        raises=(InviteGone, AlreadyMember),
    ),
)  # fmt: skip
