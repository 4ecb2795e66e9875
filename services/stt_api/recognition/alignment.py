"""When the words of a known text were spoken: forced alignment by pocketsphinx, and what the fit of a word says.

The aligner needs the sounds of each word. A word that its dictionary lacks gets the usual sound of each of its letters,
which is good enough to find where it begins and ends. Text that does not fit the audio at all is spread over the time
in which somebody spoke, each word by its length.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pocketsphinx

# How a letter, or two, usually sounds (the phones of the dictionary, ARPABET).
_PAIRS: Final = {
    "ch": "CH", "ck": "K", "ee": "IY", "ea": "IY", "ng": "NG", "oo": "UW", "ou": "AW", "ow": "OW", "ph": "F",
    "qu": "K W", "sh": "SH", "th": "TH", "wh": "W", "ai": "EY", "ay": "EY", "oy": "OY", "oi": "OY", "au": "AO",
    "er": "ER", "ar": "AA R", "or": "AO R", "kn": "N", "wr": "R",
}  # fmt: skip
_LETTERS: Final = {
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PIECES: Final = re.compile(r"[a-z]+(?:'[a-z]+)*|[0-9]")
# Longer pieces are no words; a made-up dictionary entry is kept for as many pieces at most.
_MAX_LETTERS: Final = 40
MAX_GUESSES: Final = 5_000
# pocketsphinx counts frames of 10 ms.
_FRAME_SECONDS: Final = 0.01
# The mean fit of a frame (natural logarithm, against the best of all sounds) is about -1 for a word clearly spoken as
# the dictionary says. From there on each further one takes so much of the confidence.
_CLEAR_FIT: Final = -1.0
_FIT_SCALE: Final = 6.0
# The confidence of a word whose fit is not known.
UNKNOWN_CONFIDENCE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Span:
    """When a word was spoken (seconds) and how sure that is the word, from 0 to 1.

    `confidence`: how well the audio fits the word's sounds: about 1.0 for clear speech, 0.5 for a fit of which little
    can be said, below for a word that was probably another one.
    """

    start: float
    end: float
    confidence: float


class Aligner:
    """Finds words in audio. One of a recognition process, for all its streams."""

    def __init__(self) -> None:
        self._guesses = 0
        self._decoder = self._make()
        self._initial_cmn: str = self._decoder.get_cmn()

    def align(self, audio: bytes, words: Sequence[str]) -> list[Span] | None:
        """When each of `words` (lower case) was spoken in this 16 kHz audio, in order; None if they do not fit it."""
        groups = [_pieces(word) for word in words]
        pieces = [piece for group in groups for piece in group]
        segments = self._segments(audio, pieces) if pieces else []
        if len(segments) != len(pieces) or not segments:
            return None
        spans: list[Span | None] = []
        at = 0
        for group in groups:
            found, at = segments[at : at + len(group)], at + len(group)
            spans.append(_joined(found) if found else None)
        return _filled(spans)

    def _segments(self, audio: bytes, pieces: Sequence[str]) -> list[Span]:
        self._learn(pieces)
        decoder = self._decoder
        decoder.reinit_feat()
        decoder.set_cmn(self._initial_cmn)
        decoder.set_align_text(" ".join(pieces))
        decoder.start_utt()
        decoder.process_raw(audio, full_utt=True)
        decoder.end_utt()
        # Silence and noises are named in brackets.
        return [_span(segment) for segment in decoder.seg() or () if segment.word[0] not in "<[+"]

    def _learn(self, pieces: Sequence[str]) -> None:
        """Have the dictionary know them all: unknown ones are added with the sounds of their letters."""
        unknown = [piece for piece in dict.fromkeys(pieces) if self._decoder.lookup_word(piece) is None]
        if unknown and self._guesses + len(unknown) > MAX_GUESSES:
            # What strangers say must not fill the memory: begin again with the dictionary alone.
            self._decoder, self._guesses = self._make(), 0
            unknown = [piece for piece in dict.fromkeys(pieces) if self._decoder.lookup_word(piece) is None]
        for piece in unknown:
            self._decoder.add_word(piece, sounds(piece), True)
        self._guesses += len(unknown)

    def _make(self) -> Any:
        return pocketsphinx.Decoder(loglevel="FATAL", lm=None)


def _pieces(word: str) -> list[str]:
    """The parts of a word that have sounds: runs of letters, and each digit."""
    return [_DIGITS[int(piece)] if piece.isdigit() else piece[:_MAX_LETTERS] for piece in _PIECES.findall(word)]


def sounds(piece: str) -> str:
    """How a piece of a word that is in no dictionary probably sounds."""
    found, at = [], 0
    while at < len(piece):
        pair = piece[at : at + 2]
        if pair in _PAIRS:
            found.append(_PAIRS[pair])
        elif pair[0] in _LETTERS and not (len(pair) == 2 and pair[0] == pair[1]):
            found.append(_LETTERS[pair[0]])
        at += 2 if pair in _PAIRS else 1
    return " ".join(found) or "AH"


def spread(words: Sequence[str], start: float, end: float) -> list[Span]:
    """The words one after the other from `start` to `end` (seconds), each by its length."""
    total = sum(len(word) + 1 for word in words)
    spans, at = [], 0
    for word in words:
        begin, at = at, at + len(word) + 1
        spans.append(
            Span(start + (end - start) * begin / total, start + (end - start) * at / total, UNKNOWN_CONFIDENCE)
        )
    return spans


def _span(segment: Any) -> Span:
    frames = segment.end_frame - segment.start_frame + 1
    fit = math.log(segment.ascore) / frames if segment.ascore > 0 else -math.inf
    confidence = math.exp(min(0.0, fit - _CLEAR_FIT) / _FIT_SCALE)
    return Span(segment.start_frame * _FRAME_SECONDS, (segment.end_frame + 1) * _FRAME_SECONDS, confidence)


def _joined(spans: Sequence[Span]) -> Span:
    confidence = sum(span.confidence for span in spans) / len(spans)
    return Span(spans[0].start, spans[-1].end, confidence)


def _filled(spans: Sequence[Span | None]) -> list[Span]:
    """A word without a sound of its own (a sign, letters of another script) gets the time that its neighbours leave."""
    filled: list[Span] = []
    for index, span in enumerate(spans):
        if span is None:
            start = filled[-1].end if filled else 0.0
            following = next((later.start for later in spans[index:] if later is not None), start)
            span = Span(start, max(start, following), UNKNOWN_CONFIDENCE)  # noqa: PLW2901 - the gap has no other name
        filled.append(span)
    return filled
