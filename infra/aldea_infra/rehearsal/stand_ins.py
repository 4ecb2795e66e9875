"""What is in the account before the stack, or made by another provider: the zone, and awsx's network in simple form."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aldea_infra.config.parse import StackConfig
from aldea_infra.offline.graph import Graph
from aldea_infra.offline.mocks import ZONE_ID

KINDS: Final = ("public", "private", "isolated")
# Bits that a subnet's network has more than the VPC's.
SUBNET_BITS: Final = 8
LABEL: Final = "rehearsed"
# What the emulator returns otherwise than it was given and only a replacement could change: a plan leaves it alone.
RETURNED_OTHERWISE: Final = {
    "aws_elasticache_replication_group": ("at_rest_encryption_enabled", "transit_encryption_enabled"),
    "aws_flow_log": ("iam_role_arn", "max_aggregation_interval"),
}


@dataclass(frozen=True, slots=True)
class StandIns:
    """Terraform's resources by type and label, and what the graph's made-up values of them are called there."""

    resources: dict[str, dict[str, dict[str, Any]]]
    known: dict[str, str]


def stand_ins(graph: Graph, config: StackConfig) -> StandIns:
    """The zone, and the VPC with a subnet and a route table for each of the mocks'."""
    known = {ZONE_ID: f"aws_route53_zone.{LABEL}.zone_id"}
    resources: dict[str, dict[str, dict[str, Any]]] = {"aws_route53_zone": {LABEL: {"name": config.hosts.zone}}}
    for vpc in graph.of("awsx:ec2:Vpc"):
        known[vpc.outputs["vpcId"]] = f"aws_vpc.{LABEL}.id"
        resources["aws_vpc"] = {LABEL: {"cidr_block": vpc.inputs["cidrBlock"], "enable_dns_hostnames": True}}
        networks = ipaddress.ip_network(vpc.inputs["cidrBlock"]).subnets(SUBNET_BITS)
        subnets = [(zone, each) for kind in KINDS for zone, each in enumerate(vpc.outputs[f"{kind}SubnetIds"])]
        for zone, subnet in subnets:
            known |= {subnet: f"aws_subnet.{subnet}.id", _table(subnet): f"aws_route_table.{subnet}.id"}
            inside = {"vpc_id": f"${{aws_vpc.{LABEL}.id}}"}
            resources.setdefault("aws_subnet", {})[subnet] = {
                **inside,
                "cidr_block": str(next(networks)),
                "availability_zone": f"{config.stack.region}{'abcdef'[zone]}",
            }
            resources.setdefault("aws_route_table", {})[subnet] = inside
    return StandIns(resources, known)


def leave_alone(resources: Mapping[str, Mapping[str, dict[str, Any]]]) -> None:
    """Let plans ignore what the emulator returns otherwise."""
    for type_, attributes in RETURNED_OTHERWISE.items():
        for body in resources.get(type_, {}).values():
            ignored = body.setdefault("lifecycle", {}).setdefault("ignore_changes", [])
            ignored += attributes


def _table(subnet: str) -> str:
    """The mocks' name of a subnet's route table."""
    return subnet.replace("subnet-", "rtb-")
