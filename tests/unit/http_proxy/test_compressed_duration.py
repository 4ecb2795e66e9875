"""Compressed responses: metered, decompressed for their callback, and never a reason to fail."""

import gzip
import json
import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_proxy import compressed_duration
from http_proxy.compressed_duration import CompressedScanner, unpacked

WORDS = [{"word": os.urandom(3).hex(), "start": n / 10, "end": n / 10 + 0.1} for n in range(5000)]
BODY = json.dumps({"results": {"channels": [{"words": WORDS}]}, "metadata": {"duration": 2.5, "channels": 2}}).encode()


def scan(body: bytes, size: int) -> tuple[float | None, int | None]:
    scanner = CompressedScanner()
    for start in range(0, len(body), size):
        scanner.feed(body[start : start + size])
    return scanner.duration, scanner.channels


@given(st.integers(1, 70_000), st.sampled_from([gzip.compress(BODY), zlib.compress(BODY), gzip.compress(BODY, 0)]))
def test_a_compressed_response_cut_anywhere_gives_what_it_reports(size: int, body: bytes) -> None:
    assert scan(body, size) == (2.5, 2)


@given(st.binary(max_size=200), st.integers(1, 20))
def test_what_cannot_be_unpacked_reports_nothing_and_never_raises(garbage: bytes, size: int) -> None:
    scan(garbage, size)
    scan(gzip.compress(BODY)[:50] + garbage, size)


def test_a_response_that_breaks_off_reports_nothing() -> None:
    assert scan(gzip.compress(BODY)[:-2000], 1000) == (None, None)


def test_a_body_that_unpacks_to_a_thousand_times_its_size_takes_little_memory_and_has_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compressed_duration, "MAX_UNPACKED", 1 << 22)
    bomb = gzip.compress(b'{"x":"' + b" " * (1 << 25))
    scanner = CompressedScanner()
    tracemalloc.start()
    scanner.feed(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20
    assert scanner.done


def test_a_whole_body_is_unpacked_up_to_its_bound() -> None:
    body = gzip.compress(BODY)
    assert unpacked(body, len(BODY)) == BODY
    with pytest.raises(ValueError, match="more than"):
        unpacked(body, len(BODY) - 1)


@pytest.mark.parametrize(
    ("body", "why"), [(b"no gzip", "cannot be unpacked"), (gzip.compress(BODY, mtime=0)[:-1], "ends before")]
)
def test_a_broken_body_is_reported(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        unpacked(body, 1 << 20)
