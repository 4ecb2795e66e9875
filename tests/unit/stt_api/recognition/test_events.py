import pytest

from stt_api.recognition.events import (
    HEADER,
    Consumed,
    Ended,
    Event,
    Failed,
    Kind,
    SpeechStarted,
    Transcript,
    Undecodable,
    UtteranceEnd,
    Word,
    frame,
    from_json,
    to_json,
)


@pytest.mark.parametrize(
    "event",
    [
        Transcript(channel=1, channels=2, start=0.5, end=2.25, words=(Word("caf\u00e9", 0.6, 1.0, 0.5),), final=True),
        Transcript(channel=0, channels=1, start=0.0, end=0.0, from_finalize=True, speech_final=True),
        SpeechStarted(channel=0, channels=1, at=0.25),
        UtteranceEnd(channel=0, channels=1, last_word_end=3.5),
        Consumed(size=3200),
        Ended(duration=18.725, channels=1),
        Undecodable(reason="no audio"),
        Failed(reason="RuntimeError: x"),
    ],
)
def test_an_event_survives_the_way_between_the_processes(event: Event) -> None:
    assert from_json(to_json(event)) == event


def test_a_frame_says_its_length_kind_and_stream() -> None:
    made = frame(Kind.AUDIO, 7, b"abc")
    assert HEADER.unpack(made[: HEADER.size]) == (3, Kind.AUDIO, 7)
    assert made[HEADER.size :] == b"abc"
