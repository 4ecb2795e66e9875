"""Clients for Python that need an environment of their own: the same words and the same bill through each."""

import asyncio
import json
from pathlib import Path

import pytest

from aldea.canary.accuracy import word_error_rate
from onebox.usage_row import final_usage_row
from tests.clients.python_environment import NotInstalled, python_with
from tests.e2e.box import Box, environment
from tests.e2e.test_recorded import SENTENCE, wav
from tests.e2e.test_sdk import SENTENCE_MS

CLIENTS = Path(__file__).parent.parent / "clients" / "python"


@pytest.fixture
async def python() -> Path:
    try:
        return await asyncio.to_thread(python_with)
    except NotInstalled as reason:
        pytest.skip(str(reason))


@pytest.mark.timeout(900)
async def test_the_older_sdk_and_its_captions_work_unmodified(python: Path, platform: Box, tmp_path: Path) -> None:
    (tmp_path / "sample.wav").write_bytes(wav())
    found: dict[str, dict[str, str]] = {}
    for script in ("deepgram34.py", "deepgram_caption.py"):
        process = await asyncio.create_subprocess_exec(
            python, CLIENTS / script, cwd=tmp_path,
            env=environment(ALDEA_URL=platform.http, ALDEA_KEY=platform.key, PYTHONPATH=""),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(300):
            printed, complaints = await process.communicate()
        assert process.returncode == 0, complaints.decode()
        found |= {one["wire"]: one for one in map(json.loads, printed.decode().splitlines())}
    assert set(found) == {"recorded", "live", "management", "captions", "captions of utterances"}
    for wire, one in found.items():
        if wire != "management":
            assert word_error_rate(SENTENCE, one["transcript"]) <= 0.15
            row = await final_usage_row(platform.state["database_url"], one["request_id"])
            assert row["audio_ms"] == SENTENCE_MS, wire
