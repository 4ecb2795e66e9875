"""Runs the command in this process, in a thread of its own, against a server of the test's own."""

import asyncio
from dataclasses import dataclass

import pytest

from aldea.cli.__main__ import main

KEY = "org_" + "x" * 38


@dataclass(frozen=True)
class Ran:
    status: int
    output: str
    errors: str


class Command:
    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        monkeypatch.setenv("ALDEA_KEY", KEY)
        monkeypatch.delenv("ALDEA_URL", raising=False)

    async def __call__(self, *arguments: str) -> Ran:
        status = await asyncio.to_thread(main, arguments)
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err
        assert KEY not in said.out + said.err
        return Ran(status, said.out, said.err)
