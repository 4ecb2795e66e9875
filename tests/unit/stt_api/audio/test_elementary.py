from typing import Any

import pytest

from stt_api.audio import elementary
from stt_api.audio.elementary import FrameScanner, adts_head, id3_size, mpeg_head
from stt_api.audio.faults import UndecodableAudio
from tests.recordings import encoded


def frames(data: bytes, codec: str) -> list[bytes]:
    scanner, waiting, found = FrameScanner(codec), bytearray(data), []
    while (frame := scanner.next_frame(waiting, ended=True, flush=False)) is not None:
        found += [frame] if frame else []
    assert not waiting
    return found


@pytest.mark.parametrize(
    ("head", "length"),
    [
        ("fffb9064", 417),  # MPEG-1 layer 3, 128 kbit/s, 44.1 kHz
        ("fffb9264", 418),  # with padding
        ("fff348c4", 144),  # MPEG-2 layer 3, 32 kbit/s, 16 kHz
        ("ffe318c4", 72),  # MPEG-2.5 layer 3, 8 kbit/s, 8 kHz
        ("fffd8004", 417),  # MPEG-1 layer 2, 128 kbit/s, 44.1 kHz
    ],
)
def test_a_head_gives_the_length_of_its_frame(head: str, length: int) -> None:
    found = mpeg_head(bytes.fromhex(head), 0)
    assert found is not None
    assert found.length == length


@pytest.mark.parametrize("head", ["fffbf064", "fffb0064", "fffb9c64", "ffe99064", "fff99064", "ff00", "00fb9064"])
def test_reserved_values_are_no_head(head: str) -> None:
    assert mpeg_head(bytes.fromhex(head).ljust(4, b"\x00"), 0) is None


def test_a_frame_of_adts_gives_its_length() -> None:
    found = adts_head(bytes.fromhex("fff1 5080 1c7f fc"), 0)
    assert found is not None
    assert found.length == 227
    assert adts_head(bytes.fromhex("fff1 7480 1c7f fc"), 0) is None  # a reserved sample rate


def test_a_tag_gives_its_size_in_seven_bits_a_byte() -> None:
    assert id3_size(b"ID3\x04\x00\x00\x00\x00\x02\x01") == 267
    assert id3_size(b"ID3\x04\x00\x10\x00\x00\x00\x00") == 20


@pytest.mark.parametrize(("name", "codec"), [("mp3", "mp3"), ("mp2", "mp3"), ("aac", "aac")])
def test_all_frames_are_found_wherever_a_stream_is_taken_up(name: str, codec: str) -> None:
    data = encoded(name, 3.0)
    whole = frames(data, codec)
    assert len(whole) > 20
    assert frames(data[150:], codec)[-20:] == whole[-20:]
    assert frames(b"\xff\xfb\x90" * 50 + data, codec)[-20:] == whole[-20:]


def test_bytes_without_frames_are_given_up() -> None:
    with pytest.raises(UndecodableAudio):
        frames(b"\xff\xfa\x00" * 200_000, "mp3")


@pytest.mark.parametrize("unit", [b"\xff", b"\xff\xfb\x90\x64\x00\x00", b"\xff\xfb\x90\x64" + bytes(413) + b"x", b"ID"])
def test_looking_for_frames_takes_time_by_the_byte(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counted(data: Any, at: int) -> Any:
        nonlocal looks
        looks += 1
        return mpeg_head(data, at)

    monkeypatch.setattr(elementary, "mpeg_head", counted)
    counts = []
    for size in (32 * 1024, 128 * 1024):
        looks = 0
        frames(unit * (size // len(unit)), "mp3")
        counts.append(looks)
    assert counts[1] <= 5 * counts[0] + 100
