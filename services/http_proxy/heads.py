"""Which headers are passed on: heads of requests to the STT server and of responses to the client. No I/O."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote_plus

from aldea.headers import REQUEST_ID_HEADER, SERVER

RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]

# RFC 9110 section 7.6.1, and the older names that mean the same.
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
# The customer's credential goes no further; the length is written anew; a response that is metered is requested
# uncompressed (without the header any coding would be welcome, RFC 9110 section 12.5.3); who may be believed about the
# client's address and id is this proxy alone.
_NOT_TO_SERVER: Final = _HOP_BY_HOP | {
    b"authorization", b"cookie", b"sec-websocket-protocol", b"host", b"content-length", b"expect", b"accept-encoding",
    b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded", b"x-real-ip",
    b"dg-request-id", b"x-amzn-trace-id", b"traceparent", b"tracestate", b"baggage",
}  # fmt: skip
# An STT server's own limits are not the customer's.
_NOT_TO_CLIENT: Final = _HOP_BY_HOP | {
    b"content-length", b"dg-request-id", b"set-cookie", b"server", b"ratelimit", b"ratelimit-policy",
}  # fmt: skip

# For browsers. Credentials are in a header that a page must set itself, never in cookies: any origin may send requests.
CORS: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "dg-request-id, dg-error, Retry-After, RateLimit, RateLimit-Policy",
}
# What every response of ours carries.
_OWN_LINES: Final = "".join(f"{name}: {value}\r\n" for name, value in {**CORS, "Server": SERVER}.items()).encode()

# What the http-proxy itself acts on; the STT server never sees them.
_CALLBACK_PARAMETERS: Final = frozenset({"callback", "callback_method", "metadata"})


def request_head(
    *,
    target: str,
    host: str,
    raw_headers: RawHeaders,
    length: int | None,
    request_id: str,
    client: str,
    authorization: Mapping[str, str],
    trace: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The head of the request to the STT server. `length`: of the body in bytes, None for chunked.

    `trace`: the headers of the request's trace.
    """
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [
        f"POST {target} HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n{REQUEST_ID_HEADER}: {request_id}\r\n"
        f"X-Forwarded-For: {client}\r\nAccept-Encoding: identity\r\n".encode("utf-8", "surrogateescape")
    ]
    listed = _listed_in_connection(raw_headers)
    for name, value in raw_headers:
        lowered = name.lower()
        if lowered not in _NOT_TO_SERVER and lowered not in listed:
            lines.append(b"%b: %b\r\n" % (name, value))
    lines.extend(f"{name}: {value}\r\n".encode("latin-1") for name, value in authorization.items())
    lines.extend(f"{name}: {value}\r\n".encode() for name, value in trace.items())
    lines.append(b"\r\n")
    return b"".join(lines)


def response_head(
    *,
    status: int,
    reason: str,
    raw_headers: RawHeaders,
    length: int | None,
    request_id: str,
    keep_alive: bool,
    chunked: bool,
    more: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The head of the response to the client. `length`: of the body, None: chunked, or it ends with the connection.

    `more`: headers of ours.
    """
    lines = [
        f"HTTP/1.1 {status} {reason}\r\n{REQUEST_ID_HEADER}: {request_id}\r\n".encode("latin-1", "replace"),
        _OWN_LINES,
        *(f"{name}: {value}\r\n".encode() for name, value in more.items()),
    ]
    listed = _listed_in_connection(raw_headers)
    for name, value in raw_headers:
        lowered = name.lower()
        if lowered in _NOT_TO_CLIENT or lowered in listed or lowered.startswith(b"access-control-"):
            continue
        lines.append(b"%b: %b\r\n" % (name, value))
    if length is not None:
        lines.append(b"Content-Length: %d\r\n" % length)
    elif chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if not keep_alive:
        lines.append(b"Connection: close\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def _listed_in_connection(raw_headers: RawHeaders) -> frozenset[bytes]:
    """Header names that this hop's Connection header takes with it (RFC 9110 section 7.6.1)."""
    for name, _ in raw_headers:
        if len(name) == 10 and name.lower() == b"connection":
            break
    else:
        return frozenset()
    return frozenset(
        token.strip().lower()
        for name, value in raw_headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    ) - {b"content-type", b"content-encoding"}


def parameters(query: str, name: str) -> list[str]:
    """The values of a parameter in a raw query."""
    if name not in query and "%" not in query:
        return []
    return [value for key, value in parse_qsl(query, keep_blank_values=True) if key == name]


def pairs(query: str) -> list[tuple[str, str]]:
    """The decoded pairs of a raw query that have a value, as `parse_qsl` reads them; nearly all need no decoding."""
    if "%" in query or "+" in query:
        return parse_qsl(query)
    return [(name, value) for name, _, value in [part.partition("=") for part in query.split("&")] if value]


def without_callback(query: str) -> str:
    """The raw query without what belongs to callbacks; everything else stays as it was written."""
    return "&".join(part for part in query.split("&") if _name(part) not in _CALLBACK_PARAMETERS)


def _name(part: str) -> str:
    return unquote_plus(part.split("=", 1)[0])
