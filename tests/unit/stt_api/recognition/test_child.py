import asyncio
import os
import time
from collections.abc import Iterator

import pytest

from stt_api.recognition.child import KEPT_CHARACTERS, KEPT_LINES, LastLines, cause, computed_seconds


async def kept(*printed: bytes) -> list[str]:
    reader = asyncio.StreamReader()
    lines = LastLines()
    for data in printed:
        reader.feed_data(data)
    reader.feed_eof()
    await lines.follow(reader)
    return lines.kept


async def test_what_a_process_prints_is_printed_here_and_its_last_lines_are_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await kept(b"one\ntw", b"o\n\nthree") == ["one", "two", "three"]
    assert capsys.readouterr().err == "one\ntwo\n\nthree"


async def test_however_much_is_printed_little_is_kept() -> None:
    assert await kept(*(b"%d\n" % number for number in range(1000))) == [
        str(number) for number in range(1000 - KEPT_LINES, 1000)
    ]
    (line,) = await kept(*[b"x" * 5000] * 100)
    assert len(line) == KEPT_CHARACTERS
    assert await kept(b"caf\xff\n") == ["caf\ufffd"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0, "exit status 0"), (1, "exit status 1"), (-11, "SIGSEGV"), (-6, "SIGABRT"), (-9, "SIGKILL, from outside")],
)
def test_an_exit_status_is_a_cause_in_words(status: int, expected: str) -> None:
    assert cause(status).startswith(expected)
    assert cause(-250) == "signal 250"


def computing() -> Iterator[float | None]:
    while True:
        yield computed_seconds(os.getpid())


def test_what_a_process_computed_grows_while_it_computes() -> None:
    if (before := computed_seconds(os.getpid())) is None:
        pytest.skip("this system does not say what a process computed")
    deadline = time.monotonic() + 60
    for now in computing():
        assert time.monotonic() < deadline
        if now is not None and now > before:
            break
    assert computed_seconds(2**22 + 1) is None
