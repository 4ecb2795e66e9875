"""What can be refused about members and invites, and as which error of the contract."""

from typing import Final

from aldea.errors import Conflict, InsufficientPermissions, NotFound
from backend.api.endpoint import DomainError, ErrorTable


class MemberGone(DomainError):
    """The project has no such member."""


class RoleTooHigh(DomainError):
    """Nobody gives or takes a role that may do more than they."""


class LastOwner(DomainError):
    """A project without an owner could be managed by nobody."""


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
