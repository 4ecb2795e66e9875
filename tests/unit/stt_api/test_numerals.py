"""Spoken whole numbers as digits, and what only looks like one as it was said."""

import pytest

from stt_api.numerals import numerals
from stt_api.recognition.events import Word


def said(text: str) -> list[Word]:
    return [
        Word(each.strip(",.?").lower(), float(place), place + 0.5, 0.8 + 0.1 * (place % 2), each)
        for place, each in enumerate(text.split())
    ]


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("Nine hundred and five apples.", "905 apples."),
        ("two thousand and twenty six", "2026"),
        ("three million two hundred thousand", "3200000"),
        ("one thousand one hundred and eleven", "1111"),
        ("one hundred twenty five", "125"),
        ("nineteen hundred", "1900"),
        ("twenty-one pilots", "21 pilots"),
        ("seventy five percent", "75 percent"),
        ("nineteen eighty four", "19 84"),
        ("twenty twenty", "20 20"),
        ("four one five", "4 1 5"),
        ("two and three", "2 and 3"),
        ("five, six", "5, 6"),
        ("five hundred and then", "500 and then"),
        ("zero", "0"),
        ("one of them", "one of them"),
        ("a hundred", "a hundred"),
        ("thousand and", "thousand and"),
        ("", ""),
    ],
)
def test_a_number_is_one_word_of_digits(spoken: str, written: str) -> None:
    assert " ".join(word.written for word in numerals(said(spoken))) == written


def test_a_number_takes_the_time_of_its_words_and_their_mean_confidence() -> None:
    [number, rest] = numerals(said("twenty two apples"))
    assert (number.text, number.start, number.end, number.confidence) == ("22", 0.0, 1.5, 0.85)
    assert rest == said("twenty two apples")[2]
