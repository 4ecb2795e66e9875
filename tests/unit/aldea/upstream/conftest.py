import pytest

from tests.unit.aldea.upstream.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()
