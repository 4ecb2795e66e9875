import pytest

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.slices import Slice, Slicer
from stt_api.audio.sources import STEPS_A_TURN, ByteSource
from stt_api.options import ListenOptions


class Garbage(ByteSource):
    """Finds no audio, a byte at a step."""

    steps = 0

    def decode(self, slicer: Slicer) -> bool:
        self.steps += 1
        del self.waiting[:1]
        return bool(self.waiting)


def test_who_finds_no_audio_for_long_lets_others_have_their_turn() -> None:
    source = Garbage(ListenOptions())
    source.feed(bytes(10 * STEPS_A_TURN))
    assert source.take() == Slice((b"",))
    assert source.consumed() == STEPS_A_TURN
    assert source.steps == STEPS_A_TURN
    assert not source.idle


def test_a_source_that_needs_more_bytes_is_idle_and_has_done_with_what_it_was_sent() -> None:
    source = Garbage(ListenOptions())
    source.feed(bytes(10))
    assert source.take() is None
    assert source.idle
    assert source.consumed() == 10
    source.feed(b"x")
    assert not source.idle


def test_at_the_end_bytes_without_audio_are_a_fault() -> None:
    source = Garbage(ListenOptions())
    source.feed(bytes(10))
    source.end()
    with pytest.raises(UndecodableAudio) as refused:
        source.take()
    assert refused.value.fault is Fault.NO_AUDIO
