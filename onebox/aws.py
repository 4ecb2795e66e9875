"""`python -m onebox.aws PORT`: the emulator with stand-ins for what `make rehearse` needs and the emulator lacks.

Each stand-in keeps what it was given and returns it: enough for a provider that makes a resource and reads it back.
They patch the emulator's own functions, since it has no other place for them; the emulator's version is locked.
"""
# ruff: noqa: SLF001 - that is where they are patched

import json
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from onebox import queues, stores

Given = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Response]]

GLOBAL: Final = "arn:aws:globalaccelerator::{account}:accelerator/"
OF_THE_MASTER: Final = (
    "<MasterUserSecret><SecretArn>arn:aws:secretsmanager:{region}:{account}:secret:rds!db-{name}-AbCdEf</SecretArn>"
    "<SecretStatus>active</SecretStatus></MasterUserSecret>"
)


def nested(params: Mapping[str, str], prefix: str) -> Any:
    """`prefix.member.1.Field=x` and so on, as it was before it became a query."""
    inner = {key.removeprefix(prefix + "."): value for key, value in params.items() if key.startswith(prefix + ".")}
    if not inner:
        return params.get(prefix)
    if all(key.startswith("member.") for key in inner):
        numbers = sorted({int(key.split(".")[1]) for key in inner})
        return [nested(inner, f"member.{number}") for number in numbers]
    return {name: nested(inner, name) for name in dict.fromkeys(each.partition(".")[0] for each in inner)}


def xml(value: Any) -> str:
    """A nested value in the form of the query protocol's responses."""
    if isinstance(value, list):
        return "".join(f"<member>{xml(each)}</member>" for each in value)
    if isinstance(value, dict):
        return "".join(f"<{key}>{xml(each)}</{key}>" for key, each in value.items())
    return escape(str(value))


class Kept:
    """Resources of a JSON service by their kind, each found by its identifying fields."""

    def __init__(self) -> None:
        self._found: dict[str, list[Given]] = {}

    def put(self, kind: str, given: Given, *identity: str) -> Given:
        """Make the resource, or change the one with the same identity."""
        same = [each for each in self._found.setdefault(kind, []) if all(each[key] == given[key] for key in identity)]
        if not same:
            self._found[kind].append(given)
            return given
        same[0].update(given)
        return same[0]

    def of(self, kind: str, **wanted: Any) -> list[Given]:
        """The resources whose fields have these values; of several values, one of them."""
        return [
            each
            for each in self._found.get(kind, [])
            if all(each.get(key) in (value if isinstance(value, list) else [value]) for key, value in wanted.items())
        ]

    def drop(self, kind: str, **wanted: Any) -> None:
        """Forget these resources."""
        gone = self.of(kind, **wanted)
        self._found[kind] = [each for each in self._found.get(kind, []) if each not in gone]


def scaling(action: str, given: Given, kept: Kept) -> Given:
    """Application Auto Scaling: targets and policies."""
    place = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    where = {key: given[key] for key in place if key in given}
    match action:
        case "RegisterScalableTarget":
            arn = f"arn:aws:application-autoscaling:us-west-2:000000000000:scalable-target/{uuid.uuid4().hex}"
            made = {"ScalableTargetARN": arn, "CreationTime": 0, "RoleARN": "", **given}
            return {"ScalableTargetARN": kept.put("target", made, *place)["ScalableTargetARN"]}
        case "DescribeScalableTargets":
            ids = {"ResourceId": given["ResourceIds"]} if given.get("ResourceIds") else {}
            return {"ScalableTargets": kept.of("target", ServiceNamespace=given["ServiceNamespace"], **ids)}
        case "PutScalingPolicy":
            arn = f"arn:aws:autoscaling:us-west-2:000000000000:scalingPolicy:{uuid.uuid4()}"
            made = {"PolicyARN": arn, "CreationTime": 0, "Alarms": [], **given}
            return {"PolicyARN": kept.put("policy", made, *place, "PolicyName")["PolicyARN"], "Alarms": []}
        case "DescribeScalingPolicies":
            names = {"PolicyName": given["PolicyNames"]} if given.get("PolicyNames") else {}
            return {"ScalingPolicies": kept.of("policy", **where, **names)}
        case "ListTagsForResource":
            return {"Tags": {}}
        case "DeregisterScalableTarget":
            kept.drop("target", **where)
        case "DeleteScalingPolicy":
            kept.drop("policy", **where, PolicyName=given["PolicyName"])
    return {}


def accelerator(action: str, given: Given, kept: Kept) -> Given:
    """Global Accelerator: accelerators with their listeners and endpoint groups, each made at once."""
    noun = next(
        (each for each in ("AcceleratorAttributes", "Accelerator", "Listener", "EndpointGroup") if each in action), ""
    )
    arn = f"{noun}Arn"
    match action.removesuffix(noun):
        case "Create":
            parent = given.get("ListenerArn") or given.get("AcceleratorArn") or GLOBAL.format(account="000000000000")
            part = {"Listener": "/listener/", "EndpointGroup": "/endpoint-group/"}.get(noun, "")
            made = {
                "Status": "DEPLOYED", "DnsName": "a1234567890abcdef.awsglobalaccelerator.com", "IpSets": [],
                **given, arn: f"{parent}{part}{uuid.uuid4()}",
            }  # fmt: skip
            if noun == "EndpointGroup":
                made["EndpointDescriptions"] = made.pop("EndpointConfigurations", [])
            return {noun: kept.put(noun, made, arn)}
        case "Describe" if noun == "AcceleratorAttributes":
            found = kept.of(noun, AcceleratorArn=given["AcceleratorArn"])
            return {noun: found[0] if found else {"FlowLogsEnabled": False}}
        case "Update" if noun == "AcceleratorAttributes":
            return {noun: kept.put(noun, given, "AcceleratorArn")}
        case "Update":
            if "EndpointConfigurations" in given:
                given["EndpointDescriptions"] = given.pop("EndpointConfigurations")
            return {noun: kept.put(noun, given, arn)}
        case "Describe":
            return {noun: kept.of(noun, **{arn: given[arn]})[0]}
        case "Delete":
            kept.drop(noun, **{arn: given[arn]})
        case "ListTagsForResource":
            return {"Tags": []}
    return {}


def web_acl_logging(action: str, given: Given, kept: Kept) -> Given | None:
    """The part of WAF that the emulator lacks; None for every other action."""
    match action:
        case "PutLoggingConfiguration":
            return {"LoggingConfiguration": kept.put("logging", given["LoggingConfiguration"], "ResourceArn")}
        case "GetLoggingConfiguration":
            return {"LoggingConfiguration": kept.of("logging", ResourceArn=given["ResourceArn"])[0]}
        case "DeleteLoggingConfiguration":
            kept.drop("logging", ResourceArn=given["ResourceArn"])
            return {}
    return None


def _handler(respond: Callable[[str, Given, Kept], Given | None], otherwise: Handler | None = None) -> Handler:
    kept = Kept()

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
        found = respond(headers.get("x-amz-target", "").rpartition(".")[2], json.loads(body or b"{}"), kept)
        if found is None and otherwise is not None:
            return await otherwise(method, path, headers, body, query)
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(found).encode()

    return handle


def run(port: int) -> int:
    """Run the emulator with every stand-in until it is stopped; the process's exit status."""
    # It reads its settings as it is imported.
    os.environ |= stores.emulator_environment(port, services="")
    from ministack import app as emulator  # noqa: PLC0415
    from ministack.services import alb, rds, waf  # noqa: PLC0415

    def parsed(params: Mapping[str, Any], prefix: str) -> Any:
        flat = {key: value[0] if isinstance(value, list) else value for key, value in params.items()}
        return nested(flat, prefix) or []

    # Conditions other than hosts and paths, and the weights of target groups: the emulator drops them.
    alb._parse_actions = lambda params, prefix="Actions": parsed(params, prefix)
    alb._parse_conditions = lambda params, prefix="Conditions": parsed(params, prefix)
    alb._action_xml = lambda action: f"<member>{xml(action)}</member>"
    alb._rule_xml = lambda rule: f"<member>{xml(rule)}</member>"

    instance_xml = rds._instance_xml
    rds._instance_xml = lambda instance: (
        instance_xml(instance)
        + OF_THE_MASTER.format(
            region=rds.get_region(), account=rds.get_account_id(), name=instance["DBInstanceIdentifier"]
        )
    )

    emulator.SERVICE_HANDLERS |= {
        "application-autoscaling": _handler(scaling),
        "globalaccelerator": _handler(accelerator),
        "wafv2": _handler(web_acl_logging, waf.handle_request),
    }
    detect = emulator.detect_service
    by_target = {
        "AnyScaleFrontendService": "application-autoscaling",
        "GlobalAccelerator_V20180706": "globalaccelerator",
    }
    emulator.detect_service = lambda method, path, headers, params: (
        by_target.get(headers.get("x-amz-target", "").partition(".")[0]) or detect(method, path, headers, params)
    )

    queues.end_in_good_time()
    del sys.argv[1:]  # which it reads too
    status: int = emulator.main()
    return status


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1])))
