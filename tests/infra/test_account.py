"""Both stacks in one AWS account: nothing that AWS takes once, or that would open one to the other, is in both."""

import json
from dataclasses import replace
from typing import Any

import pytest

from aldea_infra.checks import run
from aldea_infra.checks.account import faults, unique_names
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph, Registered
from tests.infra.conftest import KEYS, with_state
from tests.infra.contracts import CONTRACTS
from tests.infra.test_damage import Inputs, damaged, statements

POLICY, BOUNDARY = "aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy"


def test_two_stacks_fit_into_one_account(prod_in_s3: Graph, dev_in_s3: Graph) -> None:
    assert len(unique_names(prod_in_s3)) > 40
    assert list(faults(prod_in_s3, dev_in_s3)) == []


@pytest.mark.parametrize("stack", ["prod", "dev"])
def test_a_stack_with_its_state_in_s3_passes_every_check(stack: str, request: pytest.FixtureRequest) -> None:
    assert run.run(request.getfixturevalue(f"{stack}_in_s3"), CONTRACTS) == []


def test_a_boundary_under_one_name_in_two_paths_is_noticed(prod: Graph, dev: Graph) -> None:
    def plain(graph: Graph) -> Graph:
        def renamed(each: Registered) -> Registered:
            return replace(each, inputs={**each.inputs, "name": "boundary"}) if each.name == "boundary" else each

        return replace(graph, resources=[renamed(each) for each in graph.resources])

    assert [each for each in faults(plain(prod), plain(dev)) if "make boundary (aws:iam/policy:Policy)" in each]


def test_a_shared_state_key_is_noticed(prod_in_s3: Graph) -> None:
    dev = mock_run.run("dev", values=with_state("dev", stateKeyArn=KEYS["prod"]))
    assert [each for each in faults(prod_in_s3, dev) if "encrypt their state with" in each]


@pytest.mark.parametrize("accounts", ["one", "two"])
def test_a_second_provider_of_github_tokens_in_an_account_is_noticed(accounts: str, prod: Graph) -> None:
    values = with_state("dev", oidc="create")
    values["stack"]["accountId"] = prod_account() if accounts == "one" else "444455556666"
    found = [each for each in faults(prod, mock_run.run("dev", values=values)) if "GitHub's provider" in each]
    assert bool(found) is (accounts == "one")


def prod_account() -> str:
    return str(with_state("prod")["stack"]["accountId"])


def action(found: dict[str, Any], name: str) -> bool:
    return name in found["Action"]


def widened(found: dict[str, Any]) -> None:
    if action(found, "kms:Decrypt"):
        found.pop("Condition")


def other_keys(found: dict[str, Any]) -> None:
    if action(found, "kms:Decrypt"):
        found["Resource"] = ["arn:aws:kms:us-west-2:111122223333:key/*"]


def whole_bucket(found: dict[str, Any]) -> None:
    if action(found, "s3:GetObject"):
        found["Resource"] = ["arn:aws:s3:::aldea-pulumi-state/*"]


def other_stack(found: dict[str, Any]) -> None:
    if action(found, "s3:GetObject"):
        found["Resource"] = ["arn:aws:s3:::aldea-pulumi-state/prod/*"]


def whole_list(found: dict[str, Any]) -> None:
    if action(found, "s3:ListBucket"):
        found.pop("Condition", None)  # the bucket of access logs is listed without one


@pytest.mark.parametrize("holder", ["ci-preview", "ci-deploy", "boundary"])
@pytest.mark.parametrize("change", [widened, other_keys, whole_bucket, other_stack, whole_list])
def test_a_role_that_reads_another_stacks_state_is_noticed(holder: str, change: Any, dev_in_s3: Graph) -> None:
    kind = BOUNDARY if holder == "boundary" else POLICY
    found = run.run(damaged(dev_in_s3, kind, holder, statements(change)))
    assert [each for each in found if each.startswith(f"state_is_the_stacks_own: {holder} ")], found


def test_pull_requests_decrypt_nothing_of_production(prod_in_s3: Graph, dev_in_s3: Graph) -> None:
    trust = dev_in_s3.one("aws:iam/role:Role", "ci-preview").inputs["assumeRolePolicy"]
    assert ":pull_request" in trust
    held = json.dumps(dev_in_s3.one(POLICY, "ci-preview").json("policy"))
    assert "prod" not in held
    assert KEYS["prod"] not in held
    assert KEYS["dev"] in held
    assert ":pull_request" not in prod_in_s3.one("aws:iam/role:Role", "ci-preview").inputs["assumeRolePolicy"]


def unbound(inputs: Inputs) -> None:
    document = json.loads(inputs["policy"])
    document["Statement"] = [each for each in document["Statement"] if each["Action"] != ["*"]]
    inputs["policy"] = json.dumps(document)


def test_a_boundary_that_lets_other_stacks_be_changed_is_noticed(dev: Graph) -> None:
    found = run.run(damaged(dev, BOUNDARY, "boundary", unbound))
    assert [each for each in found if each.startswith("the_boundary_refuses_other_stacks: ")]
