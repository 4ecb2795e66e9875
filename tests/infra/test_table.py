"""What each stack must consist of, row by row of the agreed table, read from what the real stack files register."""

import json

import pytest

from aldea_infra import routing
from aldea_infra.checks import reachability
from aldea_infra.offline.graph import Graph
from aldea_infra.routing import HeaderCondition, Hosts, Rule, Target

SERVICE = "aws:ecs/service:Service"
INSTANCE = "aws:rds/instance:Instance"
LISTENER = "aws:lb/listener:Listener"


def upstreams(graph: Graph, service: str) -> str:
    return reachability.environment(reachability.main_container(graph, service))["STT_UPSTREAMS"]


def names(graph: Graph, kind: str) -> set[str]:
    return {each.inputs["name"] for each in graph.of(kind)}


def test_hosts(prod: Graph, dev: Graph) -> None:
    for graph, prefix in ((prod, ""), (dev, "dev-")):
        aliases = {each.inputs["name"] for each in graph.of("Record") if each.inputs["type"] == "A"}
        assert aliases == {f"{prefix}{host}.aldea.ai" for host in ("api", "backend", "platform")}


def test_dns_points_at_the_accelerator_in_prod_and_at_the_balancer_in_dev(prod: Graph, dev: Graph) -> None:
    for graph, edge in ((prod, prod.one("Accelerator", "accelerator")), (dev, dev.one("LoadBalancer"))):
        for each in graph.of("Record"):
            if each.inputs["type"] == "A":
                assert each.inputs["aliases"][0]["name"] == edge.outputs["dnsName"]


def test_global_accelerator(prod: Graph, dev: Graph) -> None:
    ports = prod.one("aws:globalaccelerator/listener:Listener").inputs["portRanges"]
    assert [(each["fromPort"], each["toPort"]) for each in ports] == [(80, 80), (443, 443)]
    endpoint = prod.one("EndpointGroup").inputs["endpointConfigurations"][0]
    assert endpoint["endpointId"] == prod.one("LoadBalancer").outputs["arn"]
    assert endpoint["clientIpPreservationEnabled"] is True
    assert not dev.of("aws:globalaccelerator/accelerator:Accelerator")


def test_waf(prod: Graph, dev: Graph) -> None:
    rules = prod.one("WebAcl").inputs["rules"]
    assert [(each["priority"], each["name"]) for each in sorted(rules, key=lambda each: each["priority"])] == [
        (0, "customers"), (1, "own-addresses"), (10, "geo"), (20, "rate"), (30, "ip-reputation"),
        (40, "bad-inputs"), (41, "bad-inputs-audio"), (50, "common"),
    ]  # fmt: skip
    assert "allow" in prod.one("WebAcl").inputs["defaultAction"]
    assert prod.one("WebAclAssociation").inputs["resourceArn"] == prod.one("LoadBalancer").outputs["arn"]
    assert not dev.of("WebAcl")


def test_load_balancer(graph: Graph) -> None:
    https, http = graph.one(LISTENER, "https").inputs, graph.one(LISTENER, "http").inputs
    assert (https["port"], http["port"]) == (443, 80)
    assert https["sslPolicy"].startswith("ELBSecurityPolicy-TLS13")
    assert http["defaultActions"][0]["redirect"]["protocol"] == "HTTPS"
    response = https["defaultActions"][0]["fixedResponse"]
    assert response["statusCode"] == "404"
    assert set(json.loads(response["messageBody"])) == {"err_code", "err_msg", "request_id"}
    proof = graph.one("CertificateValidation")
    assert https["certificateArn"] == proof.outputs["certificateArn"]
    certificate = graph.one("aws:acm/certificate:Certificate").inputs
    assert certificate["validationMethod"] == "DNS"
    aliases = {each.inputs["name"] for each in graph.of("Record") if each.inputs["type"] == "A"}
    assert {certificate["domainName"], *certificate["subjectAlternativeNames"]} == aliases
    balancer = graph.one("LoadBalancer").inputs
    assert balancer["accessLogs"]["enabled"] is True
    assert balancer["enableDeletionProtection"] is (graph.stack == "prod")


def test_vpc(prod: Graph, dev: Graph) -> None:
    for graph, zones, strategy in ((prod, 3, "OnePerAz"), (dev, 2, "Single")):
        vpc = graph.one("Vpc").inputs
        assert (vpc["numberOfAvailabilityZones"], vpc["natGateways"]["strategy"]) == (zones, strategy)
        assert len(graph.of("Eip")) == (zones if graph.stack == "prod" else 1)
        assert graph.one("VpcEndpoint").inputs["vpcEndpointType"] == "Gateway"
        assert graph.one("VpcEndpoint").inputs["serviceName"] == "com.amazonaws.us-west-2.s3"


def test_ecs_cluster(prod: Graph, dev: Graph) -> None:
    for graph, name, providers in (
        (prod, "prod-ws-proxy", ["FARGATE"]),
        (dev, "aldea-ecs-dev", ["FARGATE", "FARGATE_SPOT"]),
    ):
        cluster = graph.one("aws:ecs/cluster:Cluster").inputs
        assert cluster["name"] == name
        assert cluster["settings"] == [{"name": "containerInsights", "value": "enabled"}]
        assert graph.one("ClusterCapacityProviders").inputs["capacityProviders"] == providers


def test_services_by_their_exact_names(prod: Graph, dev: Graph) -> None:
    assert names(prod, SERVICE) == {
        "ws-proxy-live1", "ws-proxy-live2", "http-proxy-live1", "http-proxy-live2", "imp-backend", "imp-frontend",
        "sqs-updater", "canary",
    }  # fmt: skip
    assert names(dev, SERVICE) == {"ws-proxy", "transcribe", "backend", "frontend", "sqs-updater"}
    for graph in (prod, dev):
        assert not graph.one(SERVICE, "sqs-updater").inputs.get("loadBalancers")


@pytest.mark.parametrize("kind", ["ws-proxy", "http-proxy"])
def test_each_lane_has_its_server_and_the_other_as_fallback(kind: str, prod: Graph) -> None:
    one, two = "http://stt-api-live-1.aldea.ai:8800", "http://stt-api-live-2.aldea.ai:8800"
    assert upstreams(prod, f"{kind}-live1") == f"{one},{two}"
    assert upstreams(prod, f"{kind}-live2") == f"{two},{one}"


@pytest.mark.parametrize("kind", ["ws-proxy", "transcribe"])
def test_in_dev_both_proxies_have_the_dev_server_of_the_config(kind: str, dev: Graph) -> None:
    assert upstreams(dev, kind) == "http://stt-api-dev.aldea.ai:8800"


IMAGES = {
    "prod": {
        "ws-proxy-live1": "ws-proxy", "ws-proxy-live2": "ws-proxy", "http-proxy-live1": "http-proxy",
        "http-proxy-live2": "http-proxy", "imp-backend": "backend", "imp-frontend": "frontend",
        "sqs-updater": "sqs-updater", "canary": "ws-proxy",
    },
    "dev": {
        "ws-proxy": "ws-proxy", "transcribe": "http-proxy", "backend": "backend", "frontend": "frontend",
        "sqs-updater": "sqs-updater",
    },
}  # fmt: skip


def test_each_service_runs_its_image_on_fargate(graph: Graph) -> None:
    cluster = graph.one("aws:ecs/cluster:Cluster").inputs["name"]
    for service, image in IMAGES[graph.stack].items():
        running = reachability.main_container(graph, service)["image"]
        assert running.partition("@")[0].rpartition("/")[2] == f"{cluster}-{image}"
        assert graph.one("TaskDefinition", service).inputs["requiresCompatibilities"] == ["FARGATE"]


def test_the_frontend_reaches_the_backend_by_service_connect(prod: Graph) -> None:
    offered = prod.one(SERVICE, "imp-backend").inputs["serviceConnectConfiguration"]["services"][0]
    assert offered["clientAlias"][0] == {"dnsName": "backend", "port": 8103}
    assert json.loads(prod.one("SecretVersion", "imp-frontend-env").inputs["secretString"]) == {
        "PLATFORM_API_URL": "http://backend:8103"
    }


def test_canary(prod: Graph) -> None:
    task = prod.one("TaskDefinition", "canary").inputs
    assert (task["cpu"], task["memory"]) == ("256", "512")
    assert reachability.main_container(prod, "canary")["command"][:3] == ["python", "-m", "aldea.canary"]


def test_redis(prod: Graph, dev: Graph) -> None:
    for graph, name in ((prod, "prod-ws-proxy"), (dev, "dev-ws-proxy")):
        redis = graph.one("ReplicationGroup").inputs
        assert (redis["replicationGroupId"], redis["engineVersion"]) == (name, "7.1")
        assert redis["multiAzEnabled"] is (graph.stack == "prod")
        assert redis["transitEncryptionEnabled"] is True
        assert redis["userGroupIds"] == [f"{name}-users"]
        assert all("passwords" in user.secret_inputs for user in graph.of("User"))
        settings = graph.one("aws:elasticache/parameterGroup:ParameterGroup").inputs["parameters"]
        assert {"name": "maxmemory-policy", "value": "noeviction"} in settings
        # Failovers depend on it: a write to a primary that became a replica is refused.
        assert {"name": "close-on-replica-write", "value": "yes"} in settings
    assert dev.one("ReplicationGroup").inputs["numCacheClusters"] == 1
    assert prod.one("ReplicationGroup").inputs["numCacheClusters"] >= 2


def test_postgresql(prod: Graph, dev: Graph) -> None:
    database = prod.one(INSTANCE)
    assert (database.inputs["identifier"], database.inputs["engineVersion"]) == ("aldea-prod", "18")
    assert database.protect
    assert database.inputs["multiAz"] is True
    assert database.inputs["storageEncrypted"] is True
    assert database.inputs["finalSnapshotIdentifier"] == "aldea-prod-final"
    assert database.inputs["deletionProtection"] is True
    assert database.inputs["skipFinalSnapshot"] is False
    assert database.inputs["manageMasterUserPassword"] is True
    assert database.inputs["backupRetentionPeriod"] >= 7
    assert (dev.one(INSTANCE).inputs["identifier"], dev.one(INSTANCE).inputs["multiAz"]) == ("aldea-staging", False)


def test_sqs(prod: Graph, dev: Graph) -> None:
    for graph, prefix in ((prod, ""), (dev, "dev-")):
        queue, dead = graph.one("aws:sqs/queue:Queue", "usage-queue"), graph.one("aws:sqs/queue:Queue", "usage-dlq")
        assert queue.inputs["name"] == f"{prefix}usage-updates-queue"
        assert queue.json("redrivePolicy") == {"deadLetterTargetArn": dead.outputs["arn"], "maxReceiveCount": 50}
        assert queue.inputs["sqsManagedSseEnabled"] is dead.inputs["sqsManagedSseEnabled"] is True
        allowed = graph.one("RedriveAllowPolicy").json("redriveAllowPolicy")
        assert allowed == {"redrivePermission": "byQueue", "sourceQueueArns": [queue.outputs["arn"]]}


def test_ecr(graph: Graph) -> None:
    cluster = graph.one("aws:ecs/cluster:Cluster").inputs["name"]
    images = ("ws-proxy", "http-proxy", "backend", "frontend", "sqs-updater")
    assert names(graph, "Repository") == {f"{cluster}-{image}" for image in images}
    for each in graph.of("Repository"):
        assert each.inputs["imageTagMutability"] == "IMMUTABLE"
        assert each.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    assert len(graph.of("LifecyclePolicy")) == len(images)
    for each in graph.of("LifecyclePolicy"):
        assert [rule["selection"]["tagStatus"] for rule in each.json("policy")["rules"]] == ["untagged"]


def test_secrets_manager(prod: Graph, dev: Graph) -> None:
    for graph, prefix, days in ((prod, "", 30), (dev, "dev-", 0)):
        found = names(graph, "aws:secretsmanager/secret:Secret")
        assert {f"{prefix}{name}" for name in ("redis-auth-token", "imp-backend/env", "imp-frontend/env")} <= found
        assert {each.inputs["recoveryWindowInDays"] for each in graph.of("Secret")} == {days}


def test_iam(prod: Graph, dev: Graph) -> None:
    for graph in (prod, dev):
        assert graph.of("OpenIdConnectProvider")
        roles = {each.name for each in graph.of("aws:iam/role:Role")}
        for service in graph.of(SERVICE):
            assert {f"{service.name}-task", f"{service.name}-execution"} <= roles
        assert {"ci-preview", "ci-deploy"} <= roles


def test_github_previews_behind_reviewers_in_prod_and_deploys_from_its_environment(prod: Graph, dev: Graph) -> None:
    for graph, preview in ((prod, "environment:prod-preview"), (dev, "pull_request")):
        repository, nightly = "repo:aldea-ai/asr-platform", f"environment:{graph.stack}-drift"
        for kind, subject in (
            ("preview", [f"{repository}:{preview}", f"{repository}:{nightly}"]),
            ("deploy", f"{repository}:environment:{graph.stack}"),
        ):
            trust = graph.one("aws:iam/role:Role", f"ci-{kind}").json("assumeRolePolicy")["Statement"]
            issuer = "token.actions.githubusercontent.com"
            assert [each["Condition"] for each in trust] == [
                {
                    "StringEquals": {
                        f"{issuer}:aud": "sts.amazonaws.com",
                        f"{issuer}:sub": subject,
                    }
                }
            ]


def test_logs_alarms_and_dashboard(prod: Graph, dev: Graph) -> None:
    assert {each.name for each in prod.of("MetricAlarm")} >= {
        "ws-proxy-live1-5xx", "ws-proxy-live1-unhealthy", "ws-proxy-live1-no-healthy-task", "usage-queue-age",
        "usage-dlq", "redis-1-memory", "database-cpu", "firewall-blocks", "canary-failing",
    }  # fmt: skip
    assert not dev.of("MetricAlarm")
    for graph in (prod, dev):
        assert len(graph.of("Dashboard")) == 1
        assert all(each.inputs["retentionInDays"] for each in graph.of("LogGroup"))


REQUESTS = [
    ("platform.aldea.ai", "/", {}, 10),
    ("backend.aldea.ai", "/v1/listen", {"Upgrade": "websocket"}, 20),
    ("api.aldea.ai", "/v1/projects/p/keys", {}, 30),
    ("api.aldea.ai", "/v1/listen", {"Upgrade": "websocket"}, 100),
    ("api.aldea.ai", "/listen/v1/pcm", {"Upgrade": "websocket"}, 100),
    ("api.aldea.ai", "/v1/listen", {}, 200),
    ("api.aldea.ai", "/transcribe/file", {}, 300),
    ("api.aldea.ai", "/transcribed", {}, None),
]


@pytest.mark.parametrize(("host", "path", "headers", "priority"), REQUESTS)
def test_the_registered_rules_take_the_requests_they_should(
    host: str, path: str, headers: dict[str, str], priority: int | None, prod: Graph
) -> None:
    found = routing.match(registered(prod), host, path, headers)
    assert (found.priority if found else None) == priority


def registered(graph: Graph) -> list[Rule]:
    """The rules as AWS is given them; where they forward to is a check of its own."""
    rules = []
    for each in graph.of("ListenerRule"):
        given = {key: part for condition in each.inputs["conditions"] for key, part in condition.items()}
        header = given.get("httpHeader")
        rules.append(
            Rule(
                priority=each.inputs["priority"],
                target=Target.BACKEND,
                hosts=tuple(given.get("hostHeader", {}).get("values", ())),
                paths=tuple(given.get("pathPattern", {}).get("values", ())),
                header=HeaderCondition(header["httpHeaderName"], tuple(header["values"])) if header else None,
            )
        )
    return rules


def test_the_registered_rules_are_the_shared_table(prod: Graph) -> None:
    table = routing.rules(Hosts("api.aldea.ai", "backend.aldea.ai", "platform.aldea.ai"))
    shown = [(rule.priority, rule.hosts, rule.paths, rule.header) for rule in table]
    given = [(rule.priority, rule.hosts, rule.paths, rule.header) for rule in registered(prod)]
    assert sorted(given, key=lambda rule: rule[0]) == shown
