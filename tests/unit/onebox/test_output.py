import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onebox.home import ROOT
from onebox.output import Output, escapes_understood


class Broken(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise self.error


def test_text_is_written_as_it_is_where_the_stream_can_show_it() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    output = Output(stream)
    assert output.write("✓ done …") == 8
    output.flush()
    assert stream.buffer.getvalue().decode() == "✓ done …"


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", b"+ x ... | \\u65e5"), ("latin-1", b"+ x ... | \\u65e5")])
def test_another_encoding_gets_plain_signs_and_no_traceback(encoding: str, shown: bytes) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    output = Output(stream)
    output.write("✓ ✗ … │ 日")
    output.flush()
    assert stream.buffer.getvalue() == shown


def test_a_closed_pipe_is_said_once_and_ends_what_nobody_would_see(capsys: pytest.CaptureFixture[str]) -> None:
    closed: list[str] = []
    output = Output(Broken(BrokenPipeError(32, "Broken pipe")), closed=lambda: closed.append("closed"))
    output.write("one")
    output.write("two")
    assert output.gone
    assert closed == ["closed"]
    assert capsys.readouterr().err == "onebox: nobody reads this output any more (its pipe was closed)\n"


def test_a_full_disk_is_said_once_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    closed: list[str] = []
    output = Output(Broken(OSError(28, "No space left on device")), closed=lambda: closed.append("closed"))
    output.write("one")
    output.write("two")
    assert not output.gone
    assert not closed
    said = capsys.readouterr().err
    assert said == "onebox: this output cannot be written (No space left on device); it goes on without\n"


def test_without_a_stream_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(None)
    assert output.write("text") == 4
    output.flush()
    assert not output.isatty()
    with pytest.raises(OSError, match="Bad file descriptor"):
        output.fileno()
    assert not capsys.readouterr().err


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_a_terminal_without_escapes_gets_none(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    assert escapes_understood(Output(Terminal()))
    assert not escapes_understood(Output(io.StringIO()))
    monkeypatch.setenv("TERM", term)
    assert not escapes_understood(Output(Terminal()))


STATUS = [sys.executable, "-m", "onebox", "--data", "DATA", "status"]


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "> /dev/full", "| true"])
def test_whatever_the_shell_does_to_its_streams_no_program_ends_in_a_traceback(
    redirection: str, tmp_path: Path
) -> None:
    command = " ".join(STATUS).replace("DATA", str(tmp_path))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} {redirection}"],
        env={**os.environ, "PYTHONPATH": "services:infra:."},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1
