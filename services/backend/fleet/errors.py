"""The errors of the operators' console, and the contract's error for each."""

from typing import Final

from aldea.errors import NotFound
from backend.api.endpoint import DomainError, ErrorTable


class RequestGone(DomainError):
    """No project has such a request."""


ERRORS: Final[ErrorTable] = {RequestGone: NotFound}
