"""The errors of members and invites, and the contract's error for each."""

from typing import Final

from aldea.errors import Conflict, InsufficientPermissions, NotFound
from backend.api.endpoint import DomainError, ErrorTable


class MemberGone(DomainError):
    """The project has no such member."""


class RoleTooHigh(DomainError):
    """The caller may not give or take a role with more rights than its own."""


class LastOwner(DomainError):
    """A project must keep an owner, who can manage it."""


class AlreadyMember(DomainError):
    """The person is a member already."""


class TooManyMembers(DomainError):
    """The project has as many members and invites as any may have."""


class InviteGone(DomainError):
    """No such invite: withdrawn, replaced, used, expired, or for somebody else."""


ERRORS: Final[ErrorTable] = {
    MemberGone: NotFound,
    RoleTooHigh: InsufficientPermissions,
    LastOwner: Conflict,
    AlreadyMember: Conflict,
    TooManyMembers: Conflict,
    InviteGone: NotFound,
}
