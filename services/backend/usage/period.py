"""Periods of time: read from a request's texts, defaulted, bounded. Pure; all days are UTC days."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, TypeAlias, TypeVar

from pydantic import PlainValidator, WithJsonSchema

from backend.usage.errors import PeriodUnusable

# The default period: today and the 29 days before it.
DEFAULT_DAYS: Final = 30
DAY_MS: Final = 86_400_000
# Outside of these there is no usage, and arithmetic on dates would overflow near the year 9999.
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2199

_DAYS: Final = "a UTC day as YYYY-MM-DD"
_MOMENTS: Final = (
    "YYYY-MM-DD, or YYYY-MM-DDThh:mm:ss with an optional zone (Z, or hours and minutes: write the + of one as %2B)"
)

AnyDate = TypeVar("AnyDate", bound=date)

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:", re.ASCII)
# A query string's "+" is read as a space (application/x-www-form-urlencoded); a zone behind a time must have a sign.
_LOST_PLUS: Final = re.compile(r"^(.{10}[T ]\d{2}:[\d:.,]{2,20}) (\d{2}(?::?\d{2})?)$", re.ASCII)


def read_day(value: object) -> date:
    """A day from its text, `2026-03-31`. Raises ValueError."""
    text = str(value)
    if not isinstance(value, date) and _DAY.fullmatch(text) is None:
        raise ValueError(_DAYS)
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ValueError(_DAYS) from None
    return _usual(found)


def read_moment(value: object) -> date | datetime:
    """A day, or a time as RFC 3339 has it; a time without a zone is UTC. Raises ValueError."""
    text = str(value)
    if _DAY.fullmatch(text) is not None:
        return read_day(text)
    text = _LOST_PLUS.sub(r"\1+\2", text.upper())
    try:
        found = datetime.fromisoformat(text if _TIME.match(text) else "")
    except ValueError:
        raise ValueError(_MOMENTS) from None
    _usual(found)
    return _usual(found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC))


def read_first_day(value: object) -> date:
    """The UTC day that a moment is in. Raises ValueError."""
    return _day_of(read_moment(value), timedelta())


def read_last_day(value: object) -> date:
    """A day, or the UTC day that ends with a time or has it: midnight ends the day before. Raises ValueError."""
    return _day_of(read_moment(value), timedelta(microseconds=1))


def _if_given(read: Callable[[object], AnyDate]) -> Callable[[object], AnyDate | None]:
    return lambda value: None if value == "" else read(value)


def _day_of(moment: date, earlier: timedelta) -> date:
    return (moment - earlier).date() if isinstance(moment, datetime) else moment


def _usual(found: AnyDate) -> AnyDate:
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(f"the years {FIRST_YEAR} to {LAST_YEAR}")
    return found


Day: TypeAlias = Annotated[date, PlainValidator(read_day), WithJsonSchema({"type": "string", "format": "date"})]
_MOMENT: Final = WithJsonSchema(
    {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}], "examples": ["2026-03-31"]}
)
# Clients send the ends of a period that nobody gave as empty texts.
Moment: TypeAlias = Annotated[date | datetime | None, PlainValidator(_if_given(read_moment)), _MOMENT]
# Of periods of whole days: clients send times too.
FirstDay: TypeAlias = Annotated[date | None, PlainValidator(_if_given(read_first_day)), _MOMENT]
LastDay: TypeAlias = Annotated[date | None, PlainValidator(_if_given(read_last_day)), _MOMENT]


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_ms` (included) to `end_ms` (not included), Unix milliseconds."""

    start_ms: int
    end_ms: int

    @property
    def first_day(self) -> date:
        """The UTC day in which it begins."""
        return day_of(self.start_ms)

    @property
    def last_day(self) -> date:
        """The last UTC day that it has a part of."""
        return day_of(self.end_ms - 1)

    @property
    def days(self) -> list[date]:
        """Every UTC day that it has a part of."""
        first = self.first_day
        return [first + timedelta(days=n) for n in range((self.last_day - first).days + 1)]


def day_of(unix_ms: int) -> date:
    """The UTC day of a Unix time in milliseconds."""
    return date.fromordinal(_EPOCH + unix_ms // DAY_MS)


def start_of(day: date) -> int:
    """The Unix time in milliseconds at which a UTC day begins."""
    return (day.toordinal() - _EPOCH) * DAY_MS


_EPOCH: Final = date(1970, 1, 1).toordinal()


def period(start: date | None, end: date | None, *, max_days: int, today: date) -> Period:
    """The period from `start` to `end`. An `end` that is a day is included whole, one that is a time is not.

    Without an end it is the end of `today`; without a start, 30 days before the end. Raises PeriodUnusable.
    """
    end_ms = start_of(today) + DAY_MS if end is None else _ms(end, DAY_MS)
    start_ms = end_ms - DEFAULT_DAYS * DAY_MS if start is None else _ms(start, 0)
    got = f"start {_shown(start, start_ms)}, end {_shown(end, end_ms)}"
    if start_ms >= end_ms:
        raise PeriodUnusable(f"Unusable period: got {got}; allowed: a start before the end. Swap or correct them.")
    if end_ms - start_ms > max_days * DAY_MS:
        raise PeriodUnusable(
            f"Unusable period: got {got}; allowed: at most {max_days} days. Give both, or request less at a time."
        )
    return Period(start_ms, end_ms)


def kept_since(today: date, months: int) -> date:
    """The first day whose single requests are kept, if those of this month and the `months` before it are."""
    return month_from(today, -months)


def month_from(day: date, months: int) -> date:
    """The first day of the month that lies `months` after the month of `day` (negative: before it)."""
    count = day.year * 12 + day.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)


def _ms(moment: date, whole_day: int) -> int:
    if not isinstance(moment, datetime):
        return start_of(moment) + whole_day
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(milliseconds=1)


def _shown(given: date | None, found_ms: int) -> str:
    if given is not None:
        return given.isoformat()
    return f"{datetime.fromtimestamp(found_ms / 1000, UTC).isoformat()} (by default)"
