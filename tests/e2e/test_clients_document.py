"""The snippets of docs/clients.md that have a name: each is run as it stands, and prints the sample's words."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from aldea.canary.accuracy import word_error_rate
from onebox.home import ROOT
from tests.e2e.box import Box
from tests.e2e.test_recorded import SENTENCE, wav

SNIPPETS = {
    name: (language, code)
    for language, name, code in re.findall(
        r"```(sh|python)\n# ([\w-]+)\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), re.DOTALL
    )
}
RUN_SECONDS = 120


def test_the_document_has_its_snippets() -> None:
    assert set(SNIPPETS) == {"curl", "deepgram-sdk", "openai"}


@pytest.mark.parametrize("name", SNIPPETS)
async def test_a_snippet_prints_the_words(name: str, platform: Box, tmp_path: Path) -> None:
    (tmp_path / "sample.wav").write_bytes(wav())
    language, code = SNIPPETS[name]
    process = await asyncio.create_subprocess_exec(
        *(("sh", "-c", code) if language == "sh" else (sys.executable, "-c", code)),
        cwd=tmp_path,
        env={**os.environ, "ALDEA_URL": platform.http, "ALDEA_KEY": platform.key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(RUN_SECONDS):
        printed, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    text = printed.decode()
    if name == "curl":
        found = re.search(r'"transcript": "([^"]*)"', text)
        assert found is not None, text
        text = found[1]
    assert word_error_rate(SENTENCE, text) <= 0.15
