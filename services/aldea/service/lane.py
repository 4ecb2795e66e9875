"""Whether this lane is switched off: the task looks at its own target group's weight at the load balancer.

A weight of 0 keeps new requests away, but says nothing to a task whose streams run on for hours. One that looks can let
them go to another lane's STT servers, so that the lane's own can be stopped.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog
from pydantic import Field

from aldea.service.drain import JITTER, DrainSettings, load_balancer

log = structlog.get_logger("aldea.service.lane")

# DescribeRules is rate limited per account; with jitter, hundreds of tasks stay far below it.
LOOK_EVERY_SECONDS: Final = 30.0
# Moving all streams for a slip of an eventually consistent API would be a high price: two looks in a row must agree.
OFF_LOOKS: Final = 2
# A listener has 100 rules by default (AWS' quota), which one page holds; more pages than this are an endless reply.
MAX_PAGES: Final = 10


class LaneSettings(DrainSettings):
    """The settings of a service whose lane has a weight; without LISTENER_ARN its lane is never off."""

    listener_arn: str | None = Field(None, description="the listener whose rules give the target group its weight")
    lane_look_seconds: float = Field(
        LOOK_EVERY_SECONDS, gt=0, le=300, description="how often the own target group's weight is looked at, in seconds"
    )


class Weight(NamedTuple):
    """A lane's weight at the load balancer. `of`: the sum of those of all target groups of the same rule."""

    own: int
    of: int


def weight_of(rules: Sequence[Mapping[str, Any]], target_group: str) -> Weight | None:
    """What the rules give `target_group`, by the one that gives it the greatest share; None if none forwards to it.

    `rules`: as DescribeRules returns them (ELB API reference, Rule, Action, TargetGroupTuple). An action that names one
    target group has no weight.
    """
    weights: list[Weight] = []
    for rule in rules:
        for action in rule.get("Actions") or ():
            groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or ()
            found = [group.get("Weight", 1) for group in groups if group.get("TargetGroupArn") == target_group]
            weights += [Weight(own, sum(group.get("Weight", 1) for group in groups)) for own in found]
            if not found and action.get("TargetGroupArn") == target_group:
                weights.append(Weight(1, 1))
    return max(weights, key=lambda weight: weight.own / (weight.of or 1), default=None)


class LaneWatch:
    """Calls `switch(True)` when the own lane is switched off, and `switch(False)` when it is on again."""

    def __init__(self, settings: LaneSettings, switch: Callable[[bool], None]) -> None:
        self._settings = settings
        self._switch = switch
        self._off = False
        self._looks = 0  # in a row that found it off
        self.weight: Weight | None = None  # as the last look found it

    @property
    def configured(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._settings.target_group_arn and self._settings.listener_arn)

    async def run(self) -> None:
        """Look for ever; returns at once where nothing is configured."""
        if not self.configured:
            return
        async with load_balancer(self._settings) as elb:
            while True:
                try:
                    self._judge(weight_of(await self._rules(elb), self._settings.target_group_arn or ""))
                except Exception as error:  # noqa: BLE001 - whatever was sent instead, the next look may know more
                    log.warning("lane weight not readable", error=f"{type(error).__name__}: {error}")
                    self._looks = 0
                await asyncio.sleep(self._settings.lane_look_seconds * random.uniform(1 - JITTER, 1 + JITTER))

    async def _rules(self, elb: Any) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = []
        marker: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            page = await elb.describe_rules(ListenerArn=self._settings.listener_arn, **marker)
            rules += page.get("Rules") or []
            if not page.get("NextMarker"):
                break
            marker = {"Marker": page["NextMarker"]}
        return rules

    def _judge(self, weight: Weight | None) -> None:
        """What a look found; None changes nothing: a rule may be replaced at this moment."""
        off = None if weight is None else weight.own == 0
        self.weight = weight or self.weight
        self._looks = self._looks + 1 if off else 0
        if off is False and self._off:
            self._off = False
            log.info("lane is on again")
            self._switch(False)
        elif self._looks >= OFF_LOOKS and not self._off:
            self._off = True
            log.warning("lane is switched off")
            self._switch(True)
