"""What the tests of ws_proxy's faults hurt."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from onebox import stores
from onebox.ports import free_port
from onebox.process import Process


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Process]:
    """A Redis for this test to hurt."""
    port = free_port()
    process = Process(stores.redis_spec(tmp_path / "redis", port), log=tmp_path / "redis.log").start()
    process.url = stores.redis_url(port)  # type: ignore[attr-defined]
    yield process
    process.signal(signal.SIGCONT)
    process.stop()
