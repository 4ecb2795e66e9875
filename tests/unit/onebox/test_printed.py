import json

import pytest

from onebox.printed import TAIL_LINES, is_error, quote, readable


def test_nothing_printed_is_nothing_quoted() -> None:
    assert quote([]) == ""
    assert quote(["", "  "]) == ""


def test_the_first_error_is_first_and_the_end_follows() -> None:
    lines = ["starting", "initdb: error: could not write file: No space left on device", *map(str, range(30))]
    said = quote(lines).splitlines()
    assert said[0] == " It printed:"
    assert said[1].strip() == lines[1]
    assert said[2].strip() == "…"
    assert [line.strip() for line in said[3:]] == lines[-TAIL_LINES:]


def test_an_error_near_the_end_begins_the_quote() -> None:
    assert quote(["one", "two", "FATAL:  no", "three"]) == " It printed:\n  FATAL:  no\n  three"


def test_without_an_error_the_end_is_quoted() -> None:
    assert quote([str(number) for number in range(40)]).split()[2:] == [str(n) for n in range(40 - TAIL_LINES, 40)]


def test_of_a_traceback_the_exception_is_the_error() -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "error.py", line 1, in fail',
        "asyncpg.exceptions.TooOldError: 15",
    ]
    assert [line for line in lines if is_error(line)] == lines[2:]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("backend migrate: OSError: refused", True),
        ("initdb: error: could not create directory", True),
        ("2026-11-30 LOG:  database system is ready", False),
        ('{"event": "publish failed", "level": "warning", "error": "x"}', False),
        ('{"event": "service broke", "level": "error"}', True),
        ("ws_proxy: bad settings: PORT: got 'x'", True),
    ],
)
def test_what_counts_as_an_error(line: str, error: bool) -> None:
    assert is_error(readable(line)[0]) is error


def test_a_services_line_is_readable_with_its_traceback() -> None:
    line = json.dumps(
        {"event": "service failed", "level": "error", "exception": "Traceback:\n  x\nOSError: y", "port": 1}
    )
    assert readable(line) == ["error: service failed port=1", "Traceback:", "  x", "OSError: y"]
