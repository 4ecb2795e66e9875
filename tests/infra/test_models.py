"""Inputs outside the ranges, patterns and enumerations of botocore's models are noticed, wherever they are."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aldea_infra.checks import aws_models, aws_ranges
from aldea_infra.offline.graph import Graph

Inputs = dict[str, Any]


def path(*keys: str | int, value: Any) -> Callable[[Inputs], None]:
    """The value at these keys, set."""

    def apply(inputs: Inputs) -> None:
        found: Any = inputs
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return apply


SERVICE, TASK = ("aws:ecs/service:Service", "imp-backend"), ("aws:ecs/taskDefinition:TaskDefinition", "imp-backend")
# What is broken, how, and what is said.
BREACHES: list[tuple[tuple[str, str], Callable[[Inputs], None], str]] = [
    (("ListenerRule", "rule-100"), path("priority", value=60_000), "priority is 60000; allowed: 1 to 50000"),
    (("ListenerRule", "rule-100"), path("priority", value="high"), "priority is 'high'; wanted: a number"),
    (("ListenerRule", "rule-100"), path("actions", 0, "type", value="foward"), "actions[0].type is 'foward'; allowed"),
    (("TargetGroup", "imp-backend"), path("port", value=0), "port is 0; allowed: 1 to 65535"),
    (("TargetGroup", "imp-backend"), path("protocol", value="https"), "protocol is 'https'; allowed: HTTP"),
    (("aws:lb/listener:Listener", "https"), path("protocol", value="HTTPs"), "protocol is 'HTTPs'"),
    (("aws:lb/listener:Listener", "https"), path("defaultActions", 0, "fixedResponse", "messageBody", value="x" * 1025),
        "messageBody has 1025 characters; allowed: 0 to 1024"),
    (("WebAcl", "firewall"), path("description", value="our wall!"), "description is 'our wall!'"),
    (("WebAcl", "firewall"), path("rules", 0, "name", value="a rule"), "rules[0].name is 'a rule'"),
    (("WebAcl", "firewall"), path("rules", 0, "action", value={"block": {"customResponse": {
        "responseCode": 403, "responseHeaders": []}}}), "responseHeaders has 0 items; allowed: 1 to"),
    (("aws:iam/role:Role", "ci-deploy"), path("maxSessionDuration", value=60), "maxSessionDuration is 60"),
    (("aws:iam/role:Role", "ci-deploy"), path("name", value="a/role"), "name is 'a/role'"),
    (("aws:iam/role:Role", "ci-deploy"), path("description", value="x" * 1001), "description has 1001 characters"),
    (("aws:ecr/repository:Repository", "backend-repository"), path("name", value="Backend"), "name is 'Backend'"),
    (("aws:ecr/repository:Repository", "backend-repository"), path("imageTagMutability", value="NEVER"), "MUTABLE"),
    (("aws:cloudwatch/logGroup:LogGroup", "imp-backend-log"), path("name", value="a log"), "name is 'a log'"),
    (("MetricAlarm", "balancer-errors"), path("alarmDescription", value="x" * 1025), "alarmDescription has 1025"),
    (("MetricAlarm", "balancer-errors"), path("statistic", value="p99"), "statistic is 'p99'; allowed: SampleCount"),
    (("aws:secretsmanager/secret:Secret", "redis-auth-token"), path("description", value="x" * 2049), "2049"),
    (SERVICE, path("propagateTags", value="SERVICES"), "propagateTags is 'SERVICES'"),
    (SERVICE, path("capacityProviderStrategies", 0, "weight", value=1001),
        "weight is 1001; allowed: 0 to 1000"),
    (TASK, path("networkMode", value="vpc"), "networkMode is 'vpc'"),
    (TASK, path("runtimePlatform", "cpuArchitecture", value="AMD64"), "cpuArchitecture is 'AMD64'; allowed: X86_64"),
    (("aws:appautoscaling/target:Target", "ws-proxy-live1"), path("maxCapacity", value="many"), "'many'; wanted: a"),
    (("aws:elasticache/user:User", "redis-backend"), path("userId", value="redis_backend"), "userId is 'redis_"),
    (("aws:ecr/repository:Repository", "backend-repository"),
        path("encryptionConfigurations", value=[{"encryptionType": "AES"}]), "encryptionType is 'AES'"),
    (("aws:kms/key:Key", "alarms"), path("description", value="x" * 8193), "description has 8193"),
    (("aws:acm/certificate:Certificate", "certificate"), path("domainName", value="a_b.aldea.ai"), "domainName is"),
    (("TargetGroup", "imp-backend"), path("healthCheck", "interval", value=301), "healthCheck.interval is 301"),
    (("TargetGroup", "imp-backend"), path("healthCheck", "unhealthyThreshold", value=1), "unhealthyThreshold is 1"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BREACHES)), ids=lambda number: BREACHES[number][2])
def test_a_value_that_the_model_does_not_take_is_named(number: int, prod: Graph) -> None:
    (kind, name), change, said = BREACHES[number]
    victim = prod.one(kind, name)
    inputs = copy.deepcopy(dict(victim.inputs))
    change(inputs)
    graph = replace(prod, resources=[replace(victim, inputs=inputs)])
    assert any(said in fault for faults in (aws_models.faults, aws_ranges.faults) for fault in faults(graph))


def test_every_type_that_is_created_by_one_call_is_looked_at(prod: Graph, dev: Graph) -> None:
    for kind in aws_models.CALLS:
        # A subscription is there only once somebody subscribes.
        assert prod.of(kind) or dev.of(kind) or kind == "aws:sns/topicSubscription:TopicSubscription", kind


def test_both_stacks_are_within_the_models(graph: Graph) -> None:
    assert not [*aws_models.faults(graph), *aws_ranges.faults(graph)]
