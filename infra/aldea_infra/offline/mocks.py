"""What AWS would return: made-up outputs of every resource type and look-up of the program, for runs without AWS."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aldea_infra.catalogue import Image

ACCOUNT: Final = "111122223333"
REGION: Final = "us-west-2"
ZONE_ID: Final = "Z0123456789ABCDEFGHIJ"
# What Pulumi appends to the names it makes up itself.
SUFFIX: Final = "1a2b3c4"
DIGEST: Final = "sha256:" + "ab" * 32

# The images of the last deployment, as the stack's outputs name them.
RUNNING: Final = {image: f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}@{DIGEST}" for image in Image}

Inputs = Mapping[str, Any]


def identify(type_: str, name: str, inputs: Inputs, account: str = ACCOUNT) -> tuple[str, dict[str, Any]]:
    """The id and the outputs of a resource that was created with `inputs`, in `account`."""
    id_, outputs = _identify(type_, name, inputs)
    named: tuple[str, dict[str, Any]] = json.loads(json.dumps((id_, outputs)).replace(ACCOUNT, account))
    return named[0], named[1]


def _identify(type_: str, name: str, inputs: Inputs) -> tuple[str, dict[str, Any]]:
    if type_.startswith(("aldea:", "pulumi:")):
        return "", {}
    service = type_.split(":")[1].partition("/")[0]
    if type_.startswith("awsx:"):
        # A component: it returns what it made, not with what it was given.
        return "", _COMPUTED[type_](f"{name}-{SUFFIX}", inputs)
    physical = _physical(name, inputs)
    outputs = {"name": physical, **inputs, "arn": f"arn:aws:{service}:{REGION}:{ACCOUNT}:{physical}"}
    if type_ in _COMPUTED:
        outputs |= _COMPUTED[type_](physical, inputs)
    return str(outputs.get("id", f"{name}-id")), outputs


def look_up(token: str, arguments: Inputs, account: str = ACCOUNT) -> dict[str, Any]:
    """The response to a look-up (an invoke)."""
    found: dict[str, Any] = json.loads(json.dumps(_LOOK_UPS[token](arguments)).replace(ACCOUNT, account))
    return found


def _physical(name: str, inputs: Inputs) -> str:
    given = inputs.get("name", inputs.get("identifier", inputs.get("replicationGroupId")))
    return str(given) if given else f"{name}-{SUFFIX}"


def _iam(kind: str) -> Callable[[str, Inputs], dict[str, Any]]:
    return lambda name, inputs: {"arn": f"arn:aws:iam::{ACCOUNT}:{kind}{inputs.get('path', '/')}{name}"}


def _vpc(name: str, inputs: Inputs) -> dict[str, Any]:
    zones = int(inputs["numberOfAvailabilityZones"])
    subnets = {
        f"{kind}SubnetIds": [f"subnet-{kind}-{zone + 1}" for zone in range(zones)]
        for kind in ("public", "private", "isolated")
    }
    return {"vpcId": f"vpc-{name}", **subnets}


def _certificate(_name: str, inputs: Inputs) -> dict[str, Any]:
    hosts = [inputs["domainName"], *inputs.get("subjectAlternativeNames", [])]
    # In reverse: AWS promises no order.
    options = [
        {
            "domainName": host,
            "resourceRecordName": f"_proof.{host}.",
            "resourceRecordType": "CNAME",
            "resourceRecordValue": f"_value.{host}.acm-validations.aws.",
        }
        for host in reversed(hosts)
    ]
    return {"domainValidationOptions": options}


def _load_balancer(name: str, inputs: Inputs) -> dict[str, Any]:
    scheme = "internal-" if inputs.get("internal") else ""
    return {
        "arn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/{name}/50dc6c495c0c9188",
        "arnSuffix": f"app/{name}/50dc6c495c0c9188",
        "dnsName": f"{scheme}{name}.{REGION}.elb.amazonaws.com",
        "zoneId": "Z1H1FL5HABSF5",
    }


def _secret_version(name: str, inputs: Inputs) -> dict[str, Any]:
    """Another text is another version, and so another hash in the environments that are made from it."""
    return {"versionId": f"version-of-{name}-{hashlib.sha256(str(inputs['secretString']).encode()).hexdigest()[:8]}"}


def _target_group(name: str, _inputs: Inputs) -> dict[str, Any]:
    return {
        "arn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{name}/73e2d6bc24d8a067",
        "arnSuffix": f"targetgroup/{name}/73e2d6bc24d8a067",
    }


_COMPUTED: Final[Mapping[str, Callable[[str, Inputs], dict[str, Any]]]] = {
    "aws:acm/certificate:Certificate": _certificate,
    "aws:cloudwatch/logGroup:LogGroup": lambda name, _: {"arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"},
    "aws:ec2/eip:Eip": lambda name, _: {
        "allocationId": f"eipalloc-{name}",
        "publicIp": f"203.0.113.{sum(name.encode()) % 250 + 1}",
    },
    "aws:ec2/securityGroup:SecurityGroup": lambda name, _: {"id": f"sg-{name.removesuffix('-' + SUFFIX)}"},
    "aws:ecr/repository:Repository": lambda name, _: {
        "arn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}",
        "repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}",
    },
    "aws:ecs/cluster:Cluster": lambda name, _: {"arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}"},
    "aws:ecs/taskDefinition:TaskDefinition": lambda _, inputs: {
        "arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{inputs['family']}:1",
        "revision": 1,
    },
    "aws:elasticache/replicationGroup:ReplicationGroup": lambda name, _: {
        "primaryEndpointAddress": f"master.{name}.abc123.usw2.cache.amazonaws.com"
    },
    "aws:globalaccelerator/accelerator:Accelerator": lambda *_: {
        "dnsName": "a1234567890abcdef.awsglobalaccelerator.com",
        "hostedZoneId": "Z2BJ6XQ5FK7U4H",
    },
    "aws:iam/policy:Policy": _iam("policy"),
    "aws:iam/role:Role": _iam("role"),
    "aws:lb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:lb/targetGroup:TargetGroup": _target_group,
    "aws:rds/instance:Instance": lambda name, _: {
        "address": f"{name}.abc123.{REGION}.rds.amazonaws.com",
        "resourceId": "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "masterUserSecrets": [
            {"secretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!db-{name}-AbCdEf", "secretStatus": ""}
        ],
    },
    "aws:s3/bucket:Bucket": lambda name, _: {"bucket": name, "arn": f"arn:aws:s3:::{name}"},
    "aws:route53/record:Record": lambda _, inputs: {"fqdn": inputs.get("name", "")},
    "aws:secretsmanager/secret:Secret": lambda name, _: {
        "arn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf",
        "id": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf",
    },
    "aws:secretsmanager/secretVersion:SecretVersion": _secret_version,
    "aws:sqs/queue:Queue": lambda name, _: {
        "arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
        "url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}",
    },
    "awsx:ec2:Vpc": _vpc,
    "docker-build:index:Image": lambda *_: {"digest": DIGEST},
}

_LOOK_UPS: Final[Mapping[str, Callable[[Inputs], dict[str, Any]]]] = {
    "aws:route53/getZone:getZone": lambda arguments: {**arguments, "zoneId": ZONE_ID},
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": lambda _: {
        "proxyEndpoint": f"https://{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
        "userName": "AWS",
        "password": "made-up",
    },
}
