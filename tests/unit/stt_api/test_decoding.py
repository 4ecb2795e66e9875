import av
import pytest

from stt_api.decoding import DECODERS, MAX_DAMAGED_PACKETS, PacketDecoder
from stt_api.faults import Fault, UndecodableAudio


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
