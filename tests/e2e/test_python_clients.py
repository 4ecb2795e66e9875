"""Unmodified clients for Python beside those of the project's own packages: the same words and bill through each."""

import asyncio
from pathlib import Path

import pytest

from tests.clients.__main__ import HERE, TOOLCHAINS
from tests.clients.judged import judged
from tests.clients.python_environment import NotInstalled, packages
from tests.e2e.box import Box
from tests.e2e.test_recorded import wav

# `make clients` has versions 3 and 6 of the SDK too, by the same programs as 4 and 5.
LEFT_OUT = {"deepgram-sdk 3", "deepgram-sdk 6"}
CLIENTS = {name: command for name, command in TOOLCHAINS["python"].clients.items() if name not in LEFT_OUT}
WIRES = {
    "deepgram-sdk 4": {"recorded", "live", "management"},
    "deepgram-sdk 5": {"recorded", "live", "turn-based", "management"},
    "deepgram-captions": {"captions", "captions of utterances"},
    "deepctl": {"recorded", "captions", "live", "management"},
    "livekit-plugins-deepgram": {"recorded", "live", "turn-based"},
    "pipecat-ai": {"live", "turn-based"},
}


@pytest.fixture
async def installed() -> None:
    try:
        for name in sorted({command[0].strip("{}") for command in CLIENTS.values()}):
            await asyncio.to_thread(packages, name)
    except NotInstalled as reason:
        pytest.skip(str(reason))


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("installed")
async def test_unmodified_clients_have_the_words_and_the_bill(platform: Box, tmp_path: Path) -> None:
    (tmp_path / "sample.wav").write_bytes(wav())
    # At the same time: most of what they do is to wait.
    tried = await asyncio.gather(
        *(
            judged((packages_of, str(HERE / "python" / program), *rest), tmp_path, platform, {})
            for packages_of, program, *rest in CLIENTS.values()
        )
    )
    faults = {name: found for name, (_wires, found) in zip(CLIENTS, tried, strict=True) if found}
    assert not faults, "\n\n".join(f"{name}: {'; '.join(found)}" for name, found in faults.items())
    assert {name: set(wires) for name, (wires, _faults) in zip(CLIENTS, tried, strict=True)} == WIRES
