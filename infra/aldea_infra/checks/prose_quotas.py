"""AWS's rules in prose on how many, how large, and what only once: quotas that a stack can reach by itself."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aldea_infra.checks.prose_rules import EVERY, states
from aldea_infra.offline.graph import Graph, Registered

GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
INGRESS: Final = "SecurityGroupIngressRule"
EGRESS: Final = "SecurityGroupEgressRule"
ROLE: Final = "aws:iam/role:Role"
RULE: Final = "aws:lb/listenerRule:ListenerRule"
TASK: Final = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE: Final = "aws:ecs/service:Service"
ACL: Final = "aws:wafv2/webAcl:WebAcl"
RECORD: Final = "aws:route53/record:Record"
# What a rule of a security group is beside its description: two that agree in it are one.
SAME_RULE: Final = (
    "securityGroupId", "cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId", "ipProtocol", "fromPort",
    "toPort",
)  # fmt: skip
RETENTIONS: Final = frozenset(
    {
        0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
    }
)  # fmt: skip
BLOCKED_WITH: Final = frozenset(
    {
        200, 201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413,
        414, 415, 416, 421, 429, 500, 501, 502, 503, 504, 505,
    }
)  # fmt: skip
PERCENTILE: Final = re.compile(r"p(\d{1,2}(\.\d{1,2})?|100)|(tm|wm|tc|ts|pr)(\d|\().*|iqm", re.IGNORECASE)
# Where an alias of an accelerator points, in every region (Global Accelerator developer guide).
ACCELERATOR_ZONE: Final = "Z2BJ6XQ5FK7U4H"


@states(EVERY, "Tagging AWS Resources user guide, Tag naming limits and requirements")
def tags_are_accepted(graph: Graph, resource: Registered) -> Iterator[str]:
    """Up to 50 tags with the provider's own, of 128 and 256 characters, of a small set, and none of AWS's."""
    given = resource.inputs.get("tags")
    provider = resource.type == "pulumi:providers:aws"
    if not provider and not isinstance(given, Mapping):
        return
    of_all: dict[str, Any] = {}
    for each in graph.of("pulumi:providers:aws"):
        defaults = each.inputs.get("defaultTags") or {}
        of_all |= (json.loads(defaults) if isinstance(defaults, str) else defaults).get("tags", {})
    tags = {**of_all, **(given if not provider and isinstance(given, Mapping) else {})}
    if len(tags) > 50:
        yield f"it has {len(tags)} tags; allowed: 50"
    for name, value in tags.items():
        if not 1 <= len(name) <= 128 or len(str(value)) > 256:
            yield f"the tag {name} has too many characters; allowed: 128, and 256 for its value"
        if name.lower().startswith("aws:"):
            yield f"the tag {name} begins with aws:, which is reserved"
        if not all(re.fullmatch(r"[\w .:/=+@-]*", text) for text in (name, str(value))):
            yield f"the tag {name} has characters beyond letters, digits, spaces and . : / = + @ - _"


@states(GROUP, "VPC user guide, Security group rules; Amazon VPC quotas, Security groups; CreateSecurityGroup")
def a_security_group_is_accepted(graph: Graph, group: Registered) -> Iterator[str]:
    """60 rules each way, none twice; a name that is not an id's; a description of EC2's characters."""
    for kind in (INGRESS, EGRESS):
        rules = [each for each in graph.of(kind) if each.inputs["securityGroupId"] == group.outputs["id"]]
        if len(rules) > 60:
            yield f"it has {len(rules)} rules of {kind}; allowed: 60"
        found = Counter(tuple(each.inputs.get(key) for key in SAME_RULE) for each in rules)
        yield from (f"a rule of {kind} is there twice: {list(filter(None, key))}" for key, n in found.items() if n > 1)
    text = group.inputs.get("description", "")
    if len(text) > 255 or not re.fullmatch(r"[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]+", text):
        yield f"its description is {text!r}; allowed: up to 255 letters, digits, spaces and ._-:/()#,@[]+=&;{{}}!$*"
    if group.inputs.get("name", group.name).startswith("sg-"):
        yield "its name can't begin with sg-"


@states(ROLE, "IAM user guide, IAM and AWS STS quotas, Quotas for policies and role trust policies")
def a_roles_policies_fit_together(graph: Graph, role: Registered) -> Iterator[str]:
    """A trust of 2,048 characters; 10,240 in all of its inline policies together; ten managed ones."""
    trust = len(re.sub(r"\s", "", role.inputs["assumeRolePolicy"]))
    if trust > 2048:
        yield f"its trust has {trust} characters; allowed: 2048"
    names = {role.id, role.outputs.get("name"), role.outputs.get("id")} - {None}
    inline = [each for each in graph.of("aws:iam/rolePolicy:RolePolicy") if each.inputs["role"] in names]
    size = sum(len(re.sub(r"\s", "", each.inputs["policy"])) for each in inline)
    if size > 10_240:
        yield f"its {len(inline)} inline policies have {size} characters together; allowed: 10240"
    attached = [each for each in graph.of("RolePolicyAttachment") if each.inputs["role"] in names]
    if len(attached) + len(role.inputs.get("managedPolicyArns", [])) > 10:
        yield f"it has {len(attached)} managed policies; allowed: 10"


@states(TASK, "ECS developer guide, Amazon ECS service quotas; RegisterTaskDefinition, family, ephemeralStorage")
def a_task_definition_fits(_: Graph, task: Registered) -> Iterator[str]:
    """64 KB, ten containers, names of letters, digits, - and _, storage of 21 to 200 GB, no circle of waiting."""
    found: list[dict[str, Any]] = task.json("containerDefinitions")
    size = len(task.inputs["containerDefinitions"].encode())
    if size > 65_536:
        yield f"its containers have {size} bytes; allowed: 65536"
    if not 1 <= len(found) <= 10:
        yield f"it has {len(found)} containers; allowed: 1 to 10"
    ports = [mapping["name"] for each in found for mapping in each.get("portMappings", []) if "name" in mapping]
    for name in (task.inputs["family"], *(each["name"] for each in found)):
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name):
            yield f"the name {name!r} is not of up to 255 letters, digits, - and _"
    for name in ports:
        if not re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,63}", name):
            yield f"the port name {name!r} is not of up to 64 lower-case letters, digits, - and _"
    storage = (task.inputs.get("ephemeralStorage") or {}).get("sizeInGib")
    if storage is not None and not 21 <= storage <= 200:
        yield f"ephemeralStorage is {storage} GiB; allowed: 21 to 200"
    waits = {each["name"]: {other["containerName"] for other in each.get("dependsOn", [])} for each in found}
    while ended := [name for name, others in waits.items() if not others & waits.keys()]:
        for name in ended:
            del waits[name]
    if waits:
        yield f"{', '.join(sorted(waits))} wait for one another"


@states(TASK, "ECS developer guide, Pass Secrets Manager secrets through environment variables, valueFrom")
def secrets_name_one_key(_: Graph, task: Registered) -> Iterator[str]:
    """An ARN, or an ARN with a key, a stage and a version, which may be empty and whose colons may not."""
    for each in task.json("containerDefinitions"):
        for secret in each.get("secrets", []):
            parts = secret["valueFrom"].split(":")
            if parts[2:3] == ["secretsmanager"] and len(parts) not in {7, 10}:
                yield f"{each['name']}: {secret['name']} is from {secret['valueFrom']}: wanted ARN:KEY:STAGE:VERSION"


@states(SERVICE, "ECS API reference, AwsVpcConfiguration; Service load balancing considerations; Service Connect")
def a_service_fits(graph: Graph, service: Registered) -> Iterator[str]:
    """16 subnets, five security groups, five target groups, a name of its own in the namespace."""
    network = service.inputs.get("networkConfiguration", {})
    for key, most in (("subnets", 16), ("securityGroups", 5)):
        if len(network.get(key, [])) > most:
            yield f"it has {len(network[key])} {key}; allowed: {most}"
    if len(service.inputs.get("loadBalancers", [])) > 5:
        yield f"it has {len(service.inputs['loadBalancers'])} target groups; allowed: 5"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", service.inputs["name"]):
        yield f"the name {service.inputs['name']!r} is not of up to 255 letters, digits, - and _"

    def offered(one: Registered) -> set[str]:
        connect = one.inputs.get("serviceConnectConfiguration") or {}
        return {each.get("discoveryName", each["portName"]) for each in connect.get("services", [])}

    others = {name for each in graph.of(SERVICE) if each is not service for name in offered(each)}
    yield from (f"{name} is discovered as another service, too" for name in sorted(offered(service) & others))


@states("aws:lb/listener:Listener", "ELB user guide, Quotas for your Application Load Balancers; CreateListener, Port")
def listeners_share_a_load_balancer(graph: Graph, listener: Registered) -> Iterator[str]:
    """One listener a port; a policy of ELB's; 100 rules a load balancer."""
    given = listener.inputs
    same = [each for each in graph.of("aws:lb/listener:Listener")
            if all(each.inputs[key] == given[key] for key in ("loadBalancerArn", "port"))]  # fmt: skip
    if len(same) > 1:
        yield f"its load balancer has {len(same)} listeners on port {given['port']}"
    if not re.fullmatch(
        r"ELBSecurityPolicy-[A-Za-z0-9-]*20\d\d-\d\d", given.get("sslPolicy") or "ELBSecurityPolicy-2016-08"
    ):
        yield f"sslPolicy is {given['sslPolicy']}, which is no name of ELB's policies"
    if len(graph.of(RULE)) > 100:
        yield f"its load balancer has {len(graph.of(RULE))} rules; allowed: 100"


@states("LoadBalancer", "ELB API reference, CreateLoadBalancer, Name, SecurityGroups; user guide, access logs, prefix")
def a_load_balancer_has_its_name(_: Graph, balancer: Registered) -> Iterator[str]:
    """No hyphen at its ends, no `internal-` before it; five security groups; no AWSLogs in the prefix of its logs."""
    name = balancer.inputs.get("name", balancer.name)
    if name.startswith(("internal-", "-")) or name.endswith("-"):
        yield f"its name {name!r} begins with internal- or a hyphen, or ends with one"
    if len(balancer.inputs.get("securityGroups", [])) > 5:
        yield f"it has {len(balancer.inputs['securityGroups'])} security groups; allowed: 5"
    for key in ("accessLogs", "connectionLogs"):
        if "AWSLogs" in ((balancer.inputs.get(key) or {}).get("prefix") or ""):
            yield f"the prefix of its {key} can't include AWSLogs"


@states(RECORD, "Route 53 developer guide, DNS domain name format; API reference, ResourceRecordSet, AliasTarget")
def names_are_there_once(graph: Graph, record: Registered) -> Iterator[str]:
    """A name and type once, a CNAME alone and below the zone; an alias in its target's own zone."""
    given = record.inputs
    name, records = given["name"].rstrip(".").lower(), graph.of(RECORD)
    same = [each for each in records if each.inputs["name"].rstrip(".").lower() == name]
    if sum(each.inputs["type"] == given["type"] for each in same) > 1 or (given["type"] == "CNAME" and len(same) > 1):
        yield f"{name} has two records of the type {given['type']}, or another beside a CNAME"
    if len(name) > 255 or any(not 1 <= len(label) <= 63 for label in name.split(".")):
        yield f"{name} has more than 255 characters, or a label without any or with more than 63"
    for alias in given.get("aliases", []):
        targets = [each for each in graph.resources if each.outputs.get("dnsName") == alias["name"]]
        zones = {ACCELERATOR_ZONE if "accelerator" in each.type else each.outputs.get("zoneId") for each in targets}
        if targets and alias["zoneId"] not in zones | {each.outputs.get("hostedZoneId") for each in targets}:
            yield f"its alias is in the zone {alias['zoneId']}; its target is in {sorted(map(str, zones))}"


@states("aws:cloudwatch/logGroup:LogGroup", "CloudWatch Logs API reference, PutRetentionPolicy, retentionInDays")
def a_retention_is_one_of_awss(_: Graph, group: Registered) -> Iterator[str]:
    """CloudWatch keeps logs for some numbers of days only."""
    days = group.inputs.get("retentionInDays", 0)
    if days not in RETENTIONS:
        yield f"retentionInDays is {days}; allowed: {', '.join(map(str, sorted(RETENTIONS)))}"


@states(
    "MetricAlarm", "CloudWatch API reference, PutMetricAlarm, AlarmName, ExtendedStatistic, Dimensions, AlarmActions"
)
def an_alarms_metric_is_one(graph: Graph, alarm: Registered) -> Iterator[str]:
    """30 dimensions with values; a percentile that exists; a topic of the alarm's own region."""
    given = alarm.inputs
    if len(given.get("dimensions", {})) > 30 or not all(given.get("dimensions", {"": 1}).values()):
        yield "it has more than 30 dimensions, or one without a value"
    statistic = given.get("extendedStatistic")
    if statistic is not None and not PERCENTILE.fullmatch(statistic):
        yield f"extendedStatistic is {statistic!r}; allowed: such as p50, p99.9, tm90"
    region = graph.one("pulumi:providers:aws").inputs["region"]
    for action in (*given.get("alarmActions", []), *given.get("okActions", [])):
        if action.startswith("arn:aws:sns:") and action.split(":")[3] != region:
            yield f"{action} is in another region than the alarm"


@states("Dashboard", "CloudWatch user guide, CloudWatch quotas, Dashboards; PutDashboard, DashboardName")
def a_dashboard_fits(_: Graph, dashboard: Registered) -> Iterator[str]:
    """500 widgets, 500 metrics each, 2,500 in all; a name of letters, digits, - and _."""
    widgets = dashboard.json("dashboardBody")["widgets"]
    metrics = [len(each.get("properties", {}).get("metrics", [])) for each in widgets]
    if len(widgets) > 500 or max(metrics, default=0) > 500 or sum(metrics) > 2500:
        yield f"it has {len(widgets)} widgets and {sum(metrics)} metrics; allowed: 500, with 500 each and 2500 in all"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", dashboard.inputs["dashboardName"]):
        yield f"its name {dashboard.inputs['dashboardName']!r} is not of letters, digits, - and _"


@states(ACL, "WAF developer guide, Supported status codes for custom response; AWS WAF quotas")
def what_waf_responds_is_supported(_: Graph, acl: Registered) -> Iterator[str]:
    """A status of WAF's list; strings of 200 bytes; ten transformations of one statement."""
    for rule in acl.inputs["rules"]:
        custom = ((rule.get("action") or {}).get("block") or {}).get("customResponse") or {}
        if custom and int(custom["responseCode"]) not in BLOCKED_WITH:
            yield f"{rule['name']} responds with {custom['responseCode']}, which WAF does not"
        for key, value in _walk(rule["statement"]):
            if key == "searchString" and not 1 <= len(str(value).encode()) <= 200:
                yield f"{rule['name']}: a searchString has 1 to 200 bytes; got {len(str(value).encode())}"
            if key == "textTransformations":
                order = [each["priority"] for each in value]
                if not 1 <= len(order) <= 10 or len(order) != len(set(order)):
                    yield f"{rule['name']}: textTransformations are 1 to 10 of different priorities; got {order}"


@states("aws:wafv2/ipSet:IpSet", "WAF developer guide, AWS WAF quotas: IP addresses in an IP set")
def a_set_of_addresses_fits(_: Graph, addresses: Registered) -> Iterator[str]:
    """10,000 networks."""
    if len(addresses.inputs["addresses"]) > 10_000:
        yield f"it has {len(addresses.inputs['addresses'])} networks; allowed: 10000"


@states("aws:s3/bucket:Bucket", "S3 user guide, General purpose bucket naming rules")
def a_bucket_has_its_name(_: Graph, bucket: Registered) -> Iterator[str]:
    """3 to 63 lower-case letters, digits, dots, hyphens with what the provider adds (26); not like an address."""
    prefix = bucket.inputs.get("bucketPrefix")
    name = bucket.inputs.get("bucket", f"{prefix}{'0' * 26}" if prefix else "aaa")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name) or ".." in name or re.fullmatch(r"[\d.]+", name):
        yield f"its name {name!r} is not of 3 to 63 lower-case letters, digits, dots and hyphens"
    if name.startswith(("xn--", "sthree-", "amzn-s3-demo-")) or name.endswith(
        ("-s3alias", "--ol-s3", ".mrap", "--x-s3")
    ):
        yield f"its name {name!r} begins or ends with what AWS reserves"


@states("aws:s3/bucketPolicy:BucketPolicy", "S3 user guide, Bucket policies: 20 KB")
def a_bucket_policy_fits(_: Graph, policy: Registered) -> Iterator[str]:
    """20 KB."""
    if (size := len(policy.inputs["policy"].encode())) > 20_480:
        yield f"it has {size} bytes; allowed: 20480"


@states("aws:ec2/vpcEndpoint:VpcEndpoint", "VPC user guide, Access an AWS service using an endpoint: service names")
def an_endpoint_is_of_its_region(graph: Graph, endpoint: Registered) -> Iterator[str]:
    """A VPC's endpoint leads to a service of the VPC's own region."""
    region, service = graph.one("pulumi:providers:aws").inputs["region"], endpoint.inputs["serviceName"]
    if not service.startswith(f"com.amazonaws.{region}."):
        yield f"serviceName is {service}; wanted: one of com.amazonaws.{region}"


@states("awsx:ec2:Vpc", "VPC user guide, VPC CIDR blocks; Subnet CIDR blocks")
def a_network_has_room(_: Graph, vpc: Registered) -> Iterator[str]:
    """/16 to /28 for the network and each subnet."""
    sizes = [int(vpc.inputs["cidrBlock"].rpartition("/")[2])]
    sizes += [each["cidrMask"] for each in vpc.inputs.get("subnetSpecs", []) if each.get("cidrMask")]
    if not all(16 <= size <= 28 for size in sizes):
        yield f"its networks are of /{', /'.join(map(str, sizes))}; allowed: /16 to /28"


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key below, with its value."""
    if isinstance(value, list):
        for each in value:
            yield from _walk(each)
    elif isinstance(value, Mapping):
        for key, found in value.items():
            yield key, found
            yield from _walk(found)
