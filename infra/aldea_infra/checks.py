"""Checks over the registered graph: what must never be deployed, and what AWS would refuse only at the deployment.

Each check is a generator of faults; its docstring is its reason. `run` names the faults by check. Ranges come from
botocore's service models where those have them; the other limits name their source.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from aldea_infra import metric_names, reach
from aldea_infra.catalogue import (
    ALB_IDLE_SECONDS,
    FARGATE_MEMORY,
    FIRST_BYTE_SECONDS,
    FLOW_IDLE_SECONDS,
    HEALTH_PATH,
    LONGEST_STOP,
    SERVICE_KEEPALIVE_SECONDS,
    WEBSOCKET_PING_SECONDS,
)  # fmt: skip
from aldea_infra.graph import Graph, Registered


@dataclass(frozen=True, slots=True)
class Contract:
    """What an image's program reads from its environment, and what its settings' classes say of it."""

    variables: frozenset[str]
    required: frozenset[str]
    secret: frozenset[str]


Contracts = Mapping[str, Contract]  # by container: the role, or "migrate"
Check = Callable[[Graph], Iterator[str]]

CHECKS: Final[list[Check]] = []
# Set by the program or by ECS for every container; no settings class needs to know them.
ALWAYS_ALLOWED: Final = frozenset({"SECRET_VERSIONS", "PGPASSWORD"})
# Calls that take no resource (AWS's service authorization reference).
WITHOUT_RESOURCE: Final = frozenset({"ecr:GetAuthorizationToken", "elasticloadbalancing:DescribeTargetHealth"})
# Inline and managed policy sizes without white space, and characters that Pulumi appends to a name of its own making.
INLINE_POLICY: Final = 10_240
MANAGED_POLICY: Final = 6_144
SUFFIX: Final = 8


def check(function: Check) -> Check:
    """Add a check to those that `run` performs."""
    CHECKS.append(function)
    return function


def run(graph: Graph, contracts: Contracts | None = None) -> list[str]:
    """Every fault as `check: what`; empty for a graph that may be deployed."""
    faults = [f"{each.__name__}: {fault}" for each in CHECKS for fault in each(graph)]
    if contracts is not None:
        faults += [f"environment_is_the_services_own: {fault}" for fault in _environments(graph, contracts)]
    return faults


@check
def stores_are_private(graph: Graph) -> Iterator[str]:
    """A database with a public address is one leaked password away from everybody."""
    for each in graph.of("aws:rds/instance:Instance"):
        if each.inputs.get("publiclyAccessible") is not False:
            yield f"{each.name} is publicly accessible"
    for each in graph.of("SubnetGroup"):
        if not all("isolated" in subnet for subnet in each.inputs["subnetIds"]):
            yield f"{each.name} lies outside the isolated subnets"


@check
def only_the_edge_is_open(graph: Graph) -> Iterator[str]:
    """Whatever else takes connections from anywhere bypasses the firewall, the accelerator and admission."""
    for edge in reach.matrix(graph):
        if edge.source == reach.CLIENTS and (edge.target != "balancer" or edge.port not in {80, 443}):
            yield f"anybody reaches {edge.target}:{edge.port}"
    for each in graph.of("aws:ecs/service:Service"):
        if each.inputs["networkConfiguration"].get("assignPublicIp") is not False:
            yield f"{each.name} has a public address"
    internal = graph.one("LoadBalancer").inputs["internal"]
    if graph.of("Accelerator") and not internal:
        yield "the load balancer is public beside its accelerator"
    for each in graph.of("EndpointGroup"):
        for endpoint in each.inputs["endpointConfigurations"]:
            if not endpoint.get("clientIpPreservationEnabled"):
                yield "the accelerator hides clients' addresses from the firewall"


@check
def connections_are_encrypted(graph: Graph) -> Iterator[str]:
    """Keys and audio travel over these hops."""
    for each in graph.of("aws:lb/listener:Listener"):
        if each.inputs["port"] == 80 and each.inputs["defaultActions"][0]["type"] != "redirect":
            yield "port 80 answers instead of redirecting"
        if each.inputs["port"] == 443 and "TLS13" not in each.inputs.get("sslPolicy", ""):
            yield "port 443 has no TLS 1.3 policy"
    for each in graph.of("ReplicationGroup"):
        if not each.inputs.get("transitEncryptionEnabled") or not each.inputs.get("authToken"):
            yield f"{each.name} takes connections without TLS or without a token"
    for each in graph.of("aws:rds/parameterGroup:ParameterGroup"):
        if ("rds.force_ssl", "1") not in _parameters(each):
            yield f"{each.name} does not insist on TLS"
    for version in graph.of("SecretVersion"):
        if "redis://" in version.inputs["secretString"]:
            yield f"{version.name} holds a Redis URL without TLS"


@check
def data_at_rest_is_encrypted(graph: Graph) -> Iterator[str]:
    """Snapshots, queues and buckets outlive the processes that wrote them."""
    wanted = {
        "aws:rds/instance:Instance": "storageEncrypted",
        "aws:elasticache/replicationGroup:ReplicationGroup": "atRestEncryptionEnabled",
        "aws:sqs/queue:Queue": "sqsManagedSseEnabled",
        "aws:sns/topic:Topic": "kmsMasterKeyId",
        "aws:ecr/repository:Repository": "encryptionConfigurations",
    }
    for kind, key in wanted.items():
        for each in graph.of(kind):
            if not each.inputs.get(key):
                yield f"{each.name} ({kind}) lacks {key}"
    encrypted = {each.inputs["bucket"] for each in graph.of("BucketServerSideEncryptionConfiguration")}
    closed = {each.inputs["bucket"] for each in graph.of("BucketPublicAccessBlock")}
    for bucket in graph.of("aws:s3/bucket:Bucket"):
        if bucket.id not in encrypted & closed:
            yield f"bucket {bucket.name} is not encrypted, or not closed to the public"


@check
def redis_never_evicts(graph: Graph) -> Iterator[str]:
    """ElastiCache's default drops API keys and usage readings when memory runs out."""
    for each in graph.of("aws:elasticache/parameterGroup:ParameterGroup"):
        if ("maxmemory-policy", "noeviction") not in _parameters(each):
            yield f"{each.name} may evict"
    for each in graph.of("ReplicationGroup"):
        nodes = each.inputs["numCacheClusters"]
        if each.inputs["multiAzEnabled"] != (nodes > 1) or each.inputs["automaticFailoverEnabled"] != (nodes > 1):
            yield f"{each.name}: {nodes} nodes do not fit Multi-AZ and automatic failover"


@check
def secrets_stay_secret(graph: Graph) -> Iterator[str]:
    """A value of a secret in any plain input, or in an output, is in the state and the console for all to read."""
    texts = set()
    for version in graph.of("SecretVersion"):
        if "secretString" not in version.secret_inputs and "made-up" in version.inputs["secretString"]:
            yield f"{version.name} is not marked secret"
        texts |= set(re.findall(r'"([^"]*made-up[^"]*)"', version.inputs["secretString"]))
    for each in graph.resources:
        plain = {key: value for key, value in each.inputs.items() if key not in each.secret_inputs}
        if any(text in str(plain) for text in texts):
            yield f"{each.name} ({each.type}) carries a secret in plain"
    if any(text in str(graph.outputs) for text in texts):
        yield "the stack's outputs carry a secret"


@check
def secret_keys_exist_and_may_be_read(graph: Graph) -> Iterator[str]:
    """A task whose secret lacks the key, or whose execution role may not read it, never starts."""
    held: dict[str, set[str]] = {}
    for version in graph.of("SecretVersion"):
        held[version.inputs["secretId"]] = set(re.findall(r'"([^"]+)":', version.inputs["secretString"]))
    for task, container in graph.containers():
        readable = {
            resource
            for holder, statement in graph.policies()
            if holder.name == f"{task.name}-execution" and "secretsmanager:GetSecretValue" in statement["Action"]
            for resource in statement["Resource"]
        }
        for variable, source in reach.secrets(container).items():
            arn, key = source.removesuffix("::").rsplit(":", 1)
            if arn not in readable:
                yield f"{task.name} may not read what {variable} comes from"
            if arn in held and key not in held[arn]:
                yield f"{task.name}: {variable} comes from {key}, which its secret does not hold"


@check
def policies_are_exact(graph: Graph) -> Iterator[str]:
    """A service gets what it calls and no more; a wildcard lends it everything that AWS will ever add."""
    for holder, statement in graph.policies():
        if statement["Effect"] == "Deny" or holder.parent.endswith("::ci") or holder.type.endswith(":Key"):
            continue
        for action in statement["Action"]:
            if "*" in action:
                yield f"{holder.name} ({holder.type}) allows {action}"
        if "*" in statement.get("Resource", []) and not set(statement["Action"]) <= WITHOUT_RESOURCE:
            yield f"{holder.name} allows {', '.join(statement['Action'])} on everything"
        if statement.get("Principal") in ("*", {"AWS": "*"}):
            yield f"{holder.name} is open to every account"
    for role in graph.of("aws:iam/role:Role"):
        if not role.inputs.get("permissionsBoundary"):
            yield f"{role.name} has no permissions boundary, so the deploy role may not make it"


@check
def trust_is_exact(graph: Graph) -> Iterator[str]:
    """A role that any repository, branch or account may take is a back door."""
    for role in graph.of("aws:iam/role:Role"):
        for statement in role.json("assumeRolePolicy")["Statement"]:
            exact = statement.get("Condition", {}).get("StringEquals", {})
            keys = {key.rpartition(":")[2] for key in exact}
            wanted = {"aud", "sub"} if "Federated" in statement["Principal"] else {"SourceAccount"}
            if not wanted <= keys or any("*" in str(value) for value in exact.values()):
                yield f"{role.name} is trusted without exact {' and '.join(sorted(wanted))}"


@check
def images_are_fixed(graph: Graph) -> Iterator[str]:
    """A moving tag runs something else tomorrow; a digest runs what was tested."""
    for task, container in graph.containers():
        if not re.search(r"@sha256:[0-9a-f]{64}$", container["image"]):
            yield f"{task.name}/{container['name']} runs {container['image']}, which is no digest"
        if not container.get("readonlyRootFilesystem"):
            yield f"{task.name}/{container['name']} may change its own files"
    for each in graph.of("aws:ecr/repository:Repository"):
        if each.inputs.get("imageTagMutability") != "IMMUTABLE":
            yield f"{each.name} lets a tag be moved"


@check
def tasks_fit_fargate(graph: Graph) -> Iterator[str]:
    """ECS refuses other sizes, and on Fargate longer stops and starts, when the task definition is registered."""
    for each in graph.of("TaskDefinition"):
        cpu, memory = int(each.inputs["cpu"]), int(each.inputs["memory"])
        if memory not in FARGATE_MEMORY.get(cpu, ()):
            yield f"{each.name}: no Fargate task has cpu {cpu} with {memory} MB"
    for task, container in graph.containers():
        for key in ("stopTimeout", "startTimeout"):
            if container.get(key, 2) > LONGEST_STOP:
                yield f"{task.name}: {key} {container[key]} s is above Fargate's {LONGEST_STOP} s"


@check
def rules_fit_the_load_balancer(graph: Graph) -> Iterator[str]:
    """The load balancer takes 5 values and 5 target groups a rule, one rule a priority, answers of 1,024 bytes."""
    rules = graph.of("ListenerRule")
    priorities = [rule.inputs["priority"] for rule in rules]
    if len(priorities) != len(set(priorities)):
        yield f"priorities {sorted(priorities)} are not unique"
    for rule in rules:
        values = [
            value for condition in rule.inputs["conditions"] for part in condition.values() for value in part["values"]
        ]
        groups = rule.inputs["actions"][0]["forward"]["targetGroups"]
        if len(values) > 5 or sum(value.count("*") + value.count("?") for value in values) > 5:
            yield f"{rule.name} has more than 5 values or wildcards"
        if not 1 <= len(groups) <= 5 or not sum(group["weight"] for group in groups):
            yield f"{rule.name} forwards to {len(groups)} groups with weights that add to nothing, or more than 5"


@check
def rules_are_in_order(graph: Graph) -> Iterator[str]:
    """WebSockets must be tried before plain requests of the same path, or no stream ever reaches ws-proxy."""
    roles = {each.name: reach.role_of(graph, each.name) for each in graph.of("aws:ecs/service:Service")}
    found = {route.priority: {roles.get(name, name) for name in route.weights} for route in reach.routes(graph)}
    wanted = {10: "frontend", 20: "backend", 30: "backend", 100: "ws-proxy", 200: "http-proxy", 300: "http-proxy"}
    for priority, role in wanted.items():
        if found.get(priority) != {role}:
            yield f"rule {priority} goes to {found.get(priority)}; wanted: {role}"


@check
def ports_agree(graph: Graph) -> Iterator[str]:
    """A container that listens elsewhere than its target group or security group says is never healthy."""
    open_ports = {(each.target, each.port) for each in reach.matrix(graph) if each.source == "balancer"}
    groups = {group.name: group for group in graph.of("TargetGroup")}
    for service in graph.of("aws:ecs/service:Service"):
        container = reach.main_container(graph, service.name)
        ports = {each["containerPort"] for each in container.get("portMappings", [])}
        if ports and reach.environment(container).get("PORT") not in set(map(str, ports)):
            yield f"{service.name}: PORT is not its container's port"
        group = groups.get(service.name)
        if group is None:
            continue
        if {group.inputs["port"]} != ports:
            yield f"{service.name}: its target group's port {group.inputs['port']} is not its container's"
        if (reach.role_of(graph, service.name), group.inputs["port"]) not in open_ports:
            yield f"{service.name}: no security group lets the load balancer in"
        path = group.inputs["healthCheck"]["path"]
        if path != HEALTH_PATH:
            yield f"{service.name}: health is looked for on {path}; wanted: {HEALTH_PATH}"


@check
def times_fit_together(graph: Graph) -> Iterator[str]:
    """A side that closes an idle connection first makes the other answer 502; a drain cut short loses streams."""
    idle = graph.one("LoadBalancer").inputs.get("idleTimeout", 60)
    if not idle == ALB_IDLE_SECONDS < SERVICE_KEEPALIVE_SECONDS or not 1 <= idle <= 4000:
        yield f"the load balancer's idle timeout {idle} s does not fit the services' {SERVICE_KEEPALIVE_SECONDS} s"
    if not idle > FIRST_BYTE_SECONDS or not WEBSOCKET_PING_SECONDS < FLOW_IDLE_SECONDS:
        yield "a waiting request or a quiet stream is cut by the load balancer"
    delays = {group.name: group.inputs["deregistrationDelay"] for group in graph.of("TargetGroup")}
    for service in graph.of("aws:ecs/service:Service"):
        container = reach.main_container(graph, service.name)
        variables = reach.environment(container)
        if float(variables.get("DRAIN_SECONDS", 0)) >= container["stopTimeout"]:
            yield f"{service.name}: its drain outlasts its stopTimeout"
        told = variables.get("DEREGISTRATION_DELAY_SECONDS")
        if told is not None and int(told) != delays[service.name]:
            yield f"{service.name} is told a delay of {told} s; its target group has {delays[service.name]} s"
        if service.inputs["availabilityZoneRebalancing"] != "DISABLED" and "ws-proxy" in service.name:
            yield f"{service.name}: rebalancing would stop tasks under live streams"
        breaker = service.inputs.get("deploymentCircuitBreaker", {})
        if not (breaker.get("enable") and breaker.get("rollback")):
            yield f"{service.name} does not roll back a deployment that fails"
        if service.timeouts.get("update") != "60m":
            yield f"{service.name}: its deployment may wait no longer than the default"
    for queue in graph.of("aws:sqs/queue:Queue"):
        if "redrivePolicy" in queue.inputs and queue.inputs["visibilityTimeoutSeconds"] <= 120:
            yield f"{queue.name}: messages reappear while a batch (60 s) may be tried twice"


@check
def services_wait_for_what_they_need(graph: Graph) -> Iterator[str]:
    """ECS refuses a target group without a rule; a task without its policy or secret fails and is rolled back."""
    by_urn = {each.urn: each for each in graph.resources}
    for service in graph.of("aws:ecs/service:Service"):
        kinds = {by_urn[urn].type for urn in service.depends_on if urn in by_urn}
        for wanted in ("ListenerRule", "RolePolicy", "SecretVersion"):
            if not any(kind.endswith(f":{wanted}") for kind in kinds):
                yield f"{service.name} does not wait for its {wanted}"


@check
def metrics_exist(graph: Graph) -> Iterator[str]:
    """An alarm on a metric that nobody emits is silent for ever."""
    reporters = {reach.environment(container).get("SERVICE_NAME") for _, container in graph.containers()}
    for each in graph.of("MetricAlarm"):
        if each.inputs["namespace"] != metric_names.NAMESPACE:
            continue
        if each.inputs["metricName"] not in metric_names.ALL:
            yield f"{each.name} watches {each.inputs['metricName']}, which is not in metric_names"
        if each.inputs["dimensions"]["ServiceName"] not in reporters:
            yield f"{each.name} watches a service that reports under no such name"


@check
def names_fit(graph: Graph) -> Iterator[str]:
    """Names that are too long or of other characters are refused when everything before them stands already."""
    for each in [*graph.of("TargetGroup"), *graph.of("LoadBalancer")]:
        if len(each.name) + SUFFIX > 32 or not re.fullmatch(r"[A-Za-z0-9-]+", each.name):
            yield f"{each.name} is too long for a load balancer's or target group's name (32 with Pulumi's suffix)"
    for role in graph.of("aws:iam/role:Role"):
        if len(role.inputs.get("name", role.name + "x" * SUFFIX)) > 64:
            yield f"{role.name} is too long for a role's name (64)"
    for secret in graph.of("aws:secretsmanager/secret:Secret"):
        if re.search(r"-[A-Za-z0-9]{6}$", secret.inputs["name"]):
            yield f"{secret.inputs['name']} ends like a secret's ARN does: a partial ARN would mean another"
    for group in graph.of("LogGroup"):
        if "firewall" in group.name and not group.inputs["name"].startswith("aws-waf-logs-"):
            yield f"{group.inputs['name']}: WAF logs only where the name begins aws-waf-logs-"


@check
def policies_fit(graph: Graph) -> Iterator[str]:
    """IAM counts a policy's characters."""
    for kind, most in (("aws:iam/rolePolicy:RolePolicy", INLINE_POLICY), ("aws:iam/policy:Policy", MANAGED_POLICY)):
        for each in graph.of(kind):
            size = len(re.sub(r"\s", "", each.inputs["policy"]))
            if size > most:
                yield f"{each.name} has {size} characters; allowed: {most}"


@check
def values_are_in_awss_ranges(graph: Graph) -> Iterator[str]:
    """The ranges and patterns of AWS's own service models."""
    for kind, path, service, shape in RANGES:
        for each in graph.of(kind):
            for value in _at(each.inputs, path.split(".")):
                if not _fits(_shape(service, shape), value):
                    yield f"{each.name}: {path} is {value!r}; allowed: {_shape(service, shape)}"


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


def _parameters(group: Registered) -> set[tuple[str, str]]:
    return {(each["name"], each["value"]) for each in group.inputs.get("parameters", [])}


def _environments(graph: Graph, contracts: Contracts) -> Iterator[str]:
    """A renamed setting fails here, not as a task that does not start."""
    for task, container in graph.containers():
        role = "migrate" if container["name"] == "migrate" else _role(graph, task)
        contract = contracts[role]
        plain, secret = set(reach.environment(container)), set(reach.secrets(container))
        where = f"{task.name}/{container['name']}"
        for name in sorted((plain | secret) - contract.variables - ALWAYS_ALLOWED):
            yield f"{where} is given {name}, which its program does not read"
        for name in sorted(contract.required - plain - secret):
            yield f"{where} lacks {name}, without which its program does not start"
        for name in sorted(contract.secret & plain):
            yield f"{where} is given the secret {name} in plain"


def _role(graph: Graph, task: Registered) -> str:
    return reach.role_of(graph, task.name)
