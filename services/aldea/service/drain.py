"""When a task learns that it must go: it looks whether its own load balancer target is being deregistered.

On ECS a task is deregistered first and gets its SIGTERM only after the target group's deregistration delay, when the
load balancer has already cut what was left. A service with long-lived connections therefore looks for itself, and
begins its drain while there is still time to end each of them properly.
"""

import asyncio
import random
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, Final

import aiohttp
import structlog
from pydantic import Field

from aldea.service.lifecycle import Lifecycle
from aldea.settings import ServiceSettings

log = structlog.get_logger("aldea.service.drain")

# DescribeTargetHealth is free but rate limited per account; with jitter, hundreds of tasks stay far below it.
LOOK_EVERY_SECONDS: Final = 15.0
JITTER: Final = 0.2
CALL_SECONDS: Final = 5.0
# A target that is listed no more may be a slip of an eventually consistent API, and a drain cannot be taken back: so
# many looks in a row must agree. That it is draining is said of a deregistration alone, and once is enough.
ABSENT_LOOKS: Final = 2
# The drain ends this long before the load balancer would cut what is left.
MARGIN_SECONDS: Final = 60.0


class DrainSettings(ServiceSettings):
    """The settings of a service behind a target group; without TARGET_GROUP_ARN only SIGTERM drains it."""

    target_group_arn: str | None = Field(None, description="the target group that this task is registered in")
    deregistration_delay_seconds: float = Field(
        300.0, ge=0, le=3600, description="the target group's deregistration delay, 0 to 3600"
    )
    aws_region: str = Field("us-west-2", description="the AWS region")
    elb_endpoint_url: str | None = Field(None, description="an endpoint in place of AWS', for tests")
    ecs_container_metadata_uri_v4: str | None = Field(None, description="set by ECS: the task's metadata endpoint")
    deregistration_look_seconds: float = Field(
        LOOK_EVERY_SECONDS, gt=0, le=60, description="how often the own target is looked at"
    )


def load_balancer(settings: DrainSettings) -> AbstractAsyncContextManager[Any]:
    """A client of the load balancer's API, whose calls are made once and within CALL_SECONDS."""
    # Loaded only where there is a load balancer: it is a seventh of what a proxy reads at its start.
    from aiobotocore.config import AioConfig  # noqa: PLC0415
    from aiobotocore.session import get_session  # noqa: PLC0415

    config = AioConfig(
        connect_timeout=CALL_SECONDS, read_timeout=CALL_SECONDS, retries={"max_attempts": 1, "mode": "standard"}
    )
    client: AbstractAsyncContextManager[Any] = get_session().create_client(
        "elbv2", region_name=settings.aws_region, endpoint_url=settings.elb_endpoint_url, config=config
    )
    return client


class Target(Enum):
    """What the load balancer says of the own target."""

    ABSENT = "absent"
    REGISTERED = "registered"
    LEAVING = "leaving"
    UNKNOWN = "unknown"  # it says nothing about whether the target is registered


def target_state(descriptions: list[dict[str, Any]]) -> Target:
    """Read the `TargetHealthDescriptions` of a DescribeTargetHealth for one target.

    States and reasons: ELB API reference, TargetHealth. `unused` has several: only Target.NotRegistered says that the
    target has left. Target.NotInUse, for one, is a target group that no listener uses at the moment.
    """
    if not descriptions:
        return Target.ABSENT
    health = descriptions[0].get("TargetHealth") or {}
    match health.get("State"):
        case "draining":
            return Target.LEAVING
        case "unused":
            return Target.ABSENT if health.get("Reason") == "Target.NotRegistered" else Target.UNKNOWN
        case "initial" | "healthy" | "unhealthy" | "unhealthy.draining" | "unavailable":
            return Target.REGISTERED
        case _:
            return Target.UNKNOWN


def own_address(task: dict[str, Any]) -> str | None:
    """The task's IPv4 address, from the ECS task metadata version 4: what it is registered as."""
    for container in task.get("Containers", []):
        for network in container.get("Networks", []):
            for address in network.get("IPv4Addresses", []):
                return str(address)
    return None


class DeregistrationWatch:
    """Begins the drain once the own target leaves its target group, or ECS wants the task stopped."""

    def __init__(self, lifecycle: Lifecycle, settings: DrainSettings) -> None:
        self._lifecycle = lifecycle
        self._settings = settings
        self._seen = False  # registered at least once: before that, absence means "not yet"
        self._absent = 0  # looks in a row that did not find it
        self._address: str | None = None

    @property
    def configured(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._settings.target_group_arn and self._settings.ecs_container_metadata_uri_v4)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Look every 15 s until the drain has begun; returns at once where nothing is configured."""
        if not self.configured:
            return
        async with load_balancer(self._settings) as elb:
            while not self._lifecycle.draining:
                try:
                    reason = await self._look(session, elb)
                except Exception as error:  # noqa: BLE001 - whatever was sent instead, the next look may know more
                    # Not knowing is no reason to drain, nor to look no more; SIGTERM still comes.
                    log.warning("target health not readable", error=f"{type(error).__name__}: {error}")
                    reason, self._absent = None, 0
                if reason is not None:
                    seconds = max(0.0, self._settings.deregistration_delay_seconds - MARGIN_SECONDS)
                    self._lifecycle.begin_drain(reason, seconds)
                    return
                every = self._settings.deregistration_look_seconds
                await asyncio.sleep(every * random.uniform(1 - JITTER, 1 + JITTER))

    async def _look(self, session: aiohttp.ClientSession, elb: Any) -> str | None:
        """Why the task must go, or None."""
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        async with session.get(f"{self._settings.ecs_container_metadata_uri_v4}/task", timeout=timeout) as response:
            response.raise_for_status()
            task = await response.json(content_type=None)
        if task.get("DesiredStatus") == "STOPPED":
            return "ECS stops the task"
        self._address = self._address or own_address(task)
        if self._address is None:
            raise ValueError("the task metadata names no IPv4 address")
        health = await elb.describe_target_health(
            TargetGroupArn=self._settings.target_group_arn,
            Targets=[{"Id": self._address, "Port": self._settings.port}],
        )
        return self._judge(target_state(health.get("TargetHealthDescriptions") or []))

    def _judge(self, state: Target) -> str | None:
        self._absent = self._absent + 1 if state is Target.ABSENT else 0
        if state is Target.REGISTERED:
            self._seen = True
        # Before that, what is seen may be the registration of a task that had the same address before this one.
        if self._seen and (state is Target.LEAVING or self._absent >= ABSENT_LOOKS):
            return "the load balancer deregisters the task"
        return None
