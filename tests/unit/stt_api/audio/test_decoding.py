import av
import numpy as np
import pytest

from stt_api.audio.decoding import DECODERS, MAX_DAMAGED_PACKETS, FrameReader, PacketDecoder
from stt_api.audio.faults import Fault, UndecodableAudio


def test_a_decoder_that_nobody_needs_is_not_opened() -> None:
    for codec in ("h264", "wmav2", "atrac3", "truehd"):
        with pytest.raises(UndecodableAudio) as refused:
            PacketDecoder(codec)
        assert refused.value.fault is Fault.CODEC


def test_the_decoders_that_are_taken_are_there() -> None:
    assert {"aac", "mp3", "flac", "opus", "vorbis", "alac"} <= DECODERS & av.codecs_available


def test_single_damaged_packets_are_left_out_and_many_are_a_fault() -> None:
    decoder = PacketDecoder("mp3")
    for _ in range(MAX_DAMAGED_PACKETS):
        assert decoder.decode(b"\x00" * 100) == []
    with pytest.raises(UndecodableAudio) as refused:
        decoder.decode(b"\x00" * 100)
    assert refused.value.fault is Fault.DAMAGED


@pytest.mark.parametrize("layout", ["mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1"])
@pytest.mark.parametrize("kind", ["s16", "s16p", "s32p", "fltp"])
def test_a_frame_of_any_number_of_channels_is_read_channel_by_channel(layout: str, kind: str) -> None:
    channels = av.AudioLayout(layout).nb_channels
    expected = np.arange(channels * 1152, dtype=np.int16).reshape(1152, channels)
    frame = av.AudioFrame.from_ndarray(expected.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate = 48_000
    (as_decoded,) = av.AudioResampler(format=kind, layout=layout, rate=48_000).resample(frame)
    assert np.array_equal(FrameReader().read(as_decoded), expected.T)
