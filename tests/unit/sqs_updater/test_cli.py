import os
import subprocess
import sys

import pytest

from sqs_updater import cli


def test_a_missing_setting_stops_the_start_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "USAGE_QUEUE_URL", "USAGE_DLQ_URL"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "sqs_updater"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "USAGE_QUEUE_URL: got nothing" in line


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["explode"])
    assert "consume" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_that_is_none_is_refused(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["replay", f"--limit={limit}"])
    assert "allowed: a number from 1" in capsys.readouterr().err


def test_replay_without_a_queue_ends_with_a_sentence() -> None:
    nowhere = dict.fromkeys(("USAGE_QUEUE_URL", "USAGE_DLQ_URL", "SQS_ENDPOINT_URL"), "http://127.0.0.1:1/x")
    credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = subprocess.run(
        [sys.executable, "-m", "sqs_updater", "replay"],
        env={**os.environ, **nowhere, **credentials},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Run it again; what was sent on counts once" in done.stderr
