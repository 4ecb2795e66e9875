"""A captured graph as Terraform JSON, by the schema of AWS's own provider: types and names that mocks do not see.

Pulumi's provider is made from Terraform's: the same resources with camelCase names, and plurals for repeated blocks.
What has no counterpart in the schema is reported, never left out silently. References are the mocks' made-up values, or
with `references` Terraform's own.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aldea_infra.offline.graph import Graph, Registered
from aldea_infra.offline.references import References, escaped, referring, snake

# Where Pulumi's name is not Terraform's in snake case.
TYPES: Final = {
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "aws_default_security_group",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": "aws_iam_openid_connect_provider",
    "aws:lb/loadBalancer:LoadBalancer": "aws_lb",
    "aws:rds/instance:Instance": "aws_db_instance",
    "aws:rds/parameterGroup:ParameterGroup": "aws_db_parameter_group",
    "aws:rds/subnetGroup:SubnetGroup": "aws_db_subnet_group",
    "aws:servicediscovery/httpNamespace:HttpNamespace": "aws_service_discovery_http_namespace",
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": "aws_sqs_queue_redrive_allow_policy",
}
NAMES: Final = {"aliases": "alias", "topic": "topic_arn"}
# Required there; where it is not given, Pulumi makes it of the resource's own name and a suffix.
MADE_BY_PULUMI: Final = ("name", "alarm_name")
SUFFIX: Final = "-1a2b3c4"
Schema = Mapping[str, Any]


@dataclass(slots=True)
class Converted:
    """Terraform's resources by type and name, and what could not be mapped."""

    resources: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)

    def document(self, provider: Mapping[str, Any]) -> dict[str, Any]:
        """A whole configuration."""
        required = {"required_providers": {"aws": {"source": "hashicorp/aws"}}}
        return {"terraform": required, "provider": {"aws": provider}, "resource": self.resources}


def offline_provider(region: str) -> dict[str, Any]:
    """A provider that looks up no identity."""
    return {
        "region": region,
        "access_key": "test",
        "secret_key": "test",
        "skip_credentials_validation": True,
        "skip_metadata_api_check": True,
        "skip_region_validation": True,
        "skip_requesting_account_id": True,
    }


def emulated_provider(graph: Graph) -> dict[str, Any]:
    """The program's own provider, for an emulator that takes an access key of twelve digits for an account's number."""
    given = graph.one("pulumi:providers:aws").inputs
    (account,), tags = _plainly(given["allowedAccountIds"]), _plainly(given["defaultTags"])
    return {
        "region": given["region"],
        "access_key": account,
        "secret_key": "test",
        "allowed_account_ids": [account],
        "default_tags": [tags],
        "skip_metadata_api_check": True,
        "s3_use_path_style": True,
        "max_retries": 5,
    }


def _plainly(value: Any) -> Any:
    """A provider's own input, which comes as JSON."""
    return json.loads(value) if isinstance(value, str) else value


def convert(graph: Graph, schemas: Schema, known: Mapping[str, str] | None = None) -> Converted:
    """Every resource of AWS's provider. `schemas`: the resource schemas of `terraform providers schema -json`.

    `known`: Terraform's expressions for made-up values of no resource of AWS's provider (a subnet of awsx's network).
    With it, even an empty one, resources refer to one another; without it they have the made-up values.
    """
    found = Converted()
    addresses = {}
    for each in graph.resources:
        if each.type.startswith("aws:") and (type_ := _type(each.type, schemas)) is not None:
            addresses[each.urn] = f"{type_}.{_label(each)}"
        elif each.type.startswith("aws:"):
            found.unmapped.append(f"{each.type}: the provider has no such resource")
    references = None if known is None else References(graph, addresses, schemas, known)
    for each in graph.resources:
        if each.urn not in addresses:
            continue
        type_, _, label = addresses[each.urn].partition(".")
        written = {
            key: _written(value, escaped if references is None else referring(references.behind(each, key)))
            for key, value in each.inputs.items()
        }
        body, lost = _block(schemas[type_]["block"], written, each.type)
        found.unmapped += lost
        if references is not None:
            body |= _options(each, references)
        for name in MADE_BY_PULUMI:
            if schemas[type_]["block"].get("attributes", {}).get(name, {}).get("required") and name not in body:
                body[name] = each.name + SUFFIX
        found.resources.setdefault(type_, {})[label] = body
    return found


def _type(token: str, schemas: Schema) -> str | None:
    if token in TYPES:
        return TYPES[token] if TYPES[token] in schemas else None
    module, name = token.split(":")[1].partition("/")[0], snake(token.rpartition(":")[2])
    return next((each for each in (f"aws_{module}_{name}", f"aws_{name}") if each in schemas), None)


def _label(resource: Registered) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", resource.name)


def _options(resource: Registered, references: References) -> dict[str, Any]:
    """What the program says about the order of things and about changes that it leaves alone."""
    found: dict[str, Any] = {}
    if before := references.before(resource):
        found["depends_on"] = before
    lifecycle: dict[str, Any] = {}
    if resource.ignore_changes:
        lifecycle["ignore_changes"] = [snake(each) for each in resource.ignore_changes]
    if not resource.delete_before_replace:
        lifecycle["create_before_destroy"] = True
    return found | ({"lifecycle": lifecycle} if lifecycle else {})


def _spellings(key: str) -> Iterator[str]:
    """What Terraform may call an input: a list of one kind of thing is a repeated block there, in the singular."""
    name = NAMES.get(key, snake(key))
    yield name
    yield re.sub(r"ies$", "y", name)
    yield re.sub(r"(ss|x|ch|sh)es$", r"\1", name)
    yield re.sub(r"s$", "", name)
    # A digit that ends a word stands apart: cidrIpv4, s3Bucket.
    yield re.sub(r"_?(\d+)_?", r"\1_", name).rstrip("_")
    yield re.sub(r"(?<=[a-z])(\d)", r"_\1", name)


def _block(schema: Schema, given: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    attributes, blocks = schema.get("attributes", {}), schema.get("block_types", {})
    body: dict[str, Any] = {}
    lost: list[str] = []
    for key, value in given.items():
        name = next((each for each in _spellings(key) if each in attributes or each in blocks), None)
        if name is None:
            lost.append(f"{where}: the provider has no {key}")
        elif name in blocks:
            items = value if isinstance(value, list) else [value]
            made = [_block(blocks[name]["block"], each, f"{where}.{key}") for each in items if each is not None]
            body[name] = [each for each, _ in made]
            lost += [fault for _, faults in made for fault in faults]
        else:
            body[name], faults = _attribute(attributes[name], value, f"{where}.{key}")
            lost += faults
    return body, lost


def _attribute(schema: Schema, value: Any, where: str) -> tuple[Any, list[str]]:
    """An attribute's value; objects inside are described by its nested type, or by its own."""
    if nested := schema.get("nested_type"):
        items = value if isinstance(value, list) else [value]
        made = [_block(nested, each, where) for each in items]
        lost = [fault for _, faults in made for fault in faults]
        return [each for each, _ in made] if isinstance(value, list) else made[0][0], lost
    kind = schema.get("type")
    if isinstance(kind, list) and isinstance(kind[1], list) and kind[1][0] == "object" and isinstance(value, list):
        inner = {"attributes": {name: {"type": each} for name, each in kind[1][1].items()}}
        made = [_block(inner, each, where) for each in value]
        empty = dict.fromkeys(kind[1][1])
        return [empty | each for each, _ in made], [fault for _, faults in made for fault in faults]
    return value, []


def _written(value: Any, write: Callable[[str], str]) -> Any:
    """A value whose texts are written for Terraform."""
    if isinstance(value, str):
        return write(value)
    if isinstance(value, list):
        return [_written(each, write) for each in value]
    if isinstance(value, dict):
        return {key: _written(each, write) for key, each in value.items()}
    return value
