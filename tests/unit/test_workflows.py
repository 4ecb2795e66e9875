"""GitHub's workflows: what they call exists here, and they can do no more than they need. `make lint` checks more."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aldea_infra import release
from aldea_infra.components.ci_roles import SESSION_SECONDS
from aldea_infra.components.fargate_service import DEPLOYMENT_TIMEOUT
from aldea_infra.config import stack_file

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PIN = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
# Written by the targets themselves.
MADE = ".deploy/"


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def triggers(name: str) -> dict[str, Any]:
    # YAML 1.1, which the parser speaks, reads `on` as true; GitHub does not.
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text().replace("\non:\n", "\ntriggers:\n")
    found: dict[str, Any] = yaml.safe_load(text)["triggers"]
    return found


def workflow(name: str) -> dict[str, Any]:
    return load(ROOT / ".github" / "workflows" / f"{name}.yml")


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            yield f"{path.stem}/{name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs():
        for step in job.get("steps", []):
            yield f"{name}/{step.get('name', step.get('uses'))}", step


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(script: str) -> list[str]:
    return [part.strip() for part in re.split(r"&&|\|\||;|\n", script) if part.strip()]


def test_the_workflows_are_there() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "preview", "deploy", "drift", "weekly"}


def test_a_step_only_calls_make_targets_that_exist() -> None:
    ran = [(name, command) for name, step in steps() if "run" in step for command in commands(step["run"])]
    assert len(ran) > 20
    for name, command in ran:
        if command.startswith("cat .deploy/"):  # into the run's summary
            continue
        program, target, *settings = command.split()
        assert program == "make", f"{name}: {command}"
        assert target in targets(), f"{name}: make {target}"
        assert all("=" in setting for setting in settings), f"{name}: {command}"


def test_every_path_that_a_workflow_names_exists() -> None:
    seen = []
    for name, step in steps():
        path = step.get("with", {}).get("path", "")
        seen += [(name, each) for each in path.split() if not each.startswith(MADE.rstrip("/"))]
    for name, job in jobs():
        if "uses" in job:
            seen.append((name, job["uses"].removeprefix("./")))
    assert seen
    for name, path in seen:
        assert (ROOT / path).exists(), f"{name} names {path}"


def test_every_script_that_the_makefile_names_exists_and_can_be_run() -> None:
    scripts = set(re.findall(r"@(scripts/[a-z-]+)", (ROOT / "Makefile").read_text()))
    assert {"scripts/deploy", "scripts/smoke", "scripts/preview", "scripts/comment", "scripts/images"} <= scripts
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_every_action_is_pinned_by_commit_and_says_which_version_that_is() -> None:
    for path in WORKFLOWS:
        for line in path.read_text().splitlines():
            if found := re.match(r"\s*(?:- )?uses: (\S+)(.*)", line):
                if found[1].startswith("./"):
                    continue
                assert PIN.match(found[1]), f"{path.name}: {found[1]}"
                assert re.fullmatch(r" # v\d+\.\d+\.\d+", found[2]), f"{path.name}: {line}"


def test_an_action_has_one_version_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for _, step in steps():
        if "uses" in step:
            action, _, commit = step["uses"].partition("@")
            pins.setdefault(action, set()).add(commit)
    assert {action: len(commits) for action, commits in pins.items() if len(commits) > 1} == {}


def test_nothing_is_permitted_but_what_a_job_names() -> None:
    for path in WORKFLOWS:
        assert load(path)["permissions"] == {}, path.name
    allowed = {"contents": "read", "id-token": "write", "pull-requests": "write"}
    for name, job in jobs():
        assert job["permissions"].items() <= allowed.items(), name
        if "uses" not in job:
            assert job["timeout-minutes"] <= 360, name  # GitHub's own limit


def test_no_job_both_runs_a_pull_requests_code_and_holds_the_token_that_comments() -> None:
    for name, job in jobs():
        if "pull-requests" not in job["permissions"]:
            continue
        assert "id-token" not in job["permissions"], name
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"]["ref"] for step in checkouts] == ["${{ github.event.pull_request.base.sha }}"], name


def test_no_credential_is_stored_and_none_stays_in_the_checkout() -> None:
    for path in WORKFLOWS:
        assert "secrets." not in path.read_text(), path.name
    for name, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, name


def test_a_deployment_waits_for_the_checks_and_is_never_cut_off_by_the_next() -> None:
    deploy = workflow("deploy")
    assert triggers("deploy") == {"push": {"branches": ["dev", "main"]}}
    assert deploy["concurrency"]["cancel-in-progress"] is False
    assert deploy["jobs"]["deploy"]["needs"] == ["checks"]
    assert deploy["jobs"]["checks"]["uses"].endswith("ci.yml")
    assert "workflow_call" in triggers("ci")
    # In a called workflow github.workflow is the caller's name: a group of it would wait for its own caller forever.
    assert "github.workflow" not in workflow("ci")["concurrency"]["group"]


def test_a_deployment_pushes_updates_compares_tries_and_goes_back_if_any_of_that_fails() -> None:
    run = [step["run"].split()[1] for step in workflow("deploy")["jobs"]["deploy"]["steps"] if "run" in step]
    assert run == [
        "setup", "deploy-begin", "push-images", "sign-images", "deploy-migrate", "deploy-staged", "deploy-verify",
        "smoke", "deploy-prune",
    ]  # fmt: skip
    back = workflow("deploy")["jobs"]["rollback"]
    assert [step["run"].split()[1] for step in back["steps"] if "run" in step] == ["setup", "deploy-rollback"]
    # A job of its own, which a cancellation of the other does not skip.
    assert back["needs"] == ["deploy"]
    assert all(word in back["if"] for word in ("always()", "'failure'", "'cancelled'"))
    assert back["environment"] == workflow("deploy")["jobs"]["deploy"]["environment"]


def test_what_a_rollback_goes_back_to_is_kept_before_the_stack_is_touched() -> None:
    steps = workflow("deploy")["jobs"]["deploy"]["steps"]
    names = [str(step.get("with", {}).get("name", step.get("run"))) for step in steps]
    kept = names.index("previous-${{ env.STACK }}")
    assert names.index("make deploy-begin") < kept < names.index("make deploy-staged")
    assert steps[kept]["with"]["path"] == ".deploy/previous.json"
    taken = [step for step in workflow("deploy")["jobs"]["rollback"]["steps"] if "download" in step.get("uses", "")]
    assert [step["with"]["name"] for step in taken] == ["previous-${{ env.STACK }}"]


@pytest.mark.parametrize("job", ["deploy", "rollback"])
def test_the_time_limits_of_a_deployment_fit_into_one_another(job: str) -> None:
    found = workflow("deploy")["jobs"][job]
    limits = {step["run"].split()[1]: step["timeout-minutes"] for step in found["steps"] if "run" in step}
    (session,) = {
        step["with"]["role-duration-seconds"]
        for step in found["steps"]
        if "role-duration-seconds" in step.get("with", {})
    }
    update, comparison = int(DEPLOYMENT_TIMEOUT.removesuffix("m")), release.STEADY_SECONDS / 60
    assert limits.get("deploy-staged", 3 * update + 1) > 3 * update
    assert limits.get("deploy-verify", comparison + 1) > comparison
    assert limits.get("deploy-rollback", update + comparison + 1) > update + comparison
    # Some minutes for what is no command: checkout, tools, signing in.
    assert sum(limits.values()) + 5 <= found["timeout-minutes"]
    assert found["timeout-minutes"] * 60 <= session <= SESSION_SECONDS


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_roles_trust_the_environments_that_the_workflows_run_in(stack: str) -> None:
    github = stack_file.read(stack)["github"]
    deploy = workflow("deploy")["jobs"]["deploy"]["environment"]["name"]
    assert deploy == "${{ github.ref_name == 'main' && 'prod' || 'dev' }}"
    assert github["deployEnvironment"] == stack
    preview = workflow("preview")["jobs"][stack]
    subject = f"environment:{preview['environment']}" if "environment" in preview else "pull_request"
    assert github["previewSubject"] == subject
    drift = workflow("drift")["jobs"]["drift"]
    assert stack in drift["strategy"]["matrix"]["stack"]
    assert drift["environment"] == "${{ matrix.stack }}-drift"


def test_the_pulumi_cli_is_the_version_that_the_program_is_locked_to() -> None:
    (locked,) = re.findall(r"^pulumi==([\d.]+)", (ROOT / "requirements" / "infra.txt").read_text(), re.MULTILINE)
    given = {
        step["with"]["pulumi-version"] for _, step in steps() if step.get("uses", "").startswith("pulumi/actions@")
    }
    assert given == {locked}


def test_the_tests_run_on_every_python_that_the_project_allows() -> None:
    matrix = workflow("ci")["jobs"]["test"]["strategy"]["matrix"]["python"]
    (low, high) = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())[0]
    assert matrix == [f"3.{minor}" for minor in range(int(low), int(high))]


def test_where_all_tests_run_a_browser_is_named_so_that_none_of_them_is_skipped() -> None:
    [step] = [step for _, step in steps() if step.get("run") == "make test"]
    assert step["env"]["CHROMIUM"].startswith("/")
