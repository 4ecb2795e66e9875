"""Holds inputs to AWS's own service models, as botocore ships them: to the call that makes a resource, and its shapes.

An input is looked for in the call under its own name, in the plural or the singular, with the call's noun before it
(`name` of a repository is `repositoryName`) or with `config` behind it. What is found nowhere is Pulumi's own, or of
another call. Parameters of other calls, and of JSON documents, are in `aws_ranges` and `documents`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from aldea_infra.offline.graph import Graph

# Pulumi's type, and botocore's service, its call, and the call's noun.
CALLS: Final[Mapping[str, tuple[str, str, str]]] = {
    "aws:acm/certificate:Certificate": ("acm", "RequestCertificate", "certificate"),
    "aws:appautoscaling/policy:Policy": ("application-autoscaling", "PutScalingPolicy", "policy"),
    "aws:appautoscaling/target:Target": ("application-autoscaling", "RegisterScalableTarget", "target"),
    "aws:cloudwatch/dashboard:Dashboard": ("cloudwatch", "PutDashboard", "dashboard"),
    "aws:cloudwatch/logGroup:LogGroup": ("logs", "CreateLogGroup", "logGroup"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("cloudwatch", "PutMetricAlarm", "alarm"),
    "aws:ec2/flowLog:FlowLog": ("ec2", "CreateFlowLogs", "flowLog"),
    "aws:ec2/securityGroup:SecurityGroup": ("ec2", "CreateSecurityGroup", "group"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": ("ec2", "CreateVpcEndpoint", "endpoint"),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": ("ecr", "PutLifecyclePolicy", "repository"),
    "aws:ecr/repository:Repository": ("ecr", "CreateRepository", "repository"),
    "aws:ecs/cluster:Cluster": ("ecs", "CreateCluster", "cluster"),
    "aws:ecs/service:Service": ("ecs", "CreateService", "service"),
    "aws:ecs/taskDefinition:TaskDefinition": ("ecs", "RegisterTaskDefinition", "task"),
    "aws:elasticache/parameterGroup:ParameterGroup": (
        "elasticache",
        "CreateCacheParameterGroup",
        "cacheParameterGroup",
    ),
    "aws:elasticache/replicationGroup:ReplicationGroup": ("elasticache", "CreateReplicationGroup", "replicationGroup"),
    "aws:elasticache/subnetGroup:SubnetGroup": ("elasticache", "CreateCacheSubnetGroup", "cacheSubnetGroup"),
    "aws:elasticache/user:User": ("elasticache", "CreateUser", "user"),
    "aws:elasticache/userGroup:UserGroup": ("elasticache", "CreateUserGroup", "userGroup"),
    "aws:globalaccelerator/accelerator:Accelerator": ("globalaccelerator", "CreateAccelerator", "accelerator"),
    "aws:globalaccelerator/endpointGroup:EndpointGroup": ("globalaccelerator", "CreateEndpointGroup", "endpointGroup"),
    "aws:globalaccelerator/listener:Listener": ("globalaccelerator", "CreateListener", "listener"),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": ("iam", "CreateOpenIDConnectProvider", "provider"),
    "aws:iam/policy:Policy": ("iam", "CreatePolicy", "policy"),
    "aws:iam/role:Role": ("iam", "CreateRole", "role"),
    "aws:iam/rolePolicy:RolePolicy": ("iam", "PutRolePolicy", "role"),
    "aws:kms/key:Key": ("kms", "CreateKey", "key"),
    "aws:lb/listener:Listener": ("elbv2", "CreateListener", "listener"),
    "aws:lb/listenerRule:ListenerRule": ("elbv2", "CreateRule", "rule"),
    "aws:lb/loadBalancer:LoadBalancer": ("elbv2", "CreateLoadBalancer", "loadBalancer"),
    "aws:lb/targetGroup:TargetGroup": ("elbv2", "CreateTargetGroup", "group"),
    "aws:rds/instance:Instance": ("rds", "CreateDBInstance", "DBInstance"),
    "aws:rds/parameterGroup:ParameterGroup": ("rds", "CreateDBParameterGroup", "DBParameterGroup"),
    "aws:rds/subnetGroup:SubnetGroup": ("rds", "CreateDBSubnetGroup", "DBSubnetGroup"),
    "aws:secretsmanager/secret:Secret": ("secretsmanager", "CreateSecret", "secret"),
    "aws:secretsmanager/secretVersion:SecretVersion": ("secretsmanager", "PutSecretValue", "secret"),
    "aws:servicediscovery/httpNamespace:HttpNamespace": ("servicediscovery", "CreateHttpNamespace", "namespace"),
    "aws:sns/topicSubscription:TopicSubscription": ("sns", "Subscribe", "topic"),
    "aws:sqs/queue:Queue": ("sqs", "CreateQueue", "queue"),
    "aws:wafv2/ipSet:IpSet": ("wafv2", "CreateIPSet", "set"),
    "aws:wafv2/webAcl:WebAcl": ("wafv2", "CreateWebACL", "acl"),
    "aws:wafv2/webAclAssociation:WebAclAssociation": ("wafv2", "AssociateWebACL", "acl"),
}
NUMBERS: Final = frozenset({"integer", "long", "float", "double"})
# IAM writes the code points of Java's strings, of which the surrogates say nothing in Python's.
SURROGATES: Final = r"\uD800\uDC00-\uDBFF\uDFFF"


def faults(graph: Graph) -> Iterator[str]:
    """Each input that the model of its call does not take."""
    for kind, (service, call, noun) in CALLS.items():
        for each in graph.of(kind):
            for fault in _structure(_call(service, call), each.inputs, noun.lower(), ""):
                yield f"{each.name}: {fault}"


@cache
def _call(service: str, name: str) -> Any:
    # Imported here: the models are read by the checks alone, and take a moment.
    import botocore.session  # noqa: PLC0415

    return botocore.session.get_session().get_service_model(service).operation_model(name).input_shape


def _structure(shape: Any, given: Mapping[str, Any], noun: str, path: str) -> Iterator[str]:
    members = {_plain(name): member for name, member in shape.members.items()}
    for key, value in given.items():
        name = _plain(key)
        one = re.sub(r"ies$", "y", name) if name.endswith("ies") else name.removesuffix("s")
        found = (name, f"{name}s", f"{name}es", one, noun + name, f"{name}config")
        member = next((members[each] for each in found if each in members), None)
        if member is not None and value is not None:
            yield from _value(member, value, f"{path}.{key}" if path else key)


def _value(shape: Any, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    if shape.type_name == "structure" and isinstance(value, list):
        for each in value:  # Pulumi has some of them as lists of one
            yield from _value(shape, each, path)
    elif shape.type_name == "structure" and isinstance(value, Mapping):
        yield from _structure(shape, value, "", path)
    elif shape.type_name == "list" and isinstance(value, list):
        if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
            yield f"{path} has {len(value)} items; allowed: {_range(limits)}"
        for index, each in enumerate(value):
            yield from _value(shape.member, each, f"{path}[{index}]")
    elif shape.type_name == "string" and isinstance(value, str):
        if limits.get("enum") and value not in limits["enum"]:
            yield f"{path} is {value!r}; allowed: {', '.join(limits['enum'])}"
        if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
            yield f"{path} has {len(value)} characters; allowed: {_range(limits)}"
        if "pattern" in limits and not re.fullmatch(limits["pattern"].replace(SURROGATES, ""), value):
            yield f"{path} is {value!r}; allowed: {limits['pattern']}"
    elif shape.type_name in NUMBERS:
        try:
            number = float(value)
        except (TypeError, ValueError):
            yield f"{path} is {value!r}; wanted: a number"
        else:
            if not limits.get("min", number) <= number <= limits.get("max", number):
                yield f"{path} is {value}; allowed: {_range(limits)}"


def _range(limits: Mapping[str, Any]) -> str:
    return f"{limits.get('min', 0)} to {limits.get('max', 'any number')}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
