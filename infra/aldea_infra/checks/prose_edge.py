"""AWS's rules in prose for the edge and the account: ELB, WAF, accelerator, DNS, network, alarms and IAM."""

import ipaddress
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, Final

from aldea_infra.checks.prose_rules import states, together
from aldea_infra.offline.graph import Graph, Registered

LISTENER: Final = "aws:lb/listener:Listener"
RULE: Final = "aws:lb/listenerRule:ListenerRule"
GROUP: Final = "aws:lb/targetGroup:TargetGroup"
ACL: Final = "aws:wafv2/webAcl:WebAcl"
ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
FLOW_LOG_CALLS: Final = frozenset(
    f"logs:{call}"
    for call in ("CreateLogGroup", "CreateLogStream", "PutLogEvents", "DescribeLogGroups", "DescribeLogStreams")
)
# What each type of action is configured by.
ACTIONS: Final = {
    "forward": ("forward", "targetGroupArn"),
    "redirect": ("redirect",),
    "fixed-response": ("fixedResponse",),
}
CONDITIONS: Final = ("hostHeader", "pathPattern", "httpHeader", "httpRequestMethod", "queryStrings", "sourceIp")
GROUP_STATEMENTS: Final = ("managedRuleGroupStatement", "ruleGroupReferenceStatement")
EVALUATIONS: Final = ("GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold",
                      "LessThanOrEqualToThreshold")  # fmt: skip
# Of metric math and of a named metric, which exclude each other.
OF_A_METRIC: Final = ("metricName", "namespace", "statistic", "extendedStatistic", "dimensions", "period", "unit")


def _actions(actions: list[dict[str, Any]]) -> Iterator[str]:
    if len(actions) > 1 and not all(each.get("order") for each in actions):
        yield "order is required with several actions"
    for each in actions:
        own = ACTIONS.get(each["type"], ())
        if own and not any(each.get(key) for key in own):
            yield f"{each['type']} needs {' or '.join(own)}"
        others = {key for keys in ACTIONS.values() for key in keys} - set(own)
        yield from (f"{key} is specified only when the type is another than {each['type']}"
                    for key in sorted(others) if each.get(key))  # fmt: skip
        groups = (each.get("forward") or {}).get("targetGroups", [])
        if any(not 0 <= group.get("weight", 1) <= 999 for group in groups):
            yield "a target group's weight is 0 to 999"
        sticky = (each.get("forward") or {}).get("stickiness") or {}
        if sticky.get("enabled") and not 1 <= sticky.get("duration", 0) <= 604800:
            yield "stickiness lasts 1 to 604800 seconds"


@states(LISTENER, "ELB API reference, CreateListener, Certificates, SslPolicy; RedirectActionConfig, Protocol")
def listeners_are_whole(_: Graph, listener: Registered) -> Iterator[str]:
    """TLS has a certificate and a policy, plain HTTP neither; nothing redirects from HTTPS to HTTP or to itself."""
    given = listener.inputs
    for key in ("certificateArn", "sslPolicy"):
        if bool(given.get(key)) != (given["protocol"] in {"HTTPS", "TLS"}):
            yield f"{key} is of HTTPS, and required there; its protocol is {given['protocol']}"
    for each in given["defaultActions"]:
        target = each.get("redirect") or {}
        if given["protocol"] == "HTTPS" and target.get("protocol") == "HTTP":
            yield "you can't redirect HTTPS to HTTP"
        same = {key: str(given[key]) for key in ("protocol", "port")}
        loops = {key: target.get(key, "#{x}") for key in same} == same
        if target and loops and not (target.keys() & {"host", "path", "query"}):
            yield "it redirects to itself"
        body = each.get("fixedResponse") or {}
        if body and not re.fullmatch(r"[245]\d\d", str(body.get("statusCode"))):
            yield f"a fixed response is 2XX, 4XX or 5XX; got {body.get('statusCode')}"
    yield from _actions(given["defaultActions"])


@states(
    RULE, "ELB API reference, CreateRule, Actions, Conditions; HostHeaderConditionConfig, HttpHeaderConditionConfig"
)
def rules_conditions_are_accepted(_: Graph, rule: Registered) -> Iterator[str]:
    """One field a condition, one condition a field; hosts with a dot; no Host by its header."""
    fields: list[str] = []
    for condition in rule.inputs["conditions"]:
        given = [key for key in CONDITIONS if condition.get(key)]
        if len(given) != 1:
            yield f"a condition has one field; got {given or 'none'}"
        fields += given
        for host in (condition.get("hostHeader") or {}).get("values", []):
            if not re.fullmatch(r"[A-Za-z0-9*?.-]{1,128}", host) or not re.search(r"\.[A-Za-z*?]+$", host):
                yield f"host {host!r} must have a dot, and letters alone after the last"
        for path in (condition.get("pathPattern") or {}).get("values", []):
            if not re.fullmatch(r"[A-Za-z0-9_\-.$/~\"'@:+&*?]{1,128}", path):
                yield f"path {path!r} has characters that a path pattern does not take"
        header = condition.get("httpHeader") or {}
        name = header.get("httpHeaderName", "x")
        if name.lower() == "host" or not re.fullmatch(r"[!#$%&'+.^_`|~0-9A-Za-z-]{1,40}", name):
            yield f"httpHeaderName is {name!r}; allowed: up to 40 characters without wildcards, and not host"
    for field in ("hostHeader", "pathPattern", "httpRequestMethod", "sourceIp"):
        if fields.count(field) > 1:
            yield f"a rule has one condition on {field} at most"
    yield from _actions(rule.inputs["actions"])


@states(RULE, "ELB API reference, TargetGroup, LoadBalancerArns")
def a_group_has_one_load_balancer(graph: Graph, rule: Registered) -> Iterator[str]:
    """A target group belongs to one load balancer, in whose network it is."""
    listeners = {each.outputs["arn"]: each.inputs["loadBalancerArn"] for each in graph.of(LISTENER)}
    users: dict[str, set[str]] = {}
    for each in graph.of(RULE):
        for action in each.inputs["actions"]:
            for group in (action.get("forward") or {}).get("targetGroups", []):
                users.setdefault(group["arn"], set()).add(listeners.get(each.inputs["listenerArn"], "another"))
    for action in rule.inputs["actions"]:
        for group in (action.get("forward") or {}).get("targetGroups", []):
            if len(users[group["arn"]]) > 1:
                yield f"{group['arn']} is used by two load balancers"


@states(GROUP, "ELB API reference, CreateTargetGroup, HealthCheck…, Matcher, TargetType; TargetGroupAttribute")
def target_groups_are_accepted(_: Graph, group: Registered) -> Iterator[str]:
    """A check ends before the next; a matcher of HTTP; slow start only where requests are shared out in turn."""
    given, check = group.inputs, group.inputs.get("healthCheck", {})
    if given.get("targetType") in {"ip", "instance"} and not all(
        given.get(key) for key in ("port", "protocol", "vpcId")
    ):
        yield "targets by address need port, protocol and vpcId"
    if check.get("timeout", 5) >= check.get("interval", 30):
        yield f"the health check's timeout {check['timeout']} s must be below its interval {check['interval']} s"
    if check.get("enabled") is False and given.get("targetType") != "lambda":
        yield "health checks can't be disabled"
    if given.get("protocol") in {"HTTP", "HTTPS"} and check.get("protocol", "HTTP") not in {"HTTP", "HTTPS"}:
        yield f"the health check of an {given['protocol']} group can't be {check['protocol']}"
    for part in str(check.get("matcher", "200")).replace("-", ",").split(","):
        if not part.isdigit() or not 200 <= int(part) <= 499:
            yield f"a matcher is of 200 to 499; got {check['matcher']}"
    path = check.get("path", "/")
    if not path.startswith("/") or len(path) > 1024:
        yield f"the health check's path {path!r} must begin with /"
    slow = given.get("slowStart", 0)
    if slow and (not 30 <= slow <= 900 or given.get("loadBalancingAlgorithmType", "round_robin") != "round_robin"):
        yield "slowStart is 30 to 900 s, and of round_robin only"
    if not 0 <= given.get("deregistrationDelay", 300) <= 3600:
        yield f"deregistrationDelay is {given['deregistrationDelay']} s; allowed: 0 to 3600"


@states("LoadBalancer", "ELB API reference, CreateLoadBalancer, Subnets, IpAddressType; LoadBalancerAttribute")
def a_load_balancer_is_accepted(_: Graph, balancer: Registered) -> Iterator[str]:
    """Two zones, IPv4 alone inside, a bucket where logs are on."""
    given = balancer.inputs
    if given.get("loadBalancerType", "application") == "application" and len(set(given.get("subnets", []))) < 2:
        yield "you must specify subnets from at least two zones"
    if together(given, "subnets", "subnetMappings"):
        yield "you must specify either subnets or subnet mappings"
    if given.get("internal") and given.get("ipAddressType", "ipv4") != "ipv4":
        yield "internal load balancers must use ipv4"
    for key in ("accessLogs", "connectionLogs"):
        if (given.get(key) or {}).get("enabled") and not given[key].get("bucket"):
            yield f"{key} are enabled without a bucket"


@states(ACL, "WAFv2 API reference, Rule, Action and OverrideAction")
def a_rule_acts_in_its_own_way(_: Graph, acl: Registered) -> Iterator[str]:
    """Rules of groups override, all others act; one statement each."""
    for rule in acl.inputs["rules"]:
        of_group = any(rule["statement"].get(key) for key in GROUP_STATEMENTS)
        if bool(rule.get("overrideAction")) != of_group or bool(rule.get("action")) == of_group:
            yield f"{rule['name']}: a rule group takes an overrideAction, every other rule an action, never both"
        if len([each for each in rule["statement"].values() if each]) != 1:
            yield f"{rule['name']} has {len(rule['statement'])} statements; wanted: one"
        if of_group and rule.get("ruleLabels"):
            yield f"{rule['name']}: labels are not added by rules that refer to groups"
        if not re.fullmatch(r"[\w-]{1,128}", rule["visibilityConfig"]["metricName"]) or rule["visibilityConfig"][
            "metricName"
        ] in {"All", "Default_Action"}:
            yield f"{rule['name']}: its metric's name is reserved, or not of letters, digits, - and _"
        yield from _statement(rule["name"], rule["statement"], nested=False)


def _statement(rule: str, statement: dict[str, Any], *, nested: bool) -> Iterator[str]:
    """Nesting: groups and rates stand alone; and/or take two or more."""
    for kind, found in statement.items():
        if not found:
            continue
        if nested and kind in {*GROUP_STATEMENTS, "rateBasedStatement"}:
            yield f"{rule}: {kind} can't be nested"
        if kind in {"andStatement", "orStatement"}:
            if len(found["statements"]) < 2:
                yield f"{rule}: {kind} needs at least two statements"
            for each in found["statements"]:
                yield from _statement(rule, each, nested=True)
        if kind == "notStatement":
            yield from _statement(
                rule, found["statements"][0] if "statements" in found else found["statement"], nested=True
            )
        if kind == "rateBasedStatement":
            yield from _rate(rule, found)
        if isinstance(found, dict) and found.get("scopeDownStatement"):
            yield from _statement(rule, found["scopeDownStatement"], nested=True)
        if kind == "geoMatchStatement" and not 1 <= len(found["countryCodes"]) <= 50:
            yield f"{rule}: countryCodes are 1 to 50; got {len(found['countryCodes'])}"
        if kind == "labelMatchStatement" and found["scope"] == "NAMESPACE" and not found["key"].endswith(":"):
            yield f"{rule}: a namespace ends with a colon; got {found['key']}"


def _rate(rule: str, found: dict[str, Any]) -> Iterator[str]:
    kind = found.get("aggregateKeyType", "IP")
    if kind == "CONSTANT" and not found.get("scopeDownStatement"):
        yield f"{rule}: with CONSTANT you must configure the scopeDownStatement"
    if (kind == "FORWARDED_IP") != bool(found.get("forwardedIpConfig")):
        yield f"{rule}: forwardedIpConfig is of FORWARDED_IP, and required there"
    if (kind == "CUSTOM_KEYS") != bool(found.get("customKeys")):
        yield f"{rule}: customKeys are of CUSTOM_KEYS, and required there"
    if found.get("evaluationWindowSec", 300) not in {60, 120, 300, 600}:
        yield f"{rule}: evaluationWindowSec is {found['evaluationWindowSec']}; allowed: 60, 120, 300, 600"


@states(ACL, "WAFv2 API reference, CustomResponse, CustomResponseBody, ResponseCode")
def custom_responses_exist(_: Graph, acl: Registered) -> Iterator[str]:
    """A response names a body of the ACL; JSON is JSON; a header is not one that WAF or ELB sets."""
    bodies = {each["key"] for each in acl.inputs.get("customResponseBodies", [])}
    for rule in acl.inputs["rules"]:
        custom = ((rule.get("action") or {}).get("block") or {}).get("customResponse") or {}
        if not custom:
            continue
        key, code = custom.get("customResponseBodyKey"), custom["responseCode"]
        if key is not None and key not in bodies:
            yield f"{rule['name']} responds with {key}, which is no body of the ACL"
        if not 200 <= int(code) <= 599:
            yield f"{rule['name']} responds with {code}; allowed: a status of 200 to 599"
        names = [each["name"].lower() for each in custom.get("responseHeaders", [])]
        if "content-type" in names or len(names) != len(set(names)):
            yield f"{rule['name']}: a custom header is given once, and is not Content-Type"


@states("aws:wafv2/webAclAssociation:WebAclAssociation", "WAFv2 API reference, AssociateWebACL, ResourceArn")
def an_association_is_regional(graph: Graph, association: Registered) -> Iterator[str]:
    """An ACL for CloudFront cannot be associated with a load balancer, nor its sets be of another scope."""
    acl = graph.by_output("arn", association.inputs["webAclArn"])
    if acl.inputs["scope"] != "REGIONAL":
        yield f"{acl.name} is of the scope {acl.inputs['scope']}; a load balancer takes REGIONAL"
    for each in graph.of("aws:wafv2/ipSet:IpSet"):
        if each.inputs["scope"] != acl.inputs["scope"]:
            yield f"{each.name} is of the scope {each.inputs['scope']}, its ACL of {acl.inputs['scope']}"
        version = 4 if each.inputs["ipAddressVersion"] == "IPV4" else 6
        for address in each.inputs["addresses"]:
            network = ipaddress.ip_network(address, strict=False)
            if network.version != version or network.prefixlen == 0 or "/" not in address:
                yield f"{each.name}: {address} is not a network of {each.inputs['ipAddressVersion']}, or is all"


@states("aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration", "WAFv2 API reference, LoggingConfiguration")
def firewall_logs_go_to_one_place(graph: Graph, logging: Registered) -> Iterator[str]:
    """One destination named aws-waf-logs-…, without :* at its end; redaction of fields that WAF allows."""
    places = logging.inputs["logDestinationConfigs"]
    if len(places) != 1:
        yield f"you can associate one destination; got {len(places)}"
    for place in places:
        if not place.rpartition(":")[2].startswith("aws-waf-logs-"):
            yield f"{place} does not begin with aws-waf-logs-, or ends with :*"
    for field in logging.inputs.get("redactedFields", []):
        if not set(field) <= {"uriPath", "queryString", "singleHeader", "method"}:
            yield f"{sorted(field)} cannot be redacted"
    for rule in (each for acl in graph.of(ACL) for each in acl.inputs["rules"]):
        if logging.inputs.get("redactedFields") and rule["visibilityConfig"]["sampledRequestsEnabled"]:
            yield f"{rule['name']} samples requests, in which nothing is redacted"


@states(
    "aws:globalaccelerator/accelerator:Accelerator", "Global Accelerator API reference, UpdateAcceleratorAttributes"
)
def flow_logs_have_their_place(_: Graph, accelerator: Registered) -> Iterator[str]:
    """Logs need bucket and prefix; a name is of letters, digits, dots and hyphens."""
    given = accelerator.inputs.get("attributes", {})
    if given.get("flowLogsEnabled") and not (given.get("flowLogsS3Bucket") and given.get("flowLogsS3Prefix")):
        yield "if flowLogsEnabled is true, flowLogsS3Bucket and flowLogsS3Prefix must be specified"
    name = accelerator.inputs["name"]
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", name):
        yield f"name is {name!r}; allowed: up to 64 letters, digits, dots, hyphens, none at its ends"


@states("aws:globalaccelerator/endpointGroup:EndpointGroup", "Global Accelerator API reference, CreateEndpointGroup")
def endpoint_groups_are_accepted(graph: Graph, group: Registered) -> Iterator[str]:
    """One group a listener and region, weights of 0 to 255, checks every 10 or 30 s, endpoints of its region."""
    keys = ("listenerArn", "endpointGroupRegion")
    same = [
        each for each in graph.of("EndpointGroup") if all(each.inputs.get(key) == group.inputs.get(key) for key in keys)
    ]
    if len(same) > 1:
        yield "a listener can have only one endpoint group in a region"
    if group.inputs.get("healthCheckIntervalSeconds", 30) not in {10, 30}:
        yield "healthCheckIntervalSeconds is 10 or 30"
    for each in group.inputs["endpointConfigurations"]:
        if not 0 <= each.get("weight", 128) <= 255:
            yield f"weight is {each['weight']}; allowed: 0 to 255"
        region = each["endpointId"].split(":")[3] if each["endpointId"].startswith("arn:") else None
        if region not in {None, group.inputs.get("endpointGroupRegion")}:
            yield f"its endpoint is in {region}, the group in {group.inputs.get('endpointGroupRegion')}"


@states("aws:globalaccelerator/listener:Listener", "Global Accelerator API reference, CreateListener, PortRanges")
def port_ranges_do_not_overlap(_: Graph, listener: Registered) -> Iterator[str]:
    """At most ten ranges, none over another."""
    ranges = sorted((each["fromPort"], each["toPort"]) for each in listener.inputs["portRanges"])
    if len(ranges) > 10 or any(first > last or not 1 <= first <= last <= 65535 for first, last in ranges):
        yield f"portRanges are {ranges}; allowed: up to 10 of 1 to 65535"
    if any(one[1] >= two[0] for one, two in pairwise(ranges)):
        yield f"two of its port ranges overlap: {ranges}"


@states("aws:route53/record:Record", "Route 53 API reference, ResourceRecordSet, AliasTarget, TTL")
def records_are_accepted(_: Graph, record: Registered) -> Iterator[str]:
    """An alias has no TTL and no values, every other record both; a wildcard replaces the whole first label."""
    given = record.inputs
    if given.get("aliases"):
        if together({**given, "alias": True}, "alias", "ttl", "records") or len(given["aliases"]) > 1:
            yield "an alias has one target, no ttl and no records"
        if given["type"] in {"NS", "SOA"} or (given.get("multivalueAnswerRoutingPolicy")):
            yield "an alias is not of NS or SOA, and not multivalue"
    elif not (given.get("ttl") and given.get("records")):
        yield "a record without an alias needs ttl and records"
    if given["type"] == "CNAME" and len(given.get("records", [0])) > 1:
        yield "a CNAME has one value"
    if "*" in given["name"] and not re.fullmatch(r"\*\.[^*]+", given["name"]):
        yield f"the * of {given['name']} must replace its first label whole"


@states("aws:acm/certificate:Certificate", "ACM API reference, RequestCertificate, DomainName, SubjectAlternativeNames")
def certificates_have_ten_names(_: Graph, certificate: Registered) -> Iterator[str]:
    """Ten names without a larger quota; the first of 64 characters at most."""
    names = {certificate.inputs["domainName"], *certificate.inputs.get("subjectAlternativeNames", [])}
    if len(names) > 10 or len(certificate.inputs["domainName"]) > 64 or any(len(name) > 253 for name in names):
        yield f"it has {len(names)} names; allowed: 10, the first of 64 characters at most"


@states(
    "aws:ec2/flowLog:FlowLog", "EC2 API reference, CreateFlowLogs, DeliverLogsPermissionArn, MaxAggregationInterval"
)
def flow_logs_may_be_delivered(_: Graph, log: Registered) -> Iterator[str]:
    """CloudWatch needs a role, S3 takes none; one thing is watched, every minute or every ten."""
    given = log.inputs
    to_cloudwatch = given.get("logDestinationType", "cloud-watch-logs") == "cloud-watch-logs"
    if bool(given.get("iamRoleArn")) != to_cloudwatch:
        yield "iamRoleArn is required if the destination is cloud-watch-logs, and of no other within an account"
    if given.get("logGroupName") and not to_cloudwatch:
        yield "logGroupName is valid only if the destination is cloud-watch-logs"
    watched = [key for key in ("vpcId", "subnetId", "eniId", "transitGatewayId") if given.get(key)]
    if len(watched) != 1 or not given.get("trafficType"):
        yield f"it watches {watched}; wanted: one of a VPC, a subnet, an interface, with a trafficType"
    if given.get("maxAggregationInterval", 600) not in {60, 600}:
        yield f"maxAggregationInterval is {given['maxAggregationInterval']} s; allowed: 60, 600"


@states("aws:ec2/flowLog:FlowLog", 'VPC user guide, "IAM role for publishing flow logs to CloudWatch Logs"')
def flow_logs_may_be_written(graph: Graph, log: Registered) -> Iterator[str]:
    """The role's policy must include at least five calls; without one the flow log exists and stays empty."""
    group = graph.by_output("arn", log.inputs["logDestination"])
    role = graph.by_output("arn", log.inputs["iamRoleArn"])
    allowed = {
        action
        for holder, statement in graph.policies()
        if holder.inputs.get("role") == role.id and statement["Effect"] == "Allow"
        for action in statement["Action"]
        if any(fnmatchcase(f"{group.outputs['arn']}:*", resource) for resource in statement["Resource"])
    }
    if lacking := FLOW_LOG_CALLS - allowed:
        yield f"its role lacks {', '.join(sorted(lacking))} on {group.inputs['name']}"


@states(
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "EC2 API reference, CreateVpcEndpoint, RouteTableIds, SubnetIds, PrivateDnsEnabled",
)
def endpoints_have_what_is_theirs(_: Graph, endpoint: Registered) -> Iterator[str]:
    """A gateway has route tables, an interface subnets and groups."""
    gateway = endpoint.inputs.get("vpcEndpointType", "Gateway") == "Gateway"
    if gateway:
        wrong = [key for key in ("subnetIds", "securityGroupIds", "privateDnsEnabled") if endpoint.inputs.get(key)]
        yield from (f"{key} is not of gateway endpoints" for key in wrong)
        if not re.search(r"\.(s3|dynamodb)$", endpoint.inputs["serviceName"]):
            yield f"{endpoint.inputs['serviceName']} has no gateway endpoint"
    elif endpoint.inputs.get("routeTableIds"):
        yield "routeTableIds are of gateway endpoints only"


@states("SecurityGroupIngressRule", "EC2 API reference, AuthorizeSecurityGroupIngress, IpPermissions")
def ingress_rules_have_one_source(_: Graph, rule: Registered) -> Iterator[str]:
    """One source; ports for TCP and UDP."""
    yield from _one_side(rule)


@states("SecurityGroupEgressRule", "EC2 API reference, AuthorizeSecurityGroupEgress, IpPermissions")
def egress_rules_have_one_target(_: Graph, rule: Registered) -> Iterator[str]:
    """One target; ports for TCP and UDP."""
    yield from _one_side(rule)


def _one_side(rule: Registered) -> Iterator[str]:
    given = rule.inputs
    sides = [key for key in ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId") if given.get(key)]
    if len(sides) != 1:
        yield f"it names {sides or 'nobody'}; wanted: one network, list or group"
    first, last = given.get("fromPort"), given.get("toPort")
    if given["ipProtocol"] in {"tcp", "udp"}:
        if first is None or last is None or not 0 <= first <= last <= 65535:
            yield f"{given['ipProtocol']} needs ports in order; got {first} to {last}"
    elif given["ipProtocol"] == "-1" and (first, last) not in {(None, None), (-1, -1)}:
        yield "all protocols take no ports"
    if len(given.get("description", "")) > 255 or not re.fullmatch(
        r"[\w .:/()#,@\[\]+=&;{}!$*-]*", given.get("description", "")
    ):
        yield "its description has more than 255 characters, or such as EC2 does not take"


@states(ALARM, "CloudWatch API reference, PutMetricAlarm, MetricName, Statistic, Period, Threshold, DatapointsToAlarm")
def alarms_are_accepted(_: Graph, alarm: Registered) -> Iterator[str]:
    """A metric or a formula; a period that CloudWatch takes; a time looked at of a day, or of a week by hours."""
    given = alarm.inputs
    named = [key for key in OF_A_METRIC if given.get(key)]
    queries = given.get("metricQueries", [])
    if bool(queries) == bool(given.get("metricName")) or (queries and named):
        yield f"it has a metricName or metricQueries, and with these none of {', '.join(OF_A_METRIC)}"
    if given.get("metricName") and bool(given.get("statistic")) == bool(given.get("extendedStatistic")):
        yield "you must specify either statistic or extendedStatistic"
    if queries and sum(bool(each.get("returnData")) for each in queries) != 1:
        yield "one of its metricQueries returns data, and no other"
    period, times = given.get("period", 60), given["evaluationPeriods"]
    if period not in {10, 20, 30} and (period < 60 or period % 60):
        yield f"period is {period} s; allowed: 10, 20, 30, or a multiple of 60"
    if period * times > (86400 if period < 3600 else 604800):
        yield f"it looks at {period * times} s; allowed: a day, or a week with periods of an hour or more"
    if not 1 <= given.get("datapointsToAlarm", times) <= times:
        yield f"datapointsToAlarm {given['datapointsToAlarm']} is above evaluationPeriods {times}"
    if given["comparisonOperator"] in EVALUATIONS and given.get("threshold") is None:
        yield "threshold is required with a static comparison"
    if given.get("evaluateLowSampleCountPercentiles") and not str(given.get("extendedStatistic", "")).startswith("p"):
        yield "evaluateLowSampleCountPercentiles is used only for percentiles"
    if len(given.get("alarmActions", [])) > 5 or len(given.get("okActions", [])) > 5:
        yield "an alarm has at most five actions of a kind"


@states("aws:iam/role:Role", "IAM API reference, CreateRole, Path, Description, MaxSessionDuration")
def role_names_differ(graph: Graph, role: Registered) -> Iterator[str]:
    """A path begins and ends with a slash; names differ in more than case."""
    path = role.inputs.get("path", "/")
    if not (path.startswith("/") and path.endswith("/") and len(path) <= 512):
        yield f"path {path!r} must begin and end with /"
    names = [each.inputs["name"].lower() for each in graph.of("aws:iam/role:Role") if each.inputs.get("name")]
    if role.inputs.get("name") and names.count(role.inputs["name"].lower()) > 1:
        yield f"{role.inputs['name']}: names are not distinguished by case"


@states("aws:iam/openIdConnectProvider:OpenIdConnectProvider", "IAM API reference, CreateOpenIDConnectProvider, Url")
def a_provider_is_named_by_its_host(_: Graph, provider: Registered) -> Iterator[str]:
    """The issuer begins with https:// and has no port and no query; an audience is given."""
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+(/[A-Za-z0-9._/-]*)?", provider.inputs["url"]):
        yield f"url {provider.inputs['url']!r} must begin with https://, without port and query"
    if not 1 <= len(provider.inputs["clientIdLists"]) <= 100:
        yield "it has 1 to 100 client ids"
