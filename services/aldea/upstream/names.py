"""A configured server name and the servers behind it: one for each of its addresses, which come and go."""

import asyncio
import ipaddress
import math
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from yarl import URL

from aldea.tasks import cancel, spawn
from aldea.upstream.server import Upstream

log = structlog.get_logger("aldea.upstream.names")

# Of a name with more addresses than this the first ones are used: each is probed and has metrics of its own.
MAX_SERVERS: Final = 64
# An address that is missing from the responses gets no new requests at once, and its streams move after this long: a
# name server may return a part of many addresses each time, and streams must not move to and fro for that.
WITHDRAW_SECONDS: Final = 30.0
# How long a request waits for a name: for its first addresses, or for new ones when the old ones take no connection.
# At most one in this time does.
WAIT_SECONDS: Final = 1.0

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


class Name:
    """One entry of STT_UPSTREAMS.

    Before its first response it has one server without an address, to which a connection is made by name. While the
    resolver fails, or has no address, what was known stays in use: a name server's outage stops no stream.
    """

    def __init__(
        self,
        url: URL,
        make: Callable[[URL], Upstream],
        *,
        lookup: Lookup,
        clock: Callable[[], float],
        note: Callable[[Upstream, bool], None],
        changed: Callable[[], None],
    ) -> None:
        """`note(server, True)`: its address was withdrawn; `note(server, False)`: it is back.

        `changed` is called when `watched` is another set.
        """
        self._url = url
        self._host, self._port = url.host or "", url.port or 0
        self._make = make
        self._lookup = lookup
        self._clock = clock
        self._note = note
        self._changed = changed
        self._looking: asyncio.Task[None] | None = None
        self._tried = -math.inf  # clock time of the last lookup's beginning
        self._failing = self._crowded = False  # as far as it was logged
        self._doubted = asyncio.Event()  # see `doubt`
        self._absent: dict[Upstream, float] = {}  # clock time since when each is missing from the responses
        self._withdrawn: list[Upstream] = []  # with streams that still run
        self.switched_off = False  # its lane's weight is 0
        self.resolved = _is_address(self._host)
        self.fixed = self.resolved  # it is an address itself
        self.servers: tuple[Upstream, ...] = (make(url),)
        if self.fixed:
            self.servers[0].address = self._host  # its name is as it was configured

    @property
    def watched(self) -> tuple[Upstream, ...]:
        """The servers that are probed: those in use, and those that may come back."""
        return (*self.servers, *self._absent)

    def doubt(self) -> None:
        """A server of it failed: its address may be out of date. `renew` looks it up, or the background does."""
        if not self.fixed:
            self._doubted.set()

    @property
    def doubted(self) -> bool:
        """Whether a server of it failed since the last lookup began."""
        return self._doubted.is_set()

    async def renew(self) -> None:
        """For a request: resolve a name that never was, or that is doubted; wait WAIT_SECONDS at most."""
        if self.resolved and not self.doubted:
            return
        recently = self._clock() - self._tried < WAIT_SECONDS
        if recently == (self._looking is not None):  # begin a lookup, or wait for one that has just begun
            await self._resolve(WAIT_SECONDS)

    async def keep_resolved(self, every: Callable[[], float]) -> None:
        """Resolve a name that is not `fixed` for ever: after `every()` seconds, or sooner once it is in doubt."""
        try:
            while True:
                await self._resolve(None)
                pause = every()
                try:
                    async with asyncio.timeout(pause):
                        await self._doubted.wait()
                        # Many requests may fail at the same time, and a server that is merely down changes no address.
                        await asyncio.sleep(min(pause, WAIT_SECONDS))
                except TimeoutError:
                    pass
        finally:
            await cancel(self._looking)

    async def _resolve(self, seconds: float | None) -> None:
        # One lookup at a time: it occupies a thread, which cannot be ended, for as long as the resolver likes.
        if self._looking is None:
            self._tried = self._clock()
            self._doubted.clear()
            self._looking = spawn(self._look_up(), name=f"resolve {self._host}")
        await asyncio.wait({self._looking}, timeout=seconds)

    async def _look_up(self) -> None:
        try:
            found, fault = await self._lookup(self._host, self._port), "it has no address"
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be encoded
            found, fault = (), str(error) or type(error).__name__
        finally:
            self._looking = None
        if found:
            self.update(found)
        elif not self._failing:
            log.warning("name not resolved, what is known of it is used", host=self._host, error=fault)
        self._failing = not found

    def update(self, addresses: Sequence[str]) -> None:
        """The name has these addresses now, at least one."""
        known = {server.address: server for server in (*self.servers, *self._absent, *self._withdrawn)}
        present = []
        for address in self._few(addresses, known):
            server = known.get(address)
            if server is None:
                server = known.pop(None, None) or self._make(self._url)  # the one that had no address yet
                server.move_to(address)
                server.switched_off = self.switched_off
                log.info("server found", server=server.name)
            present.append(server)
        now, before = self._clock(), self.watched
        missing = [server for server in (*self.servers, *self._absent) if server not in present]
        self._absent = {server: self._absent.get(server, now) for server in missing}
        self.servers, self.resolved = tuple(present), True
        for server in present:
            if server in self._withdrawn:
                self._withdrawn.remove(server)
                self._note(server, False)
        self._part_from_absent(now)
        if set(before) != set(self.watched):
            self._changed()

    def _few(self, addresses: Sequence[str], known: Mapping[str | None, Upstream]) -> list[str]:
        # Those that are known come first: of too many, the same ones are used each time.
        found = sorted(dict.fromkeys(addresses), key=lambda address: (address not in known, address))
        if len(found) > MAX_SERVERS and not self._crowded:
            log.warning("name has too many addresses", host=self._host, addresses=len(found), used=MAX_SERVERS)
        self._crowded = len(found) > MAX_SERVERS
        return found[:MAX_SERVERS]

    def _part_from_absent(self, now: float) -> None:
        for server, since in list(self._absent.items()):
            if now - since >= WITHDRAW_SECONDS:
                del self._absent[server]
                self._withdrawn.append(server)
                self._note(server, True)
        for server in list(self._withdrawn):
            if server.held <= 0:
                self._withdrawn.remove(server)
                server.forget_metrics()


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """All addresses of `host` by the system's resolver, of those families that this machine has a way for.

    Raises OSError. A name may have IPv6 addresses where the network has none: those would be servers that always fail.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    all_of_them = [(family, str(address[0])) for family, _, _, _, address in found]
    return [text for family, text in all_of_them if _has_way(family, text, port)] or [text for _, text in all_of_them]


def _has_way(family: int, address: str, port: int) -> bool:
    # Connecting a datagram socket looks for a route and sends nothing.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
    except OSError:
        return False
    return True


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
