"""Results go to stdout, all else to stderr; what is written over is for terminals."""

import io

import pytest

from aldea.cli.terminal import Terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals_that_can_write_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    output, plain, screen = io.StringIO(), io.StringIO(), Screen()
    Terminal(output, plain).progress("50 %")
    assert plain.getvalue() == ""
    terminal = Terminal(output, screen)
    terminal.progress("50 %")
    terminal.print("words")
    terminal.complain("done.")
    assert output.getvalue() == "words\n"
    assert screen.getvalue() == "\r\x1b[2K50 %\r\x1b[2Kaldea: done.\n"
    monkeypatch.setenv("TERM", "dumb")
    dumb = Screen()
    Terminal(output, dumb).progress("50 %")
    assert dumb.getvalue() == ""


def test_of_a_line_that_is_too_long_the_end_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "5")
    screen = Screen()
    Terminal(io.StringIO(), screen).progress("a\u65e5\u672c\u8a9e")
    assert screen.getvalue() == "\r\x1b[2K\u672c\u8a9e"


def test_a_character_that_stdout_cannot_show_is_replaced() -> None:
    raw = io.BytesIO()
    output = io.TextIOWrapper(raw, encoding="ascii")
    Terminal(output).print("caf\u00e9")
    assert raw.getvalue() == b"caf?\n"
