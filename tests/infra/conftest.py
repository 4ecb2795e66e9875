"""Both stacks, each run once for the whole session from its real stack file."""

import pytest

from aldea_infra import rehearsal
from aldea_infra.graph import Graph


@pytest.fixture(scope="session")
def prod() -> Graph:
    return rehearsal.run("prod")


@pytest.fixture(scope="session")
def dev() -> Graph:
    return rehearsal.run("dev")


@pytest.fixture(params=["prod", "dev"])
def graph(request: pytest.FixtureRequest) -> Graph:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Graph)
    return found
