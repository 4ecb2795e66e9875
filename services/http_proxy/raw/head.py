"""Decides which requests are plain: a small part of HTTP/1.1 in which no two readers can differ. Performs no I/O.

Whatever is not plain is no error: aiohttp reads it, and refuses it or not. So nothing is taken here that aiohttp would
refuse or read in another way, which `make fuzz-heads` compares.
"""

import re
from typing import Final, NamedTuple

from aldea.service.request_head import valid_host
from http_proxy.raw.fields import CLOSED, FIELDS, KEPT, LENGTH, MAX_HEAD, Fields, read_fields

_HEAD: Final = re.compile(
    rb"POST (/v1/listen|/listen/v1|/transcribe)(?:\?([0-9A-Za-z._~%=&+,:;/@!$*()'-]*+))? HTTP/1\.1\r\n" + FIELDS
)
# What changes a message's framing, its connection, or who has to read it.
_NOT_PLAIN: Final = frozenset(
    {
        b"transfer-encoding", b"te", b"trailer", b"expect", b"upgrade", b"http2-settings", b"proxy-connection",
        b"content-encoding", b"sec-websocket-key", b"sec-websocket-key1", b"sec-websocket-key2",
        b"sec-websocket-protocol", b"sec-websocket-version", b"sec-websocket-extensions",
    }
)  # fmt: skip


class PlainHead(NamedTuple):
    """A plain upload's head. `size`: of the head in bytes, `length`: of its body."""

    path: str
    query: str
    headers: Fields
    length: int
    keep_alive: bool
    size: int


def plain_head(data: bytes) -> PlainHead | None:
    """The head that `data` begins with, if the whole of it is there and it is plain."""
    found = _HEAD.match(data, 0, MAX_HEAD)
    if found is None:
        return None
    path, query, block = found.groups()
    headers = read_fields(block, _NOT_PLAIN)
    if headers is None:
        return None
    named = headers.named
    length = named.get(b"content-length", b"0")
    connection = named.get(b"connection", b"").lower()
    kind = named.get(b"content-type", b"").lower()
    host = named.get(b"host")
    if (
        length == b"0"
        or LENGTH.fullmatch(length) is None
        or host is None
        or not valid_host(host.decode())
        or not (connection in KEPT or connection == CLOSED)
        or b"json" in kind
        or b"multipart" in kind
        or (query is not None and b"callback" in query)
    ):
        return None
    return PlainHead(
        path.decode(), "" if query is None else query.decode(), headers, int(length), connection in KEPT, found.end()
    )
