"""What an upload reserves: by its query, by a WAV file's head, and nothing where neither is to be believed."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_proxy import estimate

RIFF = b"RIFF\xff\xff\xff\xffWAVE"


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def fmt(
    tag: int = 1, channels: int = 1, rate: int = 16_000, align: int = 2, bits: int = 16, more: bytes = b""
) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, 0, align, bits) + more)


HEAD = RIFF + fmt() + b"data\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("encoding=linear16&sample_rate=8000", 2000),
        ("encoding=linear16", 1000),
        ("sample_rate=8000", 2000),
        ("encoding=PCM_S16LE&sample_rate=8000", 2000),
        ("encoding=mulaw&sample_rate=8000", 4000),
        ("codec=alaw&sample_rate=8000&channels=2", 2000),
        ("encoding=mulaw&sample_rate=8000&channels=2&multichannel=true", 4000),
        ("encoding=linear32&sample_rate=8000&multichannel=false", 1000),
        ("encoding=linear16&encoding=mulaw&sample_rate=8000", 2000),
        # Not raw audio: a file may say more of itself.
        ("", None),
        ("model=general", None),
        ("encoding=opus&sample_rate=16000", None),
        # Refused by every server.
        ("encoding=linear16&sample_rate=0", 0),
        ("encoding=linear16&sample_rate=-8000", 0),
        ("encoding=linear16&sample_rate=" + "9" * 5000, 0),
        ("encoding=linear16&sample_rate=8e3", 0),
        ("encoding=linear16&channels=0", 0),
        ("encoding=linear16&channels=65", 0),
    ],
)
def test_raw_audio_is_estimated_by_its_query(query: str, expected: int | None) -> None:
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&")) if value]
    assert estimate.of_raw_audio(32_000, pairs) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (HEAD, 1000),
        (RIFF + chunk(b"JUNK", b"x" * 27) + fmt() + b"data\0\0\0\0", 1000),
        (b"RF64" + HEAD[4:], 1000),
        (RIFF + fmt(channels=2, align=4), 500),
        (RIFF + fmt(tag=7, rate=8000, align=1, bits=8), 4000),
        (RIFF + fmt(tag=3, align=4, bits=32), 500),
        (RIFF + fmt(tag=0xFFFE, more=b"\x16\0" + b"\0" * 6 + b"\x01\0" + b"\0" * 14), 1000),
        # It says how long it is, and another file may follow.
        (RIFF + fmt() + b"data\x02\0\0\0", 1000),
        # The last description is what the samples are.
        (RIFF + fmt(rate=192_000) + fmt(), 1000),
    ],
    ids=str,
)
def test_a_wav_file_is_estimated_by_its_head(head: bytes, expected: int) -> None:
    if b"data" not in head:
        head += b"data\0\0\0\0"
    assert estimate.of_wav(len(head) + 32_000, head + b"\0" * 100, []) == expected


def test_each_channel_that_is_transcribed_separately_counts() -> None:
    head = RIFF + fmt(channels=2, align=4) + b"data\0\0\0\0"
    assert estimate.of_wav(len(head) + 32_000, head, [("multichannel", "true")]) == 1000


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"RIFF",
        b"OggS" + b"\0" * 100,
        RIFF,
        RIFF + b"data\0\0\0\0" + fmt(),
        RIFF + fmt(tag=0x11),  # ADPCM
        RIFF + fmt(tag=0xFFFE),
        RIFF + fmt(channels=0),
        RIFF + fmt(channels=65_535),
        RIFF + fmt(rate=0),
        RIFF + fmt(rate=0xFFFF_FFFF),
        RIFF + fmt(align=0, bits=0),
        RIFF + fmt(align=65_535, bits=65_535),
        RIFF + b"fmt \x04\0\0\0\x01\0\x01\0",
        RIFF + b"JUNK\xff\xff\xff\xff" + fmt(),
        RIFF + b"JUNK\0\0\0\0" * 100,
    ],
    ids=str,
)
def test_a_head_that_says_nothing_reserves_nothing(head: bytes) -> None:
    assert estimate.of_wav(10_000, head, []) == 0


@given(
    head=st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: RIFF + b"fmt \x10\0\0\0" + data),
    length=st.integers(0, 1 << 40),
    separate=st.booleans(),
)
def test_no_head_makes_more_than_its_bytes_can_be(head: bytes, length: int, separate: bool) -> None:
    found = estimate.of_wav(length, head, [("multichannel", "true")] if separate else [])
    assert 0 <= found <= length + 64  # a byte is a sample of 4 kHz at least, a fourth of a millisecond
