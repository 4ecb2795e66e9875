"""The errors of short-lived tokens, and the contract's error for each."""

from typing import Final

from aldea.errors import BadRequest, InsufficientPermissions, InvalidAuth, ProjectNotFound
from backend.api.endpoint import DomainError, ErrorTable


class ProjectNeeded(DomainError):
    """A session belongs to no project; the request must name one."""


class ForeignProject(DomainError):
    """The project is none of the caller's."""


class MayNotTranscribe(DomainError):
    """A token gets no right that its caller does not have now."""


class CallerEnded(DomainError):
    """The session ended while it granted."""


ERRORS: Final[ErrorTable] = {
    ProjectNeeded: BadRequest,
    ForeignProject: ProjectNotFound,
    MayNotTranscribe: InsufficientPermissions,
    CallerEnded: InvalidAuth,
}
