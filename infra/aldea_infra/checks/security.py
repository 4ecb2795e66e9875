"""Checks of what must never be deployed: open stores, plain hops, wide policies, secrets for all to read."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlsplit

from aldea_infra.checks import reachability
from aldea_infra.offline.graph import Graph, Registered

# Calls that take no resource (AWS's service authorization reference).
WITHOUT_RESOURCE: Final = frozenset(
    {
        "ecr:GetAuthorizationToken",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeRules",
        "logs:DescribeLogGroups",
    }
)
# GitHub's subjects: repositories made or renamed since 15 July 2026 have their numbers in it, older ones have not.
SUBJECT: Final = re.compile(
    r"repo:([\w.-]+/[\w.-]+|[\w.-]+@\d+/[\w.-]+@\d+):(pull_request|environment:[\w-]+|ref:refs/heads/[\w./-]+)"
)
# Of aldea.redis.schema: what says who may do what.
REDIS_RECORDS: Final = ("cred:ab", "project:ab", "keys:loaded")
# What a resource policy's statement against unencrypted requests is conditioned on.
PLAIN_HTTP: Final = {"Bool": {"aws:SecureTransport": "false"}}
# Reads by their names that hand out a secret's value, a message, or data: no preview needs them.
DATA_READS: Final = frozenset(
    {
        "secretsmanager:GetSecretValue", "sqs:ReceiveMessage", "s3:GetObject", "kms:Decrypt", "ssm:GetParameter",
        "logs:GetLogEvents", "logs:FilterLogEvents", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage",
        "rds:DownloadDBLogFilePortion", "sts:GetFederationToken",
    }
)  # fmt: skip


def stores_are_private(graph: Graph) -> Iterator[str]:
    """A database with a public address is one leaked password away from everybody."""
    for each in graph.of("aws:rds/instance:Instance"):
        if each.inputs.get("publiclyAccessible") is not False:
            yield f"{each.name} is publicly accessible"
    for each in graph.of("SubnetGroup"):
        if not all("isolated" in subnet for subnet in each.inputs["subnetIds"]):
            yield f"{each.name} lies outside the isolated subnets"


def only_the_edge_is_open(graph: Graph) -> Iterator[str]:
    """Whatever else takes connections from anywhere bypasses the WAF, the accelerator and admission."""
    for edge in reachability.matrix(graph):
        if edge.source == reachability.CLIENTS and (edge.target != "balancer" or edge.port not in {80, 443}):
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
                yield "the accelerator hides clients' addresses from the WAF"


def connections_are_encrypted(graph: Graph) -> Iterator[str]:
    """Keys and audio travel over these hops."""
    for each in graph.of("aws:lb/listener:Listener"):
        if each.inputs["port"] == 80 and each.inputs["defaultActions"][0]["type"] != "redirect":
            yield "port 80 serves instead of redirecting"
        if each.inputs["port"] == 443 and "TLS13" not in each.inputs.get("sslPolicy", ""):
            yield "port 443 has no TLS 1.3 policy"
    for each in graph.of("ReplicationGroup"):
        if not each.inputs.get("transitEncryptionEnabled") or not each.inputs.get("userGroupIds"):
            yield f"{each.name} takes connections without TLS, or from anybody"
    for each in graph.of("aws:rds/parameterGroup:ParameterGroup"):
        if ("rds.force_ssl", "0") in _parameters(each):  # RDS's default is 1 since PostgreSQL 15
            yield f"{each.name} does not insist on TLS"
    for version in graph.of("SecretVersion"):
        if "redis://" in version.inputs["secretString"]:
            yield f"{version.name} holds a Redis URL without TLS"
    refusing = {
        str(holder.inputs.get("queueUrl", holder.inputs.get("bucket")))
        for holder, statement in graph.policies()
        if statement["Effect"] == "Deny" and statement.get("Condition") == PLAIN_HTTP
    }
    for queue in graph.of("aws:sqs/queue:Queue"):
        if queue.outputs["url"] not in refusing:
            yield f"{queue.name} takes plain HTTP"
    for bucket in graph.of("aws:s3/bucket:Bucket"):
        if bucket.id not in refusing:
            yield f"bucket {bucket.name} takes plain HTTP"


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


def redis_never_evicts(graph: Graph) -> Iterator[str]:
    """ElastiCache's default drops API keys and usage readings when memory runs out."""
    for each in graph.of("aws:elasticache/parameterGroup:ParameterGroup"):
        if ("maxmemory-policy", "noeviction") not in _parameters(each):
            yield f"{each.name} may evict"
    for each in graph.of("ReplicationGroup"):
        nodes = each.inputs["numCacheClusters"]
        if each.inputs["multiAzEnabled"] != (nodes > 1) or each.inputs["automaticFailoverEnabled"] != (nodes > 1):
            yield f"{each.name}: {nodes} nodes do not fit Multi-AZ and automatic failover"


def redis_users_are_apart(graph: Graph) -> Iterator[str]:
    """Proxies talk to strangers: one that is taken over must not be able to make a credential."""
    users = {each.inputs["userName"]: each.inputs["accessString"].split() for each in graph.of("User")}
    if users.get("default", ["on"])[0] != "off":
        yield "anybody signs in to Redis as its user `default`"
    for name, rules in users.items():
        written = [rule[1:] for rule in rules if rule.startswith("~")]
        if name.endswith("-proxy") and any(fnmatchcase(record, each) for record in REDIS_RECORDS for each in written):
            yield f"Redis' user {name} may write credentials"
    grouped = {user for each in graph.of("UserGroup") for user in each.inputs["userIds"]}
    if missing := {each.inputs["userId"] for each in graph.of("User")} - grouped:
        yield f"{', '.join(sorted(missing))} may not sign in: no group has them"
    for task, container in graph.containers():
        source = reachability.secrets(container).get("REDIS_URL", "").removesuffix("::").rpartition(":")[2]
        if source and source != reachability.role_of(graph, task.name):
            yield f"{task.name} signs in to Redis as {source}"


def secrets_stay_secret(graph: Graph) -> Iterator[str]:
    """A value of a secret in any plain input, or in an output, is in the state and the console for all to read."""
    texts = set()
    for version in graph.of("SecretVersion"):
        quoted = re.findall(r'"([^"]*)"', version.inputs["secretString"])
        found = {text for text in quoted if "made-up" in text}
        found |= {password for text in quoted if "://" in text and (password := urlsplit(text).password)}
        if found and "secretString" not in version.secret_inputs:
            yield f"{version.name} is not marked secret"
        texts |= found
    for each in graph.resources:
        plain = {key: value for key, value in each.inputs.items() if key not in each.secret_inputs}
        if any(text in str(plain) for text in texts):
            yield f"{each.name} ({each.type}) carries a secret in plain"
    if any(text in str(graph.outputs) for text in texts):
        yield "the stack's outputs carry a secret"


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
        for variable, source in reachability.secrets(container).items():
            arn, key = source.removesuffix("::").rsplit(":", 1)
            if arn not in readable:
                yield f"{task.name} may not read what {variable} comes from"
            if arn in held and key not in held[arn]:
                yield f"{task.name}: {variable} comes from {key}, which its secret does not hold"


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


def trust_is_exact(graph: Graph) -> Iterator[str]:
    """A role that any repository, branch or account may take is a back door."""
    for role in graph.of("aws:iam/role:Role"):
        for statement in role.json("assumeRolePolicy")["Statement"]:
            exact = statement.get("Condition", {}).get("StringEquals", {})
            keys = {key.rpartition(":")[2] for key in exact}
            wanted = {"aud", "sub"} if "Federated" in statement["Principal"] else {"SourceAccount"}
            if not wanted <= keys or any("*" in str(value) for value in exact.values()):
                yield f"{role.name} is trusted without exact {' and '.join(sorted(wanted))}"
            for key, value in exact.items():
                for subject in [value] if isinstance(value, str) else value:
                    if key.endswith(":sub") and not SUBJECT.fullmatch(subject):
                        yield f"{role.name} trusts {subject}, which is no subject that GitHub writes"


def previews_only_look(graph: Graph) -> Iterator[str]:
    """A preview runs the code of a pull request: what it may do, whoever can open one may do."""
    for holder, statement in graph.policies():
        if holder.name != "ci-preview" or holder.type.endswith(":Role"):
            continue
        for action in statement["Action"]:
            if "*" in action or not re.match(r"[\w-]+:(Get|Describe|List|Decrypt)", action):
                yield f"previews may {action}"
            if action in DATA_READS and "*" in statement["Resource"]:
                yield f"previews may {action} on everything"


def deployments_cannot_widen_themselves(graph: Graph) -> Iterator[str]:
    """Whoever can change the deploy role, its boundary, or make a role without it, is an administrator."""
    for holder, statement in graph.policies():
        if holder.name not in {"ci-deploy", "boundary"} or holder.type.endswith(":Role"):
            continue
        changing = [each for each in statement["Action"] if re.match(r"\*|iam:(?!Get|List)", each)]
        if statement["Effect"] == "Deny" or not changing:
            continue
        if any("*" in action for action in changing):
            yield f"{holder.name} allows {', '.join(changing)}"
        if any("-ci/" in resource or resource == "*" for resource in statement["Resource"]):
            yield f"{holder.name} allows {', '.join(changing)} on the deploy role itself"
        bound = statement.get("Condition", {}).get("StringEquals", {}).get("iam:PermissionsBoundary")
        if {"iam:CreateRole", "iam:PutRolePolicy"} & set(changing) and not bound:
            yield f"{holder.name} may make roles without the boundary"


def the_waf_lets_customers_pass(graph: Graph) -> Iterator[str]:
    """AWS's groups refuse what SDKs and recordings look like, and exemptions that come late exempt nobody."""
    for acl in graph.of("WebAcl"):
        rules = {rule["name"]: rule for rule in acl.inputs["rules"]}
        texts = {body["key"]: json.loads(body["content"]) for body in acl.inputs["customResponseBodies"]}
        exempting = [rule["priority"] for rule in rules.values() if rule.get("ruleLabels")]
        for rule in rules.values():
            if "block" in rule.get("action", {}):
                response = rule["action"]["block"].get("customResponse", {})
                if set(texts.get(response.get("customResponseBodyKey"), {})) != {"err_code", "err_msg", "request_id"}:
                    yield f"rule {rule['name']} blocks without the contract's response"
                headers = {each["name"] for each in response.get("responseHeaders", [])}
                if response.get("responseCode") == 429 and "Retry-After" not in headers:
                    yield f"rule {rule['name']} does not say when to come back"
                if rule["priority"] < max(exempting, default=0):
                    yield f"rule {rule['name']} comes before the exemptions"
            yield from _managed_group(rule)


def _managed_group(rule: dict[str, Any]) -> Iterator[str]:
    """Bot control refuses SDKs; the common set refuses long queries; body rules match recordings by chance."""
    group = rule["statement"].get("managedRuleGroupStatement", {"name": ""})
    scope = json.dumps(group.get("scopeDownStatement", {}))
    if "BotControl" in group["name"]:
        yield f"rule {rule['name']} is bot control: an SDK is a bot"
    if "CommonRuleSet" in group["name"] and '"host"' not in scope:
        yield f"rule {rule['name']} is not limited to the hosts that browsers use"
    counted = {each["name"] for each in group.get("ruleActionOverrides", []) if "count" in each["actionToUse"]}
    if "KnownBadInputs" in group["name"]:
        audio = "/v1/listen" in scope and "notStatement" not in scope
        if not scope.count("/v1/listen") or (audio and not {"JavaDeserializationRCE_BODY", "Log4JRCE_BODY"} <= counted):
            yield f"rule {rule['name']} looks into recordings"


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


def _parameters(group: Registered) -> set[tuple[str, str]]:
    return {(each["name"], each["value"]) for each in group.inputs.get("parameters", [])}


CHECKS: Final = (
    stores_are_private,
    only_the_edge_is_open,
    connections_are_encrypted,
    data_at_rest_is_encrypted,
    redis_never_evicts,
    redis_users_are_apart,
    secrets_stay_secret,
    secret_keys_exist_and_may_be_read,
    policies_are_exact,
    trust_is_exact,
    previews_only_look,
    deployments_cannot_widen_themselves,
    the_waf_lets_customers_pass,
    images_are_fixed,
)
