"""Checks that one stack's deployments and previews keep to it: others may live in the same account."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Final

from aldea_infra.components.ci_permissions import UNTAGGABLE
from aldea_infra.components.tags import CLUSTER_TAG
from aldea_infra.components.task_environment import DATABASE_USERS
from aldea_infra.offline.graph import Graph

# Reads of metadata, and calls that take neither a resource nor a tag.
READS: Final = re.compile(r"[\w-]+:(Describe|Get|List|CheckCapacity|BatchCheck)")
TAG_KEYS: Final = (f"aws:ResourceTag/{CLUSTER_TAG}", f"aws:RequestTag/{CLUSTER_TAG}")


def deployments_keep_to_their_stack(graph: Graph) -> Iterator[str]:
    """`rds:*` on everything deletes the other stack's database; a name or a tag holds a deployment to its own."""
    cluster = _cluster(graph)
    for holder, statement in _held_by_ci(graph):
        if statement["Effect"] == "Deny" or "*" not in statement["Resource"]:
            continue
        given = statement.get("Condition", {}).get("StringEquals", {})
        if any(given.get(key) == cluster for key in TAG_KEYS):
            continue
        if wide := [each for each in statement["Action"] if not READS.match(each) and each not in UNTAGGABLE]:
            yield f"{holder.name} allows {', '.join(wide)} on everything, without this stack's tag or names"


def the_boundary_refuses_other_stacks(graph: Graph) -> Iterator[str]:
    """Some names are Pulumi's or RDS's choosing and alike in all stacks: there only the tag says whose they are."""
    key = TAG_KEYS[0]
    wanted = {"StringNotEquals": {key: _cluster(graph)}, "Null": {key: "false"}}
    refusing = [
        statement
        for holder, statement in _held_by_ci(graph)
        if holder.name == "boundary" and statement["Effect"] == "Deny" and statement.get("Condition") == wanted
    ]
    if not any(each["Action"] == ["*"] and each["Resource"] == ["*"] for each in refusing):
        yield "the boundary does not refuse what carries another stack's tag"


def the_boundary_allows_what_is_needed(graph: Graph) -> Iterator[str]:
    """What a boundary leaves out, no policy can give: a task that may not sign in fails at its start only."""
    allowed = [each for holder, each in _held_by_ci(graph) if holder.name == "boundary" and each["Effect"] == "Allow"]
    for holder, statement in graph.policies():
        if not holder.type.endswith(":RolePolicy") or statement["Effect"] == "Deny" or holder.name == "ci-preview":
            continue
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                if not any(_allows(each, action, resource, statement) for each in allowed):
                    yield f"{holder.name} has {action} on {resource}, which the boundary does not allow"


def sign_ins_are_by_name(graph: Graph) -> Iterator[str]:
    """With `dbuser:*` a task's role would sign in to PostgreSQL as any user, the schema's owner among them."""
    for holder, statement in graph.policies():
        if statement["Effect"] == "Deny" or not any(_connects(action) for action in statement["Action"]):
            continue
        for resource in statement["Resource"]:
            if resource != "*" and not resource.startswith("arn:aws:rds-db:"):
                continue
            place, _, user = resource.rpartition(":")[2].partition("/")
            if user not in DATABASE_USERS.values() or (place == "*" and holder.name != "boundary"):
                yield f"{holder.name} may sign in to PostgreSQL by {resource}"


def _connects(action: str) -> bool:
    return fnmatchcase("rds-db:connect", action)


def records_are_this_stacks(graph: Graph) -> Iterator[str]:
    """The zone is shared: who may change every record in it can point the other stack's names elsewhere."""
    names = {each.inputs["name"] for each in graph.of("aws:route53/record:Record") if each.inputs["type"] == "A"}
    wanted = {*names, *(f"_*.{name}" for name in names)}
    for holder, statement in _held_by_ci(graph):
        if statement["Effect"] == "Deny" or not any("ChangeResourceRecordSets" in each for each in statement["Action"]):
            continue
        key = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
        given = statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get(key, ["*"])
        if not set(given) <= wanted or any(each.endswith("/*") for each in statement["Resource"]):
            yield f"{holder.name} may change records of {', '.join(given)} in {', '.join(statement['Resource'])}"


def state_is_the_stacks_own(graph: Graph) -> Iterator[str]:
    """State and key hold every secret of a stack, and a preview runs a pull request's code with them."""
    own = {f"arn:aws:s3:::{each.inputs.get('bucketPrefix')}*" for each in graph.of("aws:s3/bucket:Bucket")}
    for holder, statement in _held_by_ci(graph):
        if statement["Effect"] == "Deny" or set(statement["Resource"]) <= own:
            continue
        conditions, actions = statement.get("Condition", {}), statement["Action"]
        below = conditions.get("StringLike", {}).get("s3:prefix")
        if "s3:ListBucket" in actions and below != [graph.stack, f"{graph.stack}/*"]:
            yield f"{holder.name} lists more of the state bucket than {graph.stack}/"
        if "s3:GetObject" in actions and not all(each.endswith(f"/{graph.stack}/*") for each in statement["Resource"]):
            yield f"{holder.name} reads more of the state bucket than {graph.stack}/"
        context = conditions.get("StringEquals", {}).get("kms:EncryptionContext:stack")
        keys = statement["Resource"] if "kms:Decrypt" in actions else []
        if keys and (context != graph.stack or any("*" in each for each in keys)):
            yield f"{holder.name} decrypts more than what was encrypted for {graph.stack}"


def _cluster(graph: Graph) -> str:
    return str(graph.one("aws:ecs/cluster:Cluster").inputs["name"])


def _held_by_ci(graph: Graph) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The statements of GitHub's roles and of the boundary."""
    for holder, statement in graph.policies():
        if holder.name in {"ci-preview", "ci-deploy", "boundary"} and not holder.type.endswith(":Role"):
            yield holder, statement


def _allows(statement: dict[str, Any], action: str, resource: str, wanted: dict[str, Any]) -> bool:
    if not any(fnmatchcase(action, each) for each in statement["Action"]):
        return False
    if not any(fnmatchcase(resource, each) for each in statement["Resource"]):
        return False
    # A condition of the boundary's is one that the role's own policy has as well.
    return "Condition" not in statement or statement["Condition"] == wanted.get("Condition")


CHECKS: Final = (
    deployments_keep_to_their_stack,
    the_boundary_refuses_other_stacks,
    the_boundary_allows_what_is_needed,
    sign_ins_are_by_name,
    records_are_this_stacks,
    state_is_the_stacks_own,
)
