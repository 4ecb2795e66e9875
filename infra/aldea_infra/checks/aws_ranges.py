"""Holds inputs to the ranges and patterns of AWS's own service models, as botocore ships them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from aldea_infra.offline.graph import Graph

# Type, path of the input (lists are walked), and the service and shape of botocore's model that limits it.
RANGES: Final = (
    ("aws:lb/listenerRule:ListenerRule", "priority", "elbv2", "RulePriority"),
    ("aws:lb/targetGroup:TargetGroup", "port", "elbv2", "Port"),
    ("aws:lb/targetGroup:TargetGroup", "healthCheck.interval", "elbv2", "HealthCheckIntervalSeconds"),
    ("aws:lb/targetGroup:TargetGroup", "healthCheck.timeout", "elbv2", "HealthCheckTimeoutSeconds"),
    ("aws:lb/targetGroup:TargetGroup", "healthCheck.healthyThreshold", "elbv2", "HealthCheckThresholdCount"),
    ("aws:lb/listener:Listener", "defaultActions.fixedResponse.messageBody", "elbv2", "FixedResponseActionMessage"),
    ("aws:wafv2/webAcl:WebAcl", "rules.name", "wafv2", "EntityName"),
    ("aws:wafv2/webAcl:WebAcl", "rules.statement.rateBasedStatement.limit", "wafv2", "RateLimit"),
    ("aws:wafv2/webAcl:WebAcl", "description", "wafv2", "EntityDescription"),
    ("aws:wafv2/ipSet:IpSet", "description", "wafv2", "EntityDescription"),
    ("aws:iam/role:Role", "path", "iam", "pathType"),
    ("aws:iam/role:Role", "description", "iam", "roleDescriptionType"),
    ("aws:iam/role:Role", "maxSessionDuration", "iam", "roleMaxSessionDurationType"),
    ("aws:ecr/repository:Repository", "name", "ecr", "RepositoryName"),
    ("aws:ecr/lifecyclePolicy:LifecyclePolicy", "policy", "ecr", "LifecyclePolicyText"),
    ("aws:cloudwatch/logGroup:LogGroup", "name", "logs", "LogGroupName"),
    ("aws:cloudwatch/metricAlarm:MetricAlarm", "alarmDescription", "cloudwatch", "AlarmDescription"),
    ("aws:secretsmanager/secret:Secret", "name", "secretsmanager", "NameType"),
    ("aws:acm/certificate:Certificate", "domainName", "acm", "DomainNameString"),
)


def faults(graph: Graph) -> Iterator[str]:
    """Each value outside what its service's model allows."""
    for kind, path, service, shape in RANGES:
        for each in graph.of(kind):
            for value in _at(each.inputs, path.split(".")):
                if not _fits(_shape(service, shape), value):
                    yield f"{each.name}: {path} is {value!r}; allowed: {_shape(service, shape)}"


@cache
def _shape(service: str, shape: str) -> dict[str, Any]:
    # Imported here: the models are read by the checks alone, and take a moment.
    from botocore.loaders import Loader  # noqa: PLC0415

    model = Loader().load_service_model(service, "service-2")["shapes"][shape]
    return {key: model[key] for key in ("min", "max", "pattern") if key in model}


def _fits(shape: Mapping[str, Any], value: Any) -> bool:
    size = len(value) if isinstance(value, str) else value
    if not shape.get("min", size) <= size <= shape.get("max", size):
        return False
    return not isinstance(value, str) or "pattern" not in shape or bool(re.fullmatch(shape["pattern"], value))


def _at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _at(each, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _at(value[path[0]], path[1:])
