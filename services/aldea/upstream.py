"""The STT servers of a lane: order of preference, passive and active health, a circuit breaker for each.

Everything but `watch` is arithmetic on an injected clock. A request calls `candidates()`, tries them in that order, and
reports what it saw with `succeeded` or `failed`; `watch` sends each server `GET /stats` in between, so that a dead
one is known before a customer meets it, and a revived one comes back without a customer trying it first.
"""

import asyncio
import functools
import random
import ssl
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Annotated, Final

import aiohttp
import structlog
from prometheus_client import Counter, Gauge
from pydantic import BeforeValidator
from pydantic_settings import NoDecode
from yarl import URL

from aldea import errors
from aldea.headers import REQUEST_ID_HEADER
from aldea.ids import new_request_id
from aldea.service.lifecycle import NotReady

log = structlog.get_logger("aldea.upstream")

# So many failures in a row, without a success between, open a circuit: one may be chance, three hardly.
FAILURES_TO_OPEN: Final = 3
# An open circuit is looked at again after this long, doubled each time in vain up to the cap. A restarted server is
# back within seconds of being ready; a dead one costs four probes a minute.
BACKOFF_SECONDS: Final = 1.0
BACKOFF_CAP_SECONDS: Final = 15.0
# Up to this share is added or taken at random, so that many proxies do not probe in step.
JITTER: Final = 0.2
# A server whose probe succeeded again gets one customer in this time, until one of them succeeded.
TRIAL_SECONDS: Final = 1.0
PROBE_EVERY_SECONDS: Final = 5.0
PROBE_DEADLINE_SECONDS: Final = 2.0
# The contract's path on STT servers that costs them nothing; any response below 500 shows that the server lives.
PROBE_PATH: Final = "/stats"

# Either public spelling of a path, and the STT server's own.
_PATHS: Final = {
    "/v1/listen": "/v1/listen",
    "/listen/v1": "/v1/listen",
    "/v1/listen/pcm": "/v1/listen/pcm",
    "/listen/v1/pcm": "/v1/listen/pcm",
    "/transcribe": "/transcribe",
}
_OPEN_ENDED: Final = "/transcribe/"

CIRCUIT_OPEN: Final = Gauge("aldea_upstream_circuit_open", "1 while a server is taken out of use", ["server"])
FAILURES: Final = Counter("aldea_upstream_failures_total", "Requests and probes that a server failed", ["server"])


@functools.cache
def trust() -> ssl.SSLContext:
    """What a server's certificate is verified with: the system's authorities, whose reading takes 30 ms, read once."""
    return ssl.create_default_context()


def parse_servers(value: object) -> tuple[str, ...]:
    """Base URLs from a comma separated text. Raises ValueError: what was got, what is allowed."""
    texts = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    servers = tuple(str(base_url(text)).rstrip("/") for text in (str(text).strip() for text in texts) if text)
    if not servers:
        raise ValueError("no server is named")
    if len(set(servers)) < len(servers):
        raise ValueError("a server is named twice")
    return servers


# The type of the setting STT_UPSTREAMS.
ServerList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_servers)]
SERVER_LIST_HELP: Final = (
    "comma separated base URLs of STT servers, this lane's own first, such as http://stt-a:8800,http://stt-b:8800"
)


def base_url(text: str) -> URL:
    """`text` as a server's base URL: scheme http or https, host, perhaps a port, nothing else. Raises ValueError."""
    try:
        url = URL(text)
        host, port = url.host, url.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no URL ({error})") from None
    if url.user is not None or url.password is not None:
        raise ValueError("a server's URL carries credentials; put the token into STT_UPSTREAM_TOKEN")
    if url.scheme not in {"http", "https"} or not host or not port:
        raise ValueError(f"{text!r} does not begin with http:// or https:// and a host")
    if url.path not in {"", "/"} or url.query_string or url.fragment:
        raise ValueError(f"{text!r} has a path or a query; only scheme, host and port are allowed")
    return url.origin()


def server_path(path: str) -> str:
    """The STT server's own path for a public one (raw, percent-encoded, without query). Raises errors.NotFound."""
    if (own := _PATHS.get(path)) is not None:
        return own
    if path.startswith(_OPEN_ENDED) and _plain(path):
        return path
    raise errors.NotFound(f"Nothing at {path:.100}. See the API reference for the addresses.")


def _plain(path: str) -> bool:
    # Dot segments, also encoded ones, would lead out of /transcribe/ on a server that resolves them.
    lowered = path.lower()
    return (
        not any(text in lowered for text in ("//", "\\", "%2e", "%2f", "%5c", "?", "#"))
        and not {".", ".."} & set(path.split("/"))
        and all("!" <= char <= "~" for char in path)
    )


class State(Enum):
    """A circuit's state."""

    CLOSED = "closed"  # in use
    OPEN = "open"  # out of use
    HALF_OPEN = "half-open"  # responds to probes again; one customer at a time tries it


class Circuit:
    """A circuit breaker: pure state on a clock in seconds that only ever rises."""

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """`chance` returns random numbers from 0 to 1, for jitter."""
        self.state = State.CLOSED
        self._clock = clock
        self._chance = chance
        # Counted apart: a server that responds to probes but fails customers is down all the same.
        self._failed_requests = 0
        self._failed_probes = 0
        self._opened = 0  # times in a row without a success between
        self._due = 0.0
        self._last_trial = float("-inf")

    @property
    def due(self) -> float:
        """Clock time at which an open circuit is to be looked at again."""
        return self._due

    def may_try(self) -> bool:
        """Whether the next customer may be the first choice's; on a half-open circuit this grants the trial."""
        if self.state is State.HALF_OPEN and self._clock() - self._last_trial >= TRIAL_SECONDS:
            self._last_trial = self._clock()
            return True
        return self.state is State.CLOSED

    def last_resort(self) -> bool:
        """Whether it may be tried where no better server is left."""
        return self.state is not State.OPEN or self._clock() >= self._due

    def succeeded(self) -> None:
        """A customer's request was served."""
        self.state = State.CLOSED
        self._failed_requests = self._failed_probes = self._opened = 0

    def failed(self) -> None:
        """A customer's request was not served."""
        self._failed_requests += 1
        self._judge(self._failed_requests)

    def probe_succeeded(self) -> None:
        """The server responded to a probe."""
        self._failed_probes = 0
        if self.state is State.OPEN and self._clock() >= self._due:
            self.state = State.HALF_OPEN
            self._last_trial = float("-inf")

    def probe_failed(self) -> None:
        """The server did not respond to a probe."""
        self._failed_probes += 1
        self._judge(self._failed_probes)

    def _judge(self, failures: int) -> None:
        if self.state is State.OPEN and self._clock() < self._due:
            return  # what was under way when it opened says nothing new
        if self.state is State.CLOSED and failures < FAILURES_TO_OPEN:
            return
        backoff = min(BACKOFF_SECONDS * 2.0 ** min(self._opened, 16), BACKOFF_CAP_SECONDS)
        self._due = self._clock() + _jittered(backoff, self._chance)
        self._opened += 1
        self.state = State.OPEN


def _jittered(seconds: float, chance: Callable[[], float]) -> float:
    return seconds * (1.0 - JITTER + 2.0 * JITTER * chance())


class Upstream:
    """One STT server."""

    __slots__ = ("base_url", "circuit", "name")

    def __init__(self, url: URL, circuit: Circuit) -> None:
        self.base_url = url
        self.name = f"{url.host}:{url.port}"
        self.circuit = circuit

    @property
    def healthy(self) -> bool:
        """Whether it is in use: its circuit is not open."""
        return self.circuit.state is not State.OPEN

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.circuit.state.value}>"


class Upstreams:
    """The STT servers that one proxy may use, in order of preference."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`servers`: base URLs, the lane's own first. `token`: what the proxy shows them. Raises ValueError."""
        self._clock = clock
        self._chance = chance
        self.authorization: dict[str, str] = {"Authorization": f"Token {token}"} if token else {}
        self.servers = tuple(Upstream(base_url(text), Circuit(clock, chance)) for text in parse_servers(list(servers)))
        for server in self.servers:
            CIRCUIT_OPEN.labels(server.name).set(0)
        if any(server.base_url.scheme == "https" for server in self.servers):
            trust()  # now, while nobody waits

    def candidates(self) -> list[Upstream]:
        """The servers to try, best first; empty only while every circuit is open."""
        first: list[Upstream] = []
        last: list[Upstream] = []
        for server in self.servers:
            if server.circuit.may_try():
                first.append(server)
            elif server.circuit.last_resort():
                last.append(server)
        return first + last

    def retry_after(self) -> float:
        """Seconds until the earliest open circuit is looked at again: for `Retry-After` when `candidates` is empty."""
        return max(1.0, min(server.circuit.due for server in self.servers) - self._clock())

    def succeeded(self, server: Upstream) -> None:
        """`server` served a customer."""
        before = server.circuit.state
        server.circuit.succeeded()
        if before is not State.CLOSED:
            self._report(server, before, "served a request")

    def failed(self, server: Upstream, reason: str) -> None:
        """`server` failed a request: no connection, no valid response, or a lost one. `reason`: for the log."""
        before = server.circuit.state
        server.circuit.failed()
        FAILURES.labels(server.name).inc()
        self._report(server, before, reason)

    def ws_url(self, server: Upstream, path: str, query: str) -> URL:
        """Where a live stream goes. `path` and `query` are raw (percent-encoded) and arrive as they are."""
        return _url(server, "wss" if server.base_url.scheme == "https" else "ws", server_path(path), query)

    async def check_ready(self) -> None:
        """A readiness check: at least one server can be used. Raises NotReady."""
        if not any(server.healthy for server in self.servers):
            raise NotReady("every STT server's circuit is open")

    async def watch(self, session: aiohttp.ClientSession) -> None:
        """Probe every server for ever."""
        await asyncio.gather(*(self._watch_one(session, server) for server in self.servers))

    async def _watch_one(self, session: aiohttp.ClientSession, server: Upstream) -> None:
        while True:
            await asyncio.sleep(self._until_next_probe(server))
            await self.probe(session, server)

    def _until_next_probe(self, server: Upstream) -> float:
        if server.healthy:
            return _jittered(PROBE_EVERY_SECONDS, self._chance)
        return min(max(0.05, server.circuit.due - self._clock()), PROBE_EVERY_SECONDS)

    async def probe(self, session: aiohttp.ClientSession, server: Upstream) -> None:
        """Probe `server` once, and note the result. Never raises but for cancellation."""
        failure: str | None = None
        try:
            async with session.get(
                _url(server, server.base_url.scheme, PROBE_PATH, ""),
                headers={REQUEST_ID_HEADER: new_request_id(), **self.authorization},
                timeout=aiohttp.ClientTimeout(total=PROBE_DEADLINE_SECONDS),
                allow_redirects=False,
            ) as response:
                if response.status >= 500:
                    failure = f"probe response {response.status}"
        except TimeoutError:
            failure = f"no response to the probe within {PROBE_DEADLINE_SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = f"probe failed: {type(error).__name__}: {error}"
        before = server.circuit.state
        if failure is None:
            server.circuit.probe_succeeded()
        else:
            server.circuit.probe_failed()
            FAILURES.labels(server.name).inc()
        self._report(server, before, failure or "responded to a probe")

    def _report(self, server: Upstream, before: State, reason: str) -> None:
        now = server.circuit.state
        if now is before:
            return
        CIRCUIT_OPEN.labels(server.name).set(now is State.OPEN)
        level = log.warning if now is State.OPEN else log.info
        level("circuit " + now.value, server=server.name, reason=reason)


def _url(server: Upstream, scheme: str, path: str, query: str) -> URL:
    url = server.base_url
    return URL.build(scheme=scheme, authority=url.raw_authority, path=path, query_string=query, encoded=True)
