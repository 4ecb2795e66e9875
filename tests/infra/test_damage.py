"""Deliberate damage: each kind, done to what production registers, fails the check that is there for it."""

import copy
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aldea_infra.checks import run
from aldea_infra.config.parse import Secret
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph, Registered
from tests.infra.contracts import CONTRACTS

Inputs = dict[str, Any]


def damaged(graph: Graph, kind: str, name: str, change: Callable[[Inputs], object]) -> Graph:
    """The graph with one resource's inputs changed."""
    victim = graph.one(kind, name)
    inputs = copy.deepcopy(dict(victim.inputs))
    change(inputs)
    assert inputs != victim.inputs
    return swap(graph, victim, replace(victim, inputs=inputs))


def swap(graph: Graph, old: Registered, new: Registered) -> Graph:
    return replace(graph, resources=[new if each is old else each for each in graph.resources])


def container(change: Callable[[Inputs], object], index: int = 0) -> Callable[[Inputs], object]:
    def apply(inputs: Inputs) -> None:
        found = json.loads(inputs["containerDefinitions"])
        change(found[index])
        inputs["containerDefinitions"] = json.dumps(found)

    return apply


def variable(name: str, value: str | None) -> Callable[[Inputs], object]:
    """One variable of a container's plain environment set, or removed."""

    def apply(found: Inputs) -> None:
        found["environment"] = [each for each in found["environment"] if each["name"] != name]
        if value is not None:
            found["environment"].append({"name": name, "value": value})

    return container(apply)


def secret_key(variable_name: str, key: str) -> Callable[[Inputs], object]:
    """A variable taken from another key of its secret."""

    def apply(found: Inputs) -> None:
        one = next(each for each in found["secrets"] if each["name"] == variable_name)
        one["valueFrom"] = f"{one['valueFrom'].removesuffix('::').rpartition(':')[0]}:{key}::"

    return container(apply)


def statement(**changes: Any) -> Callable[[Inputs], object]:
    def apply(inputs: Inputs) -> None:
        key = "policy" if "policy" in inputs else "assumeRolePolicy"
        document = json.loads(inputs[key])
        document["Statement"][0] |= changes
        inputs[key] = json.dumps(document)

    return apply


def statements(change: Callable[[Inputs], object]) -> Callable[[Inputs], object]:
    """Every statement of a policy, changed."""

    def apply(inputs: Inputs) -> None:
        document = json.loads(inputs["policy"])
        for each in document["Statement"]:
            change(each)
        inputs["policy"] = json.dumps(document)

    return apply


def untagged(found: Inputs) -> None:
    """The condition by this stack's tag taken off a statement."""
    if "aws:ResourceTag/Cluster" in found.get("Condition", {}).get("StringEquals", {}):
        found.pop("Condition")


def any_record(found: Inputs) -> None:
    if "route53:ChangeResourceRecordSets" in found["Action"]:
        found.pop("Condition")


def any_user(found: Inputs) -> None:
    """Every sign-in to PostgreSQL as whomever."""
    found["Resource"] = [
        f"{each.partition('/')[0]}/*" if ":rds-db:" in each else each for each in found.get("Resource", [])
    ]


def without(action: str) -> Callable[[Inputs], object]:
    """An action taken out of a statement."""

    def change(found: Inputs) -> None:
        found["Action"] = [each for each in found["Action"] if each != action] or ["sts:GetCallerIdentity"]

    return change


def trusted(subject: str) -> Callable[[Inputs], object]:
    """A role's trust for another subject of GitHub's."""
    return statement(Condition={"StringEquals": {"x:aud": "sts.amazonaws.com", "x:sub": subject}})


def offered(**changes: Any) -> Callable[[Inputs], object]:
    """What a service offers by Service Connect changed."""
    return lambda inputs: inputs["serviceConnectConfiguration"]["services"][0].update(changes)


def rule_of(inputs: Inputs, name: str) -> Inputs:
    found: Inputs = next(rule for rule in inputs["rules"] if rule["name"] == name)
    return found


def acl_rule(name: str, /, **changes: Any) -> Callable[[Inputs], object]:
    """A rule of the WAF changed."""
    return lambda inputs: rule_of(inputs, name).update(changes)


def managed(name: str, /, **changes: Any) -> Callable[[Inputs], object]:
    """A managed group of the WAF changed."""
    return lambda inputs: rule_of(inputs, name)["statement"]["managedRuleGroupStatement"].update(changes)


def forward_to(graph: Graph, service_name: str) -> Callable[[Inputs], object]:
    arn = graph.one("TargetGroup", service_name).outputs["arn"]

    def apply(inputs: Inputs) -> None:
        inputs["actions"][0]["forward"]["targetGroups"] = [{"arn": arn, "weight": 1}]

    return apply


# Of the user `backend`, made from the made-up token.
REDIS_PASSWORD = hmac.new(
    mock_run.MADE_UP[Secret.REDIS_AUTH_TOKEN].encode(), b"redis user backend", hashlib.sha256
).hexdigest()

# Type, name, damage, and the check that has to notice.
DAMAGE: dict[str, tuple[str, str, Callable[[Inputs], object], str]] = {
    "public database": (
        "aws:rds/instance:Instance", "database", lambda i: i.update(publiclyAccessible=True), "stores_are_private",
    ),
    "database among the tasks": (
        "aws:rds/subnetGroup:SubnetGroup", "database", lambda i: i.update(subnetIds=["subnet-private-1"]),
        "stores_are_private",
    ),
    "redis open to everybody": (
        "SecurityGroupIngressRule", "backend-to-redis-6379-in",
        lambda i: i.pop("referencedSecurityGroupId"), "only_the_edge_is_open",
    ),
    "tasks with public addresses": (
        "aws:ecs/service:Service", "ws-proxy-live1", lambda i: i["networkConfiguration"].update(assignPublicIp=True),
        "only_the_edge_is_open",
    ),
    "public balancer behind the accelerator": (
        "LoadBalancer", "alb", lambda i: i.update(internal=False), "only_the_edge_is_open",
    ),
    "client addresses hidden": (
        "EndpointGroup", "accelerator",
        lambda i: i["endpointConfigurations"][0].update(clientIpPreservationEnabled=False), "only_the_edge_is_open",
    ),
    "old TLS": (
        "aws:lb/listener:Listener", "https", lambda i: i.update(sslPolicy="ELBSecurityPolicy-2016-08"),
        "connections_are_encrypted",
    ),
    "redis without users": (
        "ReplicationGroup", "redis", lambda i: i.pop("userGroupIds"), "connections_are_encrypted",
    ),
    "a proxy that makes credentials": (
        "User", "redis-ws-proxy", lambda i: i.update(accessString="on ~* -@all +hset"), "redis_users_are_apart",
    ),
    "redis for anybody": (
        "User", "redis-default", lambda i: i.update(accessString="on ~* +@all"), "redis_users_are_apart",
    ),
    "a user in no group": (
        "UserGroup", "redis", lambda i: i["userIds"].pop(), "redis_users_are_apart",
    ),
    "a proxy that signs in as the backend": (
        "TaskDefinition", "ws-proxy-live1", secret_key("REDIS_URL", "backend"), "redis_users_are_apart",
    ),
    "redis without TLS": (
        "ReplicationGroup", "redis", lambda i: i.update(transitEncryptionEnabled=False), "connections_are_encrypted",
    ),
    "postgres without TLS": (
        "aws:rds/parameterGroup:ParameterGroup", "database",
        lambda i: i.update(parameters=[{"name": "rds.force_ssl", "value": "0"}]), "connections_are_encrypted",
    ),
    "database in the clear": (
        "aws:rds/instance:Instance", "database", lambda i: i.update(storageEncrypted=False),
        "data_at_rest_is_encrypted",
    ),
    "redis that evicts": (
        "aws:elasticache/parameterGroup:ParameterGroup", "redis", lambda i: i.update(parameters=[]),
        "redis_never_evicts",
    ),
    "secret in plain": (
        "TaskDefinition", "imp-backend", variable("X", mock_run.MADE_UP[Secret.STT_UPSTREAM_TOKEN]),
        "secrets_stay_secret",
    ),
    "a Redis password in plain": (
        "TaskDefinition", "imp-backend", variable("X", REDIS_PASSWORD), "secrets_stay_secret",
    ),
    "secret setting in plain": (
        "TaskDefinition", "ws-proxy-live1", variable("REDIS_URL", "rediss://x"), "environment_is_the_services_own",
    ),
    "renamed setting": (
        "TaskDefinition", "ws-proxy-live1", variable("STT_SERVERS", "http://x"), "environment_is_the_services_own",
    ),
    "missing setting": (
        "TaskDefinition", "ws-proxy-live1", variable("STT_UPSTREAMS", None), "environment_is_the_services_own",
    ),
    "secret key that is not there": (
        "TaskDefinition", "ws-proxy-live1",
        secret_key("STT_UPSTREAM_TOKEN", "STT_TOKEN"),
        "secret_keys_exist_and_may_be_read",
    ),
    "a mail server behind a closed port": (
        "SecurityGroupEgressRule", "backend-to-internet-465-out", lambda i: i.update(fromPort=466, toPort=466),
        "mail_reaches_its_server",
    ),
    "a mail server's port that nobody needs": (
        "TaskDefinition", "imp-backend",
        container(lambda c: c.update(secrets=[each for each in c["secrets"] if each["name"] != "MAIL_URL"])),
        "mail_reaches_its_server",
    ),
    "a mail server's password in plain": (
        "TaskDefinition", "imp-backend", variable("MAIL_URL", mock_run.MADE_UP[Secret.MAIL_URL]), "secrets_stay_secret",
    ),
    "mail settings given to the console": (
        "TaskDefinition", "imp-frontend", variable("MAIL_FROM", "a@example.com"), "environment_is_the_services_own",
    ),
    "wildcard action": (
        "RolePolicy", "sqs-updater-task", statement(Action=["sqs:*"]), "policies_are_exact",
    ),
    "wildcard resource": (
        "RolePolicy", "sqs-updater-task", statement(Resource=["*"]), "policies_are_exact",
    ),
    "role without boundary": (
        "aws:iam/role:Role", "sqs-updater-task", lambda i: i.pop("permissionsBoundary"), "policies_are_exact",
    ),
    "any branch may deploy": (
        "aws:iam/role:Role", "ci-deploy",
        statement(Condition={"StringEquals": {"x:aud": "sts.amazonaws.com", "x:sub": "repo:aldea-ai/*"}}),
        "trust_is_exact",
    ),
    "a subject with half its numbers": (
        "aws:iam/role:Role", "ci-deploy", trusted("repo:aldea-ai@7/asr-platform:environment:prod"), "trust_is_exact",
    ),
    "one subject of several with half its numbers": (
        "aws:iam/role:Role", "ci-preview",
        statement(Condition={"StringEquals": {"x:aud": "sts.amazonaws.com", "x:sub": [
            "repo:aldea-ai/asr-platform:pull_request", "repo:aldea-ai@7/asr-platform:environment:dev-drift",
        ]}}), "trust_is_exact",
    ),
    "a request timeout on a TCP port": (
        "TaskDefinition", "imp-backend", container(lambda c: c["portMappings"][0].pop("appProtocol")),
        "service_connect_is_accepted",
    ),
    "a name that no port has": (
        "aws:ecs/service:Service", "imp-backend", offered(portName="https"), "service_connect_is_accepted",
    ),
    "the balancer behind Service Connect's proxy": (
        "aws:ecs/service:Service", "imp-backend", offered(ingressPortOverride=8103), "service_connect_reaches_its_port",
    ),
    "a proxy that nobody reaches": (
        "aws:ecs/service:Service", "imp-backend", offered(ingressPortOverride=8114), "service_connect_reaches_its_port",
    ),
    "calls to a task that does not serve yet": (
        "TaskDefinition", "imp-backend", container(lambda c: c.pop("healthCheck")), "service_connect_reaches_its_port",
    ),
    "capabilities kept": (
        "TaskDefinition", "ws-proxy-live1", container(lambda c: c["linuxParameters"].pop("capabilities")),
        "containers_are_locked_down",
    ),
    "no init": (
        "TaskDefinition", "ws-proxy-live1", container(lambda c: c["linuxParameters"].update(initProcessEnabled=False)),
        "containers_are_locked_down",
    ),
    "a tmpfs on Fargate": (
        "TaskDefinition", "ws-proxy-live1", container(lambda c: c["linuxParameters"].update(tmpfs=[{"size": 64}])),
        "containers_are_locked_down",
    ),
    "nowhere to write": (
        "TaskDefinition", "ws-proxy-live1", container(lambda c: c.update(mountPoints=[])), "containers_are_locked_down",
    ),
    "capacity that cannot change": (
        "aws:ecs/service:Service", "ws-proxy-live1", lambda i: i.update(forceNewDeployment=False),
        "deployments_can_be_changed_and_cut_off",
    ),
    "an update that stays half done": (
        "aws:ecs/service:Service", "ws-proxy-live1", lambda i: i.update(sigintRollback=False),
        "deployments_can_be_changed_and_cut_off",
    ),
    "a service that migrates": (
        "TaskDefinition", "imp-backend", container(lambda c: c.update(command=["python", "-m", "backend", "migrate"])),
        "no_service_migrates",
    ),
    "a service that waits for a migration": (
        "TaskDefinition", "imp-backend",
        container(lambda c: c.update(dependsOn=[{"containerName": "migrate", "condition": "SUCCESS"}])),
        "no_service_migrates",
    ),
    "services that are not spread": (
        "aws:ecs/service:Service", "imp-backend", lambda i: i.update(availabilityZoneRebalancing="DISABLED"),
        "times_fit_together",
    ),
    "a canary that is late by design": (
        "MetricAlarm", "canary-failing", lambda i: i.update(period=60), "alarms_can_be_quiet",
    ),
    "the balancer's errors unwatched": (
        "MetricAlarm", "balancer-errors", lambda i: i.update(metricName="HTTPCode_Target_5XX_Count"),
        "what_fails_is_watched",
    ),
    "the balancer's errors of another balancer": (
        "MetricAlarm", "balancer-errors", lambda i: i["dimensions"].update(LoadBalancer="app/other/0123456789abcdef"),
        "what_fails_is_watched",
    ),
    "nobody notified of the balancer's errors": (
        "MetricAlarm", "balancer-errors", lambda i: i.update(alarmActions=[]), "what_fails_is_watched",
    ),
    "a full disk taken for an empty one": (
        "MetricAlarm", "database-storage", lambda i: i.update(comparisonOperator="GreaterThanThreshold"),
        "what_fails_is_watched",
    ),
    "a disk that grows by itself": (
        "MetricAlarm", "database-storage", lambda i: i.update(threshold=20e9), "what_fails_is_watched",
    ),
    "another database's disk": (
        "MetricAlarm", "database-storage", lambda i: i["dimensions"].update(DBInstanceIdentifier="other"),
        "what_fails_is_watched",
    ),
    "flow logs of the accelerator that may not be put": (
        "aws:s3/bucketPolicy:BucketPolicy", "access-logs", statements(without("s3:PutObject")),
        "the_accelerator_is_logged",
    ),
    "a boundary in which any task is any user of PostgreSQL": (
        "aws:iam/policy:Policy", "boundary", statements(any_user), "sign_ins_are_by_name",
    ),
    "a task that is any user of PostgreSQL": (
        "RolePolicy", "imp-backend-task", statements(any_user), "sign_ins_are_by_name",
    ),
    "RDS's log for ever": (
        "LogGroup", "database-log", lambda i: i.update(name="/aws/rds/instance/other/postgresql"), "logs_end",
    ),
    "an open default group": (
        "DefaultSecurityGroup", "closed", lambda i: i.update(egress=[{"protocol": "-1"}]),
        "the_default_group_is_closed",
    ),
    "a limit that does not say for how long": (
        "WebAcl", "firewall",
        lambda i: rule_of(i, "rate")["action"]["block"]["customResponse"].pop("responseHeaders"),
        "the_waf_lets_customers_pass",
    ),
    "an accelerator without flow logs": (
        "aws:globalaccelerator/accelerator:Accelerator", "accelerator",
        lambda i: i["attributes"].update(flowLogsEnabled=False), "the_accelerator_is_logged",
    ),
    "flow logs that may not be written": (
        "aws:s3/bucketPolicy:BucketPolicy", "access-logs",
        statements(lambda found: found.update(Principal={"Service": "elsewhere.amazonaws.com"})),
        "the_accelerator_is_logged",
    ),
    "tag instead of digest": (
        "TaskDefinition", "imp-frontend", container(lambda c: c.update(image="repository:latest")), "images_are_fixed",
    ),
    "CPU pair": ("TaskDefinition", "imp-frontend", lambda i: i.update(memory="512"), "tasks_fit_fargate"),
    "stop too long": (
        "TaskDefinition", "ws-proxy-live1", container(lambda c: c.update(stopTimeout=300)), "tasks_fit_fargate",
    ),
    "priority twice": ("ListenerRule", "rule-200", lambda i: i.update(priority=100), "rules_fit_the_load_balancer"),
    "six values": (
        "ListenerRule", "rule-10", lambda i: i["conditions"][0]["hostHeader"].update(values=["a.b"] * 6),
        "rules_fit_the_load_balancer",
    ),
    "port": ("TargetGroup", "ws-proxy-live1", lambda i: i.update(port=8102), "ports_agree"),
    "readiness as health": (
        "TargetGroup", "imp-backend", lambda i: i["healthCheck"].update(path="/readyz"), "ports_agree",
    ),
    "idle timeout above keep-alive": (
        "LoadBalancer", "alb", lambda i: i.update(idleTimeout=600), "times_fit_together",
    ),
    "another drain than the balancer's": (
        "TargetGroup", "ws-proxy-live1", lambda i: i.update(deregistrationDelay=60), "times_fit_together",
    ),
    "no rollback": (
        "aws:ecs/service:Service", "ws-proxy-live1", lambda i: i["deploymentCircuitBreaker"].update(rollback=False),
        "times_fit_together",
    ),
    "rebalancing": (
        "aws:ecs/service:Service", "ws-proxy-live1", lambda i: i.update(availabilityZoneRebalancing="ENABLED"),
        "times_fit_together",
    ),
    "metric that nobody emits": (
        "MetricAlarm", "ws-proxy-live1-circuit", lambda i: i.update(metricName="aldea_circuits"), "metrics_exist",
    ),
    "health check out of range": (
        "TargetGroup", "ws-proxy-live1", lambda i: i["healthCheck"].update(interval=3), "values_are_in_awss_ranges",
    ),
    "apostrophe in a description": (
        "aws:wafv2/ipSet:IpSet", "nat", lambda i: i.update(description="Amazon's"), "values_are_in_awss_ranges",
    ),
    "a queue that takes plain HTTP": (
        "aws:sqs/queuePolicy:QueuePolicy", "usage-queue", statement(Condition={}), "connections_are_encrypted",
    ),
    "a preview that reads secrets": (
        "RolePolicy", "ci-preview", statement(Action=["secretsmanager:GetSecretValue"]), "previews_only_look",
    ),
    "a preview that writes": (
        "RolePolicy", "ci-preview", statement(Action=["ecs:UpdateService"]), "previews_only_look",
    ),
    "a deployment that changes its own role": (
        "RolePolicy", "ci-deploy",
        statement(Action=["iam:PutRolePolicy"], Resource=["arn:aws:iam::111122223333:role/prod-ws-proxy-ci/*"]),
        "deployments_cannot_widen_themselves",
    ),
    "a deployment that makes unbound roles": (
        "RolePolicy", "ci-deploy",
        statement(Action=["iam:CreateRole"], Resource=["arn:aws:iam::111122223333:role/prod-ws-proxy/*"]),
        "deployments_cannot_widen_themselves",
    ),
    "a deployment of everything in the account": (
        "RolePolicy", "ci-deploy", statement(Action=["rds:*"], Resource=["*"]), "deployments_keep_to_their_stack",
    ),
    "a deployment without its tag": (
        "RolePolicy", "ci-deploy", statements(untagged), "deployments_keep_to_their_stack",
    ),
    "a boundary without its tag": (
        "aws:iam/policy:Policy", "boundary", statements(untagged), "deployments_keep_to_their_stack",
    ),
    "every record of the zone": (
        "RolePolicy", "ci-deploy", statements(any_record), "records_are_this_stacks",
    ),
    "a boundary too tight for a task": (
        "aws:iam/policy:Policy", "boundary", statements(without("sqs:*")), "the_boundary_allows_what_is_needed",
    ),
    "a boundary too tight for a deployment": (
        "aws:iam/policy:Policy", "boundary", statements(without("rds:*")), "the_boundary_allows_what_is_needed",
    ),
    "bot control": ("WebAcl", "firewall", managed("ip-reputation", name="AWSManagedRulesBotControlRuleSet"),
        "the_waf_lets_customers_pass",
    ),
    "the common rules on the api host": (
        "WebAcl", "firewall", managed("common", scopeDownStatement={}), "the_waf_lets_customers_pass",
    ),
    "body rules on recordings": (
        "WebAcl", "firewall", managed("bad-inputs-audio", ruleActionOverrides=[]), "the_waf_lets_customers_pass",
    ),
    "the rate rule before the exemptions": (
        "WebAcl", "firewall", acl_rule("customers", priority=90), "the_waf_lets_customers_pass",
    ),
    "a WAF too large": (
        "WebAcl", "firewall", managed("ip-reputation", name="AWSManagedRulesCommonRuleSet"), "the_waf_fits",
    ),
    "a rate limit out of range": (
        "WebAcl", "firewall", lambda i: rule_of(i, "rate")["statement"]["rateBasedStatement"].update(limit=5),
        "values_are_in_awss_ranges",
    ),
    "no alarm on a deployment": (
        "aws:ecs/service:Service", "ws-proxy-live1", lambda i: i["alarms"].update(rollback=False),
        "deployments_watch_their_alarms",
    ),
    "scaling in during the drain": (
        "aws:appautoscaling/policy:Policy", "ws-proxy-live1-cpu",
        lambda i: i["targetTrackingScalingPolicyConfiguration"].update(scaleInCooldown=60), "scaling_fits_the_drain",
    ),
    "scaling by a metric that nobody emits": (
        "aws:appautoscaling/policy:Policy", "ws-proxy-live1-streams",
        lambda i: i["targetTrackingScalingPolicyConfiguration"]["customizedMetricSpecification"].update(
            metricName="aldea_streams"
        ),
        "scaling_fits_the_drain",
    ),
    "logs for ever": ("LogGroup", "ws-proxy-live1-log", lambda i: i.pop("retentionInDays"), "logs_end"),
    "policy too long": (
        "RolePolicy", "sqs-updater-task", statement(Resource=["arn:aws:sqs:::" + "x" * 11_000]), "policies_fit",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_noticed(kind: str, prod: Graph) -> None:
    type_, name, change, expected = DAMAGE[kind]
    faults = run.run(damaged(prod, type_, name, change), CONTRACTS)
    assert any(fault.startswith(f"{expected}: ") for fault in faults), faults


@pytest.mark.parametrize(
    ("kind", "name"),
    [("aws:ec2/eip:Eip", "nat-1"), ("Accelerator", "accelerator"), ("aws:sqs/queue:Queue", "usage-dlq")],
)
def test_an_address_or_queue_that_is_not_protected_is_noticed(kind: str, name: str, prod: Graph) -> None:
    old = next(each for each in prod.of(kind) if each.name == name and "Accelerator" not in each.parent[-12:])
    faults = run.run(swap(prod, old, replace(old, protect=False)))
    assert any(fault.startswith(f"what_cannot_be_replaced_is_protected: {name} ") for fault in faults), faults


def test_swapped_rules_are_noticed(prod: Graph) -> None:
    swapped = damaged(prod, "ListenerRule", "rule-100", forward_to(prod, "http-proxy-live1"))
    assert any(fault.startswith("rules_are_in_order: rule 100") for fault in run.run(swapped))


def test_a_name_that_is_too_long_is_noticed(prod: Graph) -> None:
    old = prod.one("TargetGroup", "imp-backend")
    long = swap(prod, old, replace(old, name="a-very-long-service-name-indeed"))
    assert any(fault.startswith("names_fit: a-very-long") for fault in run.run(long))


def test_a_service_that_does_not_wait_is_noticed(prod: Graph) -> None:
    old = prod.one("aws:ecs/service:Service", "imp-backend")
    hasty = swap(prod, old, replace(old, depends_on=()))
    faults = [fault for fault in run.run(hasty) if fault.startswith("services_wait")]
    assert len(faults) == 3
