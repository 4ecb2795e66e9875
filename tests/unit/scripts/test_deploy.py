"""The steps of a deployment, each with a `pulumi` that writes down its calls."""

import json

import pytest

from tests.unit.scripts.conftest import Place

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def test_the_beginning_notes_what_runs(place: Place) -> None:
    place.prints("config-get", "org_key")
    place.prints("running.json", json.dumps({"backend": OLD}))
    said = place.run("deploy", "begin", STACK="dev")
    assert said.returncode == 0, said.stderr
    assert json.loads((place.deploy / "previous.json").read_text()) == {"backend": OLD}
    assert "org_key" not in said.stdout + said.stderr


def test_a_stack_that_could_not_be_tried_afterwards_is_not_deployed(place: Place) -> None:
    place.fail("config")
    said = place.run("deploy", "begin", STACK="dev")
    assert said.returncode == 2
    assert "canaryKey" in said.stderr
    assert not (place.deploy / "previous.json").exists()


def test_what_runs_is_not_noted_if_it_cannot_be_read(place: Place) -> None:
    place.fail("python")
    assert place.run("deploy", "begin", STACK="dev").returncode != 0
    assert not (place.deploy / "previous.json").exists()


def test_an_update_is_one_of_the_digests_and_of_nothing_that_was_not_requested(place: Place) -> None:
    (place.deploy / "images.json").write_text(json.dumps({"backend": NEW, "ws-proxy": OLD}))
    said = place.run("deploy", "up", STACK="prod")
    assert said.returncode == 0, said.stderr
    assert place.calls == [
        f"pulumi config set --stack prod --path images.backend {NEW}",
        f"pulumi config set --stack prod --path images.ws-proxy {OLD}",
        "pulumi up --stack prod --yes --skip-preview --non-interactive --color never",
    ]


@pytest.mark.parametrize("command", ["config", "up"])
def test_a_failing_update_fails_the_step(place: Place, command: str) -> None:
    (place.deploy / "images.json").write_text(json.dumps({"backend": NEW}))
    place.fail(command)
    assert place.run("deploy", "up", STACK="prod").returncode != 0
    assert ("pulumi up" in " ".join(place.calls)) is (command == "up")


def test_an_update_without_digests_says_what_to_run_first(place: Place) -> None:
    said = place.run("deploy", "up", STACK="prod")
    assert said.returncode == 2
    assert "make push-images" in said.stderr
    assert place.calls == []


def test_a_rollback_updates_to_what_ran_before_and_compares_that(place: Place) -> None:
    (place.deploy / "images.json").write_text(json.dumps({"backend": NEW}))
    (place.deploy / "previous.json").write_text(json.dumps({"backend": OLD}))
    said = place.run("deploy", "rollback", STACK="dev")
    assert said.returncode == 0, said.stderr
    assert place.calls == [
        "pulumi cancel --stack dev --yes --non-interactive --color never",
        f"pulumi config set --stack dev --path images.backend {OLD}",
        "pulumi up --stack dev --yes --skip-preview --non-interactive --color never",
        "python -m aldea_infra.release verify dev --images .deploy/previous.json",
    ]


def test_a_rollback_goes_on_where_no_update_left_a_lock(place: Place) -> None:
    (place.deploy / "previous.json").write_text(json.dumps({"backend": OLD}))
    place.fail("cancel")
    said = place.run("deploy", "rollback", STACK="dev")
    assert said.returncode == 0, said.stderr
    assert "no lock" in said.stderr
    assert [line for line in place.calls if line.startswith("pulumi up")]


def test_no_step_runs_without_a_stack(place: Place) -> None:
    said = place.run("deploy", "up")
    assert said.returncode == 2
    assert "STACK" in said.stderr
    assert place.calls == []


def test_an_unknown_step_names_the_known_ones(place: Place) -> None:
    said = place.run("deploy", "everything", STACK="dev")
    assert said.returncode == 2
    assert "begin, migrate, up, staged, verify, prune, rollback" in said.stderr
