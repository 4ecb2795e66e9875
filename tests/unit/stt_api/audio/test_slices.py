from fractions import Fraction

import numpy as np
import pytest

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.slices import FREE_SECONDS, MAX_HEADER_BYTES, Budget, Resampler, Slicer, check_shape
from stt_api.options import ListenOptions


def tone(rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    """A 440 Hz tone of shape (samples, channels); each further channel at half the loudness of the one before."""
    wave = 12_000 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.stack([wave / 2**channel for channel in range(channels)], axis=1).astype("<i2")


@pytest.mark.parametrize("channels", range(1, 9))
def test_any_number_of_channels_can_be_resampled(channels: int) -> None:
    resampler = Resampler(48_000, channels, separate=True)
    samples = tone(48_000, 0.1, channels=channels).T
    out = [a + b for a, b in zip(resampler.push(samples), resampler.flush(), strict=True)]
    assert len(out) == channels
    assert abs(len(out[0]) / 2 - 1600) <= 32
    loudness = [np.abs(np.frombuffer(channel, dtype="<i2")).max() for channel in out]
    assert loudness == sorted(loudness, reverse=True)


@pytest.mark.parametrize("rate", [0, 1, 3_999, 192_001, 655_350])
def test_a_sample_rate_that_would_unfold_to_hours_is_refused(rate: int) -> None:
    with pytest.raises(UndecodableAudio) as refused:
        check_shape(1, rate)
    assert refused.value.fault is Fault.SAMPLE_RATE


@pytest.mark.parametrize("channels", [0, 9, 255])
def test_more_channels_than_are_recognized_are_refused(channels: int) -> None:
    with pytest.raises(UndecodableAudio) as refused:
        check_shape(channels, 16_000)
    assert refused.value.fault is Fault.CHANNELS


def test_seconds_must_be_paid_for_in_bytes() -> None:
    budget = Budget(None)
    budget.received = 1000
    budget.spend(Fraction(FREE_SECONDS + 100))
    with pytest.raises(UndecodableAudio) as refused:
        budget.spend(Fraction(1))
    assert refused.value.fault is Fault.TOO_DENSE


def test_bytes_that_were_not_decoded_yet_pay_for_nothing() -> None:
    budget = Budget(None)
    budget.received = 1 << 20
    budget.waiting = lambda: 1 << 20
    with pytest.raises(UndecodableAudio):
        budget.spend(Fraction(FREE_SECONDS + 1))


def test_a_stream_is_no_longer_than_is_allowed() -> None:
    budget = Budget(10.0)
    budget.received = 1 << 20
    budget.spend(Fraction(10))
    with pytest.raises(UndecodableAudio, match="longer than 10 s"):
        budget.spend(Fraction(1, 1000))


def test_pictures_and_tags_before_the_audio_are_bounded() -> None:
    budget = Budget(None)
    budget.received = MAX_HEADER_BYTES + 1
    with pytest.raises(UndecodableAudio) as refused:
        budget.check_header()
    assert refused.value.fault is Fault.HEADER


def test_sample_rate_and_channels_may_change_on_the_way() -> None:
    slicer = Slicer(ListenOptions())
    slicer.budget.received = 1 << 20
    for rate, channels in ((44_100, 1), (48_000, 2), (16_000, 1)):
        slicer.push(tone(rate, 1.0, channels).T, rate)
    slicer.flush()
    parts = []
    while (part := slicer.take()) is not None:
        parts.append(part)
    assert sum(part.seconds for part in parts) == 3
    assert sum(len(part.channels[0]) for part in parts) / 32_000 == pytest.approx(3.0, abs=0.01)
    assert {len(part.channels) for part in parts} == {1}


def test_channels_that_are_recognised_apart_keep_their_number() -> None:
    slicer = Slicer(ListenOptions(multichannel=True, channels=2))
    slicer.budget.received = 1 << 20
    slicer.push(tone(16_000, 0.1, 2).T, 16_000)
    slicer.push(tone(16_000, 0.1, 1).T, 16_000)
    assert [len(part.channels) for part in (slicer.take(), slicer.take()) if part] == [2, 2]


def test_a_long_frame_is_handed_on_in_short_slices() -> None:
    slicer = Slicer(ListenOptions())
    slicer.budget.received = 1 << 20
    slicer.push(np.zeros((1, 65_535), dtype=np.int16), 4_000)
    part = slicer.take()
    assert part is not None
    assert part.seconds == Fraction(1, 10)
