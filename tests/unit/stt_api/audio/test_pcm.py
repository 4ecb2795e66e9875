import numpy as np
import pytest

from stt_api.audio.faults import UndecodableAudio
from stt_api.audio.pcm import PcmSource, SampleReader
from stt_api.audio.slices import Source
from stt_api.options import ListenOptions


def drain(source: Source) -> list[bytes]:
    """All that a source has, per channel."""
    parts = []
    while (part := source.take()) is not None:
        parts.append(part.channels)
    return [b"".join(channel) for channel in zip(*parts, strict=True)]


def tone(rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    """A 440 Hz tone of shape (samples, channels); each further channel at half the loudness of the one before."""
    wave = 12_000 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.stack([wave / 2**channel for channel in range(channels)], axis=1).astype("<i2")


def test_samples_at_the_recognisers_rate_pass_unchanged() -> None:
    pcm = tone(16_000, 0.55).tobytes()
    source = PcmSource(ListenOptions(encoding="linear16"))
    source.feed(pcm)
    source.end()
    assert drain(source) == [pcm]
    assert source.duration == 0.55
    assert source.finished


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_other_rates_are_brought_to_16_khz_and_the_duration_stays_exact(rate: int) -> None:
    samples = tone(rate, 1.0)
    source = PcmSource(ListenOptions(encoding="linear16", sample_rate=rate))
    source.feed(samples.tobytes())
    source.end()
    (out,) = drain(source)
    assert source.duration == 1.0
    assert abs(len(out) / 2 - 16_000) <= 32
    spectrum = np.abs(np.fft.rfft(np.frombuffer(out, dtype="<i2")[2_000:14_000]))
    assert int(spectrum.argmax()) * 16_000 / 12_000 == pytest.approx(440, abs=2)


def test_channels_are_kept_apart_or_mixed() -> None:
    samples = tone(16_000, 0.3, channels=2)
    apart = PcmSource(ListenOptions(encoding="linear16", channels=2, multichannel=True))
    mixed = PcmSource(ListenOptions(encoding="linear16", channels=2))
    for source in (apart, mixed):
        source.feed(samples.tobytes())
        source.end()
    assert drain(apart) == [samples[:, 0].tobytes(), samples[:, 1].tobytes()]
    (mean,) = drain(mixed)
    assert np.abs(np.frombuffer(mean, dtype="<i2") - samples.mean(axis=1)).max() <= 1
    assert (apart.channels, mixed.channels) == (2, 1)
    assert apart.duration == mixed.duration == 0.3


def test_bytes_that_break_a_sample_wait_for_the_rest_of_it() -> None:
    pcm = tone(16_000, 0.01, channels=2).tobytes()
    source = PcmSource(ListenOptions(encoding="linear16", channels=2, multichannel=True))
    got: list[bytes] = [b"", b""]
    for at in range(0, len(pcm), 3):
        source.feed(pcm[at : at + 3])
        for index, part in enumerate(drain(source)):
            got[index] += part
    whole = PcmSource(ListenOptions(encoding="linear16", channels=2, multichannel=True))
    whole.feed(pcm)
    assert got == drain(whole)


def test_every_byte_is_reported_done_once() -> None:
    source = PcmSource(ListenOptions(encoding="linear16"))
    done = 0
    for size in (1, 2, 3, 5000, 1, 7):
        source.feed(bytes(size))
        drain(source)
        done += source.consumed()
    assert done == 5014
    assert source.idle


def test_a_slice_is_short_so_that_streams_take_turns() -> None:
    source = PcmSource(ListenOptions(encoding="linear16"))
    source.feed(bytes(320_000))
    part = source.take()
    assert part is not None
    assert len(part.channels[0]) == 3200
    assert source.consumed() == 3200
    assert not source.idle


def test_no_audio_at_all_is_no_fault() -> None:
    source = PcmSource(ListenOptions(encoding="linear16"))
    source.end()
    assert source.take() is None
    assert source.finished
    assert source.duration == 0.0


@pytest.mark.parametrize(("encoding", "size"), [("linear16", 2), ("linear32", 4), ("mulaw", 1), ("alaw", 1)])
def test_every_raw_encoding_is_as_long_as_its_bytes_say(encoding: str, size: int) -> None:
    source = PcmSource(ListenOptions(encoding=encoding, sample_rate=8000))
    source.feed(bytes(8000 * size))
    source.end()
    drain(source)
    assert source.duration == 1.0


def test_the_codes_of_g711_are_the_standards() -> None:
    codes = bytes([0x00, 0x80, 0x7F, 0xFF, 0x55, 0xD5, 0x2A, 0xAA])
    # ITU-T G.711, tables 1 and 2: the ends and the middle of each law, in 16 bits.
    assert SampleReader("mulaw", 1, 1).read(codes[:4])[0].tolist() == [-32124, 32124, 0, 0]
    assert SampleReader("alaw", 1, 1).read(codes[4:])[0].tolist() == [-8, 8, -32256, 32256]


def test_floats_that_are_no_loudness_are_no_fault() -> None:
    samples = np.array([np.nan, np.inf, 3e38, -2.0, 0.5], dtype="<f4").tobytes()
    assert SampleReader("float", 4, 1).read(samples)[0].tolist() == [0, 0, 32767, -32767, 16383]


def test_a_declared_rate_beyond_what_is_allowed_is_refused() -> None:
    with pytest.raises(UndecodableAudio, match="sample rate is 1 Hz"):
        PcmSource(ListenOptions(encoding="linear16", sample_rate=1))
