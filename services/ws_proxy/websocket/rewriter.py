"""Rewriting an STT server's messages to the times of a stream whose first part another server has heard. No I/O.

Only the numbers that are times are changed, in the text as it came: whatever else a message holds, and how it is
written, stays. Times are decimal numbers; nothing is rounded but an offset that has no end as a decimal.
"""

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

# Decimal places of an offset: finer than a sample at every rate that is taken.
OFFSET_PLACES: Final = Decimal("0.000000001")
# The parts of a message that hold times, by their name at its top; elsewhere a `start` is none of ours.
_TIMED: Final = frozenset({"channel", "channels", "utterances", "words", "alternatives", "paragraphs", "results"})
_TIMES: Final = frozenset({"start", "end"})
_AT_TOP: Final = {
    "Results": frozenset({"start"}),
    "Metadata": frozenset({"duration"}),
    "SpeechStarted": frozenset({"timestamp"}),
    "UtteranceEnd": frozenset({"last_word_end"}),
}
# In seconds: a server that names a time beyond it, of a stream of half a day, is wrong.
_FARTHEST: Final = 1e9
_NEVER: Final = 1 << 62
# RFC 8259: what a text consists of beside its white space.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
# A member that may be a time, and a character of ASCII that is written as an escape.
_MEMBER: Final = re.compile(r'"(start|end|duration|timestamp|last_word_end)"\s*:\s*(-?[0-9][^\s{}\[\],:"]*)')
_ESCAPED_NAME: Final = re.compile(r"\\u00[2-7]")
_NUMBER: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:[eE](?:\+?\d{1,2}|-\d{1,3}))?")


def seconds(frames: int, rate: int) -> Decimal:
    """So many samples (of each channel) as seconds."""
    return (Decimal(frames) / rate).quantize(OFFSET_PLACES).normalize()


def shifted(text: str, offset: Decimal) -> str:
    """The message `text` with `offset` seconds added to every time in it. Not JSON, or not an object: as it is."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(message, dict):
        return text
    kind = message.get("type")
    at_top = _AT_TOP.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
    out: list[str] = []
    begin = 0
    for name, start, end in _named(text, at_top, message) or _times(text, at_top):
        value = text[start:end]
        # A server may say -1 for "no word at all".
        no_word = name == "last_word_end" and value.startswith("-")
        if not no_word and _NUMBER.fullmatch(value):
            out += [text[begin:start], _written(Decimal(value) + offset, value)]
            begin = end
    return "".join(out) + text[begin:]


def _named(text: str, at_top: frozenset[str], message: dict[str, Any]) -> list[tuple[str, int, int]]:
    """What `_times` finds, if no other member of the message has such a name; else nothing.

    It reads no other token; nearly every message is such a one. A quote within a string has a backslash before it, so
    what looks like a member is one. A name that is written with escapes is left to `_times`.
    """
    if _ESCAPED_NAME.search(text):
        return []
    names = at_top | _TIMES
    found = [(each[1], *each.span(2)) for each in _MEMBER.finditer(text) if each[1] in names]
    try:
        times = sum(_one(message.get(name)) for name in at_top)
        times += sum(_count(message[name]) for name in _TIMED & message.keys())
    except RecursionError:  # so deep that a parser, but not this, went through it
        return []
    return found if len(found) == times else []


def _count(value: Any) -> int:
    """How many times there are in a part of a message."""
    if isinstance(value, dict):
        return sum(_one(each) if name in _TIMES else _count(each) for name, each in value.items())
    return sum(map(_count, value)) if isinstance(value, list) else 0


def _one(value: Any) -> int:
    """1 for a number; so many that they are never found for one that JSON does not know (NaN, Infinity)."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return 0
    return 1 if isinstance(value, int) or math.isfinite(value) else _NEVER


def _times(text: str, at_top: frozenset[str]) -> Iterator[tuple[str | None, int, int]]:
    """Every time in a message: its name, and where its number is."""
    for path, start, end in _numbers(text):
        if path[0] in at_top if len(path) == 1 else path[0] in _TIMED and path[-1] in _TIMES:
            yield path[-1], start, end


def _written(value: Decimal, before: str) -> str:
    """The number as JSON: one that was written with a fraction keeps one, so that it stays of its type."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0")
        text = text + "0" if text.endswith(".") else text
    elif not before.lstrip("-").isdigit():
        text += ".0"
    return text


def _numbers(text: str) -> Iterator[tuple[list[str | None], int, int]]:
    """Every member of an object that is a number: the names that lead to it (None for an array), and where it is."""
    path: list[str | None] = []  # of the containers that are open, and the present member's name in each
    key = False  # the next string is a name
    for token in _TOKEN.finditer(text):
        found = token[0]
        if found == "{":
            path.append("")
            key = True
        elif found == "[":
            path.append(None)
            key = False
        elif found in "}]":
            path.pop()
        elif found == ",":
            key = path[-1] is not None
        elif found == ":":
            key = False
        elif found[0] == '"':
            if key:
                path[-1] = json.loads(found) if "\\" in found else found[1:-1]
        elif (found[0] == "-" or found[0].isdigit()) and path[-1] is not None:
            yield path, token.start(), token.end()


def seconds_of(value: Any) -> float | None:
    """A number of a message as a time; None for what cannot be one: no number, NaN, or farther than any stream."""
    valid = isinstance(value, int | float) and not isinstance(value, bool) and -_FARTHEST < value < _FARTHEST
    return float(value) if valid else None


class Heard:
    """How far each channel of a stream has been given its final words: another server may hear some of it again."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: tuple[float, ...] = ()  # of the channels up to the last that has any

    def final(self, channel: int, end: float) -> None:
        """The channel's words up to `end` (in seconds) are final."""
        ends = self._ends
        if channel >= len(ends):
            ends += (0.0,) * (channel + 1 - len(ends))
        elif end <= ends[channel]:
            return
        self._ends = (*ends[:channel], max(end, 0.0), *ends[channel + 1 :])

    def common(self, channels: int) -> float:
        """Up to where the words of all channels are final."""
        return min(self._ends[:channels]) if len(self._ends) >= channels else 0.0

    def end(self, channel: int) -> float:
        """Up to where this channel's are."""
        return self._ends[channel] if channel < len(self._ends) else 0.0


def without_repeated_words(message: dict[str, Any], until: float) -> dict[str, Any] | None:
    """A Results without the words before `until`, which the client has already; None if nothing is left of it.

    For a channel of several that had been further than the one that the replay begins for.
    """
    start, duration = seconds_of(message.get("start")), seconds_of(message.get("duration"))
    if start is None or duration is None or start >= until:
        return message
    if start + duration <= until:
        return None
    channel = message.get("channel")
    alternatives = channel.get("alternatives") if isinstance(channel, dict) else None
    for alternative in alternatives if isinstance(alternatives, list) else []:
        words = alternative.get("words") if isinstance(alternative, dict) else None
        if not isinstance(words, list):
            continue
        kept = [word for word in words if isinstance(word, dict) and _middle(word) >= until]
        alternative["words"] = kept
        alternative["transcript"] = " ".join(str(word.get("punctuated_word", word.get("word", ""))) for word in kept)
    return message | {"start": until, "duration": round(start + duration - until, 6)}


def _middle(word: dict[str, Any]) -> float:
    start, end = seconds_of(word.get("start")), seconds_of(word.get("end"))
    return (start + end) / 2 if start is not None and end is not None else 0.0
