"""Checks over two stacks together: what one AWS account holds only once, and what two stacks must not share."""

from collections.abc import Iterator
from typing import Final

from aldea_infra.offline.graph import Graph

# Inputs that name a resource for AWS. What has none of them is named by Pulumi, with a random suffix.
NAMING: Final = (
    "name", "identifier", "replicationGroupId", "userId", "userGroupId", "dashboardName", "finalSnapshotIdentifier",
    "bucket",
)  # fmt: skip
# Types whose `name` is unique only below another resource, or is a label.
SCOPED: Final = {
    "aws:appautoscaling/policy:Policy": "below its target",
    "aws:ecs/service:Service": "in its cluster",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "its bucket's",
    "aws:s3/bucketPolicy:BucketPolicy": "its bucket's",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "its bucket's",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": "its bucket's",
}


def faults(one: Graph, other: Graph) -> Iterator[str]:
    """What keeps both stacks from being in one account."""
    for kind, name in sorted(unique_names(one) & unique_names(other)):
        yield f"both stacks make {name} ({kind}); AWS takes a name once in an account"
    for key in sorted(_state_keys(one) & _state_keys(other)):
        yield f"both stacks encrypt their state with {key}: who decrypts for one could for the other"
    if _account(one) == _account(other) and one.of("OpenIdConnectProvider") and other.of("OpenIdConnectProvider"):
        yield "both stacks make GitHub's provider in one account; set github.oidc to existing in one of them"


def unique_names(graph: Graph) -> set[tuple[str, str]]:
    """Type and name of all that AWS would refuse a second time. A policy's path does not count."""
    return {
        (each.type, str(each.inputs[key]))
        for each in graph.resources
        if each.type.startswith("aws:") and each.type not in SCOPED
        for key in (*NAMING, *(["family"] if each.type.endswith(":TaskDefinition") else []))
        if each.inputs.get(key)
    }


def _state_keys(graph: Graph) -> set[str]:
    return {
        resource
        for holder, statement in graph.policies()
        if holder.name == "ci-deploy" and "kms:Decrypt" in statement["Action"]
        for resource in statement["Resource"]
    }


def _account(graph: Graph) -> str:
    provider = graph.one("pulumi:providers:aws")
    return str(provider.inputs["allowedAccountIds"])
