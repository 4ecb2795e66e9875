import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from aldea.service.lifecycle import GC_THRESHOLD, LIFECYCLE, Lifecycle, NotReady, new_app
from onebox.ports import free_port

ROOT = Path(__file__).resolve().parents[4]

PROGRAM = """
    import asyncio
    from aldea.service.lifecycle import LIFECYCLE, new_app, run
    from aldea.settings import ServiceSettings

    def make_app(settings):
        app = new_app()

        async def resource(app):
            print("opened", flush=True)
            yield
            print("closed", flush=True)

        app.cleanup_ctx.append(resource)
        app[LIFECYCLE].on_drain(hook)
        return app

    async def hook(lifecycle):
        print("draining", flush=True)
        {hook}
        print("drained", flush=True)

    run("example", ServiceSettings, make_app)
"""


@contextmanager
def running(hook: str = "pass", **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The example service as a process; it has ended afterwards whatever happens."""
    code = textwrap.dedent(PROGRAM).format(hook=hook)
    environment = {"PYTHONPATH": str(ROOT / "services"), "PATH": os.environ["PATH"], **environment}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def read_until(child: subprocess.Popen[str], wanted: str) -> str:
    """The first line of its output that contains `wanted`; the suite's timeout is the deadline."""
    assert child.stdout is not None
    seen = []
    for line in child.stdout:
        seen.append(line)
        if wanted in line:
            return line
    raise AssertionError(f"ended without {wanted!r}: {seen}")


def get(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_then_stops_with_status_0(number: signal.Signals) -> None:
    with running(PORT="0") as child:
        port = json.loads(read_until(child, '"serving"'))["port"]
        assert get(f"http://127.0.0.1:{port}/healthz") == (200, {"status": "ok"})
        child.send_signal(number)
        output, errors = child.communicate(timeout=60)
    assert child.returncode == 0
    order = [word for word in ("draining", "drained", "closed", '"stopped"') if word in output]
    positions = [output.index(f"\n{word}\n" if word.isalpha() else word) for word in order[1:]]
    assert len(order) == 4
    assert positions == sorted(positions)
    assert errors == ""


def test_what_the_start_made_is_out_of_the_garbage_collectors_sight() -> None:
    with running(
        "import gc; print('frozen', gc.get_freeze_count(), gc.get_threshold()[0], flush=True)", PORT="0"
    ) as child:
        read_until(child, '"serving"')
        child.send_signal(signal.SIGTERM)
        frozen, threshold = map(int, read_until(child, "frozen").split()[1:])
        child.communicate(timeout=60)
    assert frozen > 10_000
    assert threshold == GC_THRESHOLD


def test_while_it_drains_it_still_responds_and_says_so() -> None:
    hook = "await lifecycle.deadline_reached()"
    with running(hook, PORT="0", DRAIN_SECONDS="60") as child:
        port = json.loads(read_until(child, '"serving"'))["port"]
        child.send_signal(signal.SIGTERM)
        read_until(child, "draining")
        assert get(f"http://127.0.0.1:{port}/healthz") == (503, {"status": "draining", "reason": "signal"})
        # A second signal is a person in a hurry: the hook is cancelled, the end is still an orderly one.
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "drain cut short" in output
    assert "closed" in output
    assert "drained" not in output


def test_the_drain_ends_at_its_deadline() -> None:
    with running("await lifecycle.deadline_reached()", PORT="0", DRAIN_SECONDS="0.1") as child:
        read_until(child, '"serving"')
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "drained" in output


@pytest.mark.parametrize("variable", ["PORT", "METRICS_PORT"])
def test_a_port_that_is_taken_is_named_in_one_line(variable: str) -> None:
    with running(PORT="0") as first:
        taken = str(json.loads(read_until(first, '"serving"'))["port"])
        with running(**{"PORT": "0", variable: taken}) as second:
            output, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert errors.count("\n") == 1
    assert f"example: cannot listen on 127.0.0.1:{taken}: Address already in use" in errors
    assert f"set another {variable}." in errors
    assert "closed" in output


def test_a_missing_setting_stops_it_with_status_2_and_one_line() -> None:
    with running() as child:
        output, errors = child.communicate(timeout=60)
    assert child.returncode == 2
    assert errors.startswith("example: bad settings: PORT: got nothing; allowed: the TCP port")
    assert errors.count("\n") == 1
    assert output == ""


def test_a_start_that_fails_is_logged_and_leaves_nothing_open() -> None:
    with running(PORT="0", BIND_HOST="no.such.host.invalid") as child:
        output, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "cannot listen on no.such.host.invalid:0" in errors
    assert "closed" in output


def test_metrics_are_served_on_their_own_port() -> None:
    port = free_port()
    with running(PORT="0", METRICS_PORT=str(port)) as child:
        read_until(child, '"serving"')
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
            assert b"aldea_event_loop_lag_seconds" in response.read()


async def test_readiness_names_each_unusable_dependency_without_its_password() -> None:
    app = new_app()

    async def broken() -> None:
        raise OSError("cannot reach redis://u:hunter2@host")

    async def fine() -> None:
        return

    app[LIFECYCLE].ready_check("redis", broken)
    app[LIFECYCLE].ready_check("postgres", fine)
    async with TestClient(TestServer(app)) as client:
        response = await client.get("/readyz")
        body = await response.json()
        assert (await client.get("/healthz")).status == 200
    assert response.status == 503
    assert body["failing"] == {"redis": "unavailable; the service's log says why"}


async def test_what_a_check_of_ours_says_is_shown_and_a_librarys_text_is_logged_once() -> None:
    lifecycle = Lifecycle()
    broken = True

    async def closed() -> None:
        raise NotReady("every circuit is open")

    async def refused() -> None:
        if broken:
            raise OSError("cannot reach 10.1.2.3:6379")

    lifecycle.ready_check("servers", closed)
    lifecycle.ready_check("redis", refused)
    with capture_logs() as lines:
        for _ in range(3):
            failing = await lifecycle.failing_checks()
        broken = False
        await lifecycle.failing_checks()
    assert failing == {"servers": "every circuit is open", "redis": "unavailable; the service's log says why"}
    assert [(line["event"], line.get("reason")) for line in lines] == [
        ("dependency unavailable", "every circuit is open"),
        ("dependency unavailable", "OSError: cannot reach 10.1.2.3:6379"),
        ("dependencies usable again", None),
    ]


async def test_a_dependency_that_does_not_respond_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aldea.service.lifecycle.CHECK_SECONDS", 0.01)
    lifecycle = Lifecycle()

    async def hang() -> None:
        await asyncio.Event().wait()

    lifecycle.ready_check("redis", hang)
    assert "no response" in (await lifecycle.failing_checks())["redis"]


async def test_ready_means_every_check_passed_and_no_drain() -> None:
    app = new_app()
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/readyz")).status == 200
        app[LIFECYCLE].begin_drain("deregistered", 1)
        assert (await (await client.get("/readyz")).json())["failing"] == {"service": "draining"}
        await app[LIFECYCLE].drained()


async def test_a_later_drain_can_only_shorten_the_deadline() -> None:
    lifecycle = Lifecycle()
    calls = []

    async def hook(given: Lifecycle) -> None:
        calls.append(given.reason)
        await given.deadline_reached()

    lifecycle.on_drain(hook)
    lifecycle.begin_drain("deregistered", 600)
    await asyncio.sleep(0)
    lifecycle.begin_drain("signal", 0)
    lifecycle.begin_drain("signal", 900)
    async with asyncio.timeout(60):
        await lifecycle.drained()
    assert calls == ["deregistered"]


async def test_one_hooks_failure_does_not_cut_short_another() -> None:
    lifecycle = Lifecycle()
    done = []

    async def fail(_lifecycle: Lifecycle) -> None:
        raise RuntimeError("broken hook")

    async def slow(_lifecycle: Lifecycle) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        done.append(True)

    lifecycle.on_drain(fail)
    lifecycle.on_drain(slow)
    with capture_logs() as logs:
        lifecycle.begin_drain("signal", 1)
        await lifecycle.drained()
    assert done == [True]
    assert "drain hook failed" in [line["event"] for line in logs]
