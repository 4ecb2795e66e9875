"""The engine that understands people: Moonshine, a small open model of English that writes capitals and punctuation.

It takes an utterance as a whole and gives its text. When each word was spoken, and how sure it is, comes from aligning
that text with the audio (stt_api.recognition.alignment), as the model says neither. Figures: docs/stt-server.md.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from stt_api.model import MOONSHINE, MOONSHINE_SHAPES, package_folder, shape
from stt_api.recognition.alignment import Aligner, Span, spread
from stt_api.recognition.engine import SAMPLE_RATE
from stt_api.recognition.events import Word
from stt_api.recognition.moonshine_library import Library

# A word in lower case without punctuation, and as it is written.
Written = tuple[str, str]

# The model that the package brings.
OWN_MODEL: Final = "tiny-en"
# Audio without speech at an utterance's end is left out but for this much: the model makes words of long silence.
TAIL_BYTES: Final = int(0.24 * SAMPLE_RATE) * 2
# What is shorter than this holds no word, and the model would invent one.
MIN_BYTES: Final = int(0.2 * SAMPLE_RATE) * 2
# So much silence before the speech is given to the aligner.
ALIGN_MARGIN_BYTES: Final = int(0.03 * SAMPLE_RATE) * 2
# A cough or a click becomes a word or two ("You."), which do not fit its audio. Longer text is understood speech even
# where the aligner loses its way.
MAX_INVENTED_WORDS: Final = 3
# The mean confidence of so few words below which they are no words. (Clicks and knocks have 0.1 to 0.5, short words in
# telephone quality or noise 0.6 and more.)
MIN_CONFIDENCE: Final = 0.55
# An interim computes the whole utterance again. So they come less often the longer it is, and when there is no time for
# them, only as often as the final result costs.
FIRST_INTERIM_SECONDS: Final = 0.45
_INTERIM_SHARE: Final = 0.25
BEHIND_INTERIM_SECONDS: Final = 1.8
# Nobody says more words than this in a second, so no time is spent on aligning them.
MAX_WORDS_A_SECOND: Final = 6
# The longest phrase that is looked for as a repetition.
MAX_PHRASE_WORDS: Final = 12
_REPEATED: Final = re.compile(r"([,.;:!?])\1+")
_BARE: Final = re.compile(r"^[^\w$€£#@%&+]+|[^\w%+]+$")


class MoonshineEngine:
    """The model, and the aligner."""

    # Nobody waits for the words of a recording: cut at longer pauses, each utterance gives the model more context.
    recorded_silence_ms: int | None = 800

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: a model of the user's; None for the package's own."""
        package = package_folder(MOONSHINE)
        if package is None:
            raise ModuleNotFoundError("moonshine-voice is not installed")
        model = folder or package / "assets" / OWN_MODEL
        kind = shape(model)
        self._library = Library(package, model, MOONSHINE_SHAPES["tiny"] if kind is None else kind)
        self._aligner = Aligner()

    def recognizer(self) -> "MoonshineRecognizer":
        return MoonshineRecognizer(self)

    def understand(self, audio: bytes, speech_start: int, speech_end: int) -> tuple[Word, ...]:
        """The words of an utterance: 16 kHz samples, and between which bytes of it somebody spoke."""
        audio = audio[: speech_end + TAIL_BYTES]
        if len(audio) < MIN_BYTES or speech_end <= speech_start:
            return ()
        samples = np.frombuffer(audio, dtype="<i2").astype(np.float32) / 32768.0
        text: list[Written] | None = split(self._library.transcribe(samples, SAMPLE_RATE))
        whole = text or []
        # A long silence before the first word would be taken for the beginning of some first sounds (p, f).
        margin = max(0, speech_start - ALIGN_MARGIN_BYTES)
        while text:
            if len(text) <= MAX_WORDS_A_SECOND * len(samples) / SAMPLE_RATE + 1:
                spans = self._aligner.align(audio[margin:], [word for word, _ in text])
                if spans is not None and not _invented(spans):
                    return _timed(text, spans, margin / (2 * SAMPLE_RATE))
            # Perhaps the model went round in circles: so many repetitions were not said.
            text = without_one_repetition(text)
        if len(whole) <= MAX_INVENTED_WORDS:
            return ()
        start, end = speech_start / (2 * SAMPLE_RATE), speech_end / (2 * SAMPLE_RATE)
        return _timed(whole, spread([word for word, _ in whole], start, end))


class MoonshineRecognizer:
    """One channel's utterances."""

    def __init__(self, engine: MoonshineEngine) -> None:
        self._engine = engine
        self._audio = bytearray()
        self._speech_start: int | None = None  # bytes of the utterance
        self._speech_end = 0

    def begin(self) -> None:
        self.close()

    def feed(self, audio: bytes, *, speech: bool) -> None:
        if speech:
            if self._speech_start is None:
                self._speech_start = len(self._audio)
            self._speech_end = len(self._audio) + len(audio)
        self._audio += audio

    def interim(self) -> tuple[Word, ...]:
        return self._engine.understand(bytes(self._audio), self._speech_start or 0, self._speech_end)

    def final(self) -> tuple[Word, ...]:
        words = self.interim()
        self.close()
        return words

    def close(self) -> None:
        self._audio.clear()
        self._speech_start, self._speech_end = None, 0

    def pause(self, seconds: float, *, behind: bool) -> float:
        if behind:
            return max(BEHIND_INTERIM_SECONDS, seconds)
        return max(FIRST_INTERIM_SECONDS, seconds * _INTERIM_SHARE)


def _invented(spans: Sequence[Span]) -> bool:
    confidence = sum(span.confidence for span in spans) / len(spans)
    return len(spans) <= MAX_INVENTED_WORDS and confidence < MIN_CONFIDENCE


def _timed(text: Sequence[Written], spans: Sequence[Span], offset: float = 0.0) -> tuple[Word, ...]:
    return tuple(
        Word(bare, span.start + offset, span.end + offset, round(span.confidence, 4), written)
        for (bare, written), span in zip(text, spans, strict=True)
    )


def without_one_repetition(text: Sequence[Written]) -> list[Written] | None:
    """The text with its longest repetition of a phrase said once less; None if no phrase is repeated at once."""
    longest, at, period = 0, 0, 0
    for length in range(1, MAX_PHRASE_WORDS + 1):
        run = 0
        for index in range(len(text) - length):
            run = run + 1 if text[index][0] == text[index + length][0] else 0
            if run >= length and run > longest:
                longest, at, period = run, index, length
    return [*text[: at + 1], *text[at + 1 + period :]] if period else None


def split(text: str) -> list[Written]:
    """Words of a text: each bare (lower case, no punctuation) and as it is written. Signs alone go with what precedes.

    The model writes some commas twice.
    """
    found: list[Written] = []
    for token in _REPEATED.sub(r"\1", text.replace("\u2019", "'")).split():
        if bare := _BARE.sub("", token.lower()):
            found.append((bare, token))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {token}")
    return found
