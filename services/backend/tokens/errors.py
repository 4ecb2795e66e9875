"""What can be refused about short-lived tokens, and as which error of the contract."""

from typing import Final

from aldea.errors import BadRequest, InsufficientPermissions, InvalidAuth, ProjectNotFound
from backend.api.endpoint import DomainError, ErrorTable


class ProjectNeeded(DomainError):
    """A session is of no project; it must be said which."""


class ForeignProject(DomainError):
    """The project is none of the caller's."""


class MayNotTranscribe(DomainError):
    """Nobody hands on what they may not do themselves, nor what nobody may do now."""


class CallerEnded(DomainError):
    """The session ended while it granted."""


ERRORS: Final[ErrorTable] = {
    ProjectNeeded: BadRequest,
    ForeignProject: ProjectNotFound,
    MayNotTranscribe: InsufficientPermissions,
    CallerEnded: InvalidAuth,
}
