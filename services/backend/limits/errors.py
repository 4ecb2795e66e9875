"""The errors of limits, and the contract's error for each."""

from typing import Final

from aldea.errors import BadRequest, InsufficientPermissions, NotFound
from aldea.errors import ProjectNotFound as ContractProjectNotFound
from backend.api.endpoint import DomainError, ErrorTable
from backend.keys.errors import KeyGone, LimitedCaller
from backend.projects.errors import ProjectGone


class AbovePlan(DomainError):
    """An owner's own limit is above what the project's plan allows."""


ERRORS: Final[ErrorTable] = {
    AbovePlan: BadRequest,
    LimitedCaller: InsufficientPermissions,
    KeyGone: NotFound,
    ProjectGone: ContractProjectNotFound,
}
