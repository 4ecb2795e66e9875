"""An engineer's first ten minutes: whatever a terminal, a port, a disk or a URL does, the platform says it in a line.

Real processes throughout, run by an ordinary user's means: nothing here needs root.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import psutil
import pytest

from onebox import stores
from onebox.home import ROOT
from onebox.ports import free_port
from onebox.process import Process, ProcessSpec
from tests.e2e.box import SAMPLE, SAMPLE_MS, Box, StartBox, environment

PATIENCE_SECONDS = 240.0
TOKEN = "given-token"


def until(condition: Callable[[], object], box: Box) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, box.said
        time.sleep(0.01)


def shell(command: str, **extra: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment(**extra), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip


def without_a_traceback(said: str) -> None:
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.fixture(scope="module")
def stt_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An STT server of somebody else's, which takes a token."""
    port = free_port()
    spec = ProcessSpec(
        name="stt",
        argv=(sys.executable, "-m", "stt_api"),
        env=environment(PORT=str(port), STT_API_TOKEN=TOKEN, STT_WORKERS="1"),
        ready=lambda: stores.http_ok(f"http://127.0.0.1:{port}/readyz"),
    )
    process = Process(spec, log=tmp_path_factory.mktemp("stt") / "log").start(PATIENCE_SECONDS)
    yield f"http://127.0.0.1:{port}"
    process.stop()


@pytest.fixture
async def given_database(postgres_server: stores.Postgres) -> str:
    """An empty database of a PostgreSQL that runs already."""
    connection = await asyncpg.connect(postgres_server.url)
    try:
        await connection.execute('drop database if exists "newcomer"')
        await connection.execute('create database "newcomer"')
    finally:
        await connection.close()
    return postgres_server.url.rpartition("/")[0] + "/newcomer"


def test_stores_and_an_stt_server_that_run_already_are_used_as_they_are(
    start: StartBox, given_database: str, redis_url: str, sqs_endpoint: str, stt_server: str
) -> None:
    name = f"newcomer-{os.getpid()}"
    given = {
        "DATABASE_URL": given_database,
        "REDIS_URL": redis_url,
        "SQS_ENDPOINT_URL": sqs_endpoint,
        "USAGE_QUEUE_URL": f"{sqs_endpoint}/000000000000/{name}",
        "USAGE_DLQ_URL": f"{sqs_endpoint}/000000000000/{name}-dead",
        "STT_UPSTREAMS": stt_server,
        "STT_UPSTREAM_TOKEN": TOKEN,
    }
    without_queues = start("demo", **given)
    assert without_queues.process.wait(PATIENCE_SECONDS) == 1
    assert f"these queues do not exist: {given['USAGE_QUEUE_URL']}, {given['USAGE_DLQ_URL']}" in without_queues.said

    box = start("demo", "--json", "--create-queues", data=without_queues.data, **given)
    until(lambda: box.process.poll() is not None, box)
    assert box.process.returncode == 0, box.said
    outcome = json.loads([line for line in box.said.splitlines() if line.startswith("{")][-1])
    assert outcome["ok"] is True
    assert abs(outcome["billed_seconds"] - SAMPLE_MS / 1000) <= 0.1
    for line in ("DATABASE_URL: PostgreSQL 18.", "REDIS_URL: ", "SQS_ENDPOINT_URL: SQS on ", "STT_UPSTREAMS: STT "):
        assert line in box.said
    assert not {"postgres", "redis", "sqs", "stt_api"} & {path.stem for path in box.data.glob("logs/*.log")}
    # They are somebody else's, and run on.
    assert stores.http_ok(f"{stt_server}/readyz")


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_started(start: StartBox) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        box = start(
            DATABASE_URL="postgresql://me:s3cret@127.0.0.1:1/none",
            REDIS_URL="nonsense",
            SQS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
            STT_UPSTREAMS="http://no-such-host.invalid:8800",
        )
        assert box.process.wait(PATIENCE_SECONDS) == 1
    for line in (
        "DATABASE_URL: nothing listens on 127.0.0.1:1.",
        "REDIS_URL: it does not begin with redis://",
        "SQS_ENDPOINT_URL: no response within 5 s.",
        "STT_UPSTREAMS: the host of no-such-host.invalid:8800 is not known.",
        "Nothing was started.",
    ):
        assert line in box.said
    assert "s3cret" not in box.said
    assert len(box.said.splitlines()) == 6
    assert not list(box.data.glob("logs/*"))
    without_a_traceback(box.said)


def test_a_start_whose_own_tool_fails_passes_on_what_that_says(start: StartBox, data_folder: Path) -> None:
    data = data_folder / "spoilt"
    (data / "postgres").mkdir(parents=True)
    (data / "postgres" / "something").touch()
    (data / "logs").mkdir()
    (data / "logs" / "postgres.log").write_text("FATAL: of another day\n")
    box = start(data=data, STT_WORKERS="1")
    assert box.process.wait(PATIENCE_SECONDS) == 1
    assert "The platform did not start: initdb failed (status 1). It printed:\n  initdb: error: directory" in box.said
    assert "another day" not in box.said
    without_a_traceback(box.said)


@pytest.mark.parametrize("sign", ["lock", "ports.json", "logs/postgres.log", "postgres/PG_VERSION"])
def test_ctrl_c_while_it_starts_is_no_traceback_and_leaves_nothing(
    start: StartBox, data_folder: Path, sign: str
) -> None:
    box = start(data=data_folder / f"ended at {sign.replace('/', ' ')}", STT_WORKERS="1")
    until((box.data / sign).exists, box)
    assert box.end(signal.SIGINT) == 130, box.said
    without_a_traceback(box.said)
    assert not box.left_behind()


def test_ctrl_c_while_it_loads_is_one_sentence() -> None:
    # As at a terminal: a run of the tests in the background of a shell has Ctrl-C ignored, and its children too.
    loading = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
    loading += "import onebox.__main__ as m; m._prepare(); print('loads', flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", loading], env=environment(), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "loads\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert said == "\nonebox: stopped before anything was started\n"


def test_a_reader_who_leaves_ends_it_in_order(data_folder: Path) -> None:
    data = data_folder / "headless"
    command = f"{sys.executable} -m onebox --data {data} run --no-demo --port 0"
    done = shell(f"{command} | head -n 2", STT_WORKERS="1")
    assert done.stderr == "onebox: nobody reads this output any more (its pipe was closed)\n"
    assert len(done.stdout.splitlines()) == 2
    assert not [one for one in psutil.Process().children(recursive=True) if str(data) in " ".join(one.cmdline())]


def test_another_encoding_and_full_logs_are_no_reason_not_to_run(start: StartBox, data_folder: Path) -> None:
    data = data_folder / "plain"
    (data / "logs").mkdir(parents=True)
    for name in ("frontend", "migrations", "postgres"):
        (data / "logs" / f"{name}.log").symlink_to("/dev/full")
    box = start(data=data, STT_WORKERS="1", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    box.wait_ready()
    assert box.end(signal.SIGINT) == 0, box.said
    assert "+ the platform is up" in box.said
    assert box.said.isascii()
    assert f"the log {data}/logs/frontend.log cannot be written: No space left on device" in box.said
    without_a_traceback(box.said)


def test_its_state_follows_restarts_and_a_second_signal_kills_at_once(start: StartBox) -> None:
    box = start(STT_WORKERS="1")
    box.wait_ready()
    first = box.state["pids"]["frontend"]
    os.kill(first, signal.SIGKILL)
    until(lambda: box.state.get("pids", {}).get("frontend", first) != first, box)
    assert psutil.pid_exists(box.state["pids"]["frontend"])

    # One that does not end by itself.
    os.kill(box.state["pids"]["balancer"], signal.SIGSTOP)
    box.remember_family()
    box.process.send_signal(signal.SIGINT)
    until(lambda: "stopping everything" in box.said, box)
    assert box.end(signal.SIGINT) == 0, box.said
    assert "balancer was killed, as asked" in box.said
    assert "did not end in time" not in box.said
    assert not box.left_behind()


def test_the_line_to_try_is_whole_and_shows_no_key(start: StartBox) -> None:
    box = start("run", STT_WORKERS="1")
    until(lambda: "Ctrl-C stops everything." in box.said, box)
    command = next(line for line in box.said.splitlines() if line.startswith("try ")).removeprefix("try").strip()
    assert box.key not in box.said
    assert str(SAMPLE) in command
    words = subprocess.run(
        ["/bin/sh", "-c", f"{command} --fast"],
        env={"PATH": os.environ["PATH"]}, cwd=box.data, capture_output=True, text=True,
        timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert words.returncode == 0, words.stderr
    assert "under the old bridge" in words.stdout


def test_data_is_not_removed_below_a_running_platform(tmp_path: Path, start: StartBox) -> None:
    clone = tmp_path / "a clone"
    (clone / "scripts").mkdir(parents=True)
    for name in ("Makefile", "scripts/clean"):
        shutil.copy(ROOT / name, clone / name)
    box = start(data=clone / ".onebox", STT_WORKERS="1")
    until((box.data / "lock").exists, box)
    until(lambda: (box.data / "lock").read_text().strip(), box)
    for target in ("clean", "clean-data"):
        refused = shell(f"cd '{clone}' && make {target}")
        assert refused.returncode != 0
        assert f"the platform runs (process {box.process.pid}); stop it first" in refused.stderr
    assert box.data.is_dir()
    box.end(signal.SIGINT)
    (clone / ".venv").mkdir()
    assert shell(f"cd '{clone}' && make clean-data").returncode == 0
    assert not box.data.exists()
    assert (clone / ".venv").is_dir()
    assert shell(f"cd '{clone}' && make clean").returncode == 0
    assert not (clone / ".venv").exists()
