"""How the operators' map words servers and sums them up."""

from typing import Any

import pytest

from frontend import fleet_view
from frontend.fleet_models import Fleet
from tests.fakes.platform_api import fleet_of, server_of


def fleet(*servers: dict[str, Any], **changes: Any) -> Fleet:
    return Fleet.model_validate(fleet_of(servers=list(servers), **changes))


@pytest.mark.parametrize(
    ("changes", "said", "usable"),
    [
        ({}, "In use", True),
        ({"used": 8}, "Full", True),
        ({"capacity": None, "used": None}, "In use", True),
        ({"circuit": "open", "draining": True}, "Out of use", False),
        ({"circuit": "half-open"}, "On trial", True),
        ({"draining": True}, "Draining", False),
        ({"weightless": True, "draining": True}, "Weight 0", False),
        ({"withdrawn": True, "circuit": "open"}, "Removed", False),
    ],
)
def test_a_server_is_what_keeps_streams_from_it(changes: dict[str, Any], said: str, usable: bool) -> None:
    [server] = fleet(server_of(**changes)).servers
    assert fleet_view.state(server)[0] == said
    assert fleet_view.usable(server) is usable


@pytest.mark.parametrize(("used", "capacity", "expected"), [(0, 8, 0), (7, 8, 87), (9, 8, 100), (0, 0, 100)])
def test_places_are_a_part_of_a_hundred(used: int, capacity: int, expected: int) -> None:
    [server] = fleet(server_of(used=used, capacity=capacity)).servers
    assert fleet_view.percent(server) == expected


def test_of_hundreds_of_servers_those_with_a_fault_are_shown_first() -> None:
    many = [server_of(name=f"stt-{at:03}:8800") for at in range(300)]
    many[299]["circuit"] = "open"
    [lane] = fleet_view.by_lane(fleet(*many, tasks=[]))
    assert (len(lane.shown), len(lane.others)) == (fleet_view.SHOWN, 300 - fleet_view.SHOWN)
    assert lane.shown[0].name == "stt-299:8800"


def test_a_lane_whose_proxies_know_no_server_is_shown_and_no_lane_at_all_is_none() -> None:
    task = {"service": "ws", "lane": "live9", "at": "2026-11-23T15:00:00Z", "running": 2}
    [lane] = fleet_view.by_lane(fleet(tasks=[task]))
    assert (lane.name, lane.tasks, lane.running, lane.shown) == ("live9", 1, 2, [])
    assert fleet_view.by_lane(fleet(tasks=[])) == []


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([(50, 150, 1)], "weight 50 of 150 (33 %)"),
        ([(0, 100, 1)], "weight 0 of 100 (0 %)"),
        ([(0, 0, 1)], "weight 0 of 0"),
        ([(5, 10, 1), (1, 10, 2), (None, None, 3)], "weight 1 of 10 (10 %)"),
        ([(None, None, 1)], None),
    ],
)
def test_a_lanes_weight_is_the_newest_that_a_proxy_knows(
    tasks: list[tuple[int | None, int | None, int]], said: str | None
) -> None:
    found = [
        {"service": "ws", "lane": "a", "at": f"2026-11-23T15:00:0{at}Z", "running": 0, "weight": own, "weights": of}
        for own, of, at in tasks
    ]
    [lane] = fleet_view.by_lane(fleet(tasks=found))
    assert lane.weight == said


def test_a_server_of_two_lanes_counts_once() -> None:
    totals = fleet_view.totals(fleet(server_of(), server_of(lane="live2"), server_of(name="b", circuit="open")))
    assert (totals.servers, totals.usable, totals.used, totals.capacity) == (2, 1, 6, 16)


@pytest.mark.parametrize(
    ("left", "said"), [(None, "no data"), (1.0, "100 %"), (0.004, "0 %"), (-1.5, "overdrawn by 150 %")]
)
def test_a_budget_is_worded(left: float | None, said: str) -> None:
    assert fleet_view.budget(left) == said
