import struct

import pytest

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.wav import WavSource, is_libavs, parse_format
from stt_api.options import ListenOptions
from tests.recordings import encoded, speech
from tests.unit.stt_api.decoded import decode


def chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(data) if size is None else size) + data + bytes(len(data) % 2)


def fmt(tag: int = 1, channels: int = 1, rate: int = 16_000, size: int = 2) -> bytes:
    return struct.pack("<HHIIHH", tag, channels, rate, rate * channels * size, channels * size, size * 8)


def wav(*chunks: bytes, riff: bytes = b"RIFF") -> bytes:
    return riff + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + b"".join(chunks)


SECOND = speech(1.0)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFF000, len(SECOND)])
def test_a_length_that_is_not_known_yet_is_until_the_end(size: int) -> None:
    assert decode(wav(chunk(b"fmt ", fmt()), chunk(b"data", SECOND, size))).seconds == 1.0


def test_a_large_file_says_its_length_elsewhere() -> None:
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(SECOND), 16_000, 0))
    tail = chunk(b"LIST", bytes(5000))
    assert (
        decode(wav(ds64, chunk(b"fmt ", fmt()), chunk(b"data", SECOND, 0xFFFFFFFF), tail, riff=b"RF64")).seconds == 1.0
    )


def test_other_chunks_are_left_out_before_and_behind_the_audio() -> None:
    other = chunk(b"LIST", bytes(12_345))
    assert decode(wav(other, chunk(b"fmt ", fmt()), other, chunk(b"data", SECOND), other), chunk=100).seconds == 1.0


def test_an_extensible_format_says_what_it_extends() -> None:
    guid = struct.pack("<H", 3) + bytes.fromhex("000000001000800000aa00389b71")
    found = parse_format(fmt(0xFFFE, 2, 48_000, 4) + struct.pack("<HHI", 22, 32, 3) + guid)
    assert (found.kind, found.sample_bytes, found.channels, found.rate) == ("float", 4, 2, 48_000)


def test_samples_in_wider_containers_are_read_by_the_container() -> None:
    described = struct.pack("<HHIIHH", 1, 1, 16_000, 64_000, 4, 24)
    assert parse_format(described).sample_bytes == 4


@pytest.mark.parametrize(
    ("described", "fault"),
    [
        (fmt(rate=1), Fault.SAMPLE_RATE),
        (fmt(rate=0), Fault.SAMPLE_RATE),
        (fmt(channels=0), Fault.CHANNELS),
        (fmt(channels=65_535, size=0), Fault.CHANNELS),
        (fmt(size=9), Fault.CODEC),
        (fmt()[:10], Fault.DAMAGED),
    ],
)
def test_a_format_that_cannot_be_is_refused(described: bytes, fault: Fault) -> None:
    with pytest.raises(UndecodableAudio) as refused:
        parse_format(described)
    assert refused.value.fault is fault


def test_a_file_of_which_one_byte_comes_at_a_time_is_heard_as_it_comes() -> None:
    source = WavSource(ListenOptions())
    data = wav(chunk(b"fmt ", fmt()), chunk(b"data", SECOND[:640], 0))
    for at in range(len(data)):
        source.feed(data[at : at + 1])
        while source.take() is not None:
            pass
    assert source.duration == pytest.approx(0.02, abs=0.0002)


def test_adpcm_is_libavs_and_what_has_no_format_is_refused() -> None:
    assert is_libavs(bytearray(encoded("wav-adpcm", 0.5))) is True
    assert is_libavs(bytearray(encoded("wav", 0.5))) is False
    assert is_libavs(bytearray(encoded("wav", 0.5)[:20])) is None
    with pytest.raises(UndecodableAudio):
        is_libavs(bytearray(wav(chunk(b"JUNK", b"") * 1000)))
