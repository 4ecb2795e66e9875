"""Decides which requests are plain: a small part of HTTP/1.1 in which no two readers can differ. Performs no I/O.

Whatever is not plain is no error: aiohttp reads it, and refuses it or not. So nothing is taken here that aiohttp would
refuse or read in another way, which `make fuzz-heads` compares.
"""

import re
from typing import Final, NamedTuple

from aldea.service.request_head import valid_host

# A head of any client is a tenth of it, and aiohttp takes more; a longer one is left to aiohttp.
MAX_HEAD: Final = 8000
MAX_FIELDS: Final = 64
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # RFC 9110 section 5.6.2
# A field's value: visible ASCII without space at either end (RFC 9110 section 5.5 allows more).
_VALUE: Final = rb"[!-~]++(?: ++[!-~]++)*+"
_HEAD: Final = re.compile(
    rb"POST (/v1/listen|/listen/v1|/transcribe)(?:\?([0-9A-Za-z._~%=&+,:;/@!$*()'-]*+))? HTTP/1\.1\r\n"
    rb"((?:" + _TOKEN + rb": ?" + _VALUE + rb"\r\n)++)\r\n"
)
# No sign, no zeros in front, nothing that does not fit: a terabyte.
_LENGTH: Final = re.compile(rb"[1-9][0-9]{0,11}")
# What changes a message's framing, its connection, or who has to read it.
_NOT_PLAIN: Final = frozenset(
    {
        b"transfer-encoding", b"te", b"trailer", b"expect", b"upgrade", b"http2-settings", b"proxy-connection",
        b"content-encoding", b"sec-websocket-key", b"sec-websocket-key1", b"sec-websocket-key2",
        b"sec-websocket-protocol", b"sec-websocket-version", b"sec-websocket-extensions",
    }
)  # fmt: skip
_KEPT: Final = frozenset({b"", b"keep-alive"})


class PlainHead(NamedTuple):
    """A plain upload's head. `fields` by lower-case names, of which none is repeated; `size`: of the head in bytes."""

    path: str
    query: str
    raw_headers: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]
    length: int
    keep_alive: bool
    size: int


def plain_head(data: bytes) -> PlainHead | None:
    """The head that `data` begins with, if the whole of it is there and it is plain."""
    found = _HEAD.match(data, 0, MAX_HEAD)
    if found is None:
        return None
    path, query, block = found.groups()
    lines = [line.partition(b":") for line in block[:-2].split(b"\r\n")]
    raw_headers = [(name, value.lstrip()) for name, _, value in lines]
    fields = {name.lower(): value for name, value in raw_headers}
    if not len(fields) == len(raw_headers) <= MAX_FIELDS or not _NOT_PLAIN.isdisjoint(fields):
        return None
    length = fields.get(b"content-length", b"")
    connection = fields.get(b"connection", b"").lower()
    kind = fields.get(b"content-type", b"").lower()
    host = fields.get(b"host")
    if (
        _LENGTH.fullmatch(length) is None
        or host is None
        or not valid_host(host.decode())
        or not (connection in _KEPT or connection == b"close")
        or b"json" in kind
        or b"multipart" in kind
        or (query is not None and b"callback" in query)
    ):
        return None
    return PlainHead(
        path.decode(),
        "" if query is None else query.decode(),
        raw_headers,
        fields,
        int(length),
        connection in _KEPT,
        found.end(),
    )
