"""A plain upload as the rest of the http-proxy reads it: the few members of aiohttp's request that it uses."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp import HttpVersion11, hdrs

from http_proxy.raw.body import Body
from http_proxy.raw.head import PlainHead

if TYPE_CHECKING:
    from http_proxy.raw.connection import RawConnection


class Target(NamedTuple):
    """A request's target, as it was written."""

    raw_path: str
    raw_query_string: str


class PlainRequest(dict[Any, Any]):
    """One plain upload; a mapping as well, for what is kept with a request."""

    __slots__ = ("content", "content_length", "headers", "keep_alive", "output_size", "protocol", "raw_headers",
                 "rel_url")  # fmt: skip

    method: Final = hdrs.METH_POST
    version: Final = HttpVersion11

    def __init__(self, connection: "RawConnection", head: PlainHead, body: Body) -> None:
        self.protocol = connection
        self.content = body
        self.rel_url = Target(head.path, head.query)
        self.headers = head.headers
        self.raw_headers = head.headers.raw
        self.content_length = head.length
        self.keep_alive = head.keep_alive
        self.output_size = 0  # bytes of the response that were written

    @property
    def path(self) -> str:
        """The path, in which nothing is encoded."""
        return self.rel_url.raw_path

    @property
    def transport(self) -> asyncio.Transport | None:
        """The client's connection; None once it is lost."""
        return self.protocol.transport

    @property
    def remote(self) -> str | None:
        """The address of the connection's other end."""
        return self.protocol.remote

    @property
    def writer(self) -> "PlainRequest":
        """What counts the bytes that were written: itself."""
        return self
