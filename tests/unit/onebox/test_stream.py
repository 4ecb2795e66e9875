import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from aldea.canary.client import StreamFailed
from onebox.output import Output
from onebox.stream import WordPrinter, end_of, main


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def results(text: str, *, final: bool) -> dict[str, Any]:
    return {"type": "Results", "is_final": final, "channel": {"alternatives": [{"transcript": text}]}}


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_interim_words_never_wrap(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(WordPrinter, "_columns", lambda _self: columns)
    for text in ("word " * 60, "日本語" * 60, "short"):
        terminal = Terminal()
        WordPrinter(Output(terminal))(results(text, final=False))
        shown = terminal.getvalue().replace("\r\x1b[2K", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
        assert 0 < cell_len(shown) < columns
        assert shown.strip()[-4:] in text.strip()


def test_the_end_of_a_text_is_what_fits() -> None:
    assert end_of("quite short", 40) == "quite short"
    assert end_of("the end is shown", 5) == "shown"
    assert cell_len(end_of("日本語日本語", 5)) == 5
    assert end_of("anything", 0) == ""
    assert end_of("anything", -3) == ""


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_final_words_and_no_escapes(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    terminal = Terminal()
    printer = WordPrinter(Output(terminal))
    printer(results("not yet", final=False))
    printer(results("now", final=True))
    assert terminal.getvalue() == "  now\n"


def test_a_stream_whose_words_nobody_reads_is_ended() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe, pytest.raises(StreamFailed, match="nobody reads its words"):
        WordPrinter(Output(pipe))(results("now", final=True))


def test_a_key_that_cannot_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "any.wav"), "--key-file", str(tmp_path / "no.key")]) == 1
    said = capsys.readouterr().err
    assert "cannot be read: No such file or directory" in said
    assert len(said.splitlines()) == 1
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert main([str(tmp_path / "any.wav"), "--key-file", str(tmp_path / "binary")]) == 1
    assert "it is no text" in capsys.readouterr().err
