"""Decides which responses of an STT server are plain, as `head.py` does with requests. Performs no I/O."""

import re
from typing import Final, NamedTuple

from http_proxy.raw.fields import CLOSED, FIELDS, KEPT, LENGTH, MAX_HEAD, VALUE, Fields, read_fields

_HEAD: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) (" + VALUE + rb")\r\n" + FIELDS)
_NOT_PLAIN: Final = frozenset(
    {b"transfer-encoding", b"trailer", b"upgrade", b"proxy-connection", b"content-encoding", b"sec-websocket-key1"}
)
# Their bodies are empty, whatever their length says (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5).
_EMPTY: Final = frozenset({b"204", b"205", b"304"})


class PlainResponse(NamedTuple):
    """A plain response's head, with the names of aiohttp's. `size`: of the head in bytes, `length`: of its body."""

    code: int
    reason: str
    headers: Fields
    length: int
    should_close: bool
    size: int
    chunked: bool = False

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The fields as they came."""
        return self.headers.raw


def plain_response(data: bytes) -> PlainResponse | None:
    """The head that `data` begins with, if the whole of it is there and it is plain."""
    found = _HEAD.match(data, 0, MAX_HEAD)
    if found is None:
        return None
    code, reason, block = found.groups()
    headers = read_fields(block, _NOT_PLAIN)
    if headers is None or code in _EMPTY:
        return None
    length = headers.named.get(b"content-length", b"")
    connection = headers.named.get(b"connection", b"").lower()
    if LENGTH.fullmatch(length) is None or not (connection in KEPT or connection == CLOSED):
        return None
    return PlainResponse(int(code), reason.decode(), headers, int(length), connection == CLOSED, found.end())
