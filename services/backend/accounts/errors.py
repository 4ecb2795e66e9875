"""The errors of accounts and sessions, and the contract's error for each."""

from typing import Final

from aldea.errors import BadRequest, Conflict, InsufficientPermissions, InvalidAuth, NotFound
from backend.api.endpoint import DomainError, ErrorTable


class AccountUnavailable(Conflict):
    """An account could not be created; the error does not reveal whether one exists."""

    err_code = "ACCOUNT_UNAVAILABLE"


class AddressTaken(DomainError):
    """The address has an account."""


class SignInRefused(DomainError):
    """No such account or not its password: both look the same."""


class WrongPassword(DomainError):
    """A signed-in user gave a wrong current password."""


class WeakPassword(DomainError):
    """A new password that is guessed first."""


class ResetUnusable(DomainError):
    """No such reset token, or it was used, replaced, or has expired."""


class StillMember(DomainError):
    """An account that still belongs to projects is not deleted."""


class AccountGone(DomainError):
    """The operator's address has no account."""


ERRORS: Final[ErrorTable] = {
    AddressTaken: AccountUnavailable,
    SignInRefused: InvalidAuth,
    WrongPassword: InsufficientPermissions,
    WeakPassword: BadRequest,
    ResetUnusable: NotFound,
    StillMember: Conflict,
    AccountGone: NotFound,
}
