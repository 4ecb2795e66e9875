"""The examples of the speech API's documents that have a name: each is run as it is written."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from aldea.canary.accuracy import word_error_rate
from backend.reference.speech.guide import CHAPTERS, FOLDER
from onebox.home import ROOT
from tests.e2e.box import Box
from tests.e2e.test_recorded import SENTENCE, wav

SNIPPETS = {
    name: (language, code)
    for chapter in CHAPTERS
    for language, name, code in re.findall(
        r"```(sh|python)\n# ([\w-]+)\n(.*?)```", (FOLDER / chapter.file).read_text(), re.DOTALL
    )
    # These print nothing; tests/unit/backend/reference/speech/test_guide.py runs them.
    if not name.startswith("genuine")
}
RUN_SECONDS = 120
# What examples print that are about something else than words: what is to be in it.
NO_WORDS = {"token": "access_token", "models": "moonshine-tiny-en"}


def test_the_documents_have_their_examples() -> None:
    assert {
        "recorded",
        "plain",
        "live",
        "token",
        "models",
        "warnings",
        "cli-listen",
        "curl",
        "ffmpeg",
        "deepgram-sdk",
        "openai",
    } <= set(SNIPPETS)


def with_command(folder: Path) -> str:
    """A PATH with `aldea` on it, as an installation makes it."""
    command = folder / "bin" / "aldea"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}/services" exec "{sys.executable}" -m aldea.cli "$@"\n')
    command.chmod(0o755)
    return f"{command.parent}:{os.environ['PATH']}"


def transcript(printed: str) -> str:
    """The words in what an example printed: JSON of `/v1/listen` or `/transcribe`, or the words alone."""
    try:
        found = json.loads(printed)
    except ValueError:
        return printed
    text = found["text"] if "text" in found else found["results"]["channels"][0]["alternatives"][0]["transcript"]
    return str(text)


@pytest.mark.parametrize("name", SNIPPETS)
async def test_an_example_does_what_it_says(name: str, platform: Box, tmp_path: Path) -> None:
    if name == "ffmpeg" and shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed here")
    (tmp_path / "sample.wav").write_bytes(wav())
    language, code = SNIPPETS[name]
    process = await asyncio.create_subprocess_exec(
        *(("sh", "-c", code) if language == "sh" else (sys.executable, "-c", code)),
        cwd=tmp_path,
        env={**os.environ, "ALDEA_URL": platform.http, "ALDEA_KEY": platform.key, "PATH": with_command(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(RUN_SECONDS):
        printed, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    text = printed.decode()
    if name == "cli-captions":
        assert text.startswith("WEBVTT\n")
        text = " ".join(line for line in text.splitlines()[1:] if "-->" not in line)
    if name in NO_WORDS:
        assert NO_WORDS[name] in text
        return
    if name == "warnings":
        assert [found["parameter"] for found in json.loads(text)["metadata"]["warnings"]] == ["diarize"]
    assert word_error_rate(SENTENCE, transcript(text)) <= 0.15
