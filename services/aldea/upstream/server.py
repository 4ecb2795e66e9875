"""One STT server: its circuit, what it said of its places, and how many requests of this process it works on."""

import math
from typing import Final

from yarl import URL

from aldea.upstream.circuit import Circuit, State
from aldea.upstream.metrics import CIRCUIT_OPEN, LEAVING, PLACES, PLACES_USED
from aldea.upstream.stats import UNKNOWN, Stats

# Statistics older than this say nothing any more: three readings in a row were missed.
FRESH_SECONDS: Final = 15.0


class Upstream:
    """One STT server: an address of a configured name.

    `base_url` has the name, which Host and the certificate's check need; connections go to `address`. It is None until
    the name is resolved for the first time: then they go where the system's resolver says.
    """

    __slots__ = (
        "absurd",
        "address",
        "base_url",
        "busy_until",
        "circuit",
        "configured",
        "held",
        "held_then",
        "name",
        "read_at",
        "stats",
        "switched_off",
        "withdrawn",
    )

    def __init__(self, url: URL, circuit: Circuit) -> None:
        self.base_url = url
        self.address: str | None = None
        self.configured = self.name = f"{url.host}:{url.port}"  # for logs and metrics; `name` gets its address
        self.circuit = circuit
        self.switched_off = False  # its lane's weight is 0
        self.withdrawn = False  # its name no longer has this address
        self.show_circuit()
        self.stats: Stats = UNKNOWN
        self.absurd = False  # its last statistics could not be true, which was logged
        self.read_at = -math.inf  # clock time of `stats`
        self.busy_until = -math.inf  # clock time until which it said that it has no place
        self.held = 0  # requests of this process
        self.held_then = 0  # the same when `stats` was read

    @property
    def healthy(self) -> bool:
        """Whether it is in use: its circuit is not open."""
        return self.circuit.state is not State.OPEN

    @property
    def leaving(self) -> bool:
        """Whether it takes no new requests, and its streams should move to another server.

        True while its `/stats` says `draining`, its lane is switched off, or its name has lost its address. It can
        become false again. A stream that finds no other server stays where it is: a server that leaves still serves
        what it has.
        """
        return self.stats.draining or self.switched_off or self.withdrawn

    @property
    def may_be_back(self) -> bool:
        """Whether it is out of use for what was seen of it alone, so that a new look may show that it is not."""
        return not (self.withdrawn or self.switched_off) and (self.stats.draining or not self.healthy)

    @property
    def host(self) -> str:
        """Where connections go: its address, or its name before that is known."""
        return self.address or self.base_url.host or ""

    def move_to(self, address: str) -> None:
        """Its name was resolved to this address."""
        self.forget_metrics()
        self.address = address
        self.name = f"{self.configured}/{address}"
        self.show_circuit()

    def show_circuit(self) -> None:
        """Set the gauge of its circuit. A server that was taken away is nobody's alarm, whatever its circuit says."""
        CIRCUIT_OPEN.labels(self.name).set(not (self.healthy or self.withdrawn))
        if not self.healthy:
            for gauge in (PLACES, PLACES_USED):
                gauge.labels(self.name).set(0)  # nobody can have them

    def forget_metrics(self) -> None:
        """It is no longer known by this name: its gauges must not say so for ever."""
        for gauge in (CIRCUIT_OPEN, LEAVING, PLACES, PLACES_USED):
            gauge.remove(self.name)

    def load(self, now: float) -> float | None:
        """The share of its places that is taken, 0 and more; None if that is not known.

        Between two readings the requests of this process are added or taken off: a burst sees itself.
        """
        if self.stats.capacity is None or now - self.read_at > FRESH_SECONDS:
            return None
        used = max(0, self.stats.used + self.held - self.held_then)
        return used / self.stats.capacity if self.stats.capacity else math.inf

    def full(self, now: float) -> bool:
        """Whether it has no place for another request, as far as that is known."""
        load = self.load(now)
        return now < self.busy_until or (load is not None and load >= 1.0)

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.circuit.state.value}{' leaving' if self.leaving else ''}>"
