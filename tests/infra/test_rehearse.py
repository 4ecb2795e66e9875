"""The captured graph in Terraform's words; with terraform and AWS's provider at hand, what the provider says of it."""

import copy
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aldea_infra import rehearse
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.offline import mock_run, terraform
from aldea_infra.offline.graph import Graph, Registered
from aldea_infra.offline.references import referring
from aldea_infra.rehearsal import effects, engine
from aldea_infra.rehearsal.changes import changes
from aldea_infra.rehearsal.effects import Effect
from onebox import aws

AT_HAND = shutil.which("terraform") is not None and bool(os.environ.get("TF_PLUGIN_DIR"))
SCHEMAS: dict[str, Any] = {
    "aws_lb_listener": {
        "block": {
            "attributes": {"port": {"type": "number"}, "name": {"type": "string", "required": True}},
            "block_types": {"default_action": {"block": {"attributes": {"cidr_ipv4": {"type": "string"}}}}},
        }
    },
    "aws_db_instance": {
        "block": {
            "attributes": {
                "db_name": {"type": "string"},
                "rule": {"type": ["set", ["object", {"cidr": "string", "note": "string"}]]},
            }
        }
    },
}


def graph(type_: str, **inputs: Any) -> Graph:
    one = Registered(
        urn="u", type=type_, name="one", parent="", inputs=inputs, secret_inputs=frozenset(), outputs={}, id="i"
    )
    return Graph("dev", [one], {}, ())


def test_lists_become_repeated_blocks_and_a_missing_name_is_made() -> None:
    found = terraform.convert(graph("aws:lb/listener:Listener", port=80, defaultActions=[{"cidrIpv4": "a"}]), SCHEMAS)
    assert found.unmapped == []
    assert found.resources["aws_lb_listener"]["one"] == {
        "port": 80, "default_action": [{"cidr_ipv4": "a"}], "name": "one-1a2b3c4",
    }  # fmt: skip


def test_what_the_provider_does_not_have_is_reported_wherever_it_is() -> None:
    given = graph("aws:lb/listener:Listener", prot=80, defaultActions=[{"cidr": "a"}])
    assert terraform.convert(given, SCHEMAS).unmapped == [
        "aws:lb/listener:Listener: the provider has no prot",
        "aws:lb/listener:Listener.defaultActions: the provider has no cidr",
    ]
    assert terraform.convert(graph("aws:other/thing:Thing"), SCHEMAS).unmapped


def test_text_is_no_template_and_objects_are_whole() -> None:
    given = graph("aws:rds/instance:Instance", dbName="${x}%{y}", rules=[{"cidr": "a"}])
    body = terraform.convert(given, SCHEMAS).resources["aws_db_instance"]["one"]
    assert body == {"db_name": "$${x}%%{y}", "rule": [{"cidr": "a", "note": None}]}


def test_without_terraform_it_says_so_and_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert rehearse.main(["dev"]) == 0
    assert "not rehearsed: terraform is not on PATH" in capsys.readouterr().out


def test_in_ci_a_missing_terraform_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert rehearse.main(["dev", "--required"]) == 1


@pytest.mark.skipif(not AT_HAND, reason="terraform is not on PATH, or TF_PLUGIN_DIR does not name its AWS provider")
def test_the_provider_plans_every_resource(dev: Graph, tmp_path: Path) -> None:
    resources = sum(each.type.startswith("aws:") for each in dev.resources)
    assert rehearse.planned(dev, tmp_path)[0] == f"valid; {resources} resources planned with made-up values"


@pytest.mark.skipif(not AT_HAND, reason="terraform is not on PATH, or TF_PLUGIN_DIR does not name its AWS provider")
@pytest.mark.parametrize(
    ("kind", "changed"),
    [("TargetGroup", {"port": "eighty"}), ("TargetGroup", {"prot": 80}), ("LogGroup", {"retentionInDays": 8})],
)
def test_the_provider_refuses_what_mocks_take(kind: str, changed: dict[str, Any], dev: Graph, tmp_path: Path) -> None:
    with pytest.raises(engine.Refused):
        rehearse.planned(damaged(dev, kind, changed), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["portMappings"][0].update(containerPort="eighty"),
        lambda found: found.update(portMapings=[]),
        lambda found: found["healthCheck"].update(retry=3),
    ],
)
def test_a_container_that_ecs_would_refuse_is_refused_before_anything_is_planned(
    change: Callable[[dict[str, Any]], object], dev: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = json.loads(dev.one("TaskDefinition", "backend").inputs["containerDefinitions"])
    change(containers[0])
    broken = damaged(dev, "TaskDefinition", {"containerDefinitions": json.dumps(containers)}, "backend")
    monkeypatch.setattr(mock_run, "run", lambda _: broken)
    with pytest.raises(engine.Refused, match="container_definitions_are_ecs_own: backend/main"):
        rehearse.rehearse("dev", tmp_path, lambda _: None)


def damaged(graph: Graph, kind: str, changed: dict[str, Any], name: str | None = None) -> Graph:
    victim = next(each for each in graph.of(kind) if name in (None, each.name))
    inputs = {**victim.inputs, **changed}
    others = [replace(each, inputs=inputs) if each is victim else each for each in graph.resources]
    return replace(graph, resources=others)


def resource(type_: str, name: str, urn: str, **given: Any) -> Registered:
    return Registered(
        urn=urn, type=type_, name=name, parent="", secret_inputs=frozenset(),
        **{"inputs": {}, "outputs": {}, "id": f"{name}-id", **given},
    )  # fmt: skip


def test_references_take_the_place_of_made_up_values_where_an_input_is_made_of_them() -> None:
    schemas = {
        "aws_lb": {"block": {"attributes": {"arn": {"type": "string"}, "dns_name": {"type": "string"}}}},
        "aws_lb_listener": {"block": {"attributes": {key: {"type": "string"} for key in ("arn", "to", "text")}}},
    }
    balancer = resource(
        "aws:lb/loadBalancer:LoadBalancer", "alb", "u1", outputs={"arn": "arn:of:alb", "dnsName": "alb.example"}
    )
    listener = resource(
        "aws:lb/listener:Listener", "one", "u2", inputs={"to": "arn:of:alb", "text": "https://alb.example ${x}"},
        depends_on=("u1",), sources={"to": ("u1",)}, ignore_changes=("dnsName",),
    )  # fmt: skip
    found = terraform.convert(Graph("dev", [balancer, listener], {}, ()), schemas, {})
    assert found.resources["aws_lb_listener"]["one"] == {
        "to": "${aws_lb.alb.arn}",
        # Made of nothing that is known: a text.
        "text": "https://alb.example $${x}",
        "depends_on": ["aws_lb.alb"],
        "lifecycle": {"ignore_changes": ["dns_name"], "create_before_destroy": True},
    }


def test_a_value_inside_another_word_is_no_reference() -> None:
    write = referring({"sg-1": "aws_security_group.a.id"})
    assert write("sg-1/sg-12 sg-1") == "${aws_security_group.a.id}/sg-12 ${aws_security_group.a.id}"


def plan(**resources: tuple[list[str], dict[str, Any]]) -> dict[str, Any]:
    return {
        "resource_changes": [
            {"address": f"aws_{name}", "change": {"actions": actions, "after": after, "after_unknown": {}}}
            for name, (actions, after) in resources.items()
        ]
    }


def test_an_effect_is_what_the_plan_of_the_unchanged_program_does_not_have() -> None:
    unchanged = plan(a=(["update"], {"x": 1}), b=(["no-op"], {"x": 1}), c=(["no-op"], {}), d=(["no-op"], {}))
    changed = plan(
        a=(["update"], {"x": 1}), b=(["update"], {"x": 2}), c=(["create", "delete"], {}), d=(["delete"], {"y": 0}),
        e=(["create"], {}),
    )  # fmt: skip
    assert effects.effects(changed, unchanged) == [
        Effect("create", "e"), Effect("delete", "d"), Effect("replace", "c"), Effect("update", "b"),
    ]  # fmt: skip
    assert effects.repeated(unchanged) == [Effect("update", "a")]


def test_what_was_not_expected_and_what_did_not_happen_are_both_faults() -> None:
    found = [Effect("replace", "db_instance.database"), Effect("update", "ecs_service.a")]
    expected = {"update": ("ecs_service.*", "lb.alb")}
    assert list(effects.unexpected(found, expected)) == [
        "replace db_instance.database is not expected",
        "update lb.alb is expected and not planned",
    ]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_change_is_one_of_a_valid_stack(stack: str) -> None:
    values = stack_file.read(stack)
    titles = []
    for change in changes(StackConfig.model_validate(values)):
        edited = copy.deepcopy(values)
        change.edit(edited)
        StackConfig.model_validate(edited)
        assert (edited != values) or change.secrets or change.title == "nothing"
        titles.append(change.title)
    assert len(titles) == len(set(titles)) >= 8


def test_the_emulators_stand_ins_return_what_they_were_given() -> None:
    kept = aws.Kept()
    place = {"ServiceNamespace": "ecs", "ResourceId": "service/a/b", "ScalableDimension": "ecs:service:DesiredCount"}
    aws.scaling("RegisterScalableTarget", {**place, "MinCapacity": 1}, kept)
    aws.scaling("RegisterScalableTarget", {**place, "MinCapacity": 2}, kept)
    (target,) = aws.scaling("DescribeScalableTargets", {"ServiceNamespace": "ecs"}, kept)["ScalableTargets"]
    assert target["MinCapacity"] == 2
    made = aws.accelerator("CreateAccelerator", {"Name": "a"}, kept)["Accelerator"]
    (arn,) = [made["AcceleratorArn"]]
    aws.accelerator("UpdateAcceleratorAttributes", {"AcceleratorArn": arn, "FlowLogsEnabled": True}, kept)
    described = aws.accelerator("DescribeAcceleratorAttributes", {"AcceleratorArn": arn}, kept)
    assert described["AcceleratorAttributes"]["FlowLogsEnabled"]
    params = {"A.member.1.Type": "forward", "A.member.1.Forward.Groups.member.1.Weight": "3", "A.member.2.Type": "x"}
    assert aws.nested(params, "A") == [{"Type": "forward", "Forward": {"Groups": [{"Weight": "3"}]}}, {"Type": "x"}]
    assert aws.xml([{"a": ["<"]}]) == "<member><a><member>&lt;</member></a></member>"
