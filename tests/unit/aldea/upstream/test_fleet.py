"""What a proxy reports of its STT servers; that it is kept and ends is tested with a real Redis."""

import json
from typing import Any

from aldea.redis.errors import RedisUnavailable
from aldea.upstream import FAILURES_TO_OPEN, Upstreams
from aldea.upstream.fleet import KEPT_SECONDS, MOST_SERVERS, FleetReports
from aldea.upstream.pool import KEPT_FAILOVERS
from aldea.upstream.stats import Stats


class Link:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.calls: list[tuple[list[str], list[Any]]] = []

    async def call(self, _script: Any, keys: list[str], arguments: list[Any]) -> int:
        self.calls.append((keys, arguments))
        if self.failure is not None:
            raise self.failure
        return 0


def reports(upstreams: Upstreams, failure: Exception | None = None) -> tuple[Link, FleetReports]:
    link: Any = Link(failure)
    return link, FleetReports(
        link, upstreams, service="ws-proxy-live1", lane="live1", running=lambda: 3, weight=lambda: (40, 100)
    )


async def test_a_view_says_how_each_server_is() -> None:
    upstreams = Upstreams(["http://own:8800", "http://other:8800"])
    own, other = upstreams.servers
    upstreams.note_stats(own, Stats(capacity=8, used=5, draining=True), 0)
    upstreams.switch_own_lane(True)
    for _ in range(FAILURES_TO_OPEN):
        upstreams.failed(other, "refused")
    upstreams.note_failover("r1", other, own, "died")
    link, reporting = reports(upstreams)
    await reporting.report()
    [([tasks, name], [task, kept, text])] = link.calls
    assert (tasks, name, kept) == ("fleet:tasks", f"fleet:task:{task}", KEPT_SECONDS)
    view = json.loads(text)
    assert (view["service"], view["lane"], view["running"], view["left_out"]) == ("ws-proxy-live1", "live1", 3, 0)
    assert view["weight"] == [40, 100]
    first, second = view["servers"]
    assert (first["name"], first["capacity"], first["used"], first["fresh"]) == ("own:8800", 8, 5, True)
    assert (first["draining"], first["weightless"], first["circuit"]) == (True, True, "closed")
    assert (second["circuit"], second["capacity"], second["fresh"]) == ("open", None, False)
    [failover] = view["failovers"]
    assert (failover["lost"], failover["taken"], failover["cause"]) == ("other:8800", "own:8800", "died")


async def test_a_view_is_bounded_whatever_a_lane_has() -> None:
    upstreams = Upstreams([f"http://stt-{number}.example:8800" for number in range(MOST_SERVERS + 7)])
    for number in range(KEPT_FAILOVERS * 3):
        upstreams.note_failover(str(number), None, upstreams.servers[0], "planned")
    view = reports(upstreams)[1].view()
    assert (len(view["servers"]), view["left_out"]) == (MOST_SERVERS, 7)
    assert [one["request_id"] for one in view["failovers"]] == [str(at) for at in range(20, 30)]


async def test_without_redis_there_is_no_view_and_no_failure() -> None:
    _, reporting = reports(Upstreams(["http://own:8800"]), RedisUnavailable("gone"))
    await reporting.report()
