"""AWS's rules in prose for ECS: task definitions, services, Service Connect, and scaling."""

import json
from collections.abc import Iterator
from typing import Any, Final

from aldea_infra.checks.prose_rules import states, together
from aldea_infra.offline.graph import Graph, Registered

TASK: Final = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE: Final = "aws:ecs/service:Service"
TARGET: Final = "aws:appautoscaling/target:Target"
POLICY: Final = "aws:appautoscaling/policy:Policy"
REQUEST_PROTOCOLS: Final = frozenset({"http", "http2", "grpc"})
NOT_ON_FARGATE: Final = ("devices", "sharedMemorySize", "tmpfs", "maxSwap", "swappiness")
NOT_IN_AWSVPC: Final = ("links", "hostname", "dnsServers", "dnsSearchDomains", "extraHosts", "disableNetworking")
LOG_OPTIONS: Final = ("awslogs-region", "awslogs-group", "awslogs-stream-prefix")


def _containers(task: Registered) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = task.json("containerDefinitions")
    return found


def _definition(graph: Graph, service: Registered) -> Registered | None:
    arn = service.inputs["taskDefinition"]
    return next((task for task in graph.of(TASK) if task.outputs.get("arn") == arn), None)


def _fargate(task: Registered) -> bool:
    return "FARGATE" in task.inputs.get("requiresCompatibilities", [])


@states(TASK, "ECS API reference, RegisterTaskDefinition, networkMode, cpu, memory, executionRoleArn")
def fargate_tasks_are_whole(_: Graph, task: Registered) -> Iterator[str]:
    """A task for Fargate has a network of its own, a size, and a role to pull its image with."""
    if not _fargate(task):
        return
    if task.inputs.get("networkMode") != "awsvpc":
        yield f"networkMode is {task.inputs.get('networkMode')!r}; Fargate requires awsvpc"
    for key in ("cpu", "memory", "executionRoleArn"):
        if not task.inputs.get(key):
            yield f"Fargate requires {key}"
    if task.inputs.get("ipcMode") or task.inputs.get("pidMode", "task") != "task":
        yield "Fargate supports no ipcMode, and no pidMode but task"
    if task.inputs.get("placementConstraints"):
        yield "Fargate supports no placementConstraints"


@states(TASK, "ECS API reference, ContainerDefinition, cpu and memory")
def containers_fit_their_task(_: Graph, task: Registered) -> Iterator[str]:
    """What containers reserve together is within the task's size; a soft limit is below the hard one."""
    found = _containers(task)
    for key in ("cpu", "memory"):
        if sum(each.get(key, 0) for each in found) > int(task.inputs[key]):
            yield f"its containers reserve more {key} than its {task.inputs[key]}"
    for each in found:
        if each.get("memoryReservation", 0) >= each.get("memory", 1 << 30):
            yield f"{each['name']}: memory must be greater than memoryReservation"


@states(TASK, "ECS API reference, ContainerDefinition, essential and ContainerDependency, condition")
def one_container_is_essential(_: Graph, task: Registered) -> Iterator[str]:
    """A task has an essential container; nothing waits for the end of one."""
    found = {each["name"]: each for each in _containers(task)}
    if len(found) != len(_containers(task)):
        yield "two containers have one name"
    if not any(each.get("essential", True) for each in found.values()):
        yield "all tasks must have an essential container"
    for each in found.values():
        for awaited in each.get("dependsOn", []):
            other, condition = found.get(awaited["containerName"]), awaited["condition"]
            if other is None:
                yield f"{each['name']} depends on {awaited['containerName']}, which is not in the task"
            elif condition in {"COMPLETE", "SUCCESS"} and other.get("essential", True):
                yield f"{condition} can't be set on the essential container {other['name']}"
            elif condition == "HEALTHY" and "healthCheck" not in other:
                yield f"{each['name']} waits for {other['name']} to be healthy, which has no health check"


@states(TASK, "ECS API reference, ContainerDefinition, portMappings, and PortMapping, name")
def ports_fit_awsvpc(_: Graph, task: Registered) -> Iterator[str]:
    """A host's port is the container's; names are the task's own."""
    names: list[str] = []
    for each in _containers(task):
        for mapping in each.get("portMappings", []):
            if mapping.get("hostPort", mapping["containerPort"]) != mapping["containerPort"]:
                yield f"{each['name']}: in awsvpc hostPort must be blank or the containerPort"
            if name := mapping.get("name"):
                names.append(name)
                if name.startswith("-"):
                    yield f"the port name {name!r} can't start with a hyphen"
            if mapping.get("appProtocol") and mapping.get("protocol", "tcp") != "tcp":
                yield f"{each['name']}: appProtocol is of TCP ports only"
    if len(names) != len(set(names)):
        yield "two port mappings have one name"


@states(TASK, "ECS API reference, ContainerDefinition and LinuxParameters: not supported on Fargate or in awsvpc")
def nothing_that_fargate_lacks(_: Graph, task: Registered) -> Iterator[str]:
    """Parameters of container instances."""
    for each in _containers(task):
        linux = each.get("linuxParameters", {})
        if _fargate(task):
            yield from (f"{each['name']}: Fargate supports no {key}" for key in NOT_ON_FARGATE if key in linux)
            if each.get("privileged") or each.get("dockerSecurityOptions"):
                yield f"{each['name']}: Fargate supports neither privileged nor dockerSecurityOptions"
            added = set(linux.get("capabilities", {}).get("add", ())) - {"SYS_PTRACE"}
            if added:
                yield f"{each['name']}: Fargate lets no capability be added but SYS_PTRACE; got {sorted(added)}"
        yield from (f"{each['name']}: awsvpc supports no {key}" for key in NOT_IN_AWSVPC if each.get(key))


@states(TASK, "ECS API reference, HealthCheck")
def container_health_checks_are_accepted(_: Graph, task: Registered) -> Iterator[str]:
    """The command's form and the ranges."""
    ranges = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
    for each in _containers(task):
        check = each.get("healthCheck")
        if check is None:
            continue
        command = check.get("command", [])
        if command[:1] not in (["CMD"], ["CMD-SHELL"]) or len(command) < 2:
            yield f"{each['name']}: the health check's command must start with CMD or CMD-SHELL"
        for key, (least, most) in ranges.items():
            if key in check and not least <= check[key] <= most:
                yield f"{each['name']}: the health check's {key} is {check[key]}; allowed: {least} to {most}"


@states(TASK, "ECS API reference, LogConfiguration, options")
def logs_have_their_options(_: Graph, task: Registered) -> Iterator[str]:
    """On Fargate awslogs needs region, group and a prefix; a buffer is of the non-blocking mode."""
    for each in _containers(task):
        log = each.get("logConfiguration", {})
        options = log.get("options", {})
        if log.get("logDriver") == "awslogs":
            yield from (f"{each['name']}: awslogs requires {key}" for key in LOG_OPTIONS if not options.get(key))
        if "max-buffer-size" in options and options.get("mode") != "non-blocking":
            yield f"{each['name']}: max-buffer-size is used in the mode non-blocking only"


@states(TASK, "ECS API reference, ContainerDefinition, environment and secrets; MountPoint, sourceVolume")
def references_inside_a_task_exist(_: Graph, task: Registered) -> Iterator[str]:
    """A variable is given once, plain or secret; a mount names a volume of the task."""
    volumes = {each["name"] for each in task.inputs.get("volumes", [])}
    for each in _containers(task):
        names = [found["name"] for key in ("environment", "secrets") for found in each.get(key, [])]
        yield from (
            f"{each['name']}: {name} is given twice" for name in sorted({n for n in names if names.count(n) > 1})
        )
        for mount in each.get("mountPoints", []):
            if mount["sourceVolume"] not in volumes:
                yield f"{each['name']} mounts {mount['sourceVolume']}, which is no volume of its task"


@states(SERVICE, "ECS API reference, CreateService, launchType, capacityProviderStrategy, networkConfiguration")
def a_service_says_where_it_runs_once(graph: Graph, service: Registered) -> Iterator[str]:
    """By launch type or by capacity providers, of its cluster, with subnets for awsvpc."""
    strategy = service.inputs.get("capacityProviderStrategies", [])
    if together(service.inputs, "launchType", "capacityProviderStrategies"):
        yield "if a capacityProviderStrategy is specified, the launchType must be omitted"
    offered = {name for each in graph.of("ClusterCapacityProviders") for name in each.inputs["capacityProviders"]}
    for each in strategy:
        if each["capacityProvider"] not in offered:
            yield f"{each['capacityProvider']} is not a capacity provider of its cluster"
    if strategy and not any(each.get("weight") for each in strategy):
        yield "at least one capacity provider must have a weight greater than zero"
    if sum(bool(each.get("base")) for each in strategy) > 1:
        yield "only one capacity provider can have a base"
    if not service.inputs.get("networkConfiguration", {}).get("subnets"):
        yield "awsvpc requires a networkConfiguration with subnets"


@states(SERVICE, "ECS API reference, LoadBalancer, containerPort and targetGroupArn")
def load_balancers_reach_their_container(graph: Graph, service: Registered) -> Iterator[str]:
    """The container and its port are in the task definition, the group's targets are addresses."""
    definition = _definition(graph, service)
    if definition is None:
        yield "its task definition is not in the stack"
        return
    ports = {
        (each["name"], mapping["containerPort"])
        for each in _containers(definition)
        for mapping in each.get("portMappings", [])
    }
    bound = service.inputs.get("loadBalancers", [])
    for each in bound:
        if (each["containerName"], each["containerPort"]) not in ports:
            yield f"no container maps the port {each['containerPort']} as {each['containerName']}"
        group = next(
            (found for found in graph.of("TargetGroup") if found.outputs["arn"] == each["targetGroupArn"]), None
        )
        if group is not None and group.inputs.get("targetType") != "ip":
            yield f"the targets of {group.name} must be ip: its task has a network of its own"
    if service.inputs.get("healthCheckGracePeriodSeconds") and not bound:
        yield "a health check's grace period is of services with a load balancer"


@states(SERVICE, "ECS API reference, DeploymentConfiguration and CreateService, availabilityZoneRebalancing")
def a_deployment_can_go_on(_: Graph, service: Registered) -> Iterator[str]:
    """Between minimum and maximum there is room for a task; rebalancing needs a maximum above 100."""
    least = service.inputs.get("deploymentMinimumHealthyPercent", 100)
    most = service.inputs.get("deploymentMaximumPercent", 200)
    if least >= most:
        yield f"with {least} % at least and {most} % at most no task can be replaced"
    rolling = service.inputs.get("deploymentController", {}).get("type", "ECS") == "ECS"
    if not rolling and service.inputs.get("deploymentCircuitBreaker"):
        yield "the circuit breaker is of rolling updates only"
    if service.inputs.get("availabilityZoneRebalancing") == "ENABLED" and most <= 100:
        yield "availability zone rebalancing requires a maximumPercent above 100"
    if service.inputs.get("enableEcsManagedTags") and service.inputs.get("propagateTags", "NONE") == "NONE":
        yield "with managed tags propagateTags must be set"
    alarms = service.inputs.get("alarms")
    if alarms and alarms.get("enable") and not alarms.get("alarmNames"):
        yield "deployment alarms are enabled without one"


@states(SERVICE, "ECS API reference, ServiceConnectService and TimeoutConfiguration")
def service_connect_is_whole(graph: Graph, service: Registered) -> Iterator[str]:
    """A name of the task's ports, one alias at most, and a timeout per request on no plain TCP port."""
    connect = service.inputs.get("serviceConnectConfiguration") or {}
    definition = _definition(graph, service)
    mappings = {
        mapping.get("name"): mapping
        for each in (_containers(definition) if definition else [])
        for mapping in each.get("portMappings", [])
    }
    if connect.get("enabled") and connect.get("services") and not connect.get("namespace"):
        yield "Service Connect has no namespace"
    for each in connect.get("services", []):
        mapping = mappings.get(each["portName"])
        if mapping is None:
            yield f"portName {each['portName']} must match the name of one of the portMappings"
        aliases = each.get("clientAlias") or []
        if len(aliases if isinstance(aliases, list) else [aliases]) > 1:
            yield f"{each['portName']} has more than one client alias"
        timed = (each.get("timeout") or {}).get("perRequestTimeoutSeconds")
        if timed is not None and (mapping or {}).get("appProtocol") not in REQUEST_PROTOCOLS:
            yield f"{each['portName']}: perRequestTimeout can only be set if appProtocol isn't TCP"
        override = each.get("ingressPortOverride")
        if override is not None and override in {found["containerPort"] for found in mappings.values()}:
            yield f"{each['portName']}: the ingress port {override} is a container's own"


@states(TARGET, "Application Auto Scaling API reference, RegisterScalableTarget, MinCapacity and MaxCapacity")
def a_scaling_range_is_one(graph: Graph, target: Registered) -> Iterator[str]:
    """The least is not above the most, and the service that it names is in the stack."""
    if target.inputs["minCapacity"] > target.inputs["maxCapacity"]:
        yield f"minCapacity {target.inputs['minCapacity']} is above maxCapacity {target.inputs['maxCapacity']}"
    services = {f"service/{graph.one('aws:ecs/cluster:Cluster').inputs['name']}/{each.inputs['name']}"
                for each in graph.of(SERVICE)}  # fmt: skip
    if target.inputs["resourceId"] not in services:
        yield f"{target.inputs['resourceId']} is no service of the stack"


@states(POLICY, "Application Auto Scaling API reference, PutScalingPolicy, PolicyType and MetricSpecification")
def a_scaling_policy_has_one_metric(graph: Graph, policy: Registered) -> Iterator[str]:
    """A predefined metric or a customized one, of a target that is registered; a label for requests only."""
    tracking = policy.inputs.get("targetTrackingScalingPolicyConfiguration")
    if (policy.inputs.get("policyType") == "TargetTrackingScaling") != (tracking is not None):
        yield "TargetTrackingScaling requires a targetTrackingScalingPolicyConfiguration, and no other type takes one"
        return
    if tracking is None:
        return
    kinds = [key for key in ("predefinedMetricSpecification", "customizedMetricSpecification") if tracking.get(key)]
    if len(kinds) != 1:
        yield f"it follows {len(kinds)} metrics; wanted: a predefined or a customized one"
    predefined = tracking.get("predefinedMetricSpecification") or {}
    if bool(predefined.get("resourceLabel")) != (predefined.get("predefinedMetricType") == "ALBRequestCountPerTarget"):
        yield "a resourceLabel is of ALBRequestCountPerTarget, and of no other metric"
    customized = tracking.get("customizedMetricSpecification") or {}
    if customized and together(customized, "metricName", "metrics"):
        yield "a customized metric is a name or a list of metrics"
    keys = ("resourceId", "scalableDimension", "serviceNamespace")
    targets = [tuple(each.inputs[key] for key in keys) for each in graph.of(TARGET)]
    if tuple(policy.inputs[key] for key in keys) not in targets:
        yield f"no scalable target is registered for {json.dumps(policy.inputs['resourceId'])}"
