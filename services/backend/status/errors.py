"""The errors of the status page, and the contract's error for each."""

from typing import Final

from aldea.errors import Conflict, InsufficientPermissions, NotFound
from backend.api.endpoint import DomainError, ErrorTable


class NoCanary(DomainError):
    """The key is of a project that no operator owns, or it is no key."""


class IncidentGone(DomainError):
    """No such incident."""


class IncidentClosed(DomainError):
    """The incident is resolved, or has as many updates as one may have."""


ERRORS: Final[ErrorTable] = {NoCanary: InsufficientPermissions, IncidentGone: NotFound, IncidentClosed: Conflict}
