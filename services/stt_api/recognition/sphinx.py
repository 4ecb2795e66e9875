"""The engine that runs everywhere: pocketsphinx, with its own small model of American English.

Measured on the recorded sample (18.7 s, one core of a shared 2-core machine): word error rate 0.00, 0.11 s of
computing per second of audio (0.14 with pocketsphinx's own pruning). The first decoder of a process costs 95 MB,
each further one 50 MB, and 0.25 s to load; hence a decoder is borrowed for an utterance, not for a stream.
"""

import math
from pathlib import Path
from typing import Any, Final, Protocol

import pocketsphinx

from stt_api.recognition.events import Word

# Tighter pruning than pocketsphinx's own: a quarter faster, and no word of the sample is lost by it.
PRUNING: Final = {"maxhmmpf": 3000, "maxwpf": 10}
# Interim results come this often while somebody speaks, if the words have changed: they cost next to nothing.
INTERIM_SECONDS: Final = 0.45
# pocketsphinx counts frames of 10 ms.
FRAME_SECONDS: Final = 0.01


class Decoder(Protocol):
    """The part of pocketsphinx.Decoder that is used here."""

    def reinit_feat(self) -> None: ...
    def start_utt(self) -> None: ...
    def process_raw(self, data: bytes, no_search: bool = ..., full_utt: bool = ...) -> None: ...
    def end_utt(self) -> None: ...
    def seg(self) -> Any: ...
    def get_cmn(self, update: bool = ...) -> str: ...
    def set_cmn(self, cmn: str) -> None: ...


class SphinxEngine:
    """A process's decoders: lent for an utterance, made when all are lent."""

    recorded_silence_ms: int | None = None

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: holds an acoustic model's folder, a .lm.bin and a .dict; None for pocketsphinx's own."""
        self._options = {} if folder is None else _files(folder)
        self._free: list[Decoder] = []
        first = self._make()
        # Each stream begins with the model's own channel normalisation, not with what the last speaker left behind.
        self.initial_cmn = first.get_cmn()
        self._free.append(first)

    def recognizer(self) -> "SphinxRecognizer":
        return SphinxRecognizer(self)

    def borrow(self, cmn: str) -> Decoder:
        """A decoder at the beginning of an utterance, normalised by `cmn`."""
        decoder = self._free.pop() if self._free else self._make()
        # Without this the front end keeps samples of the utterance before, and results depend on what that was.
        decoder.reinit_feat()
        decoder.set_cmn(cmn)
        decoder.start_utt()
        return decoder

    def give_back(self, decoder: Decoder) -> None:
        """Return a decoder whose utterance has ended."""
        self._free.append(decoder)

    def _make(self) -> Decoder:
        made: Decoder = pocketsphinx.Decoder(loglevel="FATAL", **PRUNING, **self._options)
        return made


class SphinxRecognizer:
    """One channel's utterances."""

    def __init__(self, engine: SphinxEngine) -> None:
        self._engine = engine
        self._cmn = engine.initial_cmn
        self._decoder: Decoder | None = None

    def begin(self) -> None:
        self._decoder = self._engine.borrow(self._cmn)

    def feed(self, audio: bytes, *, speech: bool) -> None:  # noqa: ARG002 - the decoder has a model of silence
        assert self._decoder is not None
        self._decoder.process_raw(audio)

    def interim(self) -> tuple[Word, ...]:
        return () if self._decoder is None else _written(_words(self._decoder), final=False)

    def final(self) -> tuple[Word, ...]:
        decoder = self._decoder
        if decoder is None:
            return ()
        decoder.end_utt()
        words = _words(decoder)
        self._cmn = decoder.get_cmn()
        self._engine.give_back(decoder)
        self._decoder = None
        return _written(words, final=True)

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.end_utt()
            self._engine.give_back(self._decoder)
            self._decoder = None

    def pause(self, seconds: float, *, behind: bool) -> float:  # noqa: ARG002 - an interim is only read, not computed
        return INTERIM_SECONDS


def _files(folder: Path) -> dict[str, str]:
    return {
        "hmm": str(next(folder.glob("*/mdef")).parent),
        "lm": str(next(folder.glob("*.lm.bin"))),
        "dict": str(next(folder.glob("*.dict"))),
    }


def _words(decoder: Decoder) -> list[Word]:
    words = []
    for segment in decoder.seg() or ():
        text = segment.word.split("(", 1)[0]  # "the(2)" is the second pronunciation of "the"
        if not text or text[0] in "<[+":  # <s>, <sil>, [NOISE], ++BREATH++
            continue
        start, end = segment.start_frame * FRAME_SECONDS, (segment.end_frame + 1) * FRAME_SECONDS
        words.append(Word(text, start, end, _confidence(segment.prob)))
    return words


def _confidence(probability: float) -> float:
    # Posteriors are computed in integer logarithms: a sure word may come out as 1.0002.
    return round(min(1.0, max(0.0, probability)), 4) if math.isfinite(probability) else 0.0


def _written(words: list[Word], *, final: bool) -> tuple[Word, ...]:
    """With capitals and a full stop: this engine knows where an utterance ends and nothing else of punctuation."""
    written = []
    for index, word in enumerate(words):
        text = word.text
        if not index or text == "i" or text.startswith("i'"):
            text = text[:1].upper() + text[1:]
        if final and index == len(words) - 1:
            text += "."
        written.append(Word(word.text, word.start, word.end, word.confidence, text))
    return tuple(written)
