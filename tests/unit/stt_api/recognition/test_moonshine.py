import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aldea.canary.accuracy import word_error_rate
from onebox.human_speech import TWO_CITIES, recording
from stt_api.model import MOONSHINE, package_folder
from stt_api.options import ListenOptions
from stt_api.recognition.alignment import UNKNOWN_CONFIDENCE, Aligner
from stt_api.recognition.channel import ChannelRecognizer
from stt_api.recognition.events import Transcript
from stt_api.recognition.moonshine import (
    BEHIND_INTERIM_SECONDS,
    FIRST_INTERIM_SECONDS,
    TAIL_BYTES,
    MoonshineEngine,
    split,
    without_one_repetition,
)
from tests.recordings import as_16k, speech
from tests.support.word_times import SENTENCES
from tests.unit.stt_api.recognition.test_channel import WORDS, finals, hear, text


@pytest.fixture(scope="module")
def moonshine() -> MoonshineEngine:
    if package_folder(MOONSHINE) is None:
        pytest.skip("moonshine is not installed here")
    return MoonshineEngine()


class SaysOnly(MoonshineEngine):
    """An engine whose model always says the same."""

    def __init__(self, says: str) -> None:
        self.samples = 0
        self.says = says
        self._library: Any = self
        self._aligner = Aligner()

    def transcribe(self, samples: NDArray[np.float32], rate: int) -> str:
        self.samples = len(samples)
        return self.says


def test_words_are_written_with_capitals_and_punctuation_and_have_times(
    moonshine: MoonshineEngine, sentence: bytes
) -> None:
    (found,) = hear(ChannelRecognizer(moonshine, ListenOptions()), sentence)
    assert isinstance(found, Transcript)
    assert (found.words[0].written, found.words[-1].written) == ("The", "bridge.")
    assert (found.words[0].text, found.words[-1].text) == ("the", "bridge")
    assert all(word.start < word.end for word in found.words)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found.words))
    assert all(word.confidence > UNKNOWN_CONFIDENCE for word in found.words)


@pytest.mark.parametrize("recorded", [False, True])
def test_words_are_timed_to_80_ms(moonshine: MoonshineEngine, *, recorded: bool) -> None:
    recognizer = ChannelRecognizer(moonshine, ListenOptions(recorded=recorded))
    events = finals(hear(recognizer, speech()) + recognizer.finish(len(speech()) / 32_000))
    found = [word for event in events for word in event.words]
    truth = [
        (word, start, end)
        for words, starts, last in SENTENCES
        for word, start, end in zip(words.split(), starts, (*starts[1:], last), strict=True)
    ]
    assert [word.text for word in found] == [word for word, _, _ in truth]
    for word, (_, start, end) in zip(found, truth, strict=True):
        assert abs(word.start - start) <= 0.08, word
        assert abs(word.end - end) <= 0.08, word


def test_people_are_understood_and_their_words_follow_each_other(moonshine: MoonshineEngine) -> None:
    path = recording("two_cities.wav")
    assert path is not None
    pcm, truth = as_16k(path)[: 17 * 32_000], TWO_CITIES.partition(", it was the spring")[0]
    recognizer = ChannelRecognizer(moonshine, ListenOptions(recorded=True))
    events = finals(hear(recognizer, pcm) + recognizer.finish(len(pcm) / 32_000))
    words = [word for event in events for word in event.words]
    assert word_error_rate(truth, " ".join(word.written for word in words)) <= 0.08
    assert all(word.start <= word.end for word in words)
    assert all(before.end <= after.start for before, after in itertools.pairwise(words))


@pytest.mark.parametrize(("loudness", "samples"), [(2000, 400), (2000, 800), (6000, 400), (12_000, 800)])
def test_a_knock_is_no_word(moonshine: MoonshineEngine, loudness: int, samples: int) -> None:
    """The model makes a word of any noise; it does not fit the audio."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 20, 5 * 16_000)
    for at in range(8_000, 64_000, 16_000):
        noise[at : at + 3000] += rng.normal(0, loudness, 3000) * np.exp(-np.arange(3000) / samples)
    noise = noise.clip(-32_768, 32_767)
    recognizer = ChannelRecognizer(moonshine, ListenOptions())
    found = finals(hear(recognizer, noise.astype(np.int16).tobytes()) + recognizer.finish(5.0))
    assert [text(event) for event in found] == [""] * len(found)
    assert len(found) > 1


@pytest.mark.parametrize("samples", [b"", bytes(3200), bytes(32_000)])
def test_silence_and_scraps_are_no_words(moonshine: MoonshineEngine, samples: bytes) -> None:
    assert moonshine.understand(samples, 0, len(samples)) == ()


def test_text_that_does_not_fit_is_spread_over_the_speech_if_it_is_long_and_dropped_if_short() -> None:
    quiet = bytes(64_000)
    words = SaysOnly("One two three four five.").understand(quiet, 16_000, 48_000)
    assert [word.text for word in words] == ["one", "two", "three", "four", "five"]
    assert (words[0].start, words[-1].end) == (0.5, 1.5)
    assert {word.confidence for word in words} == {UNKNOWN_CONFIDENCE}
    assert SaysOnly("Thank you.").understand(quiet, 16_000, 48_000) == ()


def test_the_model_gets_little_of_the_silence_behind_an_utterance() -> None:
    engine = SaysOnly("Yes.")
    recognizer = engine.recognizer()
    recognizer.begin()
    recognizer.feed(bytes(32_000), speech=True)
    recognizer.feed(bytes(320_000), speech=False)
    recognizer.final()
    assert engine.samples == 16_000 + TAIL_BYTES // 2


def test_an_interim_costs_the_whole_utterance_so_it_comes_less_often_the_longer_that_is() -> None:
    recognizer = SaysOnly("").recognizer()
    assert recognizer.pause(0.5, behind=False) == FIRST_INTERIM_SECONDS
    assert recognizer.pause(8.0, behind=False) == 2.0
    assert recognizer.pause(0.5, behind=True) == BEHIND_INTERIM_SECONDS
    assert recognizer.pause(8.0, behind=True) == 8.0


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("The cat, the cat, the cat sat", "The cat, the cat, sat"),
        ("so so so good", "so so good"),
        ("it was quiet and it was quiet and it was", "it was quiet and it was"),
        ("it was the age of wisdom it was the age of foolishness", None),
        ("", None),
    ],
)
def test_a_phrase_that_is_repeated_at_once_is_left_out_once(text: str, shorter: str | None) -> None:
    found = without_one_repetition(split(text))
    assert (None if found is None else " ".join(written for _, written in found)) == shorter


def test_repetitions_that_were_not_said_are_left_out(sentence: bytes) -> None:
    """The model sometimes goes round in circles."""
    engine = SaysOnly("The morning was quiet and" + " the river moved slowly" * 40 + " under the old bridge.")
    recognizer = ChannelRecognizer(engine, ListenOptions())
    assert [text(event) for event in hear(recognizer, sentence)] == [WORDS]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("In short,, it was.", [("in", "In"), ("short", "short,"), ("it", "it"), ("was", "was.")]),
        ("Don\u2019t - you?", [("don't", "Don't -"), ("you", "you?")]),
        ('"Well-known," he said...', [("well-known", '"Well-known,"'), ("he", "he"), ("said", "said.")]),
        ("$5 and 10% (maybe)", [("$5", "$5"), ("and", "and"), ("10%", "10%"), ("maybe", "(maybe)")]),
        ("... -", []),
        ("", []),
    ],
)
def test_a_text_is_split_into_bare_and_written_words(written: str, expected: list[tuple[str, str]]) -> None:
    assert split(written) == expected
