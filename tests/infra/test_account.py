"""Both stacks in one AWS account: no name that AWS keeps unique in an account or region is in both."""

from dataclasses import replace

from aldea_infra.graph import Graph, Registered

# Inputs that name a resource for AWS. What has none of them is named by Pulumi, with a random suffix.
NAMING = ("name", "identifier", "replicationGroupId", "dashboardName", "finalSnapshotIdentifier", "bucket")
# Types whose `name` is unique only below another resource, or is a label.
SCOPED = {
    "aws:appautoscaling/policy:Policy": "below its target",
    "aws:ecs/service:Service": "in its cluster",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "its bucket's",
    "aws:s3/bucketPolicy:BucketPolicy": "its bucket's",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "its bucket's",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": "its bucket's",
}


def unique_names(graph: Graph) -> set[tuple[str, str]]:
    """Type and name of all that AWS would refuse a second time. A policy's path does not count."""
    return {
        (each.type, str(each.inputs[key]))
        for each in graph.resources
        if each.type.startswith("aws:") and each.type not in SCOPED
        for key in (*NAMING, *(["family"] if each.type.endswith(":TaskDefinition") else []))
        if each.inputs.get(key)
    }


def test_no_name_that_is_unique_in_an_account_is_in_both_stacks(prod: Graph, dev: Graph) -> None:
    assert len(unique_names(prod)) > 40
    assert unique_names(prod) & unique_names(dev) == set()


def test_a_boundary_under_one_name_in_two_paths_is_noticed(prod: Graph, dev: Graph) -> None:
    def plain(graph: Graph) -> Graph:
        def renamed(each: Registered) -> Registered:
            return replace(each, inputs={**each.inputs, "name": "boundary"}) if each.name == "boundary" else each

        return replace(graph, resources=[renamed(each) for each in graph.resources])

    assert unique_names(plain(prod)) & unique_names(plain(dev)) == {("aws:iam/policy:Policy", "boundary")}


def test_the_account_has_one_provider_of_github_tokens(prod: Graph, dev: Graph) -> None:
    assert len([*prod.of("OpenIdConnectProvider"), *dev.of("OpenIdConnectProvider")]) == 1
