"""How the operators' map words servers and sums them up. Pure functions."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from frontend.fleet_models import Fleet, FleetServer, FleetTask

# Of a lane; the other servers are shown on request, those with a fault first.
SHOWN: Final = 48
_FULL: Final = 100


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane, its proxies and its servers: those that are shown at once, and the others.

    `weight`: at the load balancer, in words; None: no proxy knows it.
    """

    name: str
    tasks: int
    running: int
    weight: str | None
    used: int
    capacity: int
    shown: list[FleetServer]
    others: list[FleetServer]


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole platform. `usable`: servers that take new streams."""

    running: int
    servers: int
    usable: int
    used: int
    capacity: int


def usable(server: FleetServer) -> bool:
    """Whether it takes new streams, as far as the proxies see."""
    return server.circuit != "open" and not (server.draining or server.weightless or server.withdrawn)


def state(server: FleetServer) -> tuple[str, str]:
    """A server's state in words, and its badge's kind."""
    if server.withdrawn:
        return "Removed", ""
    if server.circuit == "open":
        return "Out of use", "bad"
    if server.weightless:
        return "Weight 0", "warn"
    if server.draining:
        return "Draining", "warn"
    if server.circuit == "half-open":
        return "On trial", "warn"
    return ("Full", "warn") if percent(server) == _FULL else ("In use", "good")


def percent(server: FleetServer) -> int | None:
    """How much of its places is used, 0 to 100; None: it does not say."""
    if server.capacity is None or server.used is None:
        return None
    return _FULL if server.used >= server.capacity else _FULL * server.used // server.capacity


def by_lane(fleet: Fleet) -> list[Lane]:
    """Lanes by name, also those that have proxies and no server."""
    names = sorted({server.lane for server in fleet.servers} | {task.lane for task in fleet.tasks})
    servers = {lane: list(found) for lane, found in groupby(_sorted(fleet.servers), lambda server: server.lane)}
    return [_lane(name, servers.get(name, []), [task for task in fleet.tasks if task.lane == name]) for name in names]


def totals(fleet: Fleet) -> Totals:
    """Sums over all lanes; a server that several lanes use counts once."""
    once = {server.name: server for server in fleet.servers}.values()
    return Totals(
        running=sum(task.running for task in fleet.tasks),
        servers=len(once),
        usable=sum(1 for server in once if usable(server)),
        used=sum(server.used or 0 for server in once),
        capacity=sum(server.capacity or 0 for server in once),
    )


def budget(left: float | None) -> str:
    """What is left of an error budget, in words."""
    if left is None:
        return "no data"
    return f"{left * 100:.0f} %" if left >= 0 else f"overdrawn by {-left * 100:,.0f} %"


def _sorted(servers: Iterable[FleetServer]) -> list[FleetServer]:
    return sorted(servers, key=lambda server: (server.lane, state(server)[1] in ("good", ""), server.name))


def _lane(name: str, servers: list[FleetServer], tasks: list[FleetTask]) -> Lane:
    return Lane(
        name=name,
        tasks=len(tasks),
        running=sum(task.running for task in tasks),
        weight=_weight(tasks),
        used=sum(server.used or 0 for server in servers),
        capacity=sum(server.capacity or 0 for server in servers),
        shown=servers[:SHOWN],
        others=servers[SHOWN:],
    )


def _weight(tasks: list[FleetTask]) -> str | None:
    """As the proxy saw it that reported last."""
    for task in sorted(tasks, key=lambda task: task.at, reverse=True):
        if task.weight is not None and task.weights is not None:
            share = f" ({100 * task.weight / task.weights:.0f} %)" if task.weights else ""
            return f"weight {task.weight} of {task.weights}{share}"
    return None
