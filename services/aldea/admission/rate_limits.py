"""The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), as admission counted.

A policy is named by whose it is: `key`, `project` or `account` for requests a minute, with `-streams` behind it for
requests at a time. What is left of a minute is what may come at once now (see gcra.py): less than the minute's quota,
and whole again after `t` seconds. Of requests at a time no end can be foreseen, so they have no `t`.
"""

from typing import Final, NamedTuple

from aiohttp import web

from aldea.admission.grant import Grant
from aldea.headers import RATE_LIMITS

POLICY_HEADER: Final = "RateLimit-Policy"
LEFT_HEADER: Final = "RateLimit"
_MINUTE: Final = ";w=60"
_AT_A_TIME: Final = ';qu="concurrent-requests"'


class Limit(NamedTuple):
    """A limit that a request was counted against. `seconds`: until all of it is left again; None: unknown."""

    policy: str
    quota: int
    left: int
    seconds: int | None


def read(text: str) -> list[Limit]:
    """What admit.lua says of the limits: `policy quota left seconds`, one behind the other; `-`: unknown."""
    words = text.split()
    return [
        Limit(policy, int(quota), int(left), None if seconds == "-" else int(seconds))
        for policy, quota, left, seconds in zip(words[::4], words[1::4], words[2::4], words[3::4], strict=True)
    ]


def note(request: web.BaseRequest, grant: Grant) -> None:
    """Let every response to a request say what admission counted of it."""
    request[RATE_LIMITS] = headers(grant.rate_limits)


def headers(text: str) -> dict[str, str]:
    """The two headers of what admit.lua says; none if nothing is limited."""
    found = read(text)
    if not found:
        return {}
    policies = [f'"{one.policy}";q={one.quota}{_AT_A_TIME if one.seconds is None else _MINUTE}' for one in found]
    left = [f'"{one.policy}";r={one.left}' + ("" if one.seconds is None else f";t={one.seconds}") for one in found]
    return {POLICY_HEADER: ", ".join(policies), LEFT_HEADER: ", ".join(left)}
