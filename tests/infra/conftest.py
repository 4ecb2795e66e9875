"""Both stacks, each run once for the whole session from its real stack file."""

import copy
from typing import Any

import pytest

from aldea_infra.config import stack_file
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph


@pytest.fixture(scope="session")
def prod() -> Graph:
    return mock_run.run("prod")


@pytest.fixture(scope="session")
def dev() -> Graph:
    return mock_run.run("dev")


KEYS = {
    stack: f"arn:aws:kms:us-west-2:111122223333:key/{digit * 8}-1111-4111-8111-{digit * 12}"
    for stack, digit in (("prod", "1"), ("dev", "2"))
}


def with_state(stack: str, **github: str) -> dict[str, Any]:
    """A stack's file with its state in S3, as docs/deploy.md says."""
    values = copy.deepcopy(stack_file.read(stack))
    values["github"] |= {"stateBucket": "aldea-pulumi-state", "stateKeyArn": KEYS[stack], **github}
    return values


@pytest.fixture(scope="session")
def prod_in_s3() -> Graph:
    return mock_run.run("prod", values=with_state("prod"))


@pytest.fixture(scope="session")
def dev_in_s3() -> Graph:
    """In the account of production, where their isolation is up to the program."""
    values = with_state("dev", oidc="existing")
    values["stack"]["accountId"] = stack_file.read("prod")["stack"]["accountId"]
    return mock_run.run("dev", values=values)


@pytest.fixture(params=["prod", "dev"])
def graph(request: pytest.FixtureRequest) -> Graph:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Graph)
    return found
