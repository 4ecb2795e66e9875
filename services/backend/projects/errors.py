"""The errors of projects, and the contract's error for each."""

from typing import Final

from aldea.errors import Conflict
from aldea.errors import ProjectNotFound as ContractProjectNotFound
from backend.api.endpoint import DomainError, ErrorTable


class ProjectGone(DomainError):
    """The project does not exist, or not any more."""


def no_such_project() -> ProjectGone:
    """For operators, from whom no project is hidden."""
    return ProjectGone("No such project.")


class TooManyProjects(DomainError):
    """The user owns as many projects as anybody may."""


ERRORS: Final[ErrorTable] = {ProjectGone: ContractProjectNotFound, TooManyProjects: Conflict}
