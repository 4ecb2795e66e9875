"""docs/operations.md: whoever is woken by an alarm finds it there, and the commands that it names exist."""

import re
from pathlib import Path

import pytest

from aldea_infra.config.stack_file import read
from aldea_infra.offline.graph import Graph

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text()
# The entry for every service's alarm of that kind; the services that have one of their own are named.
OF_SERVICES = re.compile(r"-(5xx|no-healthy-task|unhealthy|circuit|readings-dropped|usage-age|late-words)$")


def rows() -> set[str]:
    """The alarms of the table."""
    table = TEXT.partition("## Alarms")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` ", table, re.MULTILINE))


def kind(alarm: str) -> str:
    """The name that the document calls an alarm by."""
    if found := OF_SERVICES.search(alarm):
        assert alarm.removesuffix(found[0]) in read("prod")["services"], alarm
        return f"SERVICE{found[0]}"
    if found := re.fullmatch(r"budget-[a-z-]+-(fast|slow)(-\d+)?", alarm):
        return f"budget-OBJECTIVE-{found[1]}"
    return re.sub(r"^redis-\d+-", "redis-N-", alarm)


def alarms(graph: Graph) -> set[str]:
    return {each.name for each in graph.resources if each.type == "aws:cloudwatch/metricAlarm:MetricAlarm"}


def test_every_alarm_is_in_the_table_and_the_table_holds_no_other(prod: Graph) -> None:
    assert len(alarms(prod)) > 30
    assert {kind(alarm) for alarm in alarms(prod)} == rows()


def test_every_command_of_make_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", TEXT))
    assert {"smoke", "deploy-rollback", "deploy-up"} <= named <= targets


@pytest.mark.parametrize("document", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: str(path.name))
def test_a_document_links_only_to_what_exists(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", document.read_text()):
        path = (document.parent / target[0]) if target[0] else document
        assert path.exists(), f"{document.name} links to {target[0]}"
        if target[1]:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert target[1] in anchors, f"{document.name} links to {target[0]}#{target[1]}"
