"""The command as a process, where signals, pipes and a closed stdout are real."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import pytest

from aldea.cli.listen import RECORDERS
from onebox.home import ROOT
from tests.fakes.platform import FakePlatform
from tests.unit.aldea.cli.commands import KEY

SECONDS = 60


async def begin(*arguments: str, stdin: int = DEVNULL, stdout: int = PIPE, **extra: str) -> Process:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "services"), "ALDEA_KEY": KEY, **extra}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aldea.cli", *arguments, env=environment, stdin=stdin, stdout=stdout, stderr=PIPE
    )


async def ended(process: Process, sent: bytes | None = None) -> tuple[int | None, str, str]:
    async with asyncio.timeout(SECONDS):
        output, errors = await process.communicate(sent)
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode, (output or b"").decode(), errors.decode()


async def test_what_is_piped_in_becomes_words(url: str, platform: FakePlatform) -> None:
    platform.warnings = [{"parameter": "language", "message": "language: de is not here."}]
    process = await begin("listen", "-", "--url", url, stdin=PIPE)
    status, output, errors = await ended(process, bytes(10_000))
    assert (status, output) == (0, "good morning\n")
    assert errors.startswith("aldea: language: de is not here.\naldea: 1.000 s heard, request ")


async def test_a_first_interrupt_ends_the_audio_and_the_last_words_still_come(
    url: str, platform: FakePlatform, tmp_path: Path
) -> None:
    # A recorder of the test's own, which never ends by itself.
    recorder = tmp_path / "arecord"
    recorder.write_text("#!/bin/sh\nhead -c 1000000 /dev/zero\nexec sleep 1000\n")
    recorder.chmod(0o755)
    process = await begin("listen", "--microphone", "--url", url, PATH=f"{tmp_path}:{os.environ['PATH']}")
    async with asyncio.timeout(SECONDS):
        await platform.heard_audio.wait()
    process.send_signal(signal.SIGINT)
    status, output, _ = await ended(process)
    assert (status, output) == (0, "good morning\n")


async def test_without_a_program_that_records_it_says_which_there_are(url: str, tmp_path: Path) -> None:
    status, _, errors = await ended(await begin("listen", "--microphone", "--url", url, PATH=str(tmp_path)))
    assert status == 1
    assert all(name in errors for name in RECORDERS)


async def test_a_stdout_that_nobody_reads_is_a_sentence(url: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await begin("listen", "-", "--url", url, stdin=PIPE, stdout=writing)
    os.close(writing)
    status, _, errors = await ended(process, bytes(100))
    assert (status, errors) == (141, "aldea: nobody reads the output any more.\n")


@pytest.mark.parametrize("refuse", [401, 429])
async def test_a_refused_stream_is_a_sentence(url: str, platform: FakePlatform, refuse: int) -> None:
    platform.refuse = refuse
    status, _, errors = await ended(await begin("listen", "-", "--url", url))
    assert status == 1
    assert errors == f"aldea: The stream was refused with status {refuse}. Said why.\n"


async def test_an_interrupted_upload_is_a_word_and_the_shells_status(url: str, platform: FakePlatform) -> None:
    reading, writing = os.pipe()
    process = await begin("transcribe", "-", "--url", url, stdin=reading)
    os.close(reading)
    os.write(writing, bytes(100))
    async with asyncio.timeout(SECONDS):
        await platform.heard_upload.wait()
    process.send_signal(signal.SIGINT)
    try:
        status, _, errors = await ended(process)
    finally:
        os.close(writing)
    assert (status, errors) == (130, "aldea: interrupted.\n")
