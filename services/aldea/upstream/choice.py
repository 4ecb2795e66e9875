"""In which order the servers of one name are tried: the power of two choices over their loads. Performs no I/O."""

from collections.abc import Callable, Sequence

from aldea.upstream.server import Upstream


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
