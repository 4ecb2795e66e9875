"""The captured graph in Terraform's words; with terraform and AWS's provider at hand, what the provider says of it."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aldea_infra import rehearse
from aldea_infra.offline import terraform
from aldea_infra.offline.graph import Graph, Registered

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


@pytest.mark.skipif(not AT_HAND, reason="terraform is not on PATH, or TF_PLUGIN_DIR does not name its AWS provider")
def test_the_provider_plans_every_resource(dev: Graph, tmp_path: Path) -> None:
    resources = sum(each.type.startswith("aws:") for each in dev.resources)
    assert f"Plan: {resources} to add, 0 to change, 0 to destroy." in rehearse.rehearse("dev", tmp_path)


@pytest.mark.skipif(not AT_HAND, reason="terraform is not on PATH, or TF_PLUGIN_DIR does not name its AWS provider")
@pytest.mark.parametrize(
    ("kind", "changed"),
    [("TargetGroup", {"port": "eighty"}), ("TargetGroup", {"prot": 80}), ("LogGroup", {"retentionInDays": 8})],
)
def test_the_provider_refuses_what_mocks_take(kind: str, changed: dict[str, Any], dev: Graph, tmp_path: Path) -> None:
    victim = dev.of(kind)[0]
    inputs = {**victim.inputs, **changed}
    others = [replace(each, inputs=inputs) if each is victim else each for each in dev.resources]
    with pytest.raises(rehearse.Refused):
        rehearse.rehearse("dev", tmp_path, replace(dev, resources=others))
