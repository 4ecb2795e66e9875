"""Which of the names that a stack gives are taken in the account already: each type with the call that finds it."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from aldea_infra.offline.graph import Graph, Registered
from aldea_infra.preflight.cloud import Cloud, Row, Rows, Status, guarded

# What has the name, described for a person; None if nothing has it.
Finder = Callable[[Cloud, str], str | None]


def _by_call(service: str, operation: str, argument: str, absent: str, *, many: bool = False) -> Finder:
    """A finder by a call that takes the name and fails with a code containing `absent`."""

    def find(cloud: Cloud, name: str) -> str | None:
        given: Any = [name] if many else name
        found = cloud.read_or_none(service, operation, absent, **{argument: given})
        return None if found is None else "taken"

    return find


def _by_list(
    service: str, operation: str, key: str, label: str, *, token: tuple[str, str] = ("NextToken", "NextToken"),
    **given: Any,
) -> Finder:  # fmt: skip
    """A finder by a list whose items have the name under `label`."""

    def find(cloud: Cloud, name: str) -> str | None:
        taken = any(each.get(label) == name for each in cloud.pages(service, operation, key, token, **given))
        return "taken" if taken else None

    return find


def _secret(cloud: Cloud, name: str) -> str | None:
    found = cloud.read_or_none("secretsmanager", "describe_secret", "ResourceNotFound", SecretId=name)
    if found is None:
        return None
    return "taken: scheduled for deletion, restorable until its window is over" if "DeletedDate" in found else "taken"


def _cluster(cloud: Cloud, name: str) -> str | None:
    found = cloud.read("ecs", "describe_clusters", clusters=[name])
    return "taken" if any(each.get("status") == "ACTIVE" for each in found.get("clusters", ())) else None


def _log_group(cloud: Cloud, name: str) -> str | None:
    groups = cloud.pages("logs", "describe_log_groups", "logGroups", ("nextToken", "nextToken"),
                         logGroupNamePrefix=name)  # fmt: skip
    return "taken" if any(each["logGroupName"] == name for each in groups) else None


def _family(cloud: Cloud, name: str) -> str | None:
    """Never taken: a family takes one more revision, whoever made the others."""
    del cloud, name
    return None


# By type and the input that holds the name, as `checks.account.unique_names` reads them.
FINDERS: Final[Mapping[tuple[str, str], Finder]] = {
    ("aws:ecr/repository:Repository", "name"): _by_call(
        "ecr", "describe_repositories", "repositoryNames", "RepositoryNotFound", many=True
    ),
    ("aws:rds/instance:Instance", "identifier"): _by_call(
        "rds", "describe_db_instances", "DBInstanceIdentifier", "DBInstanceNotFound"
    ),
    ("aws:rds/instance:Instance", "finalSnapshotIdentifier"): _by_call(
        "rds", "describe_db_snapshots", "DBSnapshotIdentifier", "DBSnapshotNotFound"
    ),
    ("aws:elasticache/replicationGroup:ReplicationGroup", "replicationGroupId"): _by_call(
        "elasticache", "describe_replication_groups", "ReplicationGroupId", "ReplicationGroupNotFound"
    ),
    ("aws:elasticache/user:User", "userId"): _by_call("elasticache", "describe_users", "UserId", "UserNotFound"),
    ("aws:elasticache/userGroup:UserGroup", "userGroupId"): _by_call(
        "elasticache", "describe_user_groups", "UserGroupId", "UserGroupNotFound"
    ),
    ("aws:sqs/queue:Queue", "name"): _by_call("sqs", "get_queue_url", "QueueName", "Queue"),
    ("aws:secretsmanager/secret:Secret", "name"): _secret,
    ("aws:iam/role:Role", "name"): _by_call("iam", "get_role", "RoleName", "NoSuchEntity"),
    ("aws:iam/policy:Policy", "name"): _by_list(
        "iam", "list_policies", "Policies", "PolicyName", token=("Marker", "Marker"), Scope="Local"
    ),
    ("aws:ecs/cluster:Cluster", "name"): _cluster,
    ("aws:ecs/taskDefinition:TaskDefinition", "family"): _family,
    ("aws:cloudwatch/logGroup:LogGroup", "name"): _log_group,
    ("aws:cloudwatch/dashboard:Dashboard", "dashboardName"): _by_call(
        "cloudwatch", "get_dashboard", "DashboardName", "NotFound"
    ),
    ("aws:servicediscovery/httpNamespace:HttpNamespace", "name"): _by_list(
        "servicediscovery", "list_namespaces", "Namespaces", "Name"
    ),
    ("aws:globalaccelerator/accelerator:Accelerator", "name"): _by_list(
        "globalaccelerator", "list_accelerators", "Accelerators", "Name"
    ),
}
TAKEN: Final = (
    "if this stack made it, nothing; otherwise adopt it (adopt: in the stack file), give it another name, or delete it"
)


def named(graph: Graph) -> Iterator[tuple[Registered, str, Finder]]:
    """Every resource with a name of the account's, that name, and its finder."""
    for each in graph.resources:
        for (kind, key), finder in FINDERS.items():
            if each.type == kind and each.inputs.get(key):
                yield each, str(each.inputs[key]), finder


def rows(cloud: Cloud, graph: Graph) -> Rows:
    """A row for every name: free, taken, or the one that is going to be adopted."""
    for each, name, finder in named(graph):
        if finder is not _family:
            check = f"name: {each.type.rpartition(':')[2]} {name}"
            yield from guarded(check, partial(_look, cloud, each, check, finder, name))


def _look(cloud: Cloud, each: Registered, check: str, finder: Finder, name: str) -> Rows:
    found = finder(cloud, name)
    if each.import_id:
        if found is None:
            yield Row(check, Status.DO, "not there, and adopt: names it", "correct its entry in adopt:, or take it out")
        else:
            yield Row(check, Status.OK, f"there, and adopted as {each.import_id}")
    elif found is None:
        yield Row(check, Status.OK, "free")
    else:
        yield Row(check, Status.DO, found, TAKEN)
