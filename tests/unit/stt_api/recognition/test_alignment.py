import itertools

import pytest

from stt_api.recognition import alignment
from stt_api.recognition.alignment import UNKNOWN_CONFIDENCE, Aligner, Span, sounds, spread
from tests.recordings import speech
from tests.unit.stt_api.recognition.test_channel import WORDS


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner()


def aligned(aligner: Aligner, audio: bytes, words: list[str]) -> list[Span]:
    spans = aligner.align(audio, words)
    assert spans is not None
    assert len(spans) == len(words)
    assert all(before.end <= after.start + 1e-9 for before, after in itertools.pairwise(spans))
    return spans


def test_each_word_is_found_where_it_was_spoken(aligner: Aligner, sentence: bytes) -> None:
    spans = aligned(aligner, sentence, WORDS.split())
    assert all(span.confidence > UNKNOWN_CONFIDENCE for span in spans)


def test_other_words_fit_less_well(aligner: Aligner, sentence: bytes) -> None:
    right = aligned(aligner, sentence, WORDS.split())
    wrong = aligned(aligner, sentence, WORDS.replace("quiet", "purple").split())
    assert wrong[3].confidence < right[3].confidence - 0.1


def test_words_that_no_dictionary_has_are_found_as_well(aligner: Aligner, sentence: bytes) -> None:
    """They get sounds by their letters, and a word without any gets what its neighbours leave."""
    words = WORDS.replace("quiet", "kwyut").replace("bridge", "bridj").split()
    known = aligned(aligner, sentence, WORDS.split())
    guessed = aligned(aligner, sentence, [*words[:5], "\u20ac", *words[5:]])
    del guessed[5]
    for expected, found in zip(known, guessed, strict=True):
        assert abs(found.start - expected.start) < 0.2


@pytest.mark.parametrize("words", [["hello", "world"], ["1984"], ["x" * 500], ["\u20ac"], ["\u0663"], []])
def test_what_was_not_said_does_not_fit(aligner: Aligner, words: list[str]) -> None:
    assert aligner.align(bytes(32_000), words) is None


def test_numbers_and_joined_words_have_sounds(aligner: Aligner, sentence: bytes) -> None:
    joined = aligned(aligner, sentence, WORDS.replace("old bridge", "old-bridge").split())
    apart = aligned(aligner, sentence, WORDS.split())
    assert (joined[-1].start, joined[-1].end) == (apart[-2].start, apart[-1].end)
    assert alignment._pieces("10%") == ["one", "zero"]


def test_what_strangers_say_does_not_fill_the_dictionary(monkeypatch: pytest.MonkeyPatch, sentence: bytes) -> None:
    monkeypatch.setattr(alignment, "MAX_GUESSES", 3)
    aligner = Aligner()
    for index in range(8):
        aligner.align(speech(1.0), [f"zzq{'abcdefgh'[index]}"])
        assert aligner._guesses <= 3
    # A text with more of them than are kept is aligned all the same.
    aligned(aligner, sentence, WORDS.replace("quiet and the river moved", "kwyut andd tthe rivver muvved").split())


def test_the_same_audio_gives_the_same_times_whatever_came_before(aligner: Aligner, sentence: bytes) -> None:
    first = aligned(aligner, sentence, WORDS.split())
    aligner.align(speech(10.0)[5 * 32_000 :], ["people", "from", "all", "over", "the", "country"])
    assert aligned(aligner, sentence, WORDS.split()) == first


def test_letters_have_sounds() -> None:
    assert sounds("noisyest") == "N OY S IY EH S T"
    assert sounds("happy") == "HH AE P IY"
    assert sounds("") == "AH"


def test_spread_words_follow_each_other_by_their_length() -> None:
    spans = spread(["a", "longer", "one"], 1.0, 2.3)
    assert (spans[0].start, round(spans[-1].end, 6)) == (1.0, 2.3)
    assert all(before.end == after.start for before, after in itertools.pairwise(spans))
    assert spans[1].end - spans[1].start > spans[0].end - spans[0].start
