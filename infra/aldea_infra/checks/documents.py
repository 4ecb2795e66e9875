"""Holds JSON documents, which no argument class looks into, to AWS's models and IAM's grammar."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from aldea_infra.offline.graph import Graph

# IAM user guide, "Grammar of the IAM JSON policy language" and "IAM JSON policy elements: Condition operators".
STATEMENT_KEYS: Final = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
OPERATOR: Final = re.compile(
    r"(ForA(ny|ll)Values:)?(String(Not)?(Equals|EqualsIgnoreCase|Like)|Numeric(Not)?Equals|Numeric(Less|Greater)Than(Equals)?"
    r"|Date(Not)?Equals|Date(Less|Greater)Than(Equals)?|Bool|BinaryEquals|(Not)?IpAddress|Arn(Not)?(Equals|Like))(IfExists)?|Null"
)
ARN: Final = re.compile(r"\*|arn:[a-z-]+:[a-z0-9*-]+:[a-z0-9*-]*:(\d{12}|aws|\*)?:.+", re.DOTALL)
# Actions that are used and not named like an operation (Service Authorization Reference).
OTHERS: Final[Mapping[str, frozenset[str]]] = {
    "s3": frozenset(
        {
            "ListBucket", "ListAllMyBuckets", "GetEncryptionConfiguration", "GetLifecycleConfiguration",
            "GetBucketPublicAccessBlock", "GetAccelerateConfiguration", "GetReplicationConfiguration",
            "GetBucketObjectLockConfiguration",
        }
    ),
    "rds-db": frozenset({"connect"}),
    "logs": frozenset({f"{verb}LogDelivery" for verb in ("Create", "Update", "Delete", "Get")} | {"ListLogDeliveries"}),
    "iam": frozenset({"PassRole"}),
    "kms": frozenset({"ReEncryptFrom", "ReEncryptTo"}),
    "ssmmessages": frozenset(
        {"CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"}
    ),
}  # fmt: skip
# IAM's word for a service where botocore has another.
MODELS: Final = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}
PRINCIPALS: Final = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})


def container_definitions_are_ecs_own(graph: Graph) -> Iterator[str]:
    """A misspelt key or a port in words in a container's JSON is seen by ECS alone."""
    from botocore.validate import ParamValidator  # noqa: PLC0415 - read by the checks alone

    shape = _model("ecs").shape_for("ContainerDefinition")
    for task, container in graph.containers():
        where = f"{task.name}/{container.get('name')}"
        report = ParamValidator().validate(container, shape)
        if report.has_errors():
            yield f"{where}: {' '.join(report.generate_report().split())}"
        yield from (f"{where}: {fault}" for fault in _values(shape, container, "container"))


def policies_are_in_iams_grammar(graph: Graph) -> Iterator[str]:
    """IAM refuses a malformed document, and lets a misspelt action pass that will then never be allowed."""
    for each in graph.resources:
        for key in ("policy", "assumeRolePolicy"):
            if each.type.startswith("aws:") and "Statement" in str(each.inputs.get(key, "")):
                document = each.json(key)
                trust = key == "assumeRolePolicy"
                identity = each.type in {"aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy"}
                where = f"{each.name}'s {key}"
                if set(document) - {"Version", "Id", "Statement"} or document.get("Version") != "2012-10-17":
                    yield f"{where} has {sorted(document)} and version {document.get('Version')!r}"
                sids = [found["Sid"] for found in document["Statement"] if "Sid" in found]
                if len(sids) != len(set(sids)) or not all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids):
                    yield f"{where}: Sids are letters and digits, each once; got {sids}"
                for statement in document["Statement"]:
                    for fault in _statement(statement, trust=trust, identity=identity):
                        yield f"{where}: {fault}"


def dashboards_are_cloudwatchs(graph: Graph) -> Iterator[str]:
    """CloudWatch refuses a body whose widgets lie outside its 24 columns or lack what their type needs."""
    for each in graph.of("Dashboard"):
        for widget in each.json("dashboardBody")["widgets"]:
            given = widget.get("properties", {})
            if unknown := set(widget) - {"type", "x", "y", "width", "height", "properties"}:
                yield f"{each.name}: a widget has {sorted(unknown)}"
            if not 1 <= widget.get("width", 6) <= 24 or widget.get("x", 0) + widget.get("width", 6) > 24:
                yield f"{each.name}: {given.get('title')} is beyond the 24 columns"
            if widget["type"] == "metric" and not (
                given.get("region") and (given.get("metrics") or given.get("annotations"))
            ):
                yield f"{each.name}: {given.get('title')} needs region and metrics"
            if widget["type"] == "text" and not given.get("markdown"):
                yield f"{each.name}: a text without markdown"


CHECKS: Final = (container_definitions_are_ecs_own, policies_are_in_iams_grammar, dashboards_are_cloudwatchs)


def _values(shape: Any, value: Any, where: str) -> Iterator[str]:
    """Words that are not in an enumeration: botocore leaves these to AWS."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key, found in value.items():
            if key in shape.members:
                yield from _values(shape.members[key], found, f"{where}.{key}")
    elif shape.type_name == "list" and isinstance(value, list):
        for index, found in enumerate(value):
            yield from _values(shape.member, found, f"{where}[{index}]")
    elif shape.type_name == "string" and (allowed := shape.metadata.get("enum")) and value not in allowed:
        yield f"{where} is {value!r}; allowed: {', '.join(allowed)}"


def _statement(given: Mapping[str, Any], *, trust: bool, identity: bool) -> Iterator[str]:
    if unknown := set(given) - STATEMENT_KEYS:
        yield f"unknown element {', '.join(sorted(unknown))}"
    if given.get("Effect") not in {"Allow", "Deny"}:
        yield f"Effect is {given.get('Effect')!r}; allowed: Allow, Deny"
    if ("Action" in given) == ("NotAction" in given):
        yield "a statement has Action or NotAction"
    has_principal = "Principal" in given or "NotPrincipal" in given
    if has_principal == identity:
        yield "Principal is of trust and resource policies, and required there"
    if ("Resource" in given or "NotResource" in given) == trust:
        yield "Resource is of every policy but a role's trust, and required there"
    principal = given.get("Principal", {})
    if isinstance(principal, dict) and set(principal) - PRINCIPALS:
        yield f"Principal has {sorted(set(principal) - PRINCIPALS)}; allowed: {', '.join(sorted(PRINCIPALS))}"
    for resource in _list(given.get("Resource", given.get("NotResource", []))):
        if not ARN.fullmatch(resource):
            yield f"{resource!r} is no ARN"
    for action in _list(given.get("Action", given.get("NotAction", []))):
        if not _exists(action):
            yield f"{action} is no action of AWS's"
    for operator, keys in given.get("Condition", {}).items():
        if not OPERATOR.fullmatch(operator):
            yield f"{operator} is no condition operator"
        for key in keys:
            if ":" not in key:
                yield f"{key} is no condition key"


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@cache
def _exists(action: str) -> bool:
    """Whether some action has this name, or fits this pattern."""
    service, _, name = action.partition(":")
    if action == "*" or (name == "*" and service):
        return True
    names = _operations(service) | OTHERS.get(service, frozenset())
    pattern = re.compile(re.escape(name).replace(r"\*", ".*").replace(r"\?", "."), re.IGNORECASE)
    return any(pattern.fullmatch(each) for each in names)


@cache
def _operations(service: str) -> frozenset[str]:
    from botocore.exceptions import UnknownServiceError  # noqa: PLC0415 - as above

    try:
        return frozenset(_model(MODELS.get(service, service)).operation_names)
    except UnknownServiceError:
        return frozenset()


@cache
def _model(service: str) -> Any:
    import botocore.session  # noqa: PLC0415 - as above

    return botocore.session.get_session().get_service_model(service)
