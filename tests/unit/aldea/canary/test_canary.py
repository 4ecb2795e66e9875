import asyncio
import json
import os
import signal
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from aldea.canary import __main__ as canary
from aldea.canary.__main__ import Probe, emf
from aldea.canary.reports import Outcome, Reports, Step
from aldea.tasks import spawn
from tests.fakes.platform import FakePlatform

TRUTH = "one two three four"
SECONDS = 0.2


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(int(8000 * SECONDS) * 2))
    path.with_suffix(".txt").write_text(TRUTH)
    return path


@asynccontextmanager
async def probing(platform: FakePlatform, sample: Path) -> AsyncIterator[Probe]:
    async with TestServer(platform.app()) as server:
        yield Probe(str(server.make_url("")).rstrip("/"), "org_canary", sample)


async def run(platform: FakePlatform, sample: Path) -> Outcome:
    async with probing(platform, sample) as probe:
        return await probe.run()


async def test_a_good_run_streams_uploads_and_reads_the_bill(sample: Path) -> None:
    platform = FakePlatform(TRUTH, SECONDS)
    outcome = await run(platform, sample)
    assert outcome.ok
    assert [(step.name, step.ok) for step in outcome.steps] == [("stream", True), ("upload", True), ("usage", True)]
    assert outcome.steps[2].said == "2 requests billed to the millisecond"
    assert len(platform.rows) == 2


@pytest.mark.parametrize(
    ("platform", "failed", "said"),
    [
        (FakePlatform("one two", SECONDS), {"stream", "upload"}, "word error rate is 0.50"),
        (FakePlatform(TRUTH, 5.0), {"stream", "upload"}, "5.000 s were heard of 0.200 s"),
        (FakePlatform(TRUTH, SECONDS, billed=0.201), {"usage"}, "0.201 s are billed, 0.200 s were heard"),
        (FakePlatform(TRUTH, SECONDS, close_code=1011), {"stream"}, "close code 1011"),
        (FakePlatform(TRUTH, SECONDS, upload_body=b"{}"), {"upload"}, "not a transcript"),
        (FakePlatform(TRUTH, SECONDS, refuse=503), {"stream", "upload", "usage"}, "status 503"),
    ],
    ids=["words", "length", "bill", "close", "upload", "refused"],
)
async def test_each_fault_fails_its_step_and_says_what_was_seen(
    sample: Path, platform: FakePlatform, failed: set[str], said: str
) -> None:
    outcome = await run(platform, sample)
    assert not outcome.ok
    assert {step.name for step in outcome.steps if not step.ok} == failed
    assert any(said in step.said for step in outcome.steps)
    assert "org_canary" not in json.dumps([step.said for step in outcome.steps])


async def test_a_bill_that_never_comes_is_a_fault(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "USAGE_SECONDS", 0.2)
    monkeypatch.setattr(canary, "_POLL_SECONDS", 0.02)
    outcome = await run(FakePlatform(TRUTH, SECONDS, rows_final=False), sample)
    assert [step.name for step in outcome.steps if not step.ok] == ["usage"]
    assert "no final usage row" in outcome.steps[2].said


async def test_the_loop_runs_again_and_again_and_ends_at_once_on_sigterm(sample: Path) -> None:
    seen: list[Outcome] = []
    twice = asyncio.Event()

    def report(outcome: Outcome) -> None:
        seen.append(outcome)
        if len(seen) == 2:
            twice.set()

    class Remembered(Reports):
        async def send(self, run: Mapping[str, Any]) -> None:
            self.waiting.append(dict(run))

    reports = Remembered("http://127.0.0.1:1", "org_canary")
    async with probing(FakePlatform(TRUTH, SECONDS), sample) as probe:
        looping = spawn(canary.loop(probe, 0.01, report, reports), name="canary")
        async with asyncio.timeout(60):
            await twice.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await looping
    assert all(outcome.ok for outcome in seen)
    assert {(run["stream"], run["upload"], run["usage"]) for run in reports.waiting} == {(True, True, True)}


def test_metrics_hold_what_was_measured_and_leave_out_what_was_not() -> None:
    stream = Step("stream", ok=True, said="", figures={"connect": 0.02, "first_words": 0.7})
    bad = Outcome(ok=False, seconds=1.0, steps=(stream, Step("upload", ok=False, said="refused", figures={})))
    (document,) = map(json.loads, emf(bad, "canary", "prod", 1))
    assert document["aldea_canary_success"] == 0.0
    assert document["aldea_canary_stream_first_words_seconds"] == 0.7
    assert "aldea_canary_upload_answer_seconds" not in document
    assert document["ServiceName"] == "canary"


def test_without_an_address_or_a_key_the_command_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CANARY_KEY", raising=False)
    with pytest.raises(SystemExit) as ended:
        canary.main(["--url", "http://127.0.0.1:1"])
    assert ended.value.code == 2
    assert "--key" in capsys.readouterr().err


def test_the_command_prints_lines_for_a_person_and_json_for_a_machine(
    capsys: pytest.CaptureFixture[str], sample: Path
) -> None:
    arguments = ["--url", "http://127.0.0.1:1", "--key", "org_canary", "--sample", str(sample), "--emf"]
    assert canary.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "FAIL  stream" in printed
    assert '"aldea_canary_success": 0.0' in printed
    assert canary.main([*arguments[:-1], "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
