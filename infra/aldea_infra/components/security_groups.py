"""Security groups: one for each role, and exactly the edges of one table between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.catalogue import CONNECT_PORT, POSTGRES_PORT, REDIS_PORT, ROLES, TRACED, Role

CLIENTS: Final = "clients"
BALANCER: Final = "balancer"
REDIS: Final = "redis"
DATABASE: Final = "database"
INTERNET: Final = "internet"
ANYWHERE: Final = "0.0.0.0/0"
# Where customers' audio, callback and webhook addresses may live (the contract's list).
CUSTOMER_PORTS: Final = (80, 443, 8080, 8443)
# Every task pulls its image, its secrets and its queue over the AWS APIs.
AWS_API_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class Edge:
    """One permitted TCP connection."""

    source: str
    target: str
    port: int
    why: str


def edges(
    stt_ports: Sequence[int], roles: Sequence[Role], mail_port: int | None, traces_port: int | None = None
) -> Iterator[Edge]:
    """Who may open a connection to whom, for the roles that this stack runs.

    `mail_port`, `traces_port`: None where no mail and no spans are sent.
    """
    for port in (443, 80):
        yield Edge(CLIENTS, BALANCER, port, "HTTPS, and HTTP to be redirected")
    for role in roles:
        spec = ROLES[role]
        if spec.target is not None and spec.port is not None:
            yield Edge(BALANCER, role, spec.port, "requests and health checks")
        outside = {AWS_API_PORT}
        if role in (Role.WS_PROXY, Role.HTTP_PROXY):
            outside |= set(stt_ports)
        if role in (Role.HTTP_PROXY, Role.BACKEND):
            outside |= set(CUSTOMER_PORTS)
        if role is Role.BACKEND and mail_port is not None:
            outside.add(mail_port)
        others = "webhooks, mail" if role is Role.BACKEND else "STT servers, callbacks"
        for port in sorted(outside):
            yield Edge(role, INTERNET, port, "AWS APIs" if port == AWS_API_PORT else others)
        if role in TRACED and traces_port is not None and traces_port not in outside:
            yield Edge(role, INTERNET, traces_port, "spans to the OTLP collector")
    for role in (Role.WS_PROXY, Role.HTTP_PROXY, Role.BACKEND):
        yield Edge(role, REDIS, REDIS_PORT, "keys, limits, leases, usage stream")
    for role in (Role.BACKEND, Role.SQS_UPDATER):
        yield Edge(role, DATABASE, POSTGRES_PORT, "SQL")
    yield Edge(Role.FRONTEND, Role.BACKEND, CONNECT_PORT, "Platform API by Service Connect")


@dataclass(frozen=True, slots=True)
class SecurityGroupsArgs:
    """What the security groups need to know."""

    vpc_id: pulumi.Input[str]
    stt_ports: Sequence[int]
    roles: Sequence[Role]
    mail_port: int | None  # of the mail server; None: no mail is sent
    traces_port: int | None  # of the OTLP collector; None: no spans are sent


class SecurityGroups(pulumi.ComponentResource):
    """`groups[node]` is the security group of a role, the balancer or a store. A group has no rule but its edges."""

    def __init__(self, name: str, args: SecurityGroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:network:Firewall", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        nodes = [BALANCER, *args.roles, REDIS, DATABASE]
        self.groups = {
            str(node): aws.ec2.SecurityGroup(
                f"{node}-sg",
                vpc_id=args.vpc_id,
                description=f"{node}: reachable and reaching only as its rules say",
                tags={"Name": str(node)},
                opts=self._child,
            )
            for node in nodes
        }
        for edge in edges(args.stt_ports, args.roles, args.mail_port, args.traces_port):
            self._open(edge)
        self.register_outputs({})

    def _open(self, edge: Edge) -> None:
        label = f"{edge.source}-to-{edge.target}-{edge.port}"
        source, target = self.groups.get(edge.source), self.groups.get(edge.target)
        if target is not None:
            aws.vpc.SecurityGroupIngressRule(
                f"{label}-in",
                security_group_id=target.id,
                referenced_security_group_id=source.id if source else None,
                cidr_ipv4=None if source else ANYWHERE,
                ip_protocol="tcp",
                from_port=edge.port,
                to_port=edge.port,
                description=edge.why,
                opts=self._child,
            )
        if source is not None:
            aws.vpc.SecurityGroupEgressRule(
                f"{label}-out",
                security_group_id=source.id,
                referenced_security_group_id=target.id if target else None,
                cidr_ipv4=None if target else ANYWHERE,
                ip_protocol="tcp",
                from_port=edge.port,
                to_port=edge.port,
                description=edge.why,
                opts=self._child,
            )
