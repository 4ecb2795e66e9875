import numpy as np
import pytest

from stt_api.options import ListenOptions
from stt_api.recognition.channel import FRAME_BYTES, SILENCE_SECONDS, ChannelRecognizer
from stt_api.recognition.engine import Engine
from stt_api.recognition.events import Event, Progress, SpeechStarted, Transcript, UtteranceEnd

WORDS = "the morning was quiet and the river moved slowly under the old bridge"


def hear(recognizer: ChannelRecognizer, pcm: bytes, chunk: int = 3200) -> list[Event]:
    return [event for at in range(0, len(pcm), chunk) for event in recognizer.feed(pcm[at : at + chunk])]


def text(event: Event) -> str:
    assert isinstance(event, Transcript)
    return " ".join(word.text for word in event.words)


def finals(events: list[Event]) -> list[Transcript]:
    return [event for event in events if isinstance(event, Transcript) and event.final]


def silence(seconds: float) -> bytes:
    return bytes(int(seconds * 16_000) * 2)


def test_a_sentence_becomes_words_with_times_and_a_pause_makes_it_final(recognition: Engine, sentence: bytes) -> None:
    recognizer = ChannelRecognizer(recognition, ListenOptions())
    (found,) = hear(recognizer, sentence)
    assert isinstance(found, Transcript)
    assert text(found) == WORDS
    assert found.final
    assert found.speech_final
    assert found.start == 0.0
    for before, after in zip(found.words, found.words[1:], strict=False):
        assert before.start < before.end <= after.start + 0.011
    assert all(0.0 <= word.confidence <= 1.0 for word in found.words)
    assert found.words[-1].end <= found.end


def test_the_words_do_not_depend_on_how_the_audio_is_cut(recognition: Engine, sentence: bytes) -> None:
    whole = hear(ChannelRecognizer(recognition, ListenOptions()), sentence, len(sentence))
    odd = hear(ChannelRecognizer(recognition, ListenOptions()), sentence, 2 * 331)
    assert whole == odd


def test_interim_results_grow_while_somebody_speaks(recognition: Engine, sentence: bytes) -> None:
    events = hear(ChannelRecognizer(recognition, ListenOptions(interim_results=True)), sentence)
    interim = [event for event in events if isinstance(event, Transcript) and not event.final]
    assert len(interim) >= 5
    # The first ones are guesses from half a word; they settle as more is heard.
    assert text(interim[-1]).startswith("the morning was")
    assert len(text(interim[-1])) > len(text(interim[0]))
    assert all(not event.speech_final for event in interim)
    assert [event.start for event in interim] == [0.0] * len(interim)


def test_events_of_speech_come_only_when_requested(recognition: Engine, sentence: bytes) -> None:
    pcm = sentence + silence(1.5)
    quiet = hear(ChannelRecognizer(recognition, ListenOptions()), pcm)
    assert not [event for event in quiet if isinstance(event, SpeechStarted | UtteranceEnd)]
    found_events = hear(ChannelRecognizer(recognition, ListenOptions(vad_events=True, utterance_end_ms=1000)), pcm)
    assert [type(event) for event in found_events] == [SpeechStarted, Transcript, UtteranceEnd]
    final = found_events[1]
    assert isinstance(final, Transcript)
    assert isinstance(found_events[2], UtteranceEnd)
    assert found_events[2].last_word_end == final.words[-1].end


def test_progress_says_how_far_the_audio_is_heard_and_how_long_nobody_spoke(
    recognition: Engine, sentence: bytes
) -> None:
    recognizer = ChannelRecognizer(recognition, ListenOptions(progress=True))
    found = [event for event in hear(recognizer, sentence + silence(1.0)) if isinstance(event, Progress)]
    assert [event.at for event in found[:3]] == [0.09, 0.18, 0.27]
    assert found[-1].at == pytest.approx(6.3, abs=0.09)
    assert found[-1].silence >= 1.0
    assert min(event.silence for event in found) == 0.0


def test_the_final_transcripts_cover_the_audio_without_a_gap(recognition: Engine, sentence: bytes) -> None:
    recognizer = ChannelRecognizer(recognition, ListenOptions())
    pcm = silence(2 * SILENCE_SECONDS + 1) + sentence + silence(0.013)
    found = finals(hear(recognizer, pcm) + recognizer.finish(len(pcm) / 32_000))
    assert found[0].start == 0.0
    assert [after.start for after in found[1:]] == [before.end for before in found[:-1]]
    assert found[-1].end == round(len(pcm) / 32_000, 6)
    assert [text(event) for event in found].count(WORDS) == 1


def test_finalize_returns_what_was_heard_even_if_that_is_nothing(recognition: Engine, sentence: bytes) -> None:
    recognizer = ChannelRecognizer(recognition, ListenOptions())
    (empty,) = finals(recognizer.flush())
    assert empty.from_finalize
    assert not empty.words
    half = len(sentence) // 2 - len(sentence) // 2 % FRAME_BYTES
    hear(recognizer, sentence[:half])
    (found,) = finals(recognizer.flush())
    assert found.from_finalize
    assert text(found).startswith("the morning")
    assert found.end == round(half / 32_000, 6)
    (rest,) = finals(hear(recognizer, sentence[half:]))
    assert rest.start == found.end
    assert text(rest).endswith("bridge")


def test_speech_that_the_end_cuts_off_is_final(recognition: Engine, sentence: bytes) -> None:
    recognizer = ChannelRecognizer(recognition, ListenOptions())
    hear(recognizer, sentence[: 3 * 32_000])
    (found,) = finals(recognizer.finish(3.0))
    assert found.speech_final
    assert found.end == 3.0
    assert text(found).startswith("the morning")


def test_noise_brings_no_words_and_no_failure(recognition: Engine) -> None:
    noise = np.random.default_rng(7).integers(-300, 300, 3 * 16_000, dtype=np.int16).tobytes()
    recognizer = ChannelRecognizer(recognition, ListenOptions())
    events = hear(recognizer, noise) + recognizer.finish(3.0)
    assert all(isinstance(event, Transcript) for event in events)
