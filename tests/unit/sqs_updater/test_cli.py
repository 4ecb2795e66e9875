import subprocess
import sys

import pytest

from sqs_updater import cli


def test_a_missing_setting_stops_the_start_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "USAGE_QUEUE_URL", "USAGE_DLQ_URL"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "sqs_updater"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "USAGE_QUEUE_URL: got nothing" in line


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["explode"])
    assert "consume" in capsys.readouterr().err
