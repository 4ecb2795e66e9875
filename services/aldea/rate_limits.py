"""The headers `RateLimit-Policy` and `RateLimit` of a response (draft-ietf-httpapi-ratelimit-headers-10). Pure.

Both are lists of structured fields (RFC 9651): the policies that a request was counted against, and what is left.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

POLICY_HEADER: Final = "RateLimit-Policy"
LEFT_HEADER: Final = "RateLimit"


class Limit(NamedTuple):
    """A limit and what is left of it.

    `window`: the seconds that the quota is for; None: it is of requests at a time. `seconds`: until all of it is left
    again; None: that cannot be known.
    """

    policy: str
    quota: int
    left: int
    window: int | None
    seconds: int | None


def headers(limits: Iterable[Limit]) -> dict[str, str]:
    """The two headers of these limits; none if there are no limits."""
    policies, left = [], []
    for one in limits:
        of = ';qu="concurrent-requests"' if one.window is None else f";w={one.window}"
        policies.append(f'"{one.policy}";q={one.quota}{of}')
        left.append(f'"{one.policy}";r={one.left}' + ("" if one.seconds is None else f";t={one.seconds}"))
    return {POLICY_HEADER: ", ".join(policies), LEFT_HEADER: ", ".join(left)} if left else {}
