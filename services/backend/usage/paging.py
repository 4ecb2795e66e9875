"""The token of a next page: which period was requested, and the last request that was shown of it. Pure."""

import base64
import struct
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from backend.usage.errors import PageUnusable
from backend.usage.period import FIRST_YEAR, LAST_YEAR, Period, start_of

# Start and end of the period, start of the last request (Unix ms), its id.
_LAYOUT: Final = struct.Struct(">qqq16s")
_FIRST_MS: Final = start_of(date(FIRST_YEAR, 1, 1))
_LAST_MS: Final = start_of(date(LAST_YEAR + 1, 1, 1))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: behind this request, within this period.

    The period travels with it, since "the last 30 days" would be another one a minute later.
    """

    period: Period
    started_ms: int
    request_id: str

    def token(self) -> str:
        """Text that is safe in a query string."""
        packed = _LAYOUT.pack(self.period.start_ms, self.period.end_ms, self.started_ms, UUID(self.request_id).bytes)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_token(token: str) -> Place:
    """The place that a token names. Raises PageUnusable."""
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        start_ms, end_ms, started_ms, request_id = _LAYOUT.unpack(packed)
    except (ValueError, struct.error):
        raise _unusable() from None
    if not _FIRST_MS <= start_ms <= started_ms < end_ms <= _LAST_MS:
        raise _unusable()
    return Place(Period(start_ms, end_ms), started_ms, str(UUID(bytes=request_id)))


def _unusable() -> PageUnusable:
    return PageUnusable(
        "page_token: got something else than a list's next_page_token. Send that one unchanged, or none to begin anew."
    )
