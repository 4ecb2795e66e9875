"""What can be refused about usage, and as which error of the contract."""

from typing import Final

from aldea.errors import BadRequest, NotFound
from backend.api.endpoint import DomainError, ErrorTable


class PeriodUnusable(DomainError):
    """The period ends before it begins, or is longer than allowed."""


class PageUnusable(DomainError):
    """The page lies too deep to be counted to, or its token is none of ours."""


class TooManyGroups(DomainError):
    """A breakdown into more groups than one response may carry."""


class RequestGone(DomainError):
    """The project has no such request, or it is not kept any more."""


class DayNotKept(DomainError):
    """The single requests of that day were removed; only its totals are kept."""


class BalanceGone(DomainError):
    """The project has no such balance."""


ERRORS: Final[ErrorTable] = {
    PeriodUnusable: BadRequest,
    PageUnusable: BadRequest,
    TooManyGroups: BadRequest,
    RequestGone: NotFound,
    DayNotKept: NotFound,
    BalanceGone: NotFound,
}
