"""What is made of recognized words: replacements, hits, utterances, paragraphs."""

from itertools import pairwise

import pytest
from multidict import MultiDict

from aldea.errors import BadRequest
from stt_api.wording import Wording, paragraphs, search, utterances, wording
from tests.unit.stt_api.test_numerals import said

TEXT = "Good morning. The river was quiet, the old river moved slowly."


def applied(text: str, **query: str) -> str:
    return " ".join(word.written for word in wording(MultiDict(query)).applied(said(text)))


def test_a_query_without_any_of_it_changes_nothing() -> None:
    assert wording(MultiDict({"model": "x", "numerals": "false"})) == Wording()
    assert Wording().applied(said(TEXT)) == tuple(said(TEXT))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"smart_format": "true"}, "Two of 25 came by one, then five."),
        ({"numerals": "true"}, "2 of 25 came by one, then 5."),
        ({"smart_format": "true", "numerals": "true"}, "2 of 25 came by one, then 5."),
        ({"smart_format": "false"}, "Two of twenty five came by one, then five."),
    ],
)
def test_smart_formatting_writes_digits_as_a_text_does(query: dict[str, str], found: str) -> None:
    assert applied("Two of twenty five came by one, then five.", **query) == found


def test_smart_formatting_makes_paragraphs_and_diarization_names_the_speaker() -> None:
    assert wording(MultiDict({"smart_format": "true"})).paragraphs
    assert not wording(MultiDict({"numerals": "true"})).paragraphs
    for name, value, speakers in (
        ("diarize", "true", True), ("diarize_model", "latest", True), ("diarize", "false", False), ("x", "1", False),
    ):  # fmt: skip
        assert wording(MultiDict({name: value})).speakers is speakers


def test_swear_words_are_masked_before_numbers_and_after_replacements() -> None:
    found = wording(MultiDict({"profanity_filter": "true", "replace": "drat:damn shit", "numerals": "true"}))
    assert " ".join(word.text for word in found.applied(said("drat twenty two"))) == "damn **** 22"


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("river:Thames", "Good morning. The Thames was quiet, the old Thames moved slowly."),
        ("old river:stream", "Good morning. The river was quiet, the stream moved slowly."),
        ("morning:day and night", "Good day and night. The river was quiet, the old river moved slowly."),
        ("Quiet:calm", "Good morning. The river was calm, the old river moved slowly."),
        ("old", "Good morning. The river was quiet, the river moved slowly."),
        ("sea:lake", TEXT),
    ],
)
def test_a_term_is_replaced_wherever_its_words_are(rule: str, found: str) -> None:
    assert applied(TEXT, replace=rule) == found


def test_a_replacement_takes_the_time_of_what_it_replaces() -> None:
    words = wording(MultiDict({"replace": "morning:day and night"})).applied(said("Good morning."))
    assert [word.text for word in words] == ["Good".lower(), "day", "and", "night"]
    assert (words[1].start, words[-1].end) == (1.0, 1.5)
    assert all(one.end <= other.start for one, other in pairwise(words))


def test_a_hit_is_an_exact_match_with_its_words_confidence() -> None:
    [river, old, none] = search(said(TEXT), ["River", "the old", "seas"])
    assert [hit["start"] for hit in river["hits"]] == [3.0, 8.0]
    assert old == {
        "query": "the old", "hits": [{"confidence": 0.85, "start": 6.0, "end": 7.5, "snippet": "the old"}],
    }  # fmt: skip
    assert none["hits"] == []


def test_utterances_are_what_is_between_pauses() -> None:
    words = said("a b c d")
    assert [len(found) for found in utterances(words, 0.5)] == [1, 1, 1, 1]
    assert [len(found) for found in utterances(words, 0.6)] == [4]
    assert list(utterances([], 0.8)) == []


def test_paragraphs_are_sentences_without_a_long_pause() -> None:
    words = said("One. Two. Three. Four. Five. Six.")
    found = paragraphs(words, punctuate=True)
    assert [len(paragraph["sentences"]) for paragraph in found["paragraphs"]] == [5, 1]
    assert found["transcript"] == "\nOne. Two. Three. Four. Five.\n\nSix.\n"
    assert found["paragraphs"][1] == {
        "sentences": [{"text": "Six.", "start": 5.0, "end": 5.5}], "num_words": 1, "start": 5.0, "end": 5.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        {"utterances": "true", "utt_split": "nan"}, {"utterances": "true", "utt_split": "0"},
        {"utterances": "true", "utt_split": "1_0"}, {"utterances": "true", "utt_split": "1."},
        {"numerals": "maybe"}, {"replace": ":x"},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_its_name(query: dict[str, str]) -> None:
    [name] = [name for name in query if name != "utterances"]
    with pytest.raises(BadRequest, match=name):
        wording(MultiDict(query))


def test_more_terms_than_are_allowed_are_refused() -> None:
    assert len(wording(MultiDict([("search", "x")] * 50)).searches) == 50
    for name, most in (("search", 50), ("replace", 200)):
        with pytest.raises(BadRequest, match=f"{name}: got {most + 1}"):
            wording(MultiDict([(name, "x")] * (most + 1)))
