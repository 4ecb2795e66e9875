"""What the provider called, read from its log, as IAM's actions; and which of them a policy does not allow.

Compared are actions alone: neither resources nor conditions.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

LINE: Final = re.compile(r'rpc\.(service|method)=(?:"([^"]+)"|(\S+))')
# IAM's names of services that call themselves otherwise (Service Authorization Reference).
SERVICES: Final[Mapping[str, str]] = {
    "application auto scaling": "application-autoscaling",
    "cloudwatch logs": "logs",
    "elastic load balancing v2": "elasticloadbalancing",
    "global accelerator": "globalaccelerator",
    "route 53": "route53",
    "secrets manager": "secretsmanager",
}
# S3's calls whose actions are named otherwise.
ACTIONS: Final[Mapping[str, str]] = {
    "s3:GetBucketAccelerateConfiguration": "s3:GetAccelerateConfiguration",
    "s3:GetBucketCors": "s3:GetBucketCORS",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
# What no deployment calls: the zone is older than the stack, and GitHub's provider, the roles' boundary and the first
# roles are an administrator's.
BY_OTHERS: Final = frozenset(
    {"iam:CreateOpenIDConnectProvider", "iam:CreatePolicy", "route53:ChangeTagsForResource", "route53:CreateHostedZone"}
)
# What the nightly look for drift leaves out (scripts/preview).
NOT_LOOKED_AT: Final = frozenset({"secretsmanager:GetSecretValue"})


def called(log: Path) -> set[str]:
    """The actions in a log of the provider at its level DEBUG."""
    found = set()
    with log.open(errors="replace") as lines:
        for line in lines:
            said = {kind: quoted or plain for kind, quoted, plain in LINE.findall(line)}
            if len(said) == 2:
                service = said["service"].lower()
                action = f"{SERVICES.get(service, service)}:{said['method']}"
                found.add(ACTIONS.get(action, action))
    return found


def refused(actions: Iterable[str], statements: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Those that no statement allows, sorted."""
    allowed = [each for one in statements if one["Effect"] == "Allow" for each in one.get("Action", [])]
    for action in sorted(actions):
        if not any(fnmatchcase(action.lower(), each.lower()) for each in allowed):
            yield action
