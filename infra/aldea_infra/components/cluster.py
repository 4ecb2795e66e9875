"""The ECS cluster: Fargate, Container Insights, and the Service Connect namespace."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aldea_infra.components.imports import Adoption
from aldea_infra.components.naming import Names


@dataclass(frozen=True, slots=True)
class ClusterArgs:
    """What the cluster needs to know."""

    names: Names
    spot: bool


class Cluster(pulumi.ComponentResource):
    """One cluster for all services."""

    def __init__(
        self, name: str, args: ClusterArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:cluster:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.cluster = aws.ecs.Cluster(
            "cluster",
            name=args.names.cluster,
            settings=[aws.ecs.ClusterSettingArgs(name="containerInsights", value="enabled")],
            opts=adoption.options(self, "cluster"),
        )
        self.capacity = aws.ecs.ClusterCapacityProviders(
            "capacity",
            cluster_name=self.cluster.name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"] if args.spot else ["FARGATE"],
            opts=child,
        )
        self.namespace = aws.servicediscovery.HttpNamespace(
            "namespace",
            name=args.names.namespace,
            description="ECS Service Connect: the frontend's way to the backend",
            opts=child,
        )
        self.register_outputs({"arn": self.cluster.arn})
