"""When a lane counts as switched off."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aldea.service.lane import MAX_PAGES, LaneSettings, LaneWatch, Weight, weight_of
from aldea.settings import read
from aldea.tasks import cancel, spawn
from aldea.upstream import Upstreams

OWN, OTHER = "arn:own", "arn:other"


def rule(**weights: int) -> dict[str, Any]:
    groups = [{"TargetGroupArn": f"arn:{name}", "Weight": weight} for name, weight in weights.items()]
    # AWS names the one group outside, too, where there is only one.
    single = {"TargetGroupArn": groups[0]["TargetGroupArn"]} if len(groups) == 1 else {}
    return {"Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}, **single}]}


PLAIN = {"Actions": [{"Type": "forward", "TargetGroupArn": OWN}]}
REFUSAL = {"Actions": [{"Type": "fixed-response"}], "IsDefault": True}


@pytest.mark.parametrize(
    ("rules", "weight"),
    [
        ([rule(own=0, other=100)], (0, 100)),
        ([rule(own=0, other=100), rule(own=0, other=50), REFUSAL], (0, 100)),
        ([rule(own=0, other=100), rule(own=1, other=50)], (1, 51)),
        ([rule(own=1, other=9), rule(own=5, other=5)], (5, 10)),
        ([rule(own=0)], (0, 0)),
        ([rule(own=50, other=50)], (50, 100)),
        ([rule(other=50), REFUSAL], None),
        ([PLAIN], (1, 1)),
        ([rule(own=0, other=1), PLAIN], (1, 1)),
        ([], None),
        ([{}, {"Actions": None}, {"Actions": [{"ForwardConfig": None}]}], None),
    ],
)
def test_a_lanes_weight_is_what_the_rule_gives_it_that_gives_it_most(
    rules: list[dict[str, Any]], weight: tuple[int, int] | None
) -> None:
    assert weight_of(rules, OWN) == weight


@pytest.mark.parametrize(
    ("looks", "switched"),
    [
        ([True], []),
        ([True, True], [True]),
        ([True, True, True, True], [True]),
        ([True, False, True], []),
        ([True, None, True], []),
        ([True, True, None, None, True], [True]),
        ([True, True, False], [True, False]),
        ([True, True, False, True, True], [True, False, True]),
        ([False, False, None], []),
    ],
)
def test_two_looks_in_a_row_switch_it_off_and_one_on_again(looks: list[bool | None], switched: list[bool]) -> None:
    found: list[bool] = []
    watch = LaneWatch(read(LaneSettings, port=1), found.append)
    for off in looks:
        watch._judge(None if off is None else Weight(0 if off else 40, 100))
    assert found == switched
    known = [off for off in looks if off is not None]
    assert watch.weight == Weight(0 if known[-1] else 40, 100)


async def test_without_a_listener_or_a_target_group_there_is_nothing_to_watch() -> None:
    for given in ({}, {"listener_arn": "arn:l"}, {"target_group_arn": OWN}):
        watch = LaneWatch(read(LaneSettings, port=1, **given), lambda _off: None)
        assert not watch.configured
        await watch.run()
    assert LaneWatch(read(LaneSettings, port=1, listener_arn="a", target_group_arn="b"), lambda _off: None).configured


async def test_all_pages_of_the_rules_are_read_and_an_endless_list_is_not() -> None:
    class Pages:
        def __init__(self, count: int) -> None:
            self.left = count

        async def describe_rules(self, **_given: str) -> dict[str, Any]:
            self.left -= 1
            return {"Rules": [PLAIN], **({"NextMarker": "more"} if self.left else {})}

    watch = LaneWatch(read(LaneSettings, port=1, listener_arn="a", target_group_arn=OWN), lambda _off: None)
    assert len(await watch._rules(Pages(3))) == 3
    assert len(await watch._rules(Pages(MAX_PAGES * 5))) == MAX_PAGES


# As in the example of DescribeRules (ELB API reference), with two groups.
RULES = """<DescribeRulesResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><DescribeRulesResult>
<Rules><member><RuleArn>arn:rule</RuleArn><Priority>100</Priority><IsDefault>false</IsDefault><Actions><member>
<Type>forward</Type><Order>1</Order><ForwardConfig><TargetGroups>
<member><TargetGroupArn>arn:own</TargetGroupArn><Weight>{}</Weight></member>
<member><TargetGroupArn>arn:other</TargetGroupArn><Weight>100</Weight></member>
</TargetGroups></ForwardConfig></member></Actions></member></Rules></DescribeRulesResult></DescribeRulesResponse>"""


async def test_the_lanes_servers_are_left_once_the_listener_gives_it_no_weight_and_used_again_afterwards() -> None:
    reply = web.Response(text=RULES.format(50))
    looks = 0

    async def rules(_request: web.Request) -> web.Response:
        nonlocal looks
        looks += 1
        return web.Response(text=reply.text, status=reply.status, content_type="text/xml")

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)

    async def three_looks() -> None:
        then = looks
        await until(lambda: looks > then + 3)

    app = web.Application()
    app.router.add_post("/", rules)
    upstreams = Upstreams(["http://127.0.0.1:1", "http://127.0.0.1:2"])
    own, other = upstreams.servers
    async with TestServer(app) as server:
        settings = read(
            LaneSettings,
            port=1,
            target_group_arn=OWN,
            listener_arn="arn:listener",
            elb_endpoint_url=str(server.make_url("/")),
            lane_look_seconds=0.01,
        )
        watching = spawn(LaneWatch(settings, upstreams.switch_own_lane).run(), name="lane-watch")
        await three_looks()
        assert not own.leaving
        reply = web.Response(text=RULES.format(0))
        await until(lambda: own.leaving)
        assert not other.leaving
        for status, text in [(200, "<html>"), (200, ""), (400, "{"), (403, "denied"), (500, ""), (503, "<a/>")]:
            reply = web.Response(text=text, status=status)
            await three_looks()
            assert own.leaving, "what cannot be read changes nothing"
        reply = web.Response(text=RULES.format(1))
        await until(lambda: not own.leaving)
        await cancel(watching)
