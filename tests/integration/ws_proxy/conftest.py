"""What the tests of ws_proxy's faults hurt."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onebox import stores
from onebox.ports import free_port
from onebox.process import Process, ProcessSpec
from onebox.stores import http_ok
from tests.support.proxies import ROOT


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Process]:
    """A Redis for this test to hurt."""
    port = free_port()
    process = Process(stores.redis_spec(tmp_path / "redis", port), log=tmp_path / "redis.log").start()
    process.url = stores.redis_url(port)  # type: ignore[attr-defined]
    yield process
    process.signal(signal.SIGCONT)
    process.stop()


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[list[Process]]:
    """Two of them."""
    found = []
    for number in range(2):
        port = free_port()
        spec = ProcessSpec(
            name=f"words-{number}",
            argv=(sys.executable, "-m", "tests.fakes.words", str(port)),
            env={"PYTHONPATH": f"{ROOT}/services:{ROOT}"},
            ready=lambda port=port: http_ok(f"http://127.0.0.1:{port}/stats"),  # type: ignore[misc]
        )
        process = Process(spec, log=tmp_path / f"words-{number}.log").start()
        process.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
        found.append(process)
    yield found
    for process in found:
        process.signal(signal.SIGCONT)
        process.stop()
