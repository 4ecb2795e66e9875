"""The errors of credits, and the contract's error for each."""

from typing import Final

from aldea.errors import BadRequest, Conflict
from backend.api.endpoint import DomainError, ErrorTable
from backend.projects.errors import ERRORS as PROJECT_ERRORS


class CreditTaken(DomainError):
    """The id is that of a credit with another project, kind, amount, note or end."""


class ExpiryUnusable(DomainError):
    """The credit would end before it begins, or in a far year."""


ERRORS: Final[ErrorTable] = {**PROJECT_ERRORS, CreditTaken: Conflict, ExpiryUnusable: BadRequest}
