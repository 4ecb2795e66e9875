import pytest

from stt_api.audio import flac
from stt_api.audio.faults import UndecodableAudio
from stt_api.audio.flac import FlacScanner, crc8, crc16, parse_head
from tests.recordings import encoded
from tests.unit.stt_api.decoded import flac_header, flac_silence


def frames(data: bytes, chunk: int = 1 << 20) -> list[bytes]:
    scanner, waiting, found = FlacScanner(), bytearray(), []
    for at in range(0, len(data), chunk):
        waiting += data[at : at + chunk]
        ended = at + chunk >= len(data)
        while (frame := scanner.next_frame(waiting, ended=ended, flush=False)) is not None:
            found += [frame] if frame else []
    return found


def test_the_checksums_are_the_standards() -> None:
    assert crc8(b"123456789") == 0xF4
    assert crc16(b"123456789") == 0xFEE8  # CRC-16/UMTS


@pytest.mark.parametrize("number", [0, 127])
def test_a_head_says_its_number_and_the_next(number: int) -> None:
    assert parse_head(flac_silence(number), 0) == (number, number + 1)
    assert parse_head(flac_silence(number)[1:], 0) is None


def test_every_frame_is_whole_however_the_stream_is_cut() -> None:
    data = encoded("flac", 3.0)
    whole = frames(data)
    assert not any(crc16(frame) for frame in whole)
    assert frames(data, 1) == frames(data, 777) == whole


def test_a_frame_that_is_lost_does_not_cost_the_next() -> None:
    data = encoded("flac", 3.0)
    whole = frames(data)
    missing = data.replace(whole[3], b"")
    assert frames(missing) == [frame for frame in whole if frame != whole[3]]


def test_a_flush_hands_out_a_last_frame_only_when_it_is_whole() -> None:
    data = encoded("flac", 1.0)
    last = frames(data)[-1]
    for missing, expected in ((0, last), (1, None)):
        scanner, waiting = FlacScanner(), bytearray(data[: len(data) - missing])
        found: bytes | None = b""
        while (frame := scanner.next_frame(waiting, ended=False, flush=True)) is not None:
            found = frame or found
        assert (found == last) == (expected is not None)


def test_a_picture_is_left_out_without_being_kept() -> None:
    data = encoded("flac", 1.0)
    picture = b"\x06" + (5 << 20).to_bytes(3, "big") + bytes(5 << 20)
    assert frames(data[:42].replace(b"\x80\x00\x00\x22", b"\x00\x00\x00\x22") + picture + data[42:], 4096) == frames(
        data
    )


def test_without_its_first_block_a_stream_cannot_be_read() -> None:
    with pytest.raises(UndecodableAudio):
        frames(b"fLaC\x84\x00\x00\x04" + bytes(4) + flac_silence(0))


def test_places_that_look_like_a_frames_end_cost_a_look_each(monkeypatch: pytest.MonkeyPatch) -> None:
    summed = 0

    def counted(data: bytes | bytearray, value: int = 0) -> int:
        nonlocal summed
        summed += len(data)
        return crc16(data, value)

    monkeypatch.setattr(flac, "crc16", counted)
    data = flac_header(8_000) + flac_silence(0) + flac_silence(77)[:8] * 10_000
    frames(data, 4096)
    assert summed <= 2 * len(data)
