"""Plan: what a load test does, within bounds, and whether its target is the user's own. No I/O."""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

# One process of Python sends so many streams in real time; more need several machines anyway.
MAX_STREAMS: Final = 2_000
MAX_UPLOADS: Final = 200
MAX_SECONDS: Final = 3_600.0
# No deployment is opened more streams a second: that would test its rate limit, and look like an attack.
MAX_OPENINGS_PER_SECOND: Final = 50.0
MAX_STAGE_SECONDS: Final = 300.0
# Doubled up to MAX_STREAMS, and then halved down to the search's precision.
MAX_STAGES: Final = 18
MIN_STREAM_SECONDS: Final = 1.0


class UnusablePlan(ValueError):
    """The options cannot be used; the message says what was got, what is allowed and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`streams` at a time, reached within `ramp` seconds and kept for `hold`; `uploads` at a time beside them.

    `stream_seconds`: after so long a stream ends and another one takes its place. `saturation`: the load goes up in
    steps of `hold` seconds to at most `streams`, until the deployment no longer keeps the objectives.
    """

    url: str
    streams: int
    ramp: float
    hold: float
    uploads: int = 0
    stream_seconds: float = 60.0
    saturation: bool = False
    own: bool = False

    def checked(self) -> "Plan":
        """Itself. Raises UnusablePlan."""
        within("--streams", self.streams, 1, MAX_STREAMS)
        within("--uploads", self.uploads, 0, MAX_UPLOADS)
        within("--ramp", self.ramp, 0, MAX_SECONDS)
        within("--hold", self.hold, 1, MAX_STAGE_SECONDS if self.saturation else MAX_SECONDS)
        within("--stream-seconds", self.stream_seconds, MIN_STREAM_SECONDS, MAX_SECONDS)
        parts = _parts(self.url)
        if not self.own and not is_loopback(parts):
            raise UnusablePlan(
                f"{parts} is not this machine. Load on a deployment that is not yours is an attack on it: "
                "give --i-own-this if it is, and its owner has agreed."
            )
        return self

    @property
    def longest_seconds(self) -> float:
        """How long the test may take, a search with all the stages that it may need."""
        return (self.ramp_seconds + self.hold) * (MAX_STAGES if self.saturation else 1)

    @property
    def ramp_seconds(self) -> float:
        """Of the ramp, at the least so many that no more streams open in a second than may."""
        return max(self.ramp, self.streams / MAX_OPENINGS_PER_SECOND)

    @property
    def opening_seconds(self) -> float:
        """From one stream's opening to the next one's."""
        return self.ramp_seconds / self.streams


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine by its spelling. A name that only resolves to it is not trusted."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parts(url: str) -> str:
    """The host of `url`. Raises UnusablePlan."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https", "ws", "wss"} or not host or parts.query or parts.fragment:
        raise UnusablePlan(f"--url: got {url[:200]!r}; allowed: http://, https://, ws:// or wss:// with host and port.")
    if parts.username is not None:
        raise UnusablePlan("--url: got one with a user name; the key goes into --key or ALDEA_KEY.")
    return host


def within(option: str, value: float, least: float, most: float) -> None:
    """Raises UnusablePlan, unless an option's value is within these bounds."""
    if not least <= value <= most:  # NaN too
        raise UnusablePlan(f"{option}: got {value:g}; allowed: {least:g} to {most:g}.")
