"""Spoken numbers as digits: "nine hundred and five" is "905". Pure.

Whole numbers alone. "one" by itself stays a word, since it is a pronoun as often as a number.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from stt_api.recognition.events import Word

_UNITS: Final = {
    name: value
    for value, name in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"), 1)
}
_TEENS: Final = {
    name: value
    for value, name in enumerate(
        (
            "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
            "nineteen",
        ),
        10,
    )
}  # fmt: skip
_TENS: Final = {
    name: 10 * value
    for value, name in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2)
}
_SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_HUNDRED: Final = "hundred"
ONE: Final = frozenset({"one"})
# What a text writes out, unless it is a part of a longer number.
BELOW_TEN: Final = frozenset({"zero", *_UNITS})
_TRAILING: Final = ".,;:?!"


def numerals(words: Sequence[Word], *, spelled: Collection[str] = ONE) -> tuple[Word, ...]:
    """The words with each number as one word of digits, over the time of its words and with their mean confidence.

    `spelled`: the words that stay as they are where no other number is beside them.
    """
    found: list[Word] = []
    begin = 0
    while begin < len(words):
        value, size = _number(words[begin:])
        taken = words[begin : begin + size]
        if not size or (size == 1 and taken[0].text in spelled and not _beside_a_number(words, begin)):
            found.append(words[begin])
            begin += 1
            continue
        last = taken[-1].written
        mark = last[len(last.rstrip(_TRAILING)) :]
        found.append(
            replace(
                taken[0],
                text=str(value),
                end=taken[-1].end,
                confidence=round(sum(word.confidence for word in taken) / size, 4),
                written=f"{value}{mark}",
            )
        )
        begin += size
    return tuple(found)


def _beside_a_number(words: Sequence[Word], place: int) -> bool:
    around = [words[near].text for near in (place - 1, place + 1) if 0 <= near < len(words)]
    return any(text in _UNITS or text in _TEENS or text in _TENS or text == "zero" for text in around)


def _number(words: Sequence[Word]) -> tuple[int, int]:
    """The number that these words begin with, and how many of them it is: 0 for none."""
    if words[0].text == "zero":
        return 0, 1
    total, group, size, scale = 0, 0, 0, 10**15
    value = 0
    for place, word in enumerate(words):
        parts = word.text.split("-")
        after_hundred = place > 0 and words[place - 1].text in {_HUNDRED, "and", *_SCALES}
        if word.text == "and":
            # Between hundred and what follows alone: "two and three" are two numbers.
            if not size or words[place - 1].text not in {_HUNDRED, *_SCALES} or _ended(words[place - 1]):
                break
            continue
        if place and _ended(words[place - 1]):
            break
        if len(parts) == 2 and parts[0] in _TENS and parts[1] in _UNITS and (not group or after_hundred):
            group += _TENS[parts[0]] + _UNITS[parts[1]]
        elif word.text in _UNITS and (not group or after_hundred or (group % 100 >= 20 and group % 10 == 0)):
            if group and not after_hundred and words[place - 1].text not in _TENS:
                break
            group += _UNITS[word.text]
        elif (small := _TEENS.get(word.text) or _TENS.get(word.text)) and (not group or after_hundred):
            group += small
        elif word.text == _HUNDRED and 0 < group < 100:
            group *= 100
        elif word.text in _SCALES and group and _SCALES[word.text] < scale:
            scale = _SCALES[word.text]
            total, group = total + group * scale, 0
        else:
            break
        # Only up to here; an "and" that nothing follows is no part of the number.
        value, size = total + group, place + 1
    return value, size


def _ended(word: Word) -> bool:
    return word.written.endswith(tuple(_TRAILING))
