"""A request's head before any handler sees it: two spellings that all services read alike. Performs no I/O."""

from typing import Any

from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL


def tidied(message: RawRequestMessage) -> RawRequestMessage:
    """`message` as handlers read it; `raw_headers` stay as they came.

    Of several slashes before the path one is kept: a client whose base URL ends in a slash requests `//v1/listen`.
    A header's text holds no lone surrogate (which is how the parser writes bytes that are not UTF-8): it could be
    neither hashed, stored nor sent on. Such bytes read as U+FFFD.
    """
    changes: dict[str, Any] = {}
    if message.path.startswith("//"):
        changes["path"] = "/" + message.path.lstrip("/")
        path, _, query = changes["path"].partition("?")
        changes["url"] = URL.build(path=path, query_string=query.partition("#")[0], encoded=True)
    for _, value in message.raw_headers:
        if not value.isascii():
            changes["headers"] = _readable(message.headers)
            break
    return message._replace(**changes) if changes else message


def _readable(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(
        CIMultiDict(
            (name, value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
            for name, value in headers.items()
        )
    )
