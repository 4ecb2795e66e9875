"""Ranges and patterns of AWS's service models for what is no input of the call that makes a resource (`aws_models`)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from aldea_infra.offline.graph import Graph

# Type, path of the input (lists are walked), and the service and shape of botocore's model that limits it.
RANGES: Final = (
    ("aws:lb/targetGroup:TargetGroup", "healthCheck.interval", "elbv2", "HealthCheckIntervalSeconds"),
    ("aws:lb/targetGroup:TargetGroup", "healthCheck.timeout", "elbv2", "HealthCheckTimeoutSeconds"),
    ("aws:lb/targetGroup:TargetGroup", "healthCheck.healthyThreshold", "elbv2", "HealthCheckThresholdCount"),
    ("aws:lb/targetGroup:TargetGroup", "healthCheck.unhealthyThreshold", "elbv2", "HealthCheckThresholdCount"),
    ("aws:ecr/lifecyclePolicy:LifecyclePolicy", "policy", "ecr", "LifecyclePolicyText"),
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
