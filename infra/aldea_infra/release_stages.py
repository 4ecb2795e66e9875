"""Delivers new proxies in stages: one lane at 5 % of the traffic, watched, then 50 %, then everywhere; or back.

python -m aldea_infra.release_stages STACK --images FILE --previous FILE [--lane LANE] [--minutes 5]

A stage is a `pulumi up` with the lane's own images (`lanes.LANE.images`) and weights; the other lane and all other
services stay on FILE of --previous until the last. Watched are the alarms of the lane's services, and beside the same
services of the other lanes: how long live streams waited for their first words and how many got none (ws-proxy), and
the 99th percentile of the response time (of http-proxy: the time to the words). A stage that fails is taken back at
once. With one lane there is nothing to compare: one update.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import botocore.exceptions

from aldea_infra.catalogue import Image, Role
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.release import expected
from aldea_infra.release_watch import CloudWatch, Words

STAGES: Final = (5, 50)
# The images that a lane has of its own.
LANE_IMAGES: Final = {Role.WS_PROXY: Image.WS_PROXY, Role.HTTP_PROXY: Image.HTTP_PROXY}
POLL_SECONDS: Final = 30.0
# A lane is slower than the others when its time is so many times theirs, and by so many seconds.
SLOWER: Final = 1.5
SLOWER_SECONDS: Final = 0.5
# More of a lane's streams are without words than of the others: by this share of all of them.
WORDLESS: Final = 0.1


class Signals(Protocol):
    """What is looked at while a stage is watched."""

    def alarms(self, service: str) -> list[str]:
        """The service's alarms that are in alarm."""

    def slowest(self, service: str) -> float | None:
        """The 99th percentile of its response time over the last minutes, seconds; None without traffic."""

    def words(self, service: str) -> Words | None:
        """How its live streams got their first words over the last minutes; None if they were too few."""


class StageFailed(Exception):
    """A stage is not as good as what ran before; the message says by what."""


def weights(config: StackConfig, lane: str, percent: int) -> dict[str, int]:
    """The lanes' weights that give `lane` so many per cent of the traffic; the others share the rest as before."""
    others = {name: other.weight for name, other in config.lanes.items() if name != lane}
    total = sum(others.values())
    return {lane: percent} | {name: round(weight * (100 - percent) / total) for name, weight in others.items()}


def services_of(config: StackConfig, lane: str) -> dict[str, list[str]]:
    """The lane's services, each with the same service of the other lanes that take traffic."""
    ready = [name for name, other in config.lanes.items() if name != lane and other.weight > 0]
    return {
        service: [
            other for other, found in config.services.items() if found.role is section.role and found.lane in ready
        ]
        for service, section in config.services.items()
        if section.lane == lane
    }


def watch(
    signals: Signals,
    services: Mapping[str, Sequence[str]],
    seconds: float,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look for so long. Raises StageFailed as soon as an alarm is on, and at the end if a lane has become slower."""
    until = clock() + seconds
    while True:
        for service in services:
            if alarming := signals.alarms(service):
                raise StageFailed(f"{service}: in alarm: {', '.join(alarming)}")
        if clock() >= until:
            break
        pause(POLL_SECONDS)
    for service, others in services.items():
        own = signals.slowest(service)
        theirs = [found for other in others if (found := signals.slowest(other)) is not None]
        if own is not None and theirs and _slower(own, max(theirs)):
            raise StageFailed(
                f"{service}: its slowest hundredth takes {own:.2f} s, of the other lane {max(theirs):.2f} s"
            )
        _compare_words(service, signals.words(service), [w for each in others if (w := signals.words(each))])


def _compare_words(service: str, own: Words | None, theirs: Sequence[Words]) -> None:
    """Raises StageFailed if the service's streams wait longer for their words than the slowest of the others'."""
    if own is None or not theirs:
        _say(f"stage: {service}: too few live streams to compare their first words")
        return
    for what in ("half", "most"):
        mine, of_others = getattr(own, what), [found for each in theirs if (found := getattr(each, what)) is not None]
        share = "half" if what == "half" else "90 %"
        if mine is not None and of_others and _slower(mine, max(of_others)):
            raise StageFailed(
                f"{service}: {share} of {own.streams} streams have their first words within {mine:.2f} s, "
                f"on the other lane within {max(of_others):.2f} s"
            )
    least = max(each.without for each in theirs)
    if own.without > least + WORDLESS:
        raise StageFailed(
            f"{service}: {own.without:.0%} of {own.streams} streams have no words after 15 s, "
            f"on the other lane {least:.0%}"
        )
    _say(f"stage: {service}: first words of {own.streams} streams as on the other lane")


def _slower(own: float, theirs: float) -> bool:
    return own > theirs * SLOWER and own > theirs + SLOWER_SECONDS


class Stages:
    """One delivery. `up(settings)` updates the stack with these values of its configuration, by their paths."""

    def __init__(
        self,
        config: StackConfig,
        up: Callable[[Mapping[str, str]], None],
        watching: Callable[[Mapping[str, Sequence[str]]], None],
    ) -> None:
        self._config, self._up, self._watching = config, up, watching

    def deliver(self, lane: str | None, new: Mapping[str, str], old: Mapping[str, str]) -> None:
        """Bring `new` everywhere, in stages, or leave `old` everywhere and raise StageFailed."""
        ready = [name for name, found in self._config.lanes.items() if found.weight > 0]
        everywhere = {f"images.{image}": digest for image, digest in new.items()}
        proxies = [image for image in LANE_IMAGES.values() if new[image] != old.get(image)]
        if len(ready) < 2 or not proxies:
            self._up(everywhere)
            return
        chosen = lane or ready[0]
        before = {f"images.{image}": digest for image, digest in old.items()}
        own = {f"lanes.{chosen}.images.{image}": new[image] for image in proxies}
        services = services_of(self._config, chosen)
        try:
            for percent in STAGES:
                shares = weights(self._config, chosen, percent)
                _say(f"stage: {chosen} at {percent} %")
                self._up({**before, **own, **{f"lanes.{name}.weight": str(share) for name, share in shares.items()}})
                self._watching(services)
        except StageFailed:
            _say("stage: not as good as before; back to what ran")
            self._up(before)
            raise
        _say("stage: everywhere")
        self._up(everywhere)


def _pulumi(stack: str, path: Path, committed: str) -> Callable[[Mapping[str, str]], None]:
    """`pulumi up` with the stack file as it is committed, and these values on top."""

    def up(settings: Mapping[str, str]) -> None:
        path.write_text(committed)
        for name, value in settings.items():
            _run("pulumi", "config", "set", "--stack", stack, "--path", name, value)
        _run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview", "--non-interactive", "--color", "never")

    return up


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def main(arguments: Sequence[str]) -> int:
    """Deliver; the process's exit status: 1 if a stage failed or an update did, 2 for unusable arguments."""
    parser = argparse.ArgumentParser(prog="python -m aldea_infra.release_stages", description=__doc__)
    parser.add_argument("stack", help="the stack's name, such as prod or dev")
    parser.add_argument("--images", type=Path, required=True, help="JSON: the new digest of each image")
    parser.add_argument("--previous", type=Path, required=True, help="JSON: the digests that run now")
    parser.add_argument("--lane", help="the lane that goes first; the first of the stack file by default")
    parser.add_argument("--minutes", type=float, default=5, help="how long each stage is watched (5)")
    chosen = parser.parse_args(arguments)
    try:
        config = StackConfig.model_validate(stack_file.read(chosen.stack))
        new, old = expected(chosen.images), json.loads(chosen.previous.read_text())
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if chosen.lane is not None and chosen.lane not in config.lanes:
        parser.error(f"--lane: got {chosen.lane}; allowed: {', '.join(config.lanes)}")
    path = stack_file.ROOT / f"Pulumi.{chosen.stack}.yaml"
    committed = path.read_text()
    try:
        signals = CloudWatch(config, chosen.minutes * 60)
        stages = Stages(
            config,
            _pulumi(chosen.stack, path, committed),
            lambda services: watch(signals, services, chosen.minutes * 60),
        )
        stages.deliver(chosen.lane, new, old)
    except (
        StageFailed, subprocess.CalledProcessError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError,
    ) as error:  # fmt: skip
        path.write_text(committed)  # a rollback from here starts with no lane's own images
        _say(str(error))
        return 1
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress for a person


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
