"""One id in head and body: the request's own, where an STT server of another make wrote one of its own. Pure."""

import re
from typing import Final

_KEY: Final = b'"request_id"'
# A text of a transcript cannot look like it: quotation marks are escaped there.
_MEMBER: Final = re.compile(rb'"request_id"[ \t\r\n]{0,8}:[ \t\r\n]{0,8}"([0-9A-Za-z-]{36})"')
_MAX_MEMBER: Final = len(_KEY) + 8 + 1 + 8 + 38


class OwnId:
    """Feed it the body's pieces; it returns them with the first `request_id` made the request's own.

    A UUID takes a UUID's place, so the body stays as long as its head says. What cannot be decided yet waits for the
    next piece: at most `_MAX_MEMBER` bytes.
    """

    __slots__ = ("_done", "_held", "_own")

    def __init__(self, request_id: str) -> None:
        self._own = request_id.encode()
        self._held = b""
        self._done = len(self._own) != 36

    def feed(self, piece: bytes, *, last: bool) -> bytes:
        """The piece as the client gets it, perhaps without its end; `last`: whether no other follows."""
        if self._done:
            return piece
        data = self._held + piece if self._held else piece
        if match := _MEMBER.search(data):
            self._done = True
            self._held = b""
            return data if match[1] == self._own else data[: match.start(1)] + self._own + data[match.end(1) :]
        at = len(data) if last else self._undecided(data)
        self._held = data[at:]
        return data[:at]

    def _undecided(self, data: bytes) -> int:
        """Where what may still become the member begins; the data's length if nothing can."""
        at = data.rfind(_KEY)
        if at >= 0 and len(data) - at < _MAX_MEMBER:
            return at
        quote = data.rfind(b'"', max(0, len(data) - len(_KEY) + 1))
        return quote if quote >= 0 and _KEY.startswith(data[quote:]) else len(data)
