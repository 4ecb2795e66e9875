"""Who may open a connection to whom, as the registered security groups say, and the paths that traffic takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from aldea_infra.offline.graph import Graph, Registered

# What the networks outside are called.
ANYWHERE: Final = "0.0.0.0/0"
CLIENTS: Final = "clients"
INTERNET: Final = "internet"


@dataclass(frozen=True, slots=True, order=True)
class Reach:
    """`source` may open a TCP connection to a port of `target`."""

    source: str
    target: str
    port: int


def groups(graph: Graph) -> dict[str, str]:
    """Security group id → its node's name: a role, `balancer`, `redis` or `database`."""
    return {each.id: each.name.removesuffix("-sg") for each in graph.of("SecurityGroup")}


def matrix(graph: Graph) -> list[Reach]:
    """Every permitted connection. Inside the VPC both ends must permit it."""
    names = groups(graph)
    incoming = {_reach(rule, names, ingress=True) for rule in graph.of("SecurityGroupIngressRule")}
    outgoing = {_reach(rule, names, ingress=False) for rule in graph.of("SecurityGroupEgressRule")}
    from_outside = {reach for reach in incoming if reach.source == CLIENTS}
    to_outside = {reach for reach in outgoing if reach.target == INTERNET}
    return sorted((incoming & outgoing) | from_outside | to_outside)


def _reach(rule: Registered, names: dict[str, str], *, ingress: bool) -> Reach:
    own = names[rule.inputs["securityGroupId"]]
    other = names.get(rule.inputs.get("referencedSecurityGroupId", ""), CLIENTS if ingress else INTERNET)
    port = rule.inputs["fromPort"]
    return Reach(other, own, port) if ingress else Reach(own, other, port)


@dataclass(frozen=True, slots=True)
class Route:
    """What a listener rule does: its conditions in words, and the weight of each service behind it."""

    priority: int
    conditions: tuple[str, ...]
    weights: dict[str, int]


def routes(graph: Graph) -> Iterator[Route]:
    """The listener rules by rising priority, with services in place of target groups."""
    services = {each.outputs["arn"]: each.name for each in graph.of("TargetGroup")}
    for rule in sorted(graph.of("ListenerRule"), key=lambda each: int(each.inputs["priority"])):
        forward = rule.inputs["actions"][0]["forward"]["targetGroups"]
        yield Route(
            priority=rule.inputs["priority"],
            conditions=tuple(_in_words(condition) for condition in rule.inputs["conditions"]),
            weights={services[each["arn"]]: each["weight"] for each in forward},
        )


def _in_words(condition: dict[str, Any]) -> str:
    if "hostHeader" in condition:
        return " or ".join(condition["hostHeader"]["values"])
    if "pathPattern" in condition:
        return " or ".join(condition["pathPattern"]["values"])
    header = condition["httpHeader"]
    return f"{header['httpHeaderName']}: {' or '.join(header['values'])}"


def main_container(graph: Graph, service: str) -> dict[str, Any]:
    """The main container of a service's task definition."""
    containers = graph.one("TaskDefinition", service).json("containerDefinitions")
    return next(each for each in containers if each["name"] == "main")


def environment(container: dict[str, Any]) -> dict[str, str]:
    """A container's plain environment."""
    return {each["name"]: each["value"] for each in container["environment"]}


def secrets(container: dict[str, Any]) -> dict[str, str]:
    """A container's secret environment: variable → valueFrom."""
    return {each["name"]: each["valueFrom"] for each in container["secrets"]}


def role_of(graph: Graph, service: str) -> str:
    """The node that a service is in the matrix: its security group's."""
    configured = graph.one("Service", service).inputs["networkConfiguration"]
    return groups(graph)[configured["securityGroups"][0]]
