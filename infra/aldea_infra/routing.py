"""The load balancer's rules as plain data, and an evaluator with the ALB's own matching rules.

The Pulumi program turns this table into listener rules; the onebox's balancer routes by it. Matching follows the
Application Load Balancer: hosts and header values ignore case, paths do not, `*` matches any characters (also
none, also `/`), `?` for exactly one, values of one condition are alternatives, conditions of one rule must all hold,
the lowest priority that matches wins.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Target(StrEnum):
    """What a rule forwards to. A stack maps each to one or several weighted target groups (lanes)."""

    WS_PROXY = "ws-proxy"
    HTTP_PROXY = "http-proxy"
    BACKEND = "backend"
    FRONTEND = "frontend"


@dataclass(frozen=True, slots=True)
class Hosts:
    """The public host names of one deployment."""

    api: str
    backend: str
    platform: str


@dataclass(frozen=True, slots=True)
class HeaderCondition:
    """The request carries the header `name` with one of `values` (wildcards allowed)."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One listener rule: the conditions that are given must all hold. Lower priority numbers are tried first."""

    priority: int
    target: Target
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    header: HeaderCondition | None = None

    def matches(self, host: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request fits. `host` without a port, `path` without a query."""
        if self.hosts and not any(wildcard_match(pattern, host, ignore_case=True) for pattern in self.hosts):
            return False
        if self.paths and not any(wildcard_match(pattern, path) for pattern in self.paths):
            return False
        return self.header is None or _header_matches(self.header, headers)


@dataclass(frozen=True, slots=True)
class FixedResponse:
    """A response of the load balancer itself."""

    status: int
    content_type: str
    body: str


LISTEN_PATHS: Final = ("/listen/*", "/v1/listen*")
# With the header's they are five values, the most that a rule may have.
LIVE_PATHS: Final = (*LISTEN_PATHS, "/v2/listen", "/v1/realtime")
MANAGEMENT_PATHS: Final = ("/v1/projects*", "/v1/auth/*", "/v1/models*", "/v1/status*")
# Who opens the API's address in a browser is led to its documentation.
DOCUMENTATION_PATHS: Final = ("/", "/docs", "/docs/*")
TRANSCRIBE_PATHS: Final = ("/transcribe", "/transcribe/*", "/v1/audio/*")
WEBSOCKET_UPGRADE: Final = HeaderCondition("Upgrade", ("websocket",))

# The load balancer cannot mint a request id, so the field is there and empty, and no `dg-request-id` is sent.
DEFAULT_RESPONSE: Final = FixedResponse(
    status=404,
    content_type="application/json",
    body=json.dumps(
        {
            "err_code": "NOT_FOUND",
            "err_msg": "No such path. Live audio: WebSocket on /v1/listen, /v2/listen or /v1/realtime; "
            "recorded audio: POST /v1/listen. See /docs/errors#not_found",
            "request_id": "",
        }
    ),
)


def rules(hosts: Hosts) -> tuple[Rule, ...]:
    """The listener rules of a deployment with these host names, by rising priority."""
    return (
        Rule(10, Target.FRONTEND, hosts=(hosts.platform,)),
        Rule(20, Target.BACKEND, hosts=(hosts.backend,)),
        # One SDK base URL serves listening and management.
        Rule(30, Target.BACKEND, paths=MANAGEMENT_PATHS),
        Rule(40, Target.BACKEND, paths=DOCUMENTATION_PATHS),
        Rule(100, Target.WS_PROXY, paths=LIVE_PATHS, header=WEBSOCKET_UPGRADE),
        Rule(200, Target.HTTP_PROXY, paths=LISTEN_PATHS),
        Rule(300, Target.HTTP_PROXY, paths=TRANSCRIBE_PATHS),
    )


def match(table: Sequence[Rule], host: str, path: str, headers: Mapping[str, str]) -> Rule | None:
    """The rule that takes a request; None where the response is `DEFAULT_RESPONSE`.

    `host` is the Host header's value (a port is ignored), `path` the request target as sent (a query is ignored;
    nothing is decoded or normalised), `headers` any mapping, a multidict included.
    """
    name = _without_port(host)
    bare = path.partition("?")[0]
    for rule in sorted(table, key=lambda rule: rule.priority):
        if rule.matches(name, bare, headers):
            return rule
    return None


def wildcard_match(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Whether `text` fits a load balancer pattern as a whole."""
    return _compiled(pattern, ignore_case).fullmatch(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG))


def _header_matches(condition: HeaderCondition, headers: Mapping[str, str]) -> bool:
    wanted = condition.name.lower()
    pairs: Iterable[tuple[str, str]] = headers.items()
    return any(
        wildcard_match(pattern, value.strip(), ignore_case=True)
        for name, value in pairs
        if name.lower() == wanted
        for pattern in condition.values
    )


def _without_port(host: str) -> str:
    if host.startswith("["):  # an IPv6 literal: its colons are not a port
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
