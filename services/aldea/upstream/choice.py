"""In which order servers are tried: by lane, then the power of two choices over their loads. Performs no I/O."""

from collections.abc import Callable, Sequence
from typing import Final

from aldea.upstream.circuit import State
from aldea.upstream.server import Upstream

# So many servers of one name are tried for a request, before the next name's: a name may have dozens.
TRIES: Final = 4


def candidates(names: Sequence[Sequence[Upstream]], now: float, chance: Callable[[], float]) -> list[Upstream]:
    """The servers to try, best first. `names`: the servers of each name, the lane's own name first.

    A full server comes behind all others, also of the other lanes: what it said may be some seconds old, and its
    refusal costs little. One that is to be left, or whose circuit is open, is none. `now`: the circuits' clock.
    """
    if len(names) == 1 and len(names[0]) == 1:
        [only] = names[0]
        if only.circuit.state is State.CLOSED and not (only.leaving or only.full(now)):
            return [only]  # as everything below would say
    first: list[Upstream] = []
    last: list[Upstream] = []
    for servers in names:
        staying = [server for server in servers if not server.leaving]
        free = [server for server in staying if not server.full(now)]
        unsure = order([server for server in free if server.circuit.state is not State.CLOSED], now, chance)
        # This request is the trial of one. That goes first: nobody would find out otherwise.
        trial = next((server for server in unsure if server.circuit.may_try()), None)
        ready = order([server for server in free if server.circuit.state is State.CLOSED], now, chance)[:TRIES]
        first += ready if trial is None else [trial, *ready]
        last += order([server for server in staying if server.full(now)], now, chance)
        last += [server for server in unsure if server is not trial]
    return first + [server for server in last if server.circuit.last_resort()][:TRIES]


def less_loaded(one: Upstream, other: Upstream, now: float) -> Upstream:
    """The one with the smaller share of its places taken; where that is not known, with fewer requests of ours."""
    load, other_load = one.load(now), other.load(now)
    if load is None or other_load is None:
        load, other_load = one.held, other.held
    return one if load <= other_load else other


def order(servers: Sequence[Upstream], now: float, chance: Callable[[], float]) -> list[Upstream]:
    """`servers`, the one to try first at the front.

    The first is the less loaded of two taken at random. Were it the least loaded of all, every proxy would send its
    streams to the same server until the next reading (Mitzenmacher, The Power of Two Choices in Randomized Load
    Balancing). The others follow by load; they matter only if the first does not take the request.
    """
    if len(servers) < 2:
        return list(servers)
    rest = _shuffled(servers, chance)
    first = less_loaded(rest[0], rest[1], now)
    rest.remove(first)
    return [first, *sorted(rest, key=lambda server: _guess(server, now))]


def _guess(server: Upstream, now: float) -> float:
    load = server.load(now)
    return 0.5 if load is None else load


def _shuffled(servers: Sequence[Upstream], chance: Callable[[], float]) -> list[Upstream]:
    left = list(servers)
    return [left.pop(min(int(chance() * len(left)), len(left) - 1)) for _ in servers]
