"""The errors of credits, and the contract's error for each."""

from typing import Final

from aldea.errors import Conflict
from backend.api.endpoint import DomainError, ErrorTable
from backend.projects.errors import ERRORS as PROJECT_ERRORS


class CreditTaken(DomainError):
    """The id is that of a credit with another project, amount or note."""


ERRORS: Final[ErrorTable] = {**PROJECT_ERRORS, CreditTaken: Conflict}
