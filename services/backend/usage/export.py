"""Usage as files: CSV (RFC 4180), whose texts no spreadsheet takes for a formula, and JSON. No I/O."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, Protocol

from pydantic_core import to_json

from aldea.turns import in_turns
from backend.usage.money import HOUR_MS
from backend.usage.rows import Amounts, RequestRow

REQUEST_COLUMNS: Final = (
    "request_id", "created", "path", "endpoint", "service", "lane", "api_key_id", "state", "code", "close_code",
    "audio_ms", "channels", "connection_ms", "bytes_in", "bytes_out", "tags", "charge_micros", "failovers",
    "first_word_ms",
)  # fmt: skip
DAY_COLUMNS: Final = (
    "day",
    "requests",
    "audio_ms",
    "audio_hours",
    "connection_ms",
    "bytes_in",
    "bytes_out",
    "charge_micros",
)

State = Literal["open", "incomplete", "final"]
STATES: Final[tuple[State, ...]] = ("open", "incomplete", "final")  # by rank

# What a spreadsheet may take a text for a formula by, the full-width forms included (OWASP, "CSV Injection"): at a
# cell's beginning, and behind whatever the spreadsheets of another locale split cells at.
_BEGINS: Final = re.compile("[\t\r\n]|\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
# A run of white space and separators is looked at once, from its beginning: a tag may be 512 tabs.
_FOLLOWS: Final = re.compile("(?<![,;\\s])[,;\\s]+(?=[=+\\-@\uff1d\uff0b\uff0d\uff20])")
_SEPARATORS: Final = frozenset(",;\t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Sheet:
    """Lines of CSV, added one by one."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\r\n")

    def add(self, row: Sequence[Any]) -> None:
        """Add a line."""
        self._writer.writerow(row)

    def text(self) -> bytes:
        """All lines, in UTF-8."""
        return self._text.getvalue().encode()


def lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Lines of CSV in UTF-8, of few rows."""
    sheet = Sheet()
    for row in rows:
        sheet.add(row)
    return sheet.text()


def request_line(row: RequestRow) -> tuple[Any, ...]:
    """One request, in the order of REQUEST_COLUMNS. Absent values are empty."""
    created = _EPOCH + timedelta(milliseconds=row.started_ms)
    return (
        row.request_id,
        created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        harmless(row.path),
        row.endpoint,
        row.service,
        harmless(row.lane),
        row.key_id,
        STATES[row.rank],
        row.status or None,
        row.close_code,
        row.audio_ms,
        row.channels,
        row.connection_ms,
        row.bytes_in,
        row.bytes_out,
        " | ".join(map(harmless, row.tags)),
        row.charge_micros,
        row.failovers,
        row.first_word_ms,
    )


class RequestsFile(Protocol):
    """A file of requests, written batch by batch between its opening and its closing."""

    opening: bytes
    closing: bytes

    async def batch(self, rows: Sequence[RequestRow]) -> bytes:
        """The text of some more requests, at least one."""


class CsvFile:
    """A line for each request."""

    def __init__(self) -> None:
        self.opening = lines([REQUEST_COLUMNS])
        self.closing = b""

    async def batch(self, rows: Sequence[RequestRow]) -> bytes:
        """Their lines."""
        sheet = Sheet()
        async for row in in_turns(rows):
            sheet.add(request_line(row))
        return sheet.text()


class JsonFile:
    """An array with a line for each request. `values`: what the API says of one."""

    def __init__(self, values: Callable[[RequestRow], Mapping[str, Any]]) -> None:
        self.opening = b"["
        self.closing = b"\n]\n"
        self._values = values
        self._between = b"\n"

    async def batch(self, rows: Sequence[RequestRow]) -> bytes:
        """Their lines, with a comma before each but the file's first."""
        before, self._between = self._between, b",\n"
        return before + b",\n".join([to_json(self._values(row)) async for row in in_turns(rows)])


def day_line(day: date, row: Amounts) -> tuple[Any, ...]:
    """One day, in the order of DAY_COLUMNS. The hours are for the eye; `audio_ms` is exact."""
    hours = f"{row.audio_ms / HOUR_MS:.6f}"
    return (
        day,
        row.requests,
        row.audio_ms,
        hours,
        row.connection_ms,
        row.bytes_in,
        row.bytes_out,
        row.charge_micros,
    )


def harmless(text: str) -> str:
    """A text that a client chose, with an apostrophe before whatever could begin a formula."""
    marked = _FOLLOWS.sub(_marked, text)
    return f"'{marked}" if _BEGINS.match(text) else marked


def _marked(run: re.Match[str]) -> str:
    return run[0] if _SEPARATORS.isdisjoint(run[0]) else f"{run[0]}'"
