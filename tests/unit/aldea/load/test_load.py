import asyncio
import json
import os
import sys
import wave
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from aldea.load.__main__ import main
from tests.fakes.limited import LimitedPlatform
from tests.unit.aldea.load.test_crowd import sample as sample  # noqa: PLC0414 - the same sample


def test_options_that_cannot_be_used_end_with_status_2_and_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.wav"
    with wave.open(str(empty), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
    (tmp_path / "taken.json").mkdir()
    here = ["--url", "http://127.0.0.1:1", "--key", "org_secret"]
    for arguments, said in (
        ([*here, "--first-words", "nan"], "--first-words: got nan; allowed: 0.001 to 3600"),
        ([*here, "--final-lag", "-1"], "--final-lag: got -1"),
        ([*here, "--report", str(tmp_path / "absent" / "report")], "--report"),
        ([*here, "--report", str(tmp_path / "taken")], "--report"),
        ([*here, "--sample", str(empty)], "got 0 s of audio"),
        (["--url", "http://127.0.0.1:1", "--key", "org_secret\nX: y"], "--key"),
        (["--url", "http://127.0.0.1:1", "--key", "org_secreté"], "--key"),
        (["--url", "https://api.example", "--key", "org_secret"], "--i-own-this"),
        (["--url", "http://127.0.0.1:1", "--key", "org_secret", "--streams", "0"], "--streams"),
        (["--url", "http://127.0.0.1:1", "--key", "org_secret", "--sample", "absent.wav"], "absent.wav"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        shown = capsys.readouterr()
        assert said in shown.err
        assert "org_secret" not in shown.err + shown.out


async def test_the_report_and_the_picture_are_written(sample: Path, tmp_path: Path) -> None:
    async with TestServer(LimitedPlatform(carries=9).app()) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "aldea.load", "--url", str(server.make_url("")), "--streams", "2", "--ramp", "0",
            "--hold", "1", "--sample", str(sample), "--report", str(tmp_path / "report"), "--first-words", "600",
            "--final-lag", "600",
            env={**os.environ, "ALDEA_KEY": "org_secret", "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
    assert b"wrote" in out, err.decode()
    text = (tmp_path / "report.json").read_text()
    report = json.loads(text)
    assert report["streams"]["opened"] == 2
    assert all(each["kept"] for each in report["verdict"]["objectives"])
    assert process.returncode == (0 if report["verdict"]["credible"] else 1)
    assert (tmp_path / "report.svg").read_text().startswith("<svg")
    assert b"2 streams opened of 2 tried" in out
    assert b"/2 streams" in err
    assert "org_secret" not in f"{out!r}{err!r}{text}"
