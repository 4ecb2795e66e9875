"""Staged delivery: a lane at 5 %, watched, 50, everywhere, or back; what Pulumi is given at each stage."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import botocore.session
import pytest
from botocore.stub import ANY, Stubber

from aldea_infra.catalogue import Image
from aldea_infra.checks.reachability import main_container
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.offline import mock_run
from aldea_infra.release_stages import StageFailed, Stages, services_of, watch, weights
from aldea_infra.release_watch import CloudWatch, Words
from ws_proxy.metrics import FIRST_WORDS_SECONDS

OLD = {image.value: f"sha256:{'a' * 64}" for image in Image}
NEW = {image.value: f"sha256:{'b' * 64}" for image in Image}
PROD = StackConfig.model_validate(stack_file.read("prod"))
DEV = StackConfig.model_validate(stack_file.read("dev"))


class Delivery:
    """Records the updates; the watch of stage `fails` (counted from 1) finds a fault."""

    def __init__(self, config: StackConfig, fails: int = 0) -> None:
        self.updates: list[Mapping[str, str]] = []
        self.watched: list[Mapping[str, Sequence[str]]] = []
        self.stages = Stages(config, self.updates.append, self._watch)
        self._fails = fails

    def _watch(self, services: Mapping[str, Sequence[str]]) -> None:
        self.watched.append(services)
        if len(self.watched) == self._fails:
            raise StageFailed("slow")

    def shares(self) -> list[tuple[str | None, ...]]:
        return [tuple(update.get(f"lanes.{lane}.weight") for lane in ("live1", "live2")) for update in self.updates]


def test_a_lane_goes_first_with_5_then_50_per_cent_and_then_all() -> None:
    delivery = Delivery(PROD)
    delivery.stages.deliver(None, NEW, OLD)
    assert delivery.shares() == [("5", "95"), ("50", "50"), (None, None)]
    first, _, last = delivery.updates
    assert first["images.backend"] == first["images.ws-proxy"] == OLD["backend"]
    assert first["lanes.live1.images.ws-proxy"] == first["lanes.live1.images.http-proxy"] == NEW["ws-proxy"]
    assert last == {f"images.{image}": digest for image, digest in NEW.items()}
    assert delivery.watched[0] == {"ws-proxy-live1": ["ws-proxy-live2"], "http-proxy-live1": ["http-proxy-live2"]}


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_that_fails_is_taken_back_whole(stage: int) -> None:
    delivery = Delivery(PROD, fails=stage)
    with pytest.raises(StageFailed):
        delivery.stages.deliver("live2", NEW, OLD)
    assert len(delivery.updates) == stage + 1
    assert delivery.updates[-1] == {f"images.{image}": digest for image, digest in OLD.items()}
    assert delivery.shares()[0] == ("95", "5")


def test_one_lane_or_no_new_proxy_is_one_update() -> None:
    for config, old in ((DEV, OLD), (PROD, {**NEW, "backend": OLD["backend"]})):
        delivery = Delivery(config)
        delivery.stages.deliver(None, NEW, old)
        assert delivery.updates == [{f"images.{image}": digest for image, digest in NEW.items()}]
        assert not delivery.watched


def test_shares_add_up_and_a_lane_that_is_off_is_not_compared() -> None:
    lanes = {"live1": 50, "live2": 30, "live3": 0, "live4": 20}
    values = stack_file.read("prod")
    values["lanes"] = {name: {**values["lanes"]["live1"], "weight": weight} for name, weight in lanes.items()}
    config = StackConfig.model_validate(values)
    assert weights(config, "live1", 5) == {"live1": 5, "live2": 57, "live3": 0, "live4": 38}
    assert services_of(config, "live1")["ws-proxy-live1"] == ["ws-proxy-live2"]


class Signals:
    """What CloudWatch would say."""

    def __init__(self, alarms: Sequence[str] = (), words: Sequence[Words | None] = (), **slowest: float | None) -> None:
        self._alarms, self._slowest = list(alarms), slowest
        self._words = dict(zip(("new", "old"), words, strict=False))

    def alarms(self, _service: str) -> list[str]:
        return self._alarms

    def slowest(self, service: str) -> float | None:
        return self._slowest[service]

    def words(self, service: str) -> Words | None:
        return self._words.get(service)


def words(new: Words | None, old: Words | None) -> Signals:
    return Signals(words=(new, old), new=0.1, old=0.1)


AS_EVER = Words(40, half=1.0, most=4.0, without=0.1)


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        (Signals(["new-5xx-1"], new=1, old=1), "in alarm: new-5xx-1"),
        (Signals(new=4.0, old=2.0), "takes 4.00 s, of the other lane 2.00 s"),
        (
            words(Words(30, 1.6, 4.0, 0.1), AS_EVER),
            "half of 30 streams .* within 1.60 s, on the other lane within 1.00",
        ),
        (
            words(Words(30, 1.0, 8.0, 0.1), AS_EVER),
            "90 % of 30 streams .* within 8.00 s, on the other lane within 4.00",
        ),
        (words(Words(30, 0.2, 0.3, 0.9), AS_EVER), "90% of 30 streams have no words after 15 s, on the other lane 10%"),
        (words(Words(30, None, None, 1.0), AS_EVER), "100% of 30 streams have no words"),
    ],
)
def test_an_alarm_or_a_slower_lane_fails_the_stage(signals: Signals, said: str) -> None:
    with pytest.raises(StageFailed, match=said):
        watch(signals, {"new": ["old"]}, 0)


@pytest.mark.parametrize(
    "signals",
    [
        Signals(new=2.4, old=2.0),
        Signals(new=0.3, old=0.1),
        Signals(new=None, old=1),
        Signals(new=9, old=None),
        words(AS_EVER, AS_EVER),
        words(Words(30, 1.4, 5.9, 0.19), AS_EVER),
        words(Words(30, 0.6, 1.0, 0.0), Words(30, 0.2, 0.6, 0.0)),  # by less than half a second
        words(None, AS_EVER),
        words(Words(30, 9.0, 9.0, 0.0), None),
        words(Words(30, 9.0, 9.0, 1.0), Words(30, None, None, 1.0)),  # the other lane has no words at all
    ],
)
def test_a_lane_as_good_as_the_others_or_without_traffic_passes(signals: Signals) -> None:
    watch(signals, {"new": ["old"]}, 0)


def test_a_step_of_the_buckets_is_not_what_makes_a_lane_slower() -> None:
    bounds = FIRST_WORDS_SECONDS._upper_bounds[:-1]  # the values that CloudWatch gets
    for one, next_ in pairwise(bounds):
        watch(words(Words(30, next_, next_, 0.0), Words(30, one, one, 0.0)), {"new": ["old"]}, 0)


def test_a_lane_runs_its_own_images_where_it_has_some() -> None:
    values = stack_file.read("prod")
    values["lanes"]["live1"]["images"] = {"ws-proxy": NEW["ws-proxy"]}
    values["images"] = OLD
    graph = mock_run.run("prod", values=values)
    running = {name: main_container(graph, name)["image"].rpartition("@")[2] for name in PROD.services}
    assert {name for name, digest in running.items() if digest == NEW["ws-proxy"]} == {"ws-proxy-live1"}


@pytest.fixture
def stubbed() -> Iterator[dict[str, tuple[Any, Stubber]]]:
    session = botocore.session.get_session()
    session.set_credentials("key", "secret")
    found = {}
    for name in ("cloudwatch", "ecs", "elbv2"):
        client = session.create_client(name, region_name="us-west-2")
        found[name] = (client, Stubber(client))
        found[name][1].activate()
    yield found
    for _, stubber in found.values():
        stubber.assert_no_pending_responses()


def queried(name: str, dimensions: Mapping[str, str], **statistics: list[str]) -> dict[str, Any]:
    """The parameters of a query of 15 minutes, which begin and end with a minute."""
    return {
        "Namespace": "AWS/ApplicationELB" if name == "TargetResponseTime" else "Aldea", "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        "StartTime": ANY, "EndTime": ANY, "Period": 900, **statistics,
    }  # fmt: skip


def test_cloudwatch_is_queried_as_its_model_allows(stubbed: dict[str, tuple[Any, Stubber]]) -> None:
    group = "arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/tg/73e2d6bc24d8a067"
    balancer = "arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/alb/50dc6c495c0c9188"
    cloudwatch = stubbed["cloudwatch"][1]
    cloudwatch.add_response(
        "describe_alarms",
        {"MetricAlarms": [{"AlarmName": "s-5xx-1"}]},
        {"AlarmNamePrefix": "s-", "StateValue": "ALARM"},
    )
    stubbed["ecs"][1].add_response("describe_services", {"services": [{"loadBalancers": [{"targetGroupArn": group}]}]})
    stubbed["elbv2"][1].add_response("describe_target_groups", {"TargetGroups": [{"LoadBalancerArns": [balancer]}]})
    dimensions = {"TargetGroup": "targetgroup/tg/73e2d6bc24d8a067", "LoadBalancer": "app/alb/50dc6c495c0c9188"}
    cloudwatch.add_response(
        "get_metric_statistics",
        {"Datapoints": [{"ExtendedStatistics": {"p99": 1.5}}]},
        queried("TargetResponseTime", dimensions, ExtendedStatistics=["p99"]),
    )
    signals = CloudWatch(PROD, 15 * 60, {name: client for name, (client, _) in stubbed.items()})
    assert signals.alarms("s") == ["s-5xx-1"]
    assert signals.slowest("s") == 1.5


@pytest.mark.parametrize(("config", "service"), [(PROD, "ws-proxy-live1"), (DEV, "dev-ws-proxy")])
def test_words_are_read_under_the_name_that_the_service_reports_by(
    config: StackConfig, service: str, stubbed: dict[str, tuple[Any, Stubber]]
) -> None:
    cloudwatch, own = stubbed["cloudwatch"][1], {"ServiceName": service}
    for name, value in (("aldea_ws_first_words_seconds_count", 30.0), ("aldea_ws_wordless_streams_total", 10.0)):
        cloudwatch.add_response(
            "get_metric_statistics", {"Datapoints": [{"Sum": value}]}, queried(name, own, Statistics=["Sum"])
        )
    cloudwatch.add_response(
        "get_metric_statistics",
        {"Datapoints": [{"ExtendedStatistics": {"p50": 0.8, "p90": 2.5}}]},
        queried("aldea_ws_first_words_seconds", own, ExtendedStatistics=["p50", "p90"]),
    )
    signals = CloudWatch(config, 15 * 60, {name: client for name, (client, _) in stubbed.items()})
    assert signals.words(service.removeprefix(config.stack.name_prefix)) == Words(40, 0.8, 2.5, 0.25)


def test_too_few_streams_say_nothing(stubbed: dict[str, tuple[Any, Stubber]]) -> None:
    for found in ([{"Sum": 19.0}], []):
        stubbed["cloudwatch"][1].add_response("get_metric_statistics", {"Datapoints": found})
    signals = CloudWatch(PROD, 60, {name: client for name, (client, _) in stubbed.items()})
    assert signals.words("ws-proxy-live1") is None
