"""The errors of statements, and the contract's error for each."""

from typing import Final

from aldea.errors import BadRequest
from backend.api.endpoint import DomainError, ErrorTable
from backend.projects.errors import ERRORS as PROJECT_ERRORS


class MonthUnusable(DomainError):
    """The text is no month, or of one that has not begun."""


ERRORS: Final[ErrorTable] = {**PROJECT_ERRORS, MonthUnusable: BadRequest}
