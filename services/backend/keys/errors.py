"""The errors of API keys, and the contract's error for each."""

from typing import Final

from aldea.errors import BadRequest, Conflict, InsufficientPermissions, NotFound
from backend.api.endpoint import DomainError, ErrorTable


class KeyGone(DomainError):
    """The project has no such key, or it was revoked."""


class ScopeTooWide(DomainError):
    """Nobody hands on what they may not do themselves."""


class TooManyKeys(DomainError):
    """The project has as many keys as any may have."""


class ExpiryUnusable(DomainError):
    """The expiry lies in the past, or was given twice."""


class LimitedCaller(DomainError):
    """An API key that is limited itself may not change limits, nor get around its own."""


ERRORS: Final[ErrorTable] = {
    KeyGone: NotFound,
    ScopeTooWide: InsufficientPermissions,
    TooManyKeys: Conflict,
    ExpiryUnusable: BadRequest,
    LimitedCaller: InsufficientPermissions,
}
