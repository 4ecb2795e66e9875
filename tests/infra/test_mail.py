"""What the stack's mail, links and uploads change in what is registered, and for whom."""

from typing import Any, Final

import pytest

from aldea_infra.catalogue import Role
from aldea_infra.checks import reachability, run
from aldea_infra.config import mail, stack_file
from aldea_infra.config.parse import Secret
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph
from tests.infra.contracts import CONTRACTS

URL: Final = "smtp://made-up-user:made-up%2Fpassword@mail.example.com:2587"
SETTINGS: Final = {
    "MAIL_FROM": "Speech <mail@example.com>",
    "SUPPORT_ADDRESS": "help@example.com",
    "STATUS_URL": "https://status.example.com",
}
READERS: Final = {
    "MAIL_URL": {"backend"}, "MAIL_FROM": {"backend"}, "SUPPORT_ADDRESS": {"frontend"}, "STATUS_URL": {"frontend"},
}  # fmt: skip


def secrets(url: str | None) -> dict[Secret, str]:
    others: dict[Secret, str] = {key: text for key, text in mock_run.MADE_UP.items() if key is not Secret.MAIL_URL}
    return others if url is None else {**others, Secret.MAIL_URL: url}


def values(**sections: Any) -> dict[str, Any]:
    kept = {key: value for key, value in stack_file.read("dev").items() if key not in {"mail", "console"}}
    return {**kept, **sections}


@pytest.fixture(scope="module")
def silent() -> Graph:
    """A stack with none of them."""
    return mock_run.run("dev", values=values(), secrets=secrets(None))


@pytest.fixture(scope="module")
def wired() -> Graph:
    """A stack with all of them."""
    console = {"supportAddress": SETTINGS["SUPPORT_ADDRESS"], "statusUrl": SETTINGS["STATUS_URL"]}
    sections = {
        "mail": {"from": SETTINGS["MAIL_FROM"]}, "console": console, "uploads": {"reserveAudio": True},
    }  # fmt: skip
    return mock_run.run("dev", values=values(**sections), secrets=secrets(URL))


def given(graph: Graph, name: str) -> dict[str, str]:
    """By role (or the task's name, for one that is no service): what a container is given under this name."""
    services = {each.name for each in graph.of("aws:ecs/service:Service")}
    found = {}
    for task, container in graph.containers():
        texts = {**reachability.environment(container), **reachability.secrets(container)}
        if name in texts:
            found[reachability.role_of(graph, task.name) if task.name in services else task.name] = texts[name]
    return found


def mail_ports(graph: Graph) -> list[tuple[str, int]]:
    """Who may reach which mail server's port."""
    return [
        (each.source, each.port)
        for each in reachability.matrix(graph)
        if each.target == reachability.INTERNET and each.port in mail.PORTS
    ]


def test_files_are_reserved_only_where_the_stack_says_so(silent: Graph, wired: Graph) -> None:
    assert given(wired, "RESERVE_AUDIO") == {str(Role.HTTP_PROXY): "true"}
    assert given(silent, "RESERVE_AUDIO") == {}


def test_without_them_no_mail_is_sent_and_the_program_says_so(silent: Graph) -> None:
    assert silent.warnings == ("no mail is sent: set mailUrl (docs/deploy.md)",)
    assert [given(silent, name) for name in READERS] == [{}, {}, {}, {}]
    assert mail_ports(silent) == []
    assert "MAIL_URL" not in silent.one("SecretVersion", "imp-backend-env").inputs["secretString"]
    assert run.run(silent, CONTRACTS) == []


def test_each_reaches_the_service_that_reads_it_and_no_other(wired: Graph) -> None:
    assert wired.warnings == ()
    assert {name: given(wired, name).keys() for name in READERS} == READERS
    for name, text in SETTINGS.items():
        assert list(given(wired, name).values()) == [text]
    (source,) = given(wired, "MAIL_URL").values()
    assert source.endswith(":MAIL_URL::")
    assert run.run(wired, CONTRACTS) == []


def test_the_backend_reaches_the_port_of_its_mail_server_alone(wired: Graph) -> None:
    assert mail_ports(wired) == [("backend", 2587)]


def test_the_mail_servers_password_is_in_the_secret_and_nowhere_else(wired: Graph) -> None:
    version = wired.one("SecretVersion", "imp-backend-env")
    assert URL in version.inputs["secretString"]
    assert "secretString" in version.secret_inputs
    assert [each.name for each in wired.resources if "made-up%2Fpassword" in repr(each.inputs)] == [version.name]
    assert "made-up%2Fpassword" not in repr(wired.outputs)


def test_mail_that_is_added_changes_the_backend_alone(silent: Graph) -> None:
    added = mock_run.run("dev", values=values(), secrets=secrets(mock_run.MADE_UP[Secret.MAIL_URL]))
    before = {each.urn: each for each in silent.resources}
    after = {each.urn: each for each in added.resources}
    assert [after[urn].name for urn in after.keys() - before.keys()] == ["backend-to-internet-465-out"]
    changed = {(each.type, each.name) for urn, each in after.items() if urn in before and each != before[urn]}
    assert before.keys() <= after.keys()
    assert {name for _, name in changed} <= {"imp-backend-env", "backend"}
    assert ("aws:ecs/taskDefinition:TaskDefinition", "backend") in changed
