"""The one component behind every service: log group, roles, task definition, ECS service, scaling, alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from aldea_infra.catalogue import CONNECT_PORT, MAIN_CONTAINER, SERVICE_KEEPALIVE_SECONDS, Role
from aldea_infra.components import iam
from aldea_infra.components.alarms import Alarms, service_alarms
from aldea_infra.components.autoscaling import scale
from aldea_infra.components.containers import container_definition, container_logs, start_permissions
from aldea_infra.components.imports import Adoption
from aldea_infra.components.naming import Names
from aldea_infra.components.secret_store import Injection
from aldea_infra.config.sections import ServiceSection

# A deployment waits for the drain of what it replaces, up to 15 minutes a batch, before it is steady.
DEPLOYMENT_TIMEOUT: Final = "60m"
# A Platform API request that Service Connect's proxy gives up on; its default of 15 s is shorter than a slow report.
CONNECT_REQUEST_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Placement:
    """Where tasks run."""

    cluster_name: pulumi.Output[str]
    cluster_arn: pulumi.Output[str]
    namespace_arn: pulumi.Output[str]
    capacity: pulumi.Resource  # the cluster's capacity providers, which must be attached before they are used
    subnets: pulumi.Input[Sequence[str]]
    groups: Mapping[str, pulumi.Output[str]]  # security groups by role
    architecture: str
    spot: bool
    region: str
    roles: iam.RoleFactory
    log_retention_days: int


@dataclass(frozen=True, slots=True)
class Container:
    """The service's container."""

    image: pulumi.Output[str]
    repository_arn: pulumi.Output[str]
    port: int | None
    stop_seconds: int
    command: Sequence[str]
    environment: Mapping[str, pulumi.Input[str]]
    secrets: Injection


@dataclass(frozen=True, slots=True)
class FargateServiceArgs:
    """Everything that differs between services."""

    section: ServiceSection
    names: Names
    placement: Placement
    container: Container
    permissions: Sequence[iam.Statement]
    alarms: Alarms | None
    adoption: Adoption
    target_group: aws.lb.TargetGroup | None = None
    balancer_suffix: pulumi.Input[str] | None = None
    offers_as: str | None = None  # the service's Service Connect name
    uses_connect: bool = False
    steady: Sequence[pulumi.Resource] = field(default_factory=tuple)  # what must exist before this service starts


class FargateService(pulumi.ComponentResource):
    """One ECS service on Fargate, deployed by rolling update with circuit breaker and rollback."""

    def __init__(self, name: str, args: FargateServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:service:FargateService", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._policies: list[pulumi.Resource] = []
        self.log_group = aws.cloudwatch.LogGroup(
            f"{name}-log",
            name=args.names.log_group(name),
            retention_in_days=args.placement.log_retention_days,
            opts=args.adoption.options(self, f"log-{name}"),
        )
        self.task_role = self._role("task", list(args.permissions))
        self.execution_role = self._role("execution", self._start_permissions())
        alarms = service_alarms(name, args.alarms, args.target_group, args.balancer_suffix, self)
        self.task_definition = self._task_definition()
        self.service = self._service(alarms)
        scale(name, args.section, args.names, args.placement.cluster_name, self.service, self)
        self.register_outputs({"service": self.service.name, "taskDefinition": self.task_definition.arn})

    def _role(self, kind: str, statements: list[iam.Statement]) -> aws.iam.Role:
        description = f"{self._name}: {'what its code may call' if kind == 'task' else 'what starting it takes'}"
        role, policies = self._args.placement.roles.make(
            f"{self._name}-{kind}", "ecs-tasks.amazonaws.com", description, statements, self
        )
        self._policies += policies
        return role

    def _start_permissions(self) -> list[iam.Statement]:
        container = self._args.container
        return start_permissions(container.repository_arn, self.log_group.arn, container.secrets.arns)

    def _task_definition(self) -> aws.ecs.TaskDefinition:
        section, placement = self._args.section, self._args.placement
        return aws.ecs.TaskDefinition(
            self._name,
            family=f"{self._args.names.cluster}-{self._name}",
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=str(section.cpu),
            memory=str(section.memory),
            runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
                operating_system_family="LINUX", cpu_architecture=placement.architecture
            ),
            task_role_arn=self.task_role.arn,
            execution_role_arn=self.execution_role.arn,
            container_definitions=pulumi.Output.json_dumps([self._main_container()]),
            # The root file system is read-only; this is where a process may write (the image names it as a VOLUME).
            volumes=[aws.ecs.TaskDefinitionVolumeArgs(name="tmp")],
            skip_destroy=True,  # a rollback runs an earlier revision
            opts=self._child,
        )

    def _main_container(self) -> dict[str, Any]:
        container = self._args.container
        definition = container_definition(
            MAIN_CONTAINER,
            container.image,
            container_logs(self.log_group.name, self._args.placement.region, MAIN_CONTAINER),
            container.environment,
            container.secrets.variables,
        )
        definition["essential"] = True
        definition["stopTimeout"] = container.stop_seconds
        if container.secrets.arns:
            # A changed secret changes this, and so starts new tasks.
            definition["environment"].append({"name": "SECRET_VERSIONS", "value": container.secrets.versions})
        if container.command:
            definition["command"] = list(container.command)
        if container.port is not None:
            mapping = {"name": "http", "containerPort": container.port, "protocol": "tcp"}
            if self._args.offers_as is not None:
                # Without it Service Connect takes the port for TCP and refuses a timeout per request. It cannot be
                # changed later.
                mapping["appProtocol"] = "http"
            definition["portMappings"] = [mapping]
            if self._args.target_group is None or self._args.offers_as is not None:
                # Behind a balancer alone its check decides, which knows about draining. Service Connect sends calls to
                # every task that is not unhealthy, and only this check reports it.
                definition["healthCheck"] = {
                    "command": ["CMD", "python", "-m", "aldea.healthcheck"],
                    "interval": 15,
                    "timeout": 5,
                    "retries": 3,
                    "startPeriod": 30,
                }
        return definition

    def _service(self, alarms: Sequence[aws.cloudwatch.MetricAlarm]) -> aws.ecs.Service:
        args, placement = self._args, self._args.placement
        return aws.ecs.Service(
            self._name,
            name=self._name,
            cluster=placement.cluster_arn,
            task_definition=self.task_definition.arn,
            desired_count=args.section.min_tasks,
            capacity_provider_strategies=_capacity(placement.spot),
            network_configuration=aws.ecs.ServiceNetworkConfigurationArgs(
                subnets=placement.subnets, security_groups=[placement.groups[args.section.role]], assign_public_ip=False
            ),
            load_balancers=self._load_balancers(),
            health_check_grace_period_seconds=60 if args.target_group else None,
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            deployment_circuit_breaker=aws.ecs.ServiceDeploymentCircuitBreakerArgs(enable=True, rollback=True),
            alarms=aws.ecs.ServiceAlarmsArgs(alarm_names=[alarm.name for alarm in alarms], enable=True, rollback=True)
            if alarms
            else None,
            # Rebalancing stops healthy tasks, and live streams with them; other services may be spread anew.
            availability_zone_rebalancing="DISABLED" if args.section.role is Role.WS_PROXY else "ENABLED",
            service_connect_configuration=self._connect(),
            wait_for_steady_state=True,
            # An update that is interrupted takes its deployments back instead of leaving them half done.
            sigint_rollback=True,
            # ECS refuses another capacity provider (Spot switched on, a service adopted) without it.
            force_new_deployment=True,
            enable_execute_command=False,
            propagate_tags="SERVICE",
            opts=pulumi.ResourceOptions.merge(
                args.adoption.options(
                    self,
                    f"service-{self._name}",
                    depends_on=[*args.steady, placement.capacity, *self._policies, *args.container.secrets.depends_on],
                    ignore_changes=["desiredCount"],  # scaling owns it
                ),
                pulumi.ResourceOptions(
                    delete_before_replace=True,  # the name is fixed
                    custom_timeouts=pulumi.CustomTimeouts(
                        create=DEPLOYMENT_TIMEOUT, update=DEPLOYMENT_TIMEOUT, delete=DEPLOYMENT_TIMEOUT
                    ),
                ),
            ),
        )

    def _load_balancers(self) -> list[aws.ecs.ServiceLoadBalancerArgs]:
        group, port = self._args.target_group, self._args.container.port
        if group is None or port is None:
            return []
        return [aws.ecs.ServiceLoadBalancerArgs(target_group_arn=group.arn, container_name="main", container_port=port)]

    def _connect(self) -> aws.ecs.ServiceServiceConnectConfigurationArgs | None:
        """Service Connect: offering a name, or only using those of others."""
        args = self._args
        if args.offers_as is None and not args.uses_connect:
            return None
        offered = []
        if args.offers_as is not None and args.container.port is not None:
            alias = aws.ecs.ServiceServiceConnectConfigurationServiceClientAliasArgs(
                port=args.container.port, dns_name=args.offers_as
            )
            offered.append(
                aws.ecs.ServiceServiceConnectConfigurationServiceArgs(
                    port_name="http",
                    discovery_name=args.offers_as,
                    client_alias=[alias],
                    ingress_port_override=CONNECT_PORT,
                    # Longer than the clients of the proxy keep a connection, or they write into a closing one.
                    timeout=aws.ecs.ServiceServiceConnectConfigurationServiceTimeoutArgs(
                        idle_timeout_seconds=SERVICE_KEEPALIVE_SECONDS,
                        per_request_timeout_seconds=CONNECT_REQUEST_SECONDS,
                    ),
                )
            )
        return aws.ecs.ServiceServiceConnectConfigurationArgs(
            enabled=True, namespace=args.placement.namespace_arn, services=offered
        )


def _capacity(spot: bool) -> list[aws.ecs.ServiceCapacityProviderStrategyArgs]:
    """All ordinary, or one ordinary task and the rest on Spot."""
    strategy = aws.ecs.ServiceCapacityProviderStrategyArgs
    ordinary = strategy(capacity_provider="FARGATE", base=1, weight=0 if spot else 1)
    return [ordinary, strategy(capacity_provider="FARGATE_SPOT", weight=1)] if spot else [ordinary]
