"""Each alert fires in a real Prometheus on the fault that it is there for, and ends with it; times are a 60th."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession

from onebox.observe.faster import MOST
from onebox.observe.units import SHIPPED
from onebox.ports import free_port, port_accepts
from onebox.process import Process, ProcessSpec
from tests.e2e.box import Box, start_box
from tests.e2e.game_day import FAULTS, PLACES, Day, Fault
from tests.support.proxies import ROOT
from tests.support.queue_relay import QueueRelay, queue_relay


def test_every_alert_has_a_fault() -> None:
    groups = yaml.safe_load((SHIPPED / "rules.yml").read_text())["groups"]
    shipped = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
    staged = [alert for fault in FAULTS for alert in fault.alerts]
    assert sorted(staged) == sorted(shipped)


@pytest.fixture(scope="module")
def stt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The platform's only STT server."""
    port = free_port()
    spec = ProcessSpec(
        name="stt",
        argv=(sys.executable, "-m", "tests.fakes.stt", str(port), str(PLACES)),
        env={"PYTHONPATH": f"{ROOT}/services:{ROOT}", "PORT": str(port)},
        ready=lambda: port_accepts(port),
    )
    process = Process(spec, log=tmp_path_factory.mktemp("stt") / "log").start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def relay(sqs_endpoint: str) -> Iterator[QueueRelay]:
    with queue_relay(sqs_endpoint) as relay:
        yield relay


@pytest.fixture(scope="module")
def box(data_folder: Path, stt: Process, relay: QueueRelay) -> Iterator[Box]:
    """A onebox of this file's own, observed by a Prometheus whose rules are in quick motion."""
    box = start_box(
        data_folder / "game-day", "run", "--no-demo", "--observe", f"--faster={MOST}", "--create-queues",
        SQS_ENDPOINT_URL=relay.url, STT_UPSTREAMS=f"http://127.0.0.1:{stt.spec.env['PORT']}",
    )  # fmt: skip
    box.wait_ready()
    yield box
    assert box.end() == 0, box.said
    assert not box.left_behind()


@pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="prometheus is not installed (a package of Debian), so no alert can be seen to fire",
)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_raises_its_alerts_and_they_end_with_it(
    box: Box, stt: Process, relay: QueueRelay, sqs_endpoint: str, fault: Fault
) -> None:
    async with ClientSession() as http:
        day = Day(box, stt, relay, sqs_endpoint, http)
        await day.until_served()
        await day.until_quiet(fault.alerts)
        async with fault.stage(day):
            await day.until_raised(fault.alerts)
        await day.until_served()
        await day.until_quiet(fault.alerts)
