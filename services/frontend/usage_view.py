"""Usage as pages show it: a period and filters from a query string, the API's responses as rows and chart. No I/O."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from frontend.models import Breakdown, ListedKey, Usage

# What is shown by default: today and the 29 days before it, as the API has it.
DEFAULT_DAYS: Final = 30
PRESETS: Final = (7, 30, 90)
# What the API sums up at most at a time.
MAX_DAYS: Final = 366
# Grouping of the table → how it is called; the API's own words.
GROUPINGS: Final = {"day": "Day", "accessor": "API key", "endpoint": "Endpoint", "tag": "Tag", "service": "Service"}
ENDPOINTS: Final = (
    "/v1/listen", "/v1/listen/pcm", "/v2/listen", "/v1/realtime", "/v1/audio/transcriptions", "/transcribe",
)  # fmt: skip
SERVICES: Final = {"streaming": "Live", "prerecorded": "Recorded"}
# The API's words for what became of a request.
OUTCOMES: Final = {"succeeded": "Succeeded", "failed": "Failed", "incomplete": "Incomplete", "open": "Active"}
# A group of the API that needs a field of its own name → the filter that narrows down to it.
_FILTER_OF: Final = {"accessor": "key", "endpoint": "endpoint", "tag": "tag", "service": "service"}
_LONGEST_FILTER: Final = 512
# By what single requests are found, by the API's names; and how much of what is typed is kept.
_SEARCH: Final = ("request_id", "status", "min_audio_seconds", "max_audio_seconds")
LONGEST_SEARCH: Final = 60
# A year: no request has more audio.
MAX_SECONDS: Final = 366 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the reader wants to see. Days are UTC days, both included; filters are empty where unset."""

    start: date
    end: date
    grouping: str = "day"
    key: str = ""
    endpoint: str = ""
    tag: str = ""
    service: str = ""
    search: Mapping[str, str] = field(default_factory=dict)  # of single requests, by the API's names
    problem: str = ""  # why nothing is shown; the period and the search are as they were typed

    @property
    def filters(self) -> dict[str, str]:
        """The filters that are set, by the API's names."""
        named = {"key": self.key, "endpoint": self.endpoint, "tag": self.tag, "service": self.service}
        return {name: value for name, value in named.items() if value}

    @property
    def period(self) -> dict[str, str]:
        """The period, by the API's names."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat()}

    @property
    def days(self) -> int:
        """How many days the period has."""
        return (self.end - self.start).days + 1

    def query(self, **changes: Any) -> str:
        """This, changed, as a query string of the console's own."""
        selection = replace(self, **changes)
        shown = {} if selection.search else {"grouping": selection.grouping}
        return urlencode({**selection.period, **shown, **selection.filters, **selection.search})

    def on(self, day: str) -> str:
        """The query string of one day, all else as it is."""
        return self.query(start=date.fromisoformat(day), end=date.fromisoformat(day))

    def preset(self, days: int, today: date) -> str:
        """The query string of the last so many days."""
        return self.query(start=today - timedelta(days=days - 1), end=today)

    def is_preset(self, days: int, today: date) -> bool:
        """Whether the period is the last so many days."""
        return self.end == today and self.days == days


# Lines of the table: more than these are not read, and making them would keep other readers waiting.
MAX_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `value`: what the group has in common, "" for no tag; `filters`: narrows down to it."""

    value: str
    hours: float
    requests: int
    filters: dict[str, str]


def read_search(query: Mapping[str, str], today: date) -> Selection:
    """What a query string selects of single requests; a request id or a length that cannot be is a problem."""
    found = read_selection(query, today)
    named = {name: query.get(name, "").strip()[:LONGEST_SEARCH] for name in _SEARCH}
    if named["status"] not in OUTCOMES:
        named["status"] = ""
    search = {name: value for name, value in named.items() if value}
    return replace(found, search=search, problem=found.problem or _search_problem(named))


def _search_problem(named: Mapping[str, str]) -> str:
    if (text := named["request_id"]) and as_uuid(text) is None:
        return f"“{text}” is no request id. One has 36 characters: it is the dg-request-id header of the response."
    lengths = [_seconds_of(named[name]) for name in ("min_audio_seconds", "max_audio_seconds")]
    for name, seconds in zip(("min_audio_seconds", "max_audio_seconds"), lengths, strict=True):
        if seconds is not None and not 0 <= seconds <= MAX_SECONDS:
            return f"“{named[name]}” is no length of audio. Give seconds, from 0 to {MAX_SECONDS:,}."
    least, most = lengths
    if least is not None and most is not None and least > most:
        return f"Audio from ({least:g} s) is more than to ({most:g} s). Choose a lower one."
    return ""


def _seconds_of(text: str) -> float | None:
    """A typed length in seconds; None for an empty one, NaN for what is no number."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return math.nan


def as_uuid(text: str) -> str | None:
    """The id that this text is, as the API writes it; None for anything else."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


# What the form calls the ends of a period, and as much of one as is shown when it is no day.
_ENDS: Final = {"start": "From", "end": "To"}
_LONGEST_DAY: Final = 40


def read_selection(query: Mapping[str, str], today: date) -> Selection:
    """What a query string selects. What is no choice is the default; a period that cannot be is a problem."""
    end = _day(query.get("end")) or today
    start = _day(query.get("start")) or end - timedelta(days=DEFAULT_DAYS - 1)
    problem = ""
    if no_day := next(
        ((name, query[name]) for name in ("start", "end") if query.get(name) and not _day(query[name])), ()
    ):
        name, text = no_day
        problem = f"{_ENDS[name]} (“{text[:_LONGEST_DAY]}”) is no day of the years 2000 to 2199. Choose one, or none."
    elif start > end:
        problem = f"From ({start}) is after To ({end}). Choose a From that is not later."
    elif (days := (end - start).days + 1) > MAX_DAYS:
        problem = f"The period has {days:,} days; at most {MAX_DAYS} can be shown. Choose a shorter one."
    grouping, service = query.get("grouping", ""), query.get("service", "")
    endpoint = query.get("endpoint", "")
    return Selection(
        start=start,
        end=end,
        grouping=grouping if grouping in GROUPINGS else "day",
        key=query.get("key", "")[:36],
        endpoint=endpoint if endpoint in {*ENDPOINTS, "other"} else "",
        tag=query.get("tag", "")[:_LONGEST_FILTER],
        service=service if service in SERVICES else "",
        problem=problem,
    )


def today() -> date:
    """The UTC day that it is."""
    return datetime.now(UTC).date()


def day_rows(usage: Usage) -> list[Row]:
    """The API's days that had any usage, newest first."""
    return [Row(found.start, found.hours, found.requests, {}) for found in reversed(usage.results) if found.requests]


def group_rows(breakdown: Breakdown, grouping: str) -> list[Row]:
    """The API's groups, the largest first."""
    rows = []
    for found in breakdown.results:
        group = found.grouping
        value = "".join((group.tags or [])[:1]) if grouping == "tag" else str(getattr(group, grouping) or "")
        filters = {_FILTER_OF[grouping]: value} if value else {}
        rows.append(Row(value, found.hours, found.requests, filters))
    return sorted(rows, key=lambda row: (-row.hours, -row.requests, row.value))


def key_names(keys: Iterable[ListedKey]) -> dict[str, str]:
    """What keys are called, by their id."""
    found = {}
    for item in keys:
        key = item.api_key
        found[key.api_key_id] = f"{key.comment or 'Unnamed key'} (…{key.last4})"
    return found


def _day(text: str | None) -> date | None:
    try:
        found = date.fromisoformat(text or "")
    except ValueError:
        return None
    return found if 2000 <= found.year < 2200 else None
