"""The preview: what it prints is reviewed as a snapshot; the diagram is drawn from the same graph."""

import json
from pathlib import Path

import pytest

from aldea_infra import diagram, preview
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph

SNAPSHOTS = Path(__file__).parent / "snapshots"


def test_the_preview_is_the_reviewed_one(graph: Graph) -> None:
    path = SNAPSHOTS / f"{graph.stack}.txt"
    assert preview.as_text(graph) == path.read_text(), (
        f"the stack changed: look at `make preview STACK={graph.stack}`, and if the change is meant, `make snapshots`"
    )


def test_json_holds_every_resource_and_no_secret(prod: Graph) -> None:
    text = preview.as_json(prod)
    assert len(json.loads(text)["resources"]) == len(prod.resources)
    for secret in mock_run.MADE_UP.values():
        assert secret not in text


def test_text_shows_no_secret(graph: Graph) -> None:
    for secret in mock_run.MADE_UP.values():
        assert secret not in preview.as_text(graph)


def test_the_diagram_shows_the_edge_the_services_and_their_stores(prod: Graph) -> None:
    lines = {line.strip() for line in diagram.mermaid(prod).splitlines()}
    assert 'balancer["WAF + private load balancer"]' in lines
    assert 'balancer -- "rule 100" --> ws-proxy-live1' in lines
    assert "ws-proxy-live1 --> redis" in lines
    assert "imp-frontend -- Service Connect --> imp-backend" in lines
    assert "imp-backend --> queue" in lines
    assert "queue --> sqs-updater" in lines
    assert "ws-proxy-live1 -.-> stt2" in lines
    assert not [line for line in lines if line.startswith("imp-frontend -->")]


def test_a_stack_without_accelerator_and_firewall_is_drawn_without(dev: Graph) -> None:
    text = diagram.mermaid(dev)
    assert "Accelerator" not in text
    assert 'balancer["public load balancer"]' in text


@pytest.mark.parametrize(("option", "beginning"), [([], "stack dev:"), (["--mermaid"], "flowchart LR")])
def test_the_command_prints_and_ends_well(
    option: list[str], beginning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview.main(["dev", *option]) == 0
    assert capsys.readouterr().out.startswith(beginning)


def test_the_command_says_which_stacks_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert preview.main(["staging"]) == 1
    assert capsys.readouterr().err == (
        "preview: got stack 'staging'; allowed: dev, prod; a new one needs its Pulumi.staging.yaml\n"
    )


def test_the_picture_in_the_readme_is_the_programs(prod: Graph) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert diagram.mermaid(prod) in readme, "replace it by `make preview STACK=prod ARGS=--mermaid`"
