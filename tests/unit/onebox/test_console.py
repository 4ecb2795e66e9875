import io
import json

import pytest

from onebox.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


RECORD = {
    "event": "stream ended", "level": "info", "timestamp": "2026-01-02T03:04:05.678Z", "service": "ws_proxy",
    "environment": "onebox", "logger": "ws_proxy.session", "request_id": "r-1", "close_code": 1000,
}  # fmt: skip


def shown(line: str, *, threshold: str = "info", plain_level: str = "info") -> str:
    stream = io.StringIO()
    Console(threshold=threshold, stream=stream).service_line("ws_proxy", line, plain_level=plain_level)
    return stream.getvalue()


def test_a_record_is_shown_as_time_service_level_event_and_fields() -> None:
    line = shown(json.dumps(RECORD))
    assert ":04:05.678 ws_proxy" in line
    assert line.endswith("│ info    stream ended  request_id=r-1  close_code=1000\n")


def test_a_record_below_the_threshold_is_not_shown() -> None:
    assert shown(json.dumps(RECORD), threshold="warning") == ""
    assert "stream ended" in shown(json.dumps({**RECORD, "level": "error"}), threshold="warning")


def test_an_exception_follows_its_record_line_by_line() -> None:
    lines = shown(json.dumps({**RECORD, "exception": "Traceback\nValueError: x"})).splitlines()
    assert [line.split("│ ")[1] for line in lines[1:]] == ["Traceback", "ValueError: x"]


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "{not json", '{"no": "event"}', "[1]"])
def test_a_line_that_is_no_record_is_shown_as_it_is(line: str) -> None:
    assert shown(line).endswith(f"│ {line}\n")
    assert shown(line, threshold="warning") == ""
    assert shown(line, threshold="warning", plain_level="warning").endswith(f"│ {line}\n")


def test_markup_of_a_service_stays_text() -> None:
    assert "[red]x[/red] :smile:" in shown(json.dumps({**RECORD, "event": "[red]x[/red] :smile:"}))


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal, plain = Terminal(), io.StringIO()
    for stream in (terminal, plain):
        console = Console(stream=stream)
        console.step("redis is ready", 0.25)
        console.service_line("ws_proxy", json.dumps(RECORD))
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in plain.getvalue()
    assert plain.getvalue().startswith("✓ redis is ready  0.2 s\n")
