"""The STT servers that a proxy may use: which one a request tries, what was seen of each, which are to be left."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self

import aiohttp
import structlog
from yarl import URL

from aldea.numbers import bounded_wait
from aldea.service.lifecycle import NotReady
from aldea.tasks import Deadline, cancel, spawn
from aldea.upstream import choice, probes
from aldea.upstream.attempts import Attempts
from aldea.upstream.circuit import Circuit, State, jittered
from aldea.upstream.look import Look, Looks
from aldea.upstream.metrics import FAILURES, LEAVING, PLACES, PLACES_USED
from aldea.upstream.names import Lookup, Name, system_lookup
from aldea.upstream.probes import ProbeFailed
from aldea.upstream.server import Upstream
from aldea.upstream.settings import UpstreamSettings
from aldea.upstream.stats import UNKNOWN, AbsurdStats, Stats
from aldea.upstream.urls import base_url, parse_servers, server_path, trust

log = structlog.get_logger("aldea.upstream")

# A server that said that it has no place is tried last for as long as it said, within these bounds: its next
# statistics say more, and one that says "in an hour" must not be out of use for an hour.
BUSY_SECONDS: Final = 2.0
BUSY_CAP_SECONDS: Final = 10.0
RESOLVE_EVERY_SECONDS: Final = 10.0
# Of each process, for the operators' console.
KEPT_FAILOVERS: Final = 10
# How long a readiness check waits for a look: it is to say which servers are out of use before its own deadline.
LOOK_SECONDS: Final = 1.0


class Upstreams:
    """The STT servers that one proxy may use, in order of preference."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        token: str | None = None,
        resolve_seconds: float = RESOLVE_EVERY_SECONDS,
        lookup: Lookup = system_lookup,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`servers`: base URLs, the lane's own first. `token`: what the proxy shows them. Raises ValueError.

        `resolve_seconds`: how often each name's addresses are looked up. The rest is for tests.
        """
        self._clock = clock
        self._chance = chance
        self._resolve_seconds = resolve_seconds
        # The newest of them: what `note_failover` was given, and when, Unix milliseconds.
        self.failovers: deque[dict[str, Any]] = deque(maxlen=KEPT_FAILOVERS)
        self._on_leaving: list[Callable[[Upstream], None]] = []
        self._looks: Looks | None = None  # while the servers are watched
        self.authorization: dict[str, str] = {"Authorization": f"Token {token}"} if token else {}
        self._members_changed = asyncio.Event()
        self._names = [
            Name(
                base_url(text),
                self._make,
                lookup=lookup,
                clock=clock,
                note=self._note_withdrawn,
                changed=self._members_changed.set,
            )
            for text in parse_servers(list(servers))
        ]
        if any(server.base_url.scheme == "https" for server in self.servers):
            trust()  # now, while nobody waits

    @classmethod
    def of(cls, settings: UpstreamSettings) -> Self:
        """The servers that these settings name."""
        token = settings.stt_upstream_token
        return cls(
            settings.stt_upstreams,
            token=token.get_secret_value() if token else None,
            resolve_seconds=settings.upstream_name_seconds,
        )

    def _make(self, url: URL) -> Upstream:
        return Upstream(url, Circuit(self._clock, self._chance))

    @property
    def servers(self) -> tuple[Upstream, ...]:
        """All servers that requests may be sent to, in order of preference."""
        names = self._names
        return names[0].servers if len(names) == 1 else tuple(server for name in names for server in name.servers)

    @property
    def resolved(self) -> bool:
        """Whether every name was looked up once: there is nothing to wait for before a request."""
        for name in self._names:  # noqa: SIM110 - a generator takes several times as long, with every request
            if not name.resolved:
                return False
        return True

    async def renew(self, *, doubtful: bool = True) -> None:
        """For a request, briefly: look up the names that were never resolved.

        `doubtful`: also those of which a server failed.
        """
        if names := [name for name in self._names if not name.resolved or (doubtful and name.doubted)]:
            await asyncio.gather(*(name.renew() for name in names))

    # Choosing.

    def attempts(self, *, avoiding: Upstream | None = None) -> Attempts:
        """The servers for one request, one at a time (see `Attempts`); never `avoiding`, nor one that is to be left."""
        return Attempts(self, avoiding)

    def candidates(self) -> list[Upstream]:
        """The servers to try, best first (see `choice.candidates`).

        Empty only while every circuit is open or every server is to be left.
        """
        return choice.candidates([name.servers for name in self._names], self._clock(), self._chance)

    def look(self, tried: Collection[Upstream]) -> Look | None:
        """A fresh look at the servers that are out of use, for a request that would be refused otherwise.

        None if all that could be looked at were `tried`. What was seen of such a server is up to 18 s old: it may have
        been restarted since.
        """
        return self._looks.begin() if self._looks is not None and self.may_look(tried) else None

    def may_look(self, tried: Collection[Upstream]) -> bool:
        """Whether there is a server out of use that was not `tried`."""
        return self._looks is not None and any(server not in tried for server in self._out_of_use())

    def _out_of_use(self) -> list[Upstream]:
        return [server for server in self.servers if server.may_be_back]

    def retry_after(self) -> float:
        """Seconds until the earliest open circuit is looked at again: for `Retry-After` when `candidates` is empty."""
        due = [server.circuit.due for server in self.servers if not (server.healthy or server.leaving)]
        return max(1.0, min(due) - self._clock()) if due else 1.0

    # What requests report.

    def hold(self, server: Upstream) -> None:
        """A request is sent to `server`; `release` follows exactly once, when the server works on it no more."""
        server.held += 1

    def release(self, server: Upstream) -> None:
        """A request that was held is over, or is another server's now."""
        server.held -= 1

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
        FAILURES.labels(server.configured).inc()
        self._report(server, before, reason)
        for name in self._names:
            if server in name.servers:
                name.doubt()

    def busy(self, server: Upstream, seconds: float | None) -> None:
        """`server` responded 429 or 503: it lives and has no place. `seconds`: its Retry-After, if it has one."""
        wait = BUSY_SECONDS if seconds is None else min(bounded_wait(seconds, least=BUSY_SECONDS), BUSY_CAP_SECONDS)
        server.busy_until = self._clock() + wait

    def note_failover(self, request_id: str, lost: Upstream | None, taken: Upstream, cause: str) -> None:
        """A running stream went from one server to another."""
        self.failovers.append(
            {
                "at_ms": time.time_ns() // 1_000_000,
                "request_id": request_id,
                "lost": lost.name if lost is not None else None,
                "taken": taken.name,
                "cause": cause,
            }
        )

    # What is to be left.

    def on_leaving(self, callback: Callable[[Upstream], None]) -> None:
        """`callback(server)` is called whenever `server.leaving` becomes true, on the event loop.

        It must not block. What it raises is logged. A server that already was to be left when the callback was added
        is not reported: check `Upstream.leaving` once afterwards.
        """
        self._on_leaving.append(callback)

    def switch_own_lane(self, off: bool) -> None:
        """The lane's weight at the load balancer became 0 (`off`), or is more again: its own servers are to be left."""
        self._names[0].switched_off = off
        for server in self._names[0].watched:
            with self._reporting_leaving(server):
                server.switched_off = off

    def note_restart(self, server: Upstream) -> None:
        """`server` closed a stream with 1012 (RFC 6455 section 7.4): it is to be left until its statistics say more."""
        with self._reporting_leaving(server):
            server.stats = replace(server.stats, draining=True)

    def note_stats(self, server: Upstream, stats: Stats, held_then: int) -> None:
        """`server` said this of itself; `held_then`: `server.held` when it was requested."""
        PLACES.labels(server.name).set(stats.capacity or 0)
        PLACES_USED.labels(server.name).set(stats.used)
        server.read_at, server.held_then = self._clock(), held_then
        with self._reporting_leaving(server):
            server.stats = stats

    def _note_withdrawn(self, server: Upstream, withdrawn: bool) -> None:
        with self._reporting_leaving(server):
            server.withdrawn = withdrawn
        server.show_circuit()

    @contextmanager
    def _reporting_leaving(self, server: Upstream) -> Iterator[None]:
        before = server.leaving
        yield
        if server.leaving is before:
            return
        LEAVING.labels(server.name).set(server.leaving)
        if not server.leaving:
            log.info("server takes streams again", server=server.name)
            return
        reason = "its lane is switched off" if server.switched_off else "it is about to stop"
        if server.withdrawn:
            reason = "its name no longer has this address"
        log.info("server is to be left", server=server.name, reason=reason)
        for callback in self._on_leaving:
            try:
                callback(server)
            except Exception:
                log.exception("callback failed", server=server.name)

    # The rest.

    def ws_url(self, server: Upstream, path: str, query: str) -> URL:
        """Where a live stream goes. `path` and `query` are raw (percent-encoded) and arrive as they are."""
        url = server.base_url
        scheme = "wss" if url.scheme == "https" else "ws"
        return URL.build(
            scheme=scheme, authority=url.raw_authority, path=server_path(path), query_string=query, encoded=True
        )

    async def check_ready(self) -> None:
        """A readiness check: at least one server can be used. Raises NotReady."""
        if not self.candidates() and (look := self.look(())) is not None:
            with suppress(TimeoutError), Deadline(LOOK_SECONDS):
                if await look.next(()) is not None:
                    return
        if not any(server.healthy for server in self.servers):
            raise NotReady("every STT server's circuit is open")
        if not any(server.healthy and not server.leaving for server in self.servers):
            raise NotReady("every STT server that can be used is about to stop, or its lane is switched off")

    async def watch(self, session: aiohttp.ClientSession) -> None:
        """Resolve the names and probe every server, for ever."""
        background = [
            spawn(name.keep_resolved(self._until_next_lookup), name="resolve") for name in self._names if not name.fixed
        ]
        probing: dict[Upstream, asyncio.Task[None]] = {}
        self._looks = looks = Looks(self._out_of_use, partial(self.probe, session))
        try:
            while True:
                self._members_changed.clear()
                watched = {server for name in self._names for server in name.watched}
                await cancel(*(probing.pop(server) for server in probing.keys() - watched))
                for server in watched - probing.keys():
                    probing[server] = spawn(self._watch_one(session, server), name=f"probe {server.name}")
                await self._members_changed.wait()
        finally:
            self._looks = None
            await looks.close()
            await cancel(*background, *probing.values())

    def _until_next_lookup(self) -> float:
        return jittered(self._resolve_seconds, self._chance)

    async def _watch_one(self, session: aiohttp.ClientSession, server: Upstream) -> None:
        while True:
            await self.probe(session, server)
            await asyncio.sleep(self._until_next_probe(server))

    def _until_next_probe(self, server: Upstream) -> float:
        if server.healthy:
            return jittered(probes.PROBE_EVERY_SECONDS, self._chance)
        return min(max(0.05, server.circuit.due - self._clock()), probes.PROBE_EVERY_SECONDS)

    async def probe(self, session: aiohttp.ClientSession, server: Upstream) -> bool:
        """Probe `server` once, and note the result: whether it responded. Never raises but for cancellation."""
        before, held_then = server.circuit.state, server.held
        try:
            stats = await probes.probe(session, server, self.authorization)
        except ProbeFailed as failure:
            server.circuit.probe_failed()
            FAILURES.labels(server.configured).inc()
            self._report(server, before, str(failure))
            return False
        except AbsurdStats as absurd:
            stats = UNKNOWN
            if not server.absurd:
                log.warning("statistics refused", server=server.name, reason=str(absurd))
            server.absurd = True
        else:
            server.absurd = False
        server.circuit.probe_succeeded()
        self.note_stats(server, stats, held_then)
        self._report(server, before, "responded to a probe")
        return True

    def _report(self, server: Upstream, before: State, reason: str) -> None:
        now = server.circuit.state
        if now is before:
            return
        server.show_circuit()
        level = log.warning if now is State.OPEN else log.info
        level("circuit " + now.value, server=server.name, reason=reason)
