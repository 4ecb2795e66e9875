"""The errors of prices, and the contract's error for each."""

from typing import Final

from aldea.errors import BadRequest, Conflict
from backend.api.endpoint import DomainError, ErrorTable


class PriceUnusable(DomainError):
    """The price would begin in the past, too soon, or too far ahead."""


class PriceTaken(DomainError):
    """Another price of the same plan and service begins at the same time."""


ERRORS: Final[ErrorTable] = {PriceUnusable: BadRequest, PriceTaken: Conflict}
