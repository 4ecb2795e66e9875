"""What admission counted a request against, for the headers of its response (aldea.rate_limits).

A policy is named by whose it is: `key`, `project` or `account` for requests a minute, with `-streams` behind it for
requests at a time. What is left of a minute is what may come at once now (see gcra.py): less than the minute's quota,
and whole again after `t` seconds.
"""

from typing import Final

from aiohttp import web

from aldea import rate_limits
from aldea.admission.grant import Grant
from aldea.headers import RATE_LIMITS
from aldea.rate_limits import Limit

_MINUTE: Final = 60


def read(text: str) -> list[Limit]:
    """What admit.lua says of the limits: `policy quota left seconds`, one behind the other; `-`: at a time."""
    words = text.split()
    return [
        Limit(policy, int(quota), int(left), None, None)
        if seconds == "-"
        else Limit(policy, int(quota), int(left), _MINUTE, int(seconds))
        for policy, quota, left, seconds in zip(words[::4], words[1::4], words[2::4], words[3::4], strict=True)
    ]


def headers(text: str) -> dict[str, str]:
    """The two headers of what admit.lua says."""
    return rate_limits.headers(read(text)) if text else {}


def note(request: web.BaseRequest, grant: Grant) -> None:
    """Let every response to a request say what admission counted of it."""
    request[RATE_LIMITS] = headers(grant.rate_limits)
