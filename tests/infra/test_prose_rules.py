"""Every one of AWS's rules in prose, broken once in what production registers, is told by the rule that states it."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aldea_infra.checks import documents, prose, prose_edge, prose_rules, run
from aldea_infra.offline.graph import Graph

Inputs = dict[str, Any]
Change = Callable[[Inputs], object]


def damaged(graph: Graph, kind: str, name: str, change: Change) -> Graph:
    """The graph with one resource's inputs changed."""
    victim = graph.one(kind, name)
    inputs = copy.deepcopy(dict(victim.inputs))
    change(inputs)
    assert inputs != victim.inputs
    return replace(
        graph, resources=[replace(victim, inputs=inputs) if each is victim else each for each in graph.resources]
    )


def given(**changes: Any) -> Change:
    return lambda inputs: inputs.update(changes)


def lacking(key: str) -> Change:
    return lambda inputs: inputs.pop(key)


def document(key: str, change: Callable[[Any], object]) -> Change:
    """A JSON document of a resource, changed."""

    def apply(inputs: Inputs) -> None:
        found = json.loads(inputs[key])
        change(found)
        inputs[key] = json.dumps(found)

    return apply


def not_allowed(action: str) -> Change:
    """An action taken out of a policy, wherever it is allowed."""

    def change(found: Any) -> None:
        for each in found["Statement"]:
            each["Action"] = [other for other in each["Action"] if other != action] or ["sts:GetCallerIdentity"]

    return document("policy", change)


def container(change: Callable[[Inputs], object]) -> Change:
    return document("containerDefinitions", lambda found: change(found[0]))


def health(**changes: Any) -> Change:
    return container(lambda found: found["healthCheck"].update(changes))


def first_rule(change: Callable[[Inputs], object]) -> Change:
    return lambda inputs: change(inputs["rules"][0])


def rule(name: str, change: Callable[[Inputs], object]) -> Change:
    return lambda inputs: change(next(each for each in inputs["rules"] if each["name"] == name))


def blocked(**changes: Any) -> Change:
    """What the WAF's rate rule responds with."""
    return rule("rate", lambda found: found["action"]["block"]["customResponse"].update(changes))


def statement(change: Callable[[Inputs], object], key: str = "policy") -> Change:
    return document(key, lambda found: change(found["Statement"][0]))


TASK, SERVICE = ("TaskDefinition", "imp-backend"), ("aws:ecs/service:Service", "imp-backend")
DATABASE, REDIS = ("aws:rds/instance:Instance", "database"), ("ReplicationGroup", "redis")
QUEUE, DEAD = ("aws:sqs/queue:Queue", "usage-queue"), ("aws:sqs/queue:Queue", "usage-dlq")
ACL, ALARM = ("aws:wafv2/webAcl:WebAcl", "firewall"), ("MetricAlarm", "balancer-errors")
HTTPS, RULE, GROUP = ("aws:lb/listener:Listener", "https"), ("ListenerRule", "rule-100"), ("TargetGroup", "imp-backend")
SCALING = ("aws:appautoscaling/policy:Policy", "http-proxy-live1-cpu")
LIFECYCLE = ("aws:ecr/lifecyclePolicy:LifecyclePolicy", "backend-lifecycle")
USERS, USER = ("UserGroup", "redis"), ("aws:elasticache/user:User", "redis-backend")
RECORD, LOG = ("aws:route53/record:Record", "alias-api.aldea.ai"), ("aws:ec2/flowLog:FlowLog", "refused")
ENDPOINT, LOGGING = ("aws:ec2/vpcEndpoint:VpcEndpoint", "s3"), ("WebAclLoggingConfiguration", "firewall-log")
ENDPOINTS, WRITES_FLOWS = ("EndpointGroup", "accelerator"), ("RolePolicy", "flow-logs")
INGRESS = ("SecurityGroupIngressRule", "backend-to-database-5432-in")
EGRESS = ("SecurityGroupEgressRule", "backend-to-database-5432-out")
SIDECAR = {
    "name": "other",
    "image": "x",
    "essential": True,
    "dependsOn": [{"containerName": "main", "condition": "SUCCESS"}],
}
SG, PROVIDER = ("aws:ec2/securityGroup:SecurityGroup", "backend-sg"), ("pulumi:providers:aws", "aws")
DEPLOY, BALANCER = ("aws:iam/role:Role", "ci-deploy"), ("aws:lb/loadBalancer:LoadBalancer", "alb")
LOGS, WORDS = ("aws:cloudwatch/logGroup:LogGroup", "imp-backend-log"), ("MetricAlarm", "ws-proxy-live1-late-words")
BOARD, BUCKET = ("aws:cloudwatch/dashboard:Dashboard", "dashboard"), ("aws:s3/bucket:Bucket", "access-logs")
KEY_POLICY = document("policy", lambda found: found["Statement"].pop(0))

# The rule's name, what is broken, and how.
BREACHES: list[tuple[str, tuple[str, str], Change]] = [
    ("fargate_tasks_are_whole", TASK, given(networkMode="bridge")),
    ("fargate_tasks_are_whole", TASK, lacking("executionRoleArn")),
    ("fargate_tasks_are_whole", TASK, given(ipcMode="host")),
    ("containers_fit_their_task", TASK, container(given(cpu=4096))),
    ("containers_fit_their_task", TASK, container(given(memory=512, memoryReservation=512))),
    ("one_container_is_essential", TASK, container(given(essential=False))),
    ("one_container_is_essential", TASK, document("containerDefinitions", lambda found: found.append(SIDECAR))),
    ("one_container_is_essential", TASK, container(given(dependsOn=[{"containerName": "x", "condition": "START"}]))),
    ("ports_fit_awsvpc", TASK, container(lambda found: found["portMappings"][0].update(hostPort=80))),
    ("ports_fit_awsvpc", TASK, container(lambda found: found["portMappings"][0].update(protocol="udp"))),
    ("nothing_that_fargate_lacks", TASK, container(given(privileged=True))),
    ("nothing_that_fargate_lacks", TASK, container(given(hostname="x"))),
    ("nothing_that_fargate_lacks", TASK, container(lambda found: found["linuxParameters"].update(sharedMemorySize=64))),
    ("nothing_that_fargate_lacks", TASK,
        container(lambda found: found["linuxParameters"]["capabilities"].update(add=["NET_ADMIN"]))),
    ("container_health_checks_are_accepted", TASK, health(interval=2)),
    ("container_health_checks_are_accepted", TASK, health(startPeriod=600)),
    ("container_health_checks_are_accepted", TASK, health(command=["python", "-c", "1"])),
    ("logs_have_their_options", TASK, container(lambda found: found["logConfiguration"]["options"].pop("mode"))),
    ("logs_have_their_options", TASK,
        container(lambda found: found["logConfiguration"]["options"].pop("awslogs-stream-prefix"))),
    ("references_inside_a_task_exist", TASK, container(lambda found: found["environment"].append(
        {"name": "REDIS_URL", "value": "x"}))),
    ("references_inside_a_task_exist", TASK, given(volumes=[{"name": "other"}])),
    ("a_service_says_where_it_runs_once", SERVICE, given(launchType="FARGATE")),
    ("a_service_says_where_it_runs_once", SERVICE,
        given(capacityProviderStrategies=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}])),
    ("a_service_says_where_it_runs_once", SERVICE,
        given(capacityProviderStrategies=[{"capacityProvider": "FARGATE", "weight": 0}])),
    ("load_balancers_reach_their_container", SERVICE, lambda i: i["loadBalancers"][0].update(containerPort=80)),
    ("load_balancers_reach_their_container", GROUP, given(targetType="instance")),
    ("a_deployment_can_go_on", SERVICE, given(deploymentMaximumPercent=100)),
    ("a_deployment_can_go_on", SERVICE, given(deploymentController={"type": "CODE_DEPLOY"})),
    ("service_connect_is_whole", TASK, container(lambda found: found["portMappings"][0].pop("appProtocol"))),
    ("service_connect_is_whole", SERVICE,
        lambda i: i["serviceConnectConfiguration"]["services"][0].update(portName="x")),
    ("a_scaling_range_is_one", ("aws:appautoscaling/target:Target", "http-proxy-live1"), given(minCapacity=99)),
    ("a_scaling_range_is_one", ("aws:appautoscaling/target:Target", "http-proxy-live1"),
        given(resourceId="service/a/b")),
    ("a_scaling_policy_has_one_metric", SCALING, given(policyType="StepScaling")),
    ("a_scaling_policy_has_one_metric", SCALING, given(resourceId="service/prod-ws-proxy/other")),
    ("a_scaling_policy_has_one_metric", SCALING, lambda i: i["targetTrackingScalingPolicyConfiguration"][
        "predefinedMetricSpecification"].update(resourceLabel="x")),
    ("database_names_are_accepted", DATABASE, given(identifier="aldea--prod")),
    ("database_names_are_accepted", DATABASE, given(username="admin")),
    ("database_names_are_accepted", DATABASE, given(dbName="aldea-prod")),
    ("one_master_password", DATABASE, given(password="x")),
    ("storage_is_accepted", DATABASE, given(maxAllocatedStorage=100)),
    ("storage_is_accepted", DATABASE, given(iops=12000)),
    ("storage_is_accepted", DATABASE, given(storageType="io2")),
    ("storage_is_accepted", DATABASE, given(storageThroughput=500)),
    ("what_goes_together_in_a_database", DATABASE, given(availabilityZone="us-west-2a")),
    ("what_goes_together_in_a_database", DATABASE, given(monitoringInterval=60)),
    ("what_goes_together_in_a_database", DATABASE, lacking("finalSnapshotIdentifier")),
    ("the_parameter_group_is_of_the_engine", DATABASE, given(engineVersion="17")),
    ("subnets_are_two", ("aws:rds/subnetGroup:SubnetGroup", "database"), given(subnetIds=["subnet-isolated-1"] * 2)),
    ("failover_has_a_replica", REDIS, given(numCacheClusters=1)),
    ("failover_has_a_replica", REDIS, given(automaticFailoverEnabled=False)),
    ("failover_has_a_replica", REDIS, given(numCacheClusters=7)),
    ("failover_has_a_replica", REDIS, given(replicationGroupId="prod-")),
    ("signing_in_needs_tls", REDIS, given(authToken="x" * 16)),
    ("signing_in_needs_tls", REDIS, given(transitEncryptionEnabled=False)),
    ("signing_in_needs_tls", REDIS, lacking("subnetGroupName")),
    ("what_goes_together_in_redis", REDIS, given(engineVersion="6.2")),
    ("what_goes_together_in_redis", REDIS, given(nodeType="cache.r6gd.xlarge")),
    ("a_user_group_has_its_default", USERS, lambda i: i["userIds"].remove("prod-ws-proxy-default")),
    ("a_user_group_has_its_default", USERS, lambda i: i["userIds"].append("nobody")),
    ("a_user_group_has_its_default", USER, given(userName="ws-proxy")),
    ("a_user_signs_in_one_way", USER, given(noPasswordRequired=True)),
    ("a_user_signs_in_one_way", USER, given(passwords=["short"])),
    ("a_user_signs_in_one_way", USER, given(passwords=["x" * 16, "y" * 16, "z" * 16])),
    ("a_user_signs_in_one_way", USER, given(accessString="~* +@all")),
    ("a_user_signs_in_one_way", USER, given(accessString="on ~* @all")),
    ("dead_letters_have_their_queue", QUEUE,
        document("redrivePolicy", lambda found: found.update(maxReceiveCount=2000))),
    ("dead_letters_have_their_queue", QUEUE,
        document("redrivePolicy", lambda found: found.update(deadLetterTargetArn="x"))),
    ("dead_letters_have_their_queue", DEAD, given(messageRetentionSeconds=3600)),
    ("dead_letters_have_their_queue", DEAD, given(fifoQueue=True)),
    ("dead_letters_have_their_queue", ("RedriveAllowPolicy", "usage-dlq"),
        document("redriveAllowPolicy", lambda found: found.update(sourceQueueArns=["x"]))),
    ("dead_letters_have_their_queue", ("RedriveAllowPolicy", "usage-dlq"),
        document("redriveAllowPolicy", lambda found: found.update(redrivePermission="allowAll"))),
    ("a_queue_is_accepted", QUEUE, given(name="usage.queue")),
    ("a_queue_is_accepted", QUEUE, given(kmsMasterKeyId="x")),
    ("a_queue_is_accepted", QUEUE, given(visibilityTimeoutSeconds=50000)),
    ("a_secrets_window_is_accepted", ("aws:secretsmanager/secret:Secret", "canary-env"), given(recoveryWindowInDays=3)),
    ("a_secret_has_one_value", ("SecretVersion", "canary-env"), given(secretBinary="x")),
    ("a_key_can_be_managed", ("aws:kms/key:Key", "alarms"), given(deletionWindowInDays=3)),
    ("a_key_can_be_managed", ("aws:kms/key:Key", "alarms"), KEY_POLICY),
    ("a_bucket_policy_is_of_its_bucket", ("BucketPolicy", "access-logs"),
        statement(given(Resource=["arn:aws:s3:::other/AWSLogs/*"]))),
    ("a_bucket_policy_is_of_its_bucket", ("BucketPolicy", "access-logs"), document("policy", lambda found: found.update(
        Statement=found["Statement"][1:]))),
    ("access_logs_have_s3s_key", ("BucketServerSideEncryptionConfiguration", "access-logs"),
        lambda i: i["rules"][0]["applyServerSideEncryptionByDefault"].update(sseAlgorithm="aws:kms")),
    ("lifecycle_rules_are_accepted", LIFECYCLE, document("policy", lambda found: found["rules"][0]["selection"].update(
        tagStatus="tagged"))),
    ("lifecycle_rules_are_accepted", LIFECYCLE, document("policy", lambda found: found["rules"][0]["selection"].pop(
        "countUnit"))),
    ("lifecycle_rules_are_accepted", LIFECYCLE, document("policy", lambda found: found["rules"].append(
        found["rules"][0]))),
    ("a_repository_is_accepted", ("aws:ecr/repository:Repository", "backend-repository"), given(name="Backend")),
    ("listeners_are_whole", HTTPS, lacking("certificateArn")),
    ("listeners_are_whole", ("aws:lb/listener:Listener", "http"), given(sslPolicy="x")),
    ("listeners_are_whole", ("aws:lb/listener:Listener", "http"),
        lambda i: i["defaultActions"][0]["redirect"].update(protocol="HTTP", port="80")),
    ("listeners_are_whole", HTTPS,
        lambda i: i["defaultActions"][0].update(forward={"targetGroups": []}, type="forward")),
    ("rules_conditions_are_accepted", RULE, lambda i: i["conditions"].append(copy.deepcopy(i["conditions"][-1]))),
    ("rules_conditions_are_accepted", RULE,
        lambda i: i["conditions"].append({"hostHeader": {"values": ["localhost"]}})),
    ("rules_conditions_are_accepted", RULE,
        lambda i: i["conditions"].append({"httpHeader": {"httpHeaderName": "Host", "values": ["a"]}})),
    ("a_group_has_one_load_balancer", ("ListenerRule", "rule-200"), given(listenerArn="arn:elsewhere")),
    ("target_groups_are_accepted", GROUP, lambda i: i["healthCheck"].update(timeout=10)),
    ("target_groups_are_accepted", GROUP, lambda i: i["healthCheck"].update(matcher="ok")),
    ("target_groups_are_accepted", GROUP, lambda i: i["healthCheck"].update(protocol="TCP")),
    ("target_groups_are_accepted", GROUP, given(slowStart=60)),
    ("target_groups_are_accepted", GROUP, given(deregistrationDelay=7200)),
    ("a_load_balancer_is_accepted", ("LoadBalancer", "alb"), given(subnets=["subnet-private-1"])),
    ("a_load_balancer_is_accepted", ("LoadBalancer", "alb"), given(ipAddressType="dualstack")),
    ("a_load_balancer_is_accepted", ("LoadBalancer", "alb"), given(accessLogs={"enabled": True})),
    ("a_rule_acts_in_its_own_way", ACL, first_rule(given(overrideAction={"none": {}}))),
    ("a_rule_acts_in_its_own_way", ACL, rule("ip-reputation", given(action={"block": {}}))),
    ("a_rule_acts_in_its_own_way", ACL, first_rule(lambda found: found["visibilityConfig"].update(metricName="All"))),
    ("a_rule_acts_in_its_own_way", ACL, rule("rate", lambda found: found["statement"]["rateBasedStatement"].update(
        aggregateKeyType="FORWARDED_IP"))),
    ("a_rule_acts_in_its_own_way", ACL, rule("rate", lambda found: found["statement"]["rateBasedStatement"].update(
        scopeDownStatement={"managedRuleGroupStatement": {"name": "x"}}))),
    ("custom_responses_exist", ACL, given(customResponseBodies=[])),
    ("an_association_is_regional", ACL, given(scope="CLOUDFRONT")),
    ("an_association_is_regional", ("aws:wafv2/ipSet:IpSet", "allowlist"), given(addresses=["0.0.0.0/0"])),
    ("firewall_logs_go_to_one_place", LOGGING, lambda i: i["logDestinationConfigs"].append("arn:aws:logs:x")),
    ("firewall_logs_go_to_one_place", LOGGING, given(logDestinationConfigs=["arn:aws:logs:a:b:log-group:other"])),
    ("firewall_logs_go_to_one_place", ACL, first_rule(
        lambda found: found["visibilityConfig"].update(sampledRequestsEnabled=True))),
    ("flow_logs_have_their_place", ("aws:globalaccelerator/accelerator:Accelerator", "accelerator"),
        lambda i: i["attributes"].pop("flowLogsS3Prefix")),
    ("endpoint_groups_are_accepted", ENDPOINTS, given(healthCheckIntervalSeconds=20)),
    ("endpoint_groups_are_accepted", ENDPOINTS, given(endpointGroupRegion="eu-west-1")),
    ("port_ranges_do_not_overlap", ("aws:globalaccelerator/listener:Listener", "accelerator"),
        lambda i: i["portRanges"].append({"fromPort": 400, "toPort": 500})),
    ("records_are_accepted", RECORD, given(ttl=60)),
    ("records_are_accepted", RECORD, given(aliases=[])),
    ("records_are_accepted", RECORD, given(name="a.*.aldea.ai")),
    ("certificates_have_ten_names", ("aws:acm/certificate:Certificate", "certificate"),
        given(subjectAlternativeNames=[f"{number}.aldea.ai" for number in range(10)])),
    ("flow_logs_may_be_delivered", LOG, lacking("iamRoleArn")),
    ("flow_logs_may_be_delivered", LOG, given(logDestinationType="s3")),
    ("flow_logs_may_be_delivered", LOG, given(maxAggregationInterval=300)),
    *(("flow_logs_may_be_written", WRITES_FLOWS, not_allowed(call)) for call in prose_edge.FLOW_LOG_CALLS),
    ("flow_logs_may_be_written", WRITES_FLOWS, statement(given(Resource=["arn:aws:logs:us-west-2:1:log-group:/x:*"]))),
    ("endpoints_have_what_is_theirs", ENDPOINT, given(privateDnsEnabled=True)),
    ("endpoints_have_what_is_theirs", ENDPOINT, given(vpcEndpointType="Interface")),
    ("ingress_rules_have_one_source", INGRESS, given(cidrIpv4="10.0.0.0/8")),
    ("ingress_rules_have_one_source", INGRESS, lacking("toPort")),
    ("egress_rules_have_one_target", EGRESS, lacking("referencedSecurityGroupId")),
    ("egress_rules_have_one_target", EGRESS, given(description="it's")),
    ("alarms_are_accepted", ALARM, given(period=90)),
    ("alarms_are_accepted", ALARM, given(evaluationPeriods=2000)),
    ("alarms_are_accepted", ALARM, given(datapointsToAlarm=6)),
    ("alarms_are_accepted", ALARM, given(extendedStatistic="p99")),
    ("alarms_are_accepted", ALARM, given(metricQueries=[{"id": "m", "returnData": True}])),
    ("alarms_are_accepted", ALARM, lacking("threshold")),
    ("role_names_differ", ("aws:iam/role:Role", "ci-deploy"), given(path="/ci")),
    ("role_names_differ", ("aws:iam/role:Role", "ci-deploy"), given(name="PROD-WS-PROXY-PREVIEW")),
    ("a_provider_is_named_by_its_host", ("OpenIdConnectProvider", "github"), given(url="http://github.com")),
    ("tags_are_accepted", SG, given(tags={"aws:owner": "us"})),
    ("tags_are_accepted", SG, given(tags={"Name": "a, b"})),
    ("tags_are_accepted", SG, given(tags={"Name": "x" * 257})),
    ("tags_are_accepted", SG, given(tags={f"Tag{number}": "x" for number in range(47)})),  # with four of the provider's
    ("tags_are_accepted", PROVIDER, given(defaultTags=json.dumps({"tags": {"Cluster": "prod (ours)"}}))),
    ("a_security_group_is_accepted", SG, given(description="it's ours")),
    ("a_security_group_is_accepted", SG, given(name="sg-backend")),
    ("a_security_group_is_accepted", EGRESS,
        given(referencedSecurityGroupId="sg-redis-sg", fromPort=6379, toPort=6379)),
    ("a_roles_policies_fit_together", DEPLOY, statement(given(Sid="x" * 2048), "assumeRolePolicy")),
    ("a_roles_policies_fit_together", ("aws:iam/rolePolicy:RolePolicy", "ci-deploy"),
        statement(given(Sid="x" * 10240))),
    ("a_roles_policies_fit_together", DEPLOY, given(managedPolicyArns=["arn:aws:iam::aws:policy/x"] * 11)),
    ("a_task_definition_fits", TASK, container(given(environment=[{"name": "LARGE", "value": "x" * 65536}]))),
    ("a_task_definition_fits", TASK, container(given(name="main container"))),
    ("a_task_definition_fits", TASK, given(family="prod.backend")),
    ("a_task_definition_fits", TASK, given(ephemeralStorage={"sizeInGib": 20})),
    ("a_task_definition_fits", TASK, container(lambda found: found["portMappings"][0].update(name="HTTP"))),
    ("a_task_definition_fits", TASK,
        container(given(dependsOn=[{"containerName": "main", "condition": "START"}]))),
    ("a_task_definition_fits", TASK, document("containerDefinitions", lambda found: found.extend(
        {"name": f"c{number}", "image": "x"} for number in range(10)))),
    ("secrets_name_one_key", TASK, container(lambda found: found["secrets"][0].update(
        valueFrom="arn:aws:secretsmanager:us-west-2:111122223333:secret:imp-backend/env-AbCdEf:KEY"))),
    ("a_service_fits", SERVICE, lambda i: i["networkConfiguration"].update(securityGroups=["sg-1"] * 6)),
    ("a_service_fits", SERVICE, lambda i: i["networkConfiguration"].update(subnets=["subnet-1"] * 17)),
    ("a_service_fits", SERVICE, given(name="imp backend")),
    ("a_service_fits", ("aws:ecs/service:Service", "imp-frontend"), given(
        serviceConnectConfiguration={"services": [{"portName": "http", "discoveryName": "backend"}]})),
    ("listeners_share_a_load_balancer", ("aws:lb/listener:Listener", "http"), given(port=443)),
    ("listeners_share_a_load_balancer", HTTPS, given(sslPolicy="TLS13-1-2-2021-06")),
    ("a_load_balancer_has_its_name", BALANCER, given(name="internal-alb")),
    ("a_load_balancer_has_its_name", BALANCER, given(securityGroups=[f"sg-{number}" for number in range(6)])),
    ("a_load_balancer_has_its_name", BALANCER, lambda i: i["accessLogs"].update(prefix="AWSLogs/alb")),
    ("names_are_there_once", RECORD, given(name="backend.aldea.ai")),
    ("names_are_there_once", RECORD, given(type="CNAME", name="Platform.aldea.ai.")),
    ("names_are_there_once", RECORD, given(name=f"{'a' * 64}.aldea.ai")),
    ("names_are_there_once", RECORD, lambda i: i["aliases"][0].update(zoneId="Z1H1FL5HABSF5")),
    ("a_retention_is_one_of_awss", LOGS, given(retentionInDays=45)),
    ("an_alarms_metric_is_one", WORDS, given(extendedStatistic="p101")),
    ("an_alarms_metric_is_one", WORDS, given(dimensions={"ServiceName": ""})),
    ("an_alarms_metric_is_one", WORDS, given(alarmActions=["arn:aws:sns:eu-west-1:111122223333:alarms"])),
    ("a_dashboard_fits", BOARD, given(dashboardName="prod.ws")),
    ("a_dashboard_fits", BOARD, document("dashboardBody", lambda found: found["widgets"][0]["properties"].update(
        metrics=[["A", "b"]] * 501))),
    ("what_waf_responds_is_supported", ACL, blocked(responseCode=418)),
    ("what_waf_responds_is_supported", ACL, rule("rate", lambda found: found.update(statement={"byteMatchStatement": {
        "searchString": "x" * 201, "textTransformations": [{"priority": 0, "type": "NONE"}]}}))),
    ("what_waf_responds_is_supported", ACL, rule("rate", lambda found: found.update(statement={"byteMatchStatement": {
        "searchString": "x", "textTransformations": [{"priority": 0, "type": "NONE"}] * 2}}))),
    ("a_set_of_addresses_fits", ("aws:wafv2/ipSet:IpSet", "allowlist"), given(
        addresses=[f"10.0.{number // 250}.{number % 250}/32" for number in range(10_001)])),
    ("a_bucket_has_its_name", BUCKET, given(bucketPrefix="Access_Logs-")),
    ("a_bucket_has_its_name", BUCKET, given(bucketPrefix="a" * 38)),
    ("a_bucket_has_its_name", BUCKET, given(bucketPrefix="sthree-logs-")),
    ("a_bucket_policy_fits", ("BucketPolicy", "access-logs"), statement(given(Sid="x" * 20_480))),
    ("an_endpoint_is_of_its_region", ENDPOINT, given(serviceName="com.amazonaws.eu-west-1.s3")),
    ("a_network_has_room", ("awsx:ec2:Vpc", "vpc"), given(cidrBlock="10.0.0.0/8")),
    ("a_network_has_room", ("awsx:ec2:Vpc", "vpc"), lambda i: i["subnetSpecs"][0].update(cidrMask=29)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BREACHES)), ids=lambda number: f"{BREACHES[number][0]}-{number}")
def test_a_breach_is_reported_with_its_source(number: int, prod: Graph) -> None:
    name, (kind, resource), change = BREACHES[number]
    graph = damaged(prod, kind, resource, change)
    found = [each for each in prose_rules.RULES if each.rule.__name__ == name]
    assert len(found) == 1
    looked_at = graph.resources if found[0].kind == prose_rules.EVERY else graph.of(found[0].kind)
    assert any(True for each in looked_at for _ in found[0].rule(graph, each))
    assert any(found[0].source in fault for fault in prose.awss_prose_is_kept(graph))


def test_every_rule_is_broken_once() -> None:
    assert {each.rule.__name__ for each in prose_rules.RULES} == {name for name, _, _ in BREACHES}
    assert len({each.rule for each in prose_rules.RULES}) == len(prose_rules.RULES) > 40
    assert all(each.rule.__doc__ and each.source for each in prose_rules.RULES)


def test_every_rule_is_of_a_type_that_production_has(prod: Graph) -> None:
    assert all(prod.of(each.kind) for each in prose_rules.RULES if each.kind != prose_rules.EVERY)


PORT = container(lambda found: found["portMappings"][0].update(containerPort="eighty"))
# Documents that no argument class looks into: what is broken, how, and the check that has to notice.
DOCUMENTS: dict[str, tuple[tuple[str, str], Change, str]] = {
    "a port in words": (TASK, PORT, "container_definitions_are_ecs_own"),
    "a misspelt key": (TASK, container(given(stopTimout=30)), "container_definitions_are_ecs_own"),
    "a misspelt key inside": (TASK, container(lambda found: found["healthCheck"].update(retry=3)),
        "container_definitions_are_ecs_own"),
    "a flag in words": (TASK, container(given(readonlyRootFilesystem="yes")), "container_definitions_are_ecs_own"),
    "a driver that is none": (TASK, container(lambda found: found["logConfiguration"].update(logDriver="awslog")),
        "container_definitions_are_ecs_own"),
    "a variable that is no text": (TASK, container(lambda found: found["environment"].append({"name": "A",
        "value": 1})),
        "container_definitions_are_ecs_own"),
    "a secret without its source": (TASK, container(lambda found: found["secrets"][0].pop("valueFrom")),
        "container_definitions_are_ecs_own"),
    "a protocol that is none": (TASK, container(lambda found: found["portMappings"][0].update(appProtocol="https")),
        "container_definitions_are_ecs_own"),
    "a misspelt action": (("RolePolicy", "sqs-updater-task"), statement(given(Action=["sqs:RecieveMessage"])),
        "policies_are_in_iams_grammar"),
    "a misspelt operator": (("RolePolicy", "ci-deploy"), statement(given(Condition={"StringEqual": {"aws:x": "y"}})),
        "policies_are_in_iams_grammar"),
    "a misspelt element": (("RolePolicy", "ci-deploy"), statement(given(Resources=["*"])),
        "policies_are_in_iams_grammar"),
    "an effect in small letters": (("RolePolicy", "ci-deploy"), statement(given(Effect="allow")),
        "policies_are_in_iams_grammar"),
    "a resource that is no ARN": (("RolePolicy", "sqs-updater-task"), statement(given(Resource=["usage-queue"])),
        "policies_are_in_iams_grammar"),
    "an old version": (("RolePolicy", "ci-deploy"), document("policy", given(Version="2012-10-7")),
        "policies_are_in_iams_grammar"),
    "a principal in a role's policy": (("RolePolicy", "ci-deploy"), statement(given(Principal={"AWS": "*"})),
        "policies_are_in_iams_grammar"),
    "a trust with a resource": (("aws:iam/role:Role", "ci-deploy"), statement(given(Resource=["*"]),
        "assumeRolePolicy"),
        "policies_are_in_iams_grammar"),
    "a principal of no kind": (("aws:iam/role:Role", "ci-deploy"),
        statement(given(Principal={"Services": "ecs-tasks.amazonaws.com"}), "assumeRolePolicy"),
        "policies_are_in_iams_grammar"),
    "a widget beyond the columns": (("Dashboard", "dashboard"),
        document("dashboardBody", lambda found: found["widgets"][0].update(x=20)), "dashboards_are_cloudwatchs"),
    "a widget of no region": (("Dashboard", "dashboard"),
        document("dashboardBody", lambda found: found["widgets"][0]["properties"].pop("region")),
        "dashboards_are_cloudwatchs"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_broken_document_is_reported(kind: str, prod: Graph) -> None:
    (type_, name), change, expected = DOCUMENTS[kind]
    check = next(each for each in documents.CHECKS if each.__name__ == expected)
    assert list(check(prod)) == []
    assert check in run.CHECKS
    assert list(check(damaged(prod, type_, name, change)))
