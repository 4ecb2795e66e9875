import random
import threading
import time
from contextlib import suppress

import pytest

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.opening import open_source
from stt_api.options import ListenOptions
from tests.recordings import FORMATS, OTHER_FORMATS, encoded
from tests.unit.stt_api.decoded import decode, flac_header, flac_silence, flushed, take_all

SECONDS = 1.5
EXACT = ("wav", "flac", "aiff", "au", "caf", "m4a-alac")
# An ID3v2 tag with ten bytes in it, as every HLS segment of AAC begins.
ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)


@pytest.mark.parametrize("name", [*FORMATS, *OTHER_FORMATS])
@pytest.mark.parametrize("chunk", [7, 4000, 1 << 20])
def test_every_format_is_recognized_and_decoded_to_16_khz(name: str, chunk: int) -> None:
    found = decode(encoded(name, SECONDS), chunk=chunk)
    # Lossy codecs pad the audio to whole frames.
    exact = name.startswith(EXACT) and name != "wav-adpcm"
    assert found.seconds == pytest.approx(SECONDS, abs=0.001 if exact else 0.13)
    assert found.out == pytest.approx(found.seconds, abs=0.01)


# Their index is at the end.
INDEX_AT_END = ("m4a", "m4a-alac", "mp4-opus")


@pytest.mark.parametrize("name", [name for name in (*FORMATS, *OTHER_FORMATS) if name not in INDEX_AT_END])
def test_a_file_that_is_cut_gives_what_there_is_of_it(name: str) -> None:
    data = encoded(name, 3.0)
    assert 0.9 < decode(data[: len(data) * 6 // 10]).seconds < 3.0


@pytest.mark.parametrize("name", INDEX_AT_END)
def test_a_file_that_is_cut_before_its_index_is_refused(name: str) -> None:
    data = encoded(name, SECONDS)
    with pytest.raises(UndecodableAudio) as refused:
        decode(data[: len(data) * 6 // 10])
    assert refused.value.fault is Fault.DAMAGED


@pytest.mark.parametrize(
    "name", ["wav", "wav-s24", "flac", "mp3", "aac", "ogg-opus", "webm", "mp4-fragmented", "au", "aiff", "amr"]
)
def test_a_flush_brings_out_all_that_was_sent(name: str) -> None:
    assert flushed(encoded(name, 3.0)) == pytest.approx(3.0, abs=0.13)


@pytest.mark.parametrize(
    "name", ["mp3", "aac", "flac", "ogg-opus", "webm", "mp4-fragmented", "wav", "wav-mulaw", "amr", "mp2"]
)
def test_one_file_behind_another_of_the_same_kind_is_heard_too(name: str) -> None:
    data = encoded(name, SECONDS)
    if name == "amr":
        data += data[len(b"#!AMR\n") :]
    else:
        data += data
    assert decode(data).seconds == pytest.approx(2 * SECONDS, abs=0.26)


@pytest.mark.parametrize(
    ("first", "second"),
    [("mp3", "mp3-44k1"), ("mp3-44k1", "mp3-48k-stereo"), ("flac", "flac-48k-stereo"), ("aac", "aac-44k1-stereo")],
)
def test_sample_rate_and_channels_may_change_between_two_files(first: str, second: str) -> None:
    assert decode(encoded(first, SECONDS) + encoded(second, SECONDS)).seconds == pytest.approx(3.0, abs=0.26)


def test_wav_files_of_different_samples_are_one_stream() -> None:
    parts = [encoded(name, SECONDS) for name in ("wav", "wav-mulaw", "wav-s24", "wav-44k1-stereo")]
    assert decode(b"".join(parts), chunk=997).seconds == 4 * SECONDS


@pytest.mark.parametrize("name", ["aac", "mp3", "flac", "wav"])
def test_a_tag_before_the_audio_is_left_out(name: str) -> None:
    assert decode(ID3 + encoded(name, SECONDS)).seconds == pytest.approx(SECONDS, abs=0.13)
    assert decode(ID3 + ID3 + encoded(name, SECONDS), chunk=3).seconds == pytest.approx(SECONDS, abs=0.13)


def test_a_tag_between_two_segments_is_left_out() -> None:
    segment = ID3 + encoded("aac", SECONDS)
    assert decode(segment + segment).seconds == pytest.approx(2 * SECONDS, abs=0.26)


@pytest.mark.parametrize(("name", "codec"), [("mp3", "mp3"), ("aac", "aac")])
@pytest.mark.parametrize("missing", [1, 100, 300, 1000])
def test_a_stream_that_was_joined_late_is_found_where_its_codec_is_named(name: str, codec: str, missing: int) -> None:
    data = encoded(name, 3.0)[missing:]
    assert decode(data, ListenOptions(codec=codec)).seconds == pytest.approx(3.0, abs=0.4)
    with pytest.raises(UndecodableAudio) as refused:
        decode(b"\x00" + data)
    assert refused.value.fault is Fault.UNKNOWN_FORMAT


def test_garbage_within_an_mp3_is_left_out() -> None:
    data = encoded("mp3", 3.0)
    found = decode(data[:4000] + bytes(range(256)) * 8 + data[4000:])
    assert found.seconds == pytest.approx(3.0, abs=0.3)


NO_AUDIO_AT_ALL = (
    b"x",
    b"RIFF",
    b"no audio at all, just a line of text",
    b"<html><body>sign in</body></html>",
    b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
    b"ffconcat version 1.0\nfile /etc/passwd\n",
    b"[playlist]\nFile1=/etc/passwd",
    b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
    b"\x89PNG\r\n\x1a\n" + bytes(100),
    b"GIF89a\x01\x00\x01\x00" + bytes(50),
    b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(50),
    b"PK\x03\x04" + bytes(50),
    b"%PDF-1.7\n" + bytes(50),
    bytes(100_000),
    b"\xff" * 4000,
)
BEGINNINGS = (
    b"fLaC" + bytes(100),
    b"OggS" + bytes(2000),
    b"\x1a\x45\xdf\xa3" * 500,
    b"\x00\x00\x00\x18ftypmp42" + bytes(500),
    b"RIFF\x00\x00\x00\x00WAVEdata" + bytes(100),
    b"RIFF\x00\x00\x00\x00WAVE" + b"JUNK\x00\x00\x00\x00" * 5000,
    b"FORM\x00\x00\x00\x00AIFF" + bytes(100),
    b"caff" + bytes(100),
    b"#!AMR\n",
    b".snd" + bytes(100),
    b"\x47\x40\x00\x10" + bytes(2000),
    ID3,
)


@pytest.mark.parametrize("data", NO_AUDIO_AT_ALL)
def test_what_is_no_audio_is_refused_before_libav_sees_it(data: bytes) -> None:
    with pytest.raises(UndecodableAudio) as refused:
        decode(data)
    assert refused.value.fault is Fault.UNKNOWN_FORMAT


@pytest.mark.parametrize("data", BEGINNINGS)
def test_a_beginning_without_audio_behind_it_is_refused_in_our_words(data: bytes) -> None:
    with pytest.raises(UndecodableAudio):
        decode(data)


def test_nothing_at_all_is_no_fault() -> None:
    assert decode(b"").seconds == 0.0


def test_a_flac_of_one_sample_a_second_is_refused() -> None:
    with pytest.raises(UndecodableAudio, match="sample rate is 1 Hz"):
        decode(flac_header(1) + flac_silence(0))


def test_hours_of_silence_in_a_few_bytes_are_refused() -> None:
    with pytest.raises(UndecodableAudio) as refused:
        decode(flac_header(8_000) + b"".join(flac_silence(number) for number in range(100)))
    assert refused.value.fault is Fault.TOO_DENSE


def test_a_recording_may_be_bounded_in_seconds() -> None:
    with pytest.raises(UndecodableAudio, match="longer than 1 s"):
        decode(encoded("mp3", 3.0), ListenOptions(max_seconds=1.0))


def test_more_channels_than_places_are_refused() -> None:
    with pytest.raises(UndecodableAudio, match="multichannel=true needs channels=2"):
        decode(encoded("wav-44k1-stereo", 1.0), ListenOptions(multichannel=True, channels=1))


def test_every_byte_is_reported_done_once() -> None:
    data = ID3 + encoded("mp3", 1.0)
    source = open_source(ListenOptions(), lambda: None)
    done = 0
    for at in range(0, len(data), 333):
        source.feed(data[at : at + 333])
        done += source.consumed()
        while source.take() is not None:
            pass
        done += source.consumed()
    assert done == len(data)


@pytest.mark.parametrize("name", [*FORMATS, *OTHER_FORMATS])
def test_a_sender_that_pauses_is_owed_nothing_wherever_it_stopped(name: str) -> None:
    """What stays owed is taken for work: a process that has some and is silent is killed, with all its streams."""
    data = encoded(name, 0.3)
    # The last ones look like the beginning of another file.
    cut = [data[:size] for size in (1, 11, 12, 16, 40, 100, len(data) // 2, len(data) - 1)]
    for sent in (*cut, data, data + b"O", data + b"\x1a", data + b"\x00\x00\x00", data + b"RI", data + b"fLa"):
        woken = threading.Event()
        source = open_source(ListenOptions(), woken.set)
        try:
            source.feed(sent)
            done, deadline = 0, time.monotonic() + 60
            while done < len(sent):
                assert time.monotonic() < deadline, f"{len(sent) - done} of {len(sent)} bytes stay owed"
                take_all(source, woken, until_idle=True)
                done += source.consumed()
                woken.wait(0.01)
        except UndecodableAudio:
            pass  # which ends the stream: nothing is owed any more
        finally:
            source.close()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A file as a fault, or somebody who means it, would leave it."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 2, 5, 20))):
        at = chance.randrange(min(len(made), chance.choice((64, 512, 1 << 20))))
        match chance.randrange(4):
            case 0:
                made[at] = chance.randrange(256)
            case 1:
                made[at : at + 4] = chance.choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"))
            case 2:
                del made[at : at + chance.randrange(1, 200)]
            case 3:
                made[at:at] = chance.randbytes(chance.randrange(1, 50))
        made = made or bytearray(b"x")
    return bytes(made)


@pytest.mark.parametrize("name", [*FORMATS, *OTHER_FORMATS])
def test_damaged_files_are_heard_or_refused_and_nothing_else(name: str) -> None:
    chance = random.Random(name)
    data = encoded(name, 0.5)
    for _ in range(8):
        options = ListenOptions(codec=chance.choice((None, "mp3", "aac")))
        with suppress(UndecodableAudio):
            decode(damaged(data, chance), options, chunk=chance.choice((100, 4000, 1 << 20)))
