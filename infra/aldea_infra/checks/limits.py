"""Checks of what AWS would refuse, or quietly do otherwise, only at the deployment: sizes, names, order, times."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

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
from aldea_infra.checks import aws_models, aws_ranges, reachability
from aldea_infra.components import metric_names
from aldea_infra.offline.graph import Graph

# Inline and managed policy sizes without white space, and characters that Pulumi appends to a name of its own making.
INLINE_POLICY: Final = 10_240
MANAGED_POLICY: Final = 6_144
SUFFIX: Final = 8
# WAF's quotas, and what AWS lists for each managed group.
ACL_CAPACITY: Final = 1_500
BODY_BYTES: Final = 4_096
GROUP_CAPACITY: Final = {
    "AWSManagedRulesCommonRuleSet": 700,
    "AWSManagedRulesKnownBadInputsRuleSet": 200,
    "AWSManagedRulesAmazonIpReputationList": 25,
}


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


def rules_fit_the_load_balancer(graph: Graph) -> Iterator[str]:
    """The load balancer takes 5 values and 5 target groups a rule, one rule a priority, responses of 1,024 bytes."""
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


def rules_are_in_order(graph: Graph) -> Iterator[str]:
    """WebSockets must be tried before plain requests of the same path, or no stream ever reaches ws-proxy."""
    roles = {each.name: reachability.role_of(graph, each.name) for each in graph.of("aws:ecs/service:Service")}
    found = {route.priority: {roles.get(name, name) for name in route.weights} for route in reachability.routes(graph)}
    wanted = {10: "frontend", 20: "backend", 30: "backend", 100: "ws-proxy", 200: "http-proxy", 300: "http-proxy"}
    for priority, role in wanted.items():
        if found.get(priority) != {role}:
            yield f"rule {priority} goes to {found.get(priority)}; wanted: {role}"


def ports_agree(graph: Graph) -> Iterator[str]:
    """A container that listens elsewhere than its target group or security group says is never healthy."""
    open_ports = {(each.target, each.port) for each in reachability.matrix(graph) if each.source == "balancer"}
    groups = {group.name: group for group in graph.of("TargetGroup")}
    for service in graph.of("aws:ecs/service:Service"):
        container = reachability.main_container(graph, service.name)
        ports = {each["containerPort"] for each in container.get("portMappings", [])}
        if ports and reachability.environment(container).get("PORT") not in set(map(str, ports)):
            yield f"{service.name}: PORT is not its container's port"
        group = groups.get(service.name)
        if group is None:
            continue
        if {group.inputs["port"]} != ports:
            yield f"{service.name}: its target group's port {group.inputs['port']} is not its container's"
        if (reachability.role_of(graph, service.name), group.inputs["port"]) not in open_ports:
            yield f"{service.name}: no security group lets the load balancer in"
        path = group.inputs["healthCheck"]["path"]
        if path != HEALTH_PATH:
            yield f"{service.name}: health is looked for on {path}; wanted: {HEALTH_PATH}"


def times_fit_together(graph: Graph) -> Iterator[str]:
    """A side that closes an idle connection first makes the other respond with 502; a drain cut short loses streams."""
    idle = graph.one("LoadBalancer").inputs.get("idleTimeout", 60)
    if not idle == ALB_IDLE_SECONDS < SERVICE_KEEPALIVE_SECONDS or not 1 <= idle <= 4000:
        yield f"the load balancer's idle timeout {idle} s does not fit the services' {SERVICE_KEEPALIVE_SECONDS} s"
    if not idle > FIRST_BYTE_SECONDS or not WEBSOCKET_PING_SECONDS < FLOW_IDLE_SECONDS:
        yield "a waiting request or a quiet stream is cut by the load balancer"
    delays = {group.name: group.inputs["deregistrationDelay"] for group in graph.of("TargetGroup")}
    for service in graph.of("aws:ecs/service:Service"):
        container = reachability.main_container(graph, service.name)
        variables = reachability.environment(container)
        if float(variables.get("DRAIN_SECONDS", 0)) >= container["stopTimeout"]:
            yield f"{service.name}: its drain outlasts its stopTimeout"
        seen = variables.get("DEREGISTRATION_DELAY_SECONDS")
        if seen is not None and int(seen) != delays[service.name]:
            yield f"{service.name} drains for a delay of {seen} s; its target group has {delays[service.name]} s"
        streams = reachability.role_of(graph, service.name) == "ws-proxy"
        if service.inputs["availabilityZoneRebalancing"] != ("DISABLED" if streams else "ENABLED"):
            yield f"{service.name}: rebalancing stops tasks, under live streams too; all others should be spread"
        breaker = service.inputs.get("deploymentCircuitBreaker", {})
        if not (breaker.get("enable") and breaker.get("rollback")):
            yield f"{service.name} does not roll back a deployment that fails"
        if service.timeouts.get("update") != "60m":
            yield f"{service.name}: its deployment may wait no longer than the default"
    for queue in graph.of("aws:sqs/queue:Queue"):
        if "redrivePolicy" in queue.inputs and queue.inputs["visibilityTimeoutSeconds"] <= 120:
            yield f"{queue.name}: messages reappear while a batch (60 s) may be tried twice"


def services_wait_for_what_they_need(graph: Graph) -> Iterator[str]:
    """ECS refuses a target group without a rule; a task without its policy or secret fails and is rolled back."""
    by_urn = {each.urn: each for each in graph.resources}
    for service in graph.of("aws:ecs/service:Service"):
        kinds = {by_urn[urn].type for urn in service.depends_on if urn in by_urn}
        for wanted in ("ListenerRule", "RolePolicy", "SecretVersion"):
            if not any(kind.endswith(f":{wanted}") for kind in kinds):
                yield f"{service.name} does not wait for its {wanted}"


def deployments_watch_their_alarms(graph: Graph) -> Iterator[str]:
    """A revision that responds with errors passes its health check; only a bound alarm takes it back."""
    alarms = {each.outputs["name"] for each in graph.of("MetricAlarm")}
    for service in graph.of("aws:ecs/service:Service"):
        if not alarms or not service.inputs.get("loadBalancers"):
            continue
        bound = service.inputs.get("alarms") or {}
        names = set(bound.get("alarmNames", []))
        if not (bound.get("enable") and bound.get("rollback") and names and names <= alarms):
            yield f"{service.name}: no alarm rolls its deployment back"


def scaling_fits_the_drain(graph: Graph) -> Iterator[str]:
    """Scaling in faster than tasks drain sheds one after another; streams hardly show in a proxy's CPU."""
    delays = {group.name: group.inputs["deregistrationDelay"] for group in graph.of("TargetGroup")}
    reporters = {reachability.environment(container).get("SERVICE_NAME") for _, container in graph.containers()}
    by_streams = set()
    for policy in graph.of("aws:appautoscaling/policy:Policy"):
        service = policy.inputs["resourceId"].rpartition("/")[2]
        tracking = policy.inputs["targetTrackingScalingPolicyConfiguration"]
        if tracking["scaleInCooldown"] < delays.get(service, 0):
            yield f"{policy.name} scales in every {tracking['scaleInCooldown']} s; a drain takes {delays[service]} s"
        metric = tracking.get("customizedMetricSpecification")
        if metric is None:
            continue
        dimensions = {each["name"]: each["value"] for each in metric["dimensions"]}
        if (metric["namespace"], metric["metricName"]) != (metric_names.NAMESPACE, metric_names.ACTIVE_STREAMS):
            yield f"{policy.name} follows {metric['namespace']} {metric['metricName']}, which no service emits"
        if set(dimensions) != {"ServiceName"} or dimensions["ServiceName"] not in reporters:
            yield f"{policy.name} follows {dimensions}, under which no service reports"
        by_streams.add(service)
    for service in graph.of("aws:ecs/service:Service"):
        if reachability.role_of(graph, service.name) == "ws-proxy" and service.name not in by_streams:
            yield f"{service.name} does not scale by its streams"


def the_waf_fits(graph: Graph) -> Iterator[str]:
    """AWS takes 1,500 capacity units in an ACL, one rule a priority, and bodies of 4 KB (WAF's quotas)."""
    for acl in graph.of("WebAcl"):
        rules = acl.inputs["rules"]
        if len({rule["priority"] for rule in rules}) != len(rules):
            yield f"{acl.name}: two rules have one priority"
        groups = [rule["statement"].get("managedRuleGroupStatement", {}).get("name") for rule in rules]
        # Of our own statements a byte match with its transformation is the dearest.
        own = 12 * json.dumps(rules).count("byteMatchStatement") + 5 * len(rules)
        capacity = sum(GROUP_CAPACITY.get(group, 0) for group in groups) + own
        if capacity > ACL_CAPACITY:
            yield f"{acl.name} needs up to {capacity} capacity units; allowed: {ACL_CAPACITY}"
        if unknown := sorted({group for group in groups if group and group not in GROUP_CAPACITY}):
            yield f"{acl.name}: the capacity of {', '.join(unknown)} is not known here; add it to GROUP_CAPACITY"
        for body in acl.inputs["customResponseBodies"]:
            if len(body["content"]) > BODY_BYTES:
                yield f"{acl.name}: the response {body['key']} has more than {BODY_BYTES} bytes"


def logs_end(graph: Graph) -> Iterator[str]:
    """A log group without retention is paid for and answerable for ever; RDS makes one without unless it is there."""
    named = {each.inputs.get("name") for each in graph.of("LogGroup")}
    for each in graph.of("aws:rds/instance:Instance"):
        for log in each.inputs.get("enabledCloudwatchLogsExports", []):
            if f"/aws/rds/instance/{each.inputs['identifier']}/{log}" not in named:
                yield f"RDS makes the log group of {each.name}'s {log} log, to keep for ever"
    for each in graph.of("LogGroup"):
        if not each.inputs.get("retentionInDays"):
            yield f"{each.name} keeps its logs for ever"


def the_accelerator_is_logged(graph: Graph) -> Iterator[str]:
    """What comes to its addresses and never to the load balancer is seen nowhere else."""
    allowed = {
        resource
        for holder, statement in graph.policies()
        if holder.type.endswith(":BucketPolicy")
        and statement["Effect"] == "Allow"
        and "s3:PutObject" in statement["Action"]
        and statement.get("Principal") == {"Service": "delivery.logs.amazonaws.com"}
        for resource in statement["Resource"]
    }
    for each in graph.of("aws:globalaccelerator/accelerator:Accelerator"):
        given = each.inputs.get("attributes", {})
        prefix = f"arn:aws:s3:::{given.get('flowLogsS3Bucket')}/{given.get('flowLogsS3Prefix')}"
        written = [f"{prefix}{slash}AWSLogs/1/globalaccelerator/log" for slash in ("", "/")]
        if not given.get("flowLogsEnabled") or not all(
            any(fnmatchcase(path, resource) for resource in allowed) for path in written
        ):
            yield f"{each.name} writes no flow logs, or may not write them where it is configured to"


def what_cannot_be_replaced_is_protected(graph: Graph) -> Iterator[str]:
    """Customers admit fixed addresses, and a queue may hold what nobody was billed for yet."""
    if not graph.one("aws:rds/instance:Instance").protect:
        return  # a stack that may be deleted
    for kind in ("aws:ec2/eip:Eip", "aws:globalaccelerator/accelerator:Accelerator", "aws:sqs/queue:Queue"):
        for each in graph.of(kind):
            if not each.protect:
                yield f"{each.name} ({kind}) is not protected"


def the_default_group_is_closed(graph: Graph) -> Iterator[str]:
    """A VPC's default security group lets its members talk to one another and to the world."""
    for vpc in graph.of("Vpc"):
        closed = [each for each in graph.of("DefaultSecurityGroup") if each.inputs["vpcId"] == vpc.outputs["vpcId"]]
        if not closed or any(each.inputs.get("ingress") or each.inputs.get("egress") for each in closed):
            yield f"the default security group of {vpc.name} is open"


def names_fit(graph: Graph) -> Iterator[str]:
    """Names that are too long or of other characters are refused when everything before them exists already."""
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


def policies_fit(graph: Graph) -> Iterator[str]:
    """IAM counts a policy's characters."""
    for kind, most in (("aws:iam/rolePolicy:RolePolicy", INLINE_POLICY), ("aws:iam/policy:Policy", MANAGED_POLICY)):
        for each in graph.of(kind):
            size = len(re.sub(r"\s", "", each.inputs["policy"]))
            if size > most:
                yield f"{each.name} has {size} characters; allowed: {most}"


def values_are_in_awss_ranges(graph: Graph) -> Iterator[str]:
    """The ranges and patterns of AWS's own service models."""
    yield from aws_models.faults(graph)
    yield from aws_ranges.faults(graph)


CHECKS: Final = (
    tasks_fit_fargate,
    rules_fit_the_load_balancer,
    rules_are_in_order,
    ports_agree,
    times_fit_together,
    services_wait_for_what_they_need,
    deployments_watch_their_alarms,
    scaling_fits_the_drain,
    the_waf_fits,
    logs_end,
    the_accelerator_is_logged,
    what_cannot_be_replaced_is_protected,
    the_default_group_is_closed,
    names_fit,
    policies_fit,
    values_are_in_awss_ranges,
)
