"""Runs a client's program against a onebox: its words have to be right, and the bill of each of its requests."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aldea.canary.accuracy import word_error_rate
from onebox.usage_row import NotBilled, final_usage_row
from tests.clients.python_environment import packages
from tests.clients.tap import Sent, tap
from tests.e2e.box import Box, environment
from tests.e2e.test_recorded import SENTENCE
from tests.e2e.test_sdk import SENTENCE_MS

RUN_SECONDS: Final = 900
MAX_WORD_ERROR_RATE: Final = 0.15
BILL_TOLERANCE_MS: Final = 1  # a bill has whole milliseconds


async def judged(
    command: Sequence[str], folder: Path, box: Box, extra: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """The wires that a program tried, and its faults. One for Python is a list of packages in braces, and its file."""
    if command[0].startswith("{"):
        path = await asyncio.to_thread(packages, command[0].strip("{}"))
        command, extra = (sys.executable, *command[1:]), {**extra, "PYTHONPATH": path}
    async with tap(box.port) as way:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**environment(ALDEA_URL=way.url, ALDEA_KEY=box.key), **extra},
        )  # fmt: skip
        try:
            async with asyncio.timeout(RUN_SECONDS):
                printed, complaints = await process.communicate()
        except TimeoutError:
            return [], [f"no end within {RUN_SECONDS} s"]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        found = [json.loads(line) for line in printed.decode().splitlines() if line.startswith("{")]
        if process.returncode or not found:
            return [], [f"status {process.returncode}\n{complaints.decode()[-2000:]}"]
        requests = way.requests()
    faults = [] if requests else ["no request with audio was seen"]
    faults += [fault for one in found if (fault := _wrong_words(one, requests))]
    faults += [fault for one in requests if (fault := await _wrong_bill(one, box))]
    return [one["wire"] for one in found], faults


def _wrong_words(one: Mapping[str, str], requests: Sequence[Sent]) -> str:
    """What is wrong with a line that a program printed. Some have no transcript, and some clients show no id."""
    if "transcript" in one and (rate := word_error_rate(SENTENCE, one["transcript"])) > MAX_WORD_ERROR_RATE:
        return f"{one['wire']}: the word error rate is {rate:.2f} ({one['transcript']!r})"
    if "request_id" in one and one["request_id"] not in [request.request_id for request in requests]:
        return f"{one['wire']}: the client has another request's id than the response"
    return ""


async def _wrong_bill(request: Sent, box: Box) -> str:
    sent_ms = SENTENCE_MS if request.raw_ms is None else request.raw_ms
    try:
        row = await final_usage_row(box.state["database_url"], request.request_id)
    except NotBilled as fault:
        return f"{request.path}: {fault}"
    if abs(row["audio_ms"] - sent_ms) >= BILL_TOLERANCE_MS:
        return f"{request.path}: {row['audio_ms']} ms are billed, {sent_ms} were sent"
    return ""
