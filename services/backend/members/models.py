"""Requests and responses of the endpoints of members and invites: the public management API's shapes, and roles."""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from backend.accounts.models import NewEmail, SecretText
from backend.api.access import Role
from backend.api.endpoint import Body, Change, Query, ResponseModel


class Member(ResponseModel):
    """A member of a project. `scopes`: what their role lets them do."""

    member_id: str
    email: str
    first_name: str
    last_name: str
    scopes: list[str]
    role: Role


class MemberList(ResponseModel):
    """The members of a project, in the order in which they joined."""

    members: list[Member]


class MemberScopes(ResponseModel):
    """What a member may do."""

    scopes: list[str]
    role: Role


class KeysQuery(Query):
    """What to do with the API keys of a member who may not have them any more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: Literal["revoke", "keep"] = Field(
        "revoke",
        description="keep: those that would be revoked count as an owner's, and may only do what a member may. "
        "For signed-in owners",
    )


class MembersKey(ResponseModel):
    """An API key that counted as the member's."""

    api_key_id: str
    comment: str


class MemberChange(Change):
    """What a change of a member did to what they had made.

    `invites_withdrawn`: the addresses that they had invited and who had not joined yet.
    """

    keys_revoked: list[MembersKey]
    keys_kept: list[MembersKey]
    invites_withdrawn: list[str]


class ChangeScope(Body):
    """Another role for a member; the public API calls it a scope."""

    scope: Role = Field(description="The role: member, admin or owner")


class Invite(ResponseModel):
    """An invite that waits to be accepted. `scope`: the role that it gives."""

    email: str
    scope: Role
    created: datetime
    expires: datetime


class InviteList(ResponseModel):
    """The invites of a project that can still be accepted, oldest first."""

    invites: list[Invite]


class CreateInvite(Body):
    """Whom to invite, and as what."""

    email: NewEmail
    scope: Role = Field(description="The role: member, admin or owner")


class CreatedInvite(ResponseModel):
    """A new invite. No mail is sent: hand the token, which is shown this once, to its person."""

    message: str
    token: str
    expires: datetime


class AcceptInvite(Body):
    """The token of an invite."""

    token: SecretText


class Joined(ResponseModel):
    """The project that the signed-in user is a member of from now on."""

    project_id: str
    role: Role
