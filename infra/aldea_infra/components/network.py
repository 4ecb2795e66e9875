"""The VPC: public, private and isolated subnets, NAT with addresses of our own, the S3 endpoint, flow logs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_awsx as awsx

from aldea_infra.components import iam
from aldea_infra.components.naming import Names
from aldea_infra.config.sections import ExistingNetwork, NetworkSection

NAT_STRATEGY = {
    "one-per-zone": awsx.ec2.NatGatewayStrategy.ONE_PER_AZ,
    "single": awsx.ec2.NatGatewayStrategy.SINGLE,
}


@dataclass(frozen=True, slots=True)
class NetworkArgs:
    """What the network needs to know."""

    network: NetworkSection
    names: Names
    region: str
    roles: iam.RoleFactory
    log_retention_days: int
    protect: bool


class Network(pulumi.ComponentResource):
    """Three kinds of subnets, and NAT under addresses that stay the same and are exported.

    Public: NAT, and the load balancer where no accelerator is in front of it. Private: tasks. Isolated: stores, with
    no route out.
    """

    vpc_id: pulumi.Input[str]
    public_subnets: pulumi.Input[Sequence[str]]
    private_subnets: pulumi.Input[Sequence[str]]
    isolated_subnets: pulumi.Input[Sequence[str]]
    nat_addresses: Sequence[pulumi.Input[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:network:Network", name, None, opts)
        if args.network.existing is None:
            self._make(args, pulumi.ResourceOptions(parent=self))
        else:
            self._take(args.network.existing)
        self.register_outputs({"vpcId": self.vpc_id})

    def _take(self, existing: ExistingNetwork) -> None:
        self.vpc_id = existing.vpc_id
        self.public_subnets = list(existing.public_subnets)
        self.private_subnets = list(existing.private_subnets)
        self.isolated_subnets = list(existing.isolated_subnets)
        self.nat_addresses = [str(address) for address in existing.nat_addresses]

    def _make(self, args: NetworkArgs, child: pulumi.ResourceOptions) -> None:
        count = args.network.zones if args.network.nat_gateways == "one-per-zone" else 1
        addresses = [
            aws.ec2.Eip(
                f"nat-{index + 1}",
                domain="vpc",
                tags={"Name": f"{args.names.cluster}-nat-{index + 1}"},
                # Customers' callback addresses admit them, and STT servers.
                opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
            )
            for index in range(count)
        ]
        vpc = awsx.ec2.Vpc(
            "vpc",
            cidr_block=args.network.cidr,
            number_of_availability_zones=args.network.zones,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            subnet_strategy=awsx.ec2.SubnetAllocationStrategy.AUTO,
            subnet_specs=[
                awsx.ec2.SubnetSpecArgs(type=awsx.ec2.SubnetType.PUBLIC),
                awsx.ec2.SubnetSpecArgs(type=awsx.ec2.SubnetType.PRIVATE),
                awsx.ec2.SubnetSpecArgs(type=awsx.ec2.SubnetType.ISOLATED),
            ],
            nat_gateways=awsx.ec2.NatGatewayConfigurationArgs(
                strategy=NAT_STRATEGY[args.network.nat_gateways],
                elastic_ip_allocation_ids=[address.allocation_id for address in addresses],
            ),
            tags={"Name": args.names.cluster},
            opts=child,
        )
        # Whatever is put into the VPC without a group of its own reaches nothing.
        aws.ec2.DefaultSecurityGroup("closed", vpc_id=vpc.vpc_id, ingress=[], egress=[], opts=child)
        # Image layers come from S3; through the gateway endpoint they cost no NAT processing.
        aws.ec2.VpcEndpoint(
            "s3",
            vpc_id=vpc.vpc_id,
            service_name=f"com.amazonaws.{args.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=vpc.route_tables.apply(lambda tables: [table.id for table in tables]),
            opts=child,
        )
        self.vpc_id = vpc.vpc_id
        self.public_subnets = vpc.public_subnet_ids
        self.private_subnets = vpc.private_subnet_ids
        self.isolated_subnets = vpc.isolated_subnet_ids
        self.nat_addresses = [address.public_ip for address in addresses]
        self._flow_logs(args, child)

    def _flow_logs(self, args: NetworkArgs, child: pulumi.ResourceOptions) -> None:
        """Refused traffic only: what an intruder or a missing rule would show up in, at little cost."""
        group = aws.cloudwatch.LogGroup(
            "flow-logs",
            name=args.names.refused_log_group,
            retention_in_days=args.log_retention_days,
            opts=child,
        )
        # "At least" these five (VPC user guide, "IAM role for publishing flow logs"); the group is there before.
        writes = iam.Statement(
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            [group.arn, pulumi.Output.concat(group.arn, ":*")],
        )
        looks = iam.Statement(["logs:DescribeLogGroups"], ["*"])
        role, policies = args.roles.make(
            "flow-logs", "vpc-flow-logs.amazonaws.com", "Writes the VPC's flow logs", [writes, looks], self
        )
        aws.ec2.FlowLog(
            "refused",
            vpc_id=self.vpc_id,
            traffic_type="REJECT",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=policies),
        )
