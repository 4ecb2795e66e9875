import threading

import pytest

from stt_api.audio import UndecodableAudio
from stt_api.containers import SNIFF_BYTES, ContainerSource, Incoming, sniff
from stt_api.options import ListenOptions
from tests.recordings import FORMATS, encoded


def drained(source: ContainerSource, woken: threading.Event) -> tuple[float, int]:
    """Take all that a source has; its duration in seconds and the bytes of its first channel."""
    size = 0
    while not source.finished:
        part = source.take()
        if part is None:
            assert woken.wait(20), "the decoder said nothing for 20 s"
            woken.clear()
        else:
            size += len(part.channels[0])
    return source.duration, size


def decode(data: bytes, options: ListenOptions | None = None, chunk: int = 4000) -> tuple[float, int]:
    woken = threading.Event()
    source = ContainerSource(options or ListenOptions(), woken.set)
    try:
        for at in range(0, len(data), chunk):
            source.feed(data[at : at + chunk])
        source.end()
        return drained(source, woken)
    finally:
        source.close()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_recognised_and_decoded_to_16_khz(name: str) -> None:
    seconds, size = decode(encoded(name, 3.0))
    # Lossy codecs pad the audio to whole frames.
    assert seconds == pytest.approx(3.0, abs=0.001 if name.startswith(("wav", "flac")) else 0.13)
    assert size / 32_000 == pytest.approx(seconds, abs=0.01)


def test_mulaw_samples_are_decoded_by_their_name() -> None:
    assert decode(bytes(8000), ListenOptions(encoding="mulaw", sample_rate=8000)) == (1.0, 32_000)


@pytest.mark.parametrize("data", [b"no audio at all, just a line of text", b"\xff" * 4000, b"RIFF"])
def test_bytes_that_are_no_audio_are_refused_with_what_is_wanted(data: bytes) -> None:
    with pytest.raises(UndecodableAudio, match="wanted: WAV, MP3"):
        decode(data)


def test_a_playlist_is_never_opened() -> None:
    assert sniff(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd") is None
    assert sniff(b"ffconcat version 1.0") is None


def test_nothing_at_all_is_no_fault() -> None:
    assert decode(b"") == (0.0, 0)


def test_more_channels_than_places_are_refused() -> None:
    options = ListenOptions(multichannel=True, channels=1)
    with pytest.raises(UndecodableAudio, match="has 2 channels"):
        decode(encoded("wav-44k1-stereo", 1.0), options)


def test_a_closed_source_ends_its_thread() -> None:
    source = ContainerSource(ListenOptions(), lambda: None)
    source.feed(encoded("wav", 18.0))
    source.close()
    source._thread.join(10)
    assert not source._thread.is_alive()


def test_every_byte_is_reported_done_once() -> None:
    incoming = Incoming()
    incoming.feed(bytes(100))
    incoming.end()
    assert incoming.read(60) == bytes(60)
    assert incoming.consumed() == 60
    assert incoming.read(60) == bytes(40)
    assert incoming.consumed() == 40
    assert incoming.read(60) == b""


def test_the_head_stays_for_the_decoder() -> None:
    incoming = Incoming()
    incoming.feed(b"RIFF1234WAVEmore")
    assert incoming.head(SNIFF_BYTES) == b"RIFF1234WAVE"
    assert incoming.read(100) == b"RIFF1234WAVEmore"
