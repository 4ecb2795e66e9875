"""`python -m aldea.canary --url … --key …`: one stream and one upload through any address, words and bill checked."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Gauge

from aldea import log as logs
from aldea.canary.accuracy import word_error_rate
from aldea.canary.client import StreamFailed, StreamOutcome, UploadOutcome, read_recording, stream_file, upload_file
from aldea.canary.reports import STREAM, UPLOAD, USAGE, Outcome, Reports, Step, as_run
from aldea.metrics import EmfEmitter
from aldea.tasks import cancel, spawn

log = structlog.get_logger("aldea.canary")

# An image mirrors the repository's layout, so the sample lies at the same place in both.
SAMPLE: Final = Path(__file__).resolve().parents[3] / "onebox" / "samples" / "speech.wav"
MAX_WORD_ERROR_RATE: Final = 0.15
# How far the audio that was received may be from the sample's length.
MAX_LENGTH_DIFFERENCE_SECONDS: Final = 0.1
# From the end of a request to its row: readings pass Redis, SQS and the updater.
USAGE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5
_REQUEST_SECONDS: Final = 10.0
# A run that hangs must not keep the loop from the next: longer than any of its own deadlines in ordinary use.
RUN_SECONDS: Final = 480.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What is tried: where, with which key and sample, and how wrong the words may be.

    The key needs the scopes usage:write, and usage:read and project:read where the bill is checked too.
    """

    url: str
    key: str
    sample: Path = SAMPLE
    max_word_error_rate: float = MAX_WORD_ERROR_RATE
    check_usage: bool = True

    async def run(self) -> Outcome:
        """One stream, one upload, and their usage rows. Never raises for what the platform does."""
        began = time.monotonic()
        steps: list[Step] = []
        requests: list[tuple[str, float]] = []  # request id, audio seconds

        async def stream() -> Step:
            outcome = await stream_file(self.sample, self.url, self.key)
            requests.append((outcome.request_id, outcome.duration))
            return self._judge(STREAM, outcome, _live_figures(outcome))

        async def upload() -> Step:
            outcome = await upload_file(self.sample, self.url, self.key)
            requests.append((outcome.request_id, outcome.duration))
            return self._judge(UPLOAD, outcome, {"answer": outcome.seconds})

        async def usage() -> Step:
            return await self._usage(requests)

        for name, step in ((STREAM, stream), (UPLOAD, upload), *(((USAGE, usage),) if self.check_usage else ())):
            steps.append(await _attempt(name, step))
        return Outcome(all(step.ok for step in steps), time.monotonic() - began, tuple(steps))

    def _judge(self, name: str, outcome: StreamOutcome | UploadOutcome, figures: dict[str, float]) -> Step:
        length = read_recording(self.sample).seconds
        rate = word_error_rate(self.sample.with_suffix(".txt").read_text(), outcome.transcript)
        faults = []
        if rate > self.max_word_error_rate:
            faults.append(f"the word error rate is {rate:.2f}, at most {self.max_word_error_rate} is allowed")
        if abs(outcome.duration - length) > MAX_LENGTH_DIFFERENCE_SECONDS:
            faults.append(f"{outcome.duration:.3f} s were heard of {length:.3f} s")
        said = "; ".join(faults) or f"{outcome.duration:.3f} s heard, word error rate {rate:.3f}"
        return Step(name, not faults, f"{said} (request {outcome.request_id})", figures)

    async def _usage(self, requests: Sequence[tuple[str, float]]) -> Step:
        if not requests:
            return Step(USAGE, ok=False, said="nothing was transcribed, so there is no bill to check", figures={})
        began = time.monotonic()
        deadline = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
        async with aiohttp.ClientSession(headers={"Authorization": f"Token {self.key}"}, timeout=deadline) as session:
            projects = (await _get(session, f"{self.url}/v1/projects"))["projects"]
            if not projects:
                return Step(USAGE, ok=False, said="the key sees no project: give it project:read", figures={})
            rows = f"{self.url}/v1/projects/{projects[0]['project_id']}/requests"
            faults = []
            for request_id, heard in requests:
                row = await _final_row(session, f"{rows}/{request_id}")
                if row is None:
                    faults.append(f"no final usage row for {request_id} within {USAGE_SECONDS:g} s")
                elif round(row["audio_seconds"] * 1000) != round(heard * 1000):
                    faults.append(f"{request_id}: {row['audio_seconds']:.3f} s are billed, {heard:.3f} s were heard")
        lag = time.monotonic() - began
        said = "; ".join(faults) or f"{len(requests)} requests billed to the millisecond"
        return Step(USAGE, not faults, said, {"lag": lag})


def _live_figures(outcome: StreamOutcome) -> dict[str, float]:
    figures = {"connect": outcome.connect_seconds, "last_words": outcome.last_words_seconds}
    if outcome.first_words_seconds is not None:
        figures["first_words"] = outcome.first_words_seconds
    return figures


async def _attempt(name: str, step: Callable[[], Awaitable[Step]]) -> Step:
    try:
        return await step()
    except (StreamFailed, aiohttp.ClientError, OSError) as failure:
        return Step(name, ok=False, said=str(failure) or type(failure).__name__, figures={})
    except TimeoutError:
        return Step(name, ok=False, said="no response in time", figures={})
    except (ValueError, LookupError, TypeError) as failure:
        return Step(name, ok=False, said=f"a response of another shape than the contract's: {failure!r}", figures={})


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as response:
        if response.status != 200:
            raise StreamFailed(f"{url} responded with status {response.status}.")
        return await response.json()


async def _final_row(session: aiohttp.ClientSession, url: str) -> dict[str, Any] | None:
    """The request's row once it is final; None if that does not come."""
    until = time.monotonic() + USAGE_SECONDS
    while time.monotonic() < until:
        async with session.get(url) as response:
            if response.status == 200:
                row: dict[str, Any] = (await response.json())["request"]
                if row["state"] == "final":
                    return row
            elif response.status != 404:
                raise StreamFailed(f"{url} responded with status {response.status}.")
        await asyncio.sleep(_POLL_SECONDS)
    return None


_MEASURES: Final = {
    (STREAM, "connect"): "To the server's 101",
    (STREAM, "first_words"): "From the first audio to the first words",
    (STREAM, "last_words"): "From CloseStream to the server's Close",
    (UPLOAD, "answer"): "From the request to its whole response",
    (USAGE, "lag"): "From the last response to the final usage rows",
}


def emf(outcome: Outcome, service: str, environment: str, now_ms: int) -> list[str]:
    """One run as EMF documents. What it could not measure is not in them: a 0 would be a fine figure of a bad run."""
    registry = CollectorRegistry()
    Gauge("aldea_canary_success", "1 if the run was good, else 0", registry=registry).set(float(outcome.ok))
    seen = {(step.name, figure): value for step in outcome.steps for figure, value in step.figures.items()}
    for (step, figure), meaning in _MEASURES.items():
        if (step, figure) in seen:
            Gauge(f"aldea_canary_{step}_{figure}_seconds", meaning, registry=registry).set(seen[step, figure])
    return EmfEmitter(service, environment).documents(registry.collect(), now_ms)


async def loop(probe: Probe, every: float, report: Callable[[Outcome], None], reports: Reports | None = None) -> None:
    """Run the probe every `every` seconds, from start to start, until SIGTERM or SIGINT.

    `reports`: where runs are sent too.
    """
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    stopped = spawn(ended.wait(), name="ended")
    while not stopped.done():
        began, began_ms = time.monotonic(), time.time_ns() // 1_000_000
        running = spawn(asyncio.wait_for(probe.run(), RUN_SECONDS), name="run")
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await cancel(running)
            return
        outcome = _outcome_of(running, began)
        report(outcome)
        if reports is not None:
            sending = spawn(reports.send(as_run(outcome, began_ms)), name="report")
            await asyncio.wait({sending, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await cancel(sending)
        await asyncio.wait({stopped}, timeout=max(0.0, every - (time.monotonic() - began)))


def _outcome_of(running: asyncio.Task[Outcome], began: float) -> Outcome:
    if isinstance(running.exception(), TimeoutError):
        step = Step("run", ok=False, said=f"no end within {RUN_SECONDS:g} s", figures={})
        return Outcome(ok=False, seconds=time.monotonic() - began, steps=(step,))
    return running.result()


def table(outcome: Outcome) -> str:
    """The outcome for a person, a line a step."""
    lines = []
    for step in outcome.steps:
        figures = "  ".join(f"{name.replace('_', ' ')} {value:.3f} s" for name, value in step.figures.items())
        lines.append(
            f"{'ok  ' if step.ok else 'FAIL'}  {step.name:<7} {step.said}"
            + (f"\n              {figures}" if figures else "")
        )
    lines.append(f"{'ok' if outcome.ok else 'FAILED'} after {outcome.seconds:.1f} s")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    environment = os.environ
    parser = argparse.ArgumentParser(prog="python -m aldea.canary", description=__doc__)
    parser.add_argument("--url", default=environment.get("CANARY_URL"), help="the platform's address (or CANARY_URL)")
    parser.add_argument(
        "--key", default=environment.get("CANARY_KEY"), help="an API key (or CANARY_KEY, which no process list shows)"
    )
    parser.add_argument("--sample", type=Path, default=SAMPLE, help="16-bit WAV, its true text beside it as .txt")
    parser.add_argument("--max-word-error-rate", type=float, default=MAX_WORD_ERROR_RATE, metavar="RATE")
    parser.add_argument("--no-usage", action="store_true", help="do not look at the bill")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("--emf", action="store_true", help="print CloudWatch EMF metrics too (the loop always does)")
    every = float(environment.get("CANARY_INTERVAL_SECONDS") or 60)
    parser.add_argument(
        "--loop", nargs="?", type=float, const=every, metavar="SECONDS",
        help="for ever, a run every so many seconds (CANARY_INTERVAL_SECONDS, else 60)",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the canary; exit status 0 if all is well, 1 if not, 2 for unusable arguments."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if not chosen.url or not chosen.key:
        parser.error("an address and a key are needed: give --url and --key, or set CANARY_URL and CANARY_KEY")
    probe = Probe(
        chosen.url.rstrip("/"), chosen.key, chosen.sample, chosen.max_word_error_rate, check_usage=not chosen.no_usage
    )
    service, environment = os.environ.get("SERVICE_NAME") or "canary", os.environ.get("ENVIRONMENT") or "local"

    def emit(outcome: Outcome) -> None:
        for document in emf(outcome, service, environment, time.time_ns() // 1_000_000):
            print(document, flush=True)  # noqa: T201 - EMF is read from standard output

    def report(outcome: Outcome) -> None:
        emit(outcome)
        (log.info if outcome.ok else log.error)("canary run", **asdict(outcome))

    if chosen.loop is not None:
        logs.configure(service, environment=environment)
        asyncio.run(loop(probe, chosen.loop, report, Reports(probe.url, probe.key)))
        return 0
    outcome = asyncio.run(probe.run())
    print(json.dumps(asdict(outcome)) if chosen.json else table(outcome))  # noqa: T201 - a command's output
    if chosen.emf:
        emit(outcome)
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
