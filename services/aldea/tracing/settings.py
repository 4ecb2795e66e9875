"""Whose trace context is continued: who began a trace decides whether it is recorded, and we pay for that."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final, TypeAlias

from aiohttp import web
from pydantic import AfterValidator, Field

from aldea.service.client_address import ForwardedSettings, client_address, read_address
from aldea.settings import ServiceSettings
from aldea.tracing.context import TRACEPARENT

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

# Words for networks; inside are loopback and private addresses (RFC 1918, RFC 4193), which are callers of our own.
_NAMED: Final = {
    "inside": "127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, ::1/128, fc00::/7",
    "everybody": "0.0.0.0/0, ::/0",
    "nobody": "",
}


@lru_cache(maxsize=16)
def networks(text: str) -> Networks:
    """What a setting says. Raises ValueError: which part is no network."""
    listed = _NAMED.get(text.strip(), text).split(",")
    return tuple(ip_network(part.strip()) for part in listed if part.strip())


def _checked(text: str) -> str:
    networks(text)
    return text


class TracedSettings(ServiceSettings):
    """For a service that customers call."""

    trace_callers: Annotated[str, AfterValidator(_checked)] = Field(
        "inside",
        description="whose traceparent is continued, by the client's address: comma separated networks (10.0.0.0/8), "
        "or one word: inside (loopback and private addresses), everybody, nobody",
    )

    def continues_trace(self, request: web.BaseRequest) -> bool:
        """Whether the request brings a trace context of somebody whose traces are continued."""
        return TRACEPARENT in request.headers and within(self.trace_caller(request), self.trace_callers)

    def trace_caller(self, request: web.BaseRequest) -> str:
        """The address of who wrote the request's trace context."""
        return client_address(request)


class ForwardedTracedSettings(TracedSettings, ForwardedSettings):
    """For one that knows how many hops of ours are before it."""

    def trace_caller(self, request: web.BaseRequest) -> str:
        """See `TracedSettings`."""
        return client_address(request, self.forwarded_hops)


@lru_cache(maxsize=1024)
def within(address: str, text: str) -> bool:
    """Whether an address is in the networks of a setting."""
    found = read_address(address)
    return found is not None and any(found in network for network in networks(text))
