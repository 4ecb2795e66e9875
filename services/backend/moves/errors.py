"""The errors of moves, and the contract's error for each."""

from typing import Final

from aldea.errors import Conflict, NotFound
from aldea.errors import ProjectNotFound as ContractProjectNotFound
from backend.api.endpoint import DomainError, ErrorTable
from backend.projects.errors import ProjectGone


class AccountGone(DomainError):
    """No such billing account."""


class UsageLocked(DomainError):
    """Something else holds the usage for longer than a move waits."""


ERRORS: Final[ErrorTable] = {AccountGone: NotFound, UsageLocked: Conflict, ProjectGone: ContractProjectNotFound}
