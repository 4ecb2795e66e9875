"""Proxies' views added up by server."""

from typing import Any

from backend.fleet import views


def server(name: str = "stt-1:8800", **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": name, "circuit": "closed", "capacity": 8, "used": 3, "held": 2, "fresh": True, "draining": False,
        "weightless": False, "withdrawn": False,
    }  # fmt: skip
    return fields | changes


def view(*servers: dict[str, Any], at_ms: int = 1000, lane: str = "live1", **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "task": f"t{at_ms}", "service": "ws-proxy", "lane": lane, "at_ms": at_ms, "running": 1,
        "servers": list(servers), "left_out": 0, "failovers": [],
    }  # fmt: skip
    return fields | changes


def test_nothing_reported_is_nothing_shown() -> None:
    assert (views.servers([]), views.tasks([]), views.failovers([])) == ([], [], [])


def test_a_server_is_one_for_each_lane_with_the_worst_circuit_and_the_newest_places() -> None:
    [found] = views.servers(
        [
            view(server(used=7, circuit="half-open"), at_ms=2000),
            view(server(used=1, circuit="open"), at_ms=1000),
            view(server(fresh=False, used=99), at_ms=3000),
        ]
    )
    assert (found.circuit, found.open_at, found.seen_by) == ("open", 2, 3)
    assert (found.capacity, found.used, found.held) == (8, 7, 6)
    assert len(views.servers([view(server()), view(server(), lane="live2", at_ms=2)])) == 2


def test_a_server_that_says_nothing_has_unknown_places() -> None:
    [found] = views.servers([view(server(capacity=None, used=0, fresh=False))])
    assert (found.capacity, found.used) == (None, None)


def test_what_one_proxy_knows_of_a_leaving_server_holds() -> None:
    [found] = views.servers([view(server(draining=True, weightless=True)), view(server(), at_ms=2000)])
    assert (found.draining, found.weightless, found.withdrawn) == (True, True, False)


def test_servers_and_failovers_are_bounded() -> None:
    many = [view(*(server(f"stt-{lane}-{at}:8800") for at in range(300)), lane=f"l{lane}") for lane in range(8)]
    assert len(views.servers(many)) == views.MOST_SERVERS
    failover = {"request_id": "r", "lost": None, "taken": "b", "cause": "died"}
    moved = [view(failovers=[{**failover, "at_ms": at} for at in range(start, start + 10)]) for start in (0, 50, 20)]
    found = views.failovers(moved)
    assert len(found) == views.MOST_FAILOVERS
    assert found[0].at > found[-1].at


def test_tasks_are_sorted_and_say_how_many_servers_they_know() -> None:
    found = views.tasks([view(server(), lane="live2", left_out=7), view(lane="live1", service=None)])
    assert [(task.lane, task.service, task.servers) for task in found] == [("live1", "", 0), ("live2", "ws-proxy", 8)]


def test_a_proxy_says_its_lanes_weight_and_one_of_before_says_none() -> None:
    [knows, silent] = views.tasks([view(at_ms=1, weight=[40, 100]), view(at_ms=2)])
    assert (knows.weight, knows.weights) == (40, 100)
    assert (silent.weight, silent.weights) == (None, None)
