"""A request's head before any handler sees it: spellings that all services read alike. Performs no I/O."""

import re
from typing import Any, Final

from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

# RFC 9110 section 7.2: a host, perhaps a port. Names as DNS and containers have them, addresses, IPv6 in brackets;
# nothing that another hop could take for a path, a credential or a second host.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)


def valid_host(value: str) -> bool:
    """Whether a Host header names a host. An empty one does: it is for targets that have none."""
    found = _HOST.fullmatch(value)
    return found is not None and int(found[1] or 0) <= 65_535


def tidied(message: RawRequestMessage) -> RawRequestMessage:
    """`message` as handlers read it; `raw_headers` stay as they came.

    Of a whole URL, as it is sent to proxies, the host replaces the Host header's, and the path and query stay (RFC 9112
    section 3.2.2).
    Of several slashes before the path one is kept: a client whose base URL ends in a slash requests `//v1/listen`.
    A header's text holds no lone surrogate (which is how the parser writes bytes that are not UTF-8): it could be
    neither hashed, stored nor sent on. Such bytes read as U+FFFD.
    """
    changes: dict[str, Any] = {}
    headers, target = message.headers, message.path
    if (absolute := _ABSOLUTE.match(target)) is not None:
        target = target[absolute.end() :]
        target = target if target.startswith("/") else f"/{target}"
        headers = _with_host(headers, absolute[1])
    if target.startswith("//"):
        target = "/" + target.lstrip("/")
    if target != message.path:
        path, _, query = target.partition("?")
        changes["path"] = target
        changes["url"] = URL.build(path=path, query_string=query.partition("#")[0], encoded=True)
    for _, value in message.raw_headers:
        if not value.isascii():
            headers = _readable(headers)
            break
    if headers is not message.headers:
        changes["headers"] = headers
    return message._replace(**changes) if changes else message


def _with_host(headers: CIMultiDictProxy[str], host: str) -> CIMultiDictProxy[str]:
    made = CIMultiDict(headers)
    made["Host"] = host
    return CIMultiDictProxy(made)


def _readable(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(
        CIMultiDict(
            (name, value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
            for name, value in headers.items()
        )
    )
