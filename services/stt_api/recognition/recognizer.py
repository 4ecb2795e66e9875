"""One channel's recognition with pocketsphinx: 16 kHz samples in, events out. Runs in a recognition process.

Measured on the recorded sample (18.7 s, one core of a shared 2-core machine): word error rate 0.00, 0.11 s of
computing per second of audio (0.14 with pocketsphinx's own pruning). The first decoder of a process costs 95 MB,
each further one 50 MB, and 0.25 s to load; hence a decoder is borrowed for an utterance, not for a stream.
"""

import math
from collections import deque
from typing import Any, Final, Protocol

import pocketsphinx

from stt_api.options import ListenOptions
from stt_api.recognition.endpointing import FRAME_MS, Change, Endpointer
from stt_api.recognition.events import Event, SpeechStarted, Transcript, UtteranceEnd, Word

SAMPLE_RATE: Final = 16_000
FRAME_SECONDS: Final = FRAME_MS / 1000
FRAME_BYTES: Final = SAMPLE_RATE * FRAME_MS // 1000 * 2
# Tighter pruning than pocketsphinx's own: a quarter faster, and no word of the sample is lost by it.
PRUNING: Final = {"maxhmmpf": 3000, "maxwpf": 10}
# How readily a frame counts as speech (0 to 3, 3 the least): 2 takes room noise for silence.
VAD_MODE: Final = 2
# Interim results come this often while somebody speaks, if the words have changed.
INTERIM_FRAMES: Final = 450 // FRAME_MS
# Silence is reported as understood (an empty final result) this often, so that the audio is accounted for.
SILENCE_SECONDS: Final = 5.0
# pocketsphinx counts frames of 10 ms.
_DECODER_FRAME_SECONDS: Final = 0.01


class Decoder(Protocol):
    """The part of pocketsphinx.Decoder that is used here."""

    def reinit_feat(self) -> None: ...
    def start_utt(self) -> None: ...
    def process_raw(self, data: bytes, no_search: bool = ..., full_utt: bool = ...) -> None: ...
    def end_utt(self) -> None: ...
    def seg(self) -> Any: ...
    def get_cmn(self, update: bool = ...) -> str: ...
    def set_cmn(self, cmn: str) -> None: ...


class Decoders:
    """A process's decoders: lent for an utterance, made when all are lent."""

    def __init__(self) -> None:
        self._free: list[Decoder] = []
        first = self._make()
        # Each stream begins with the model's own channel normalisation, not with what the last speaker left behind.
        self.initial_cmn = first.get_cmn()
        self._free.append(first)

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
        made: Decoder = pocketsphinx.Decoder(loglevel="FATAL", **PRUNING)
        return made


class ChannelRecognizer:
    """Recognises one channel. Its final transcripts follow each other without a gap from 0 to the audio's end."""

    def __init__(self, decoders: Decoders, options: ListenOptions, channel: int = 0, channels: int = 1) -> None:
        self._decoders = decoders
        self._options = options
        self._channel = channel
        self._channels = channels
        self._vad = pocketsphinx.Vad(VAD_MODE, SAMPLE_RATE, FRAME_SECONDS)
        # The silence that makes words final is the shorter of the two; only endpointing's makes speech final.
        self._silence_ms, self._silence_is_final = _silence(options)
        self._endpointer = Endpointer(self._silence_ms)
        self._preroll: deque[bytes] = deque(maxlen=Endpointer.PREROLL_FRAMES)
        self._rest = bytearray()
        self._frames = 0  # frames heard
        self._covered = 0.0  # seconds covered by final transcripts
        self._cmn = decoders.initial_cmn
        self._decoder: Decoder | None = None
        self._began = 0.0  # where the utterance being decoded begins
        self._shown: tuple[str, ...] = ()  # the words last sent as interim
        self._last_word_end: float | None = None  # of words whose UtteranceEnd is still to come

    @property
    def heard(self) -> float:
        """Seconds heard so far, in whole frames."""
        return self._frames * FRAME_SECONDS

    def feed(self, pcm: bytes) -> list[Event]:
        """Hear 16-bit little-endian samples at 16 kHz, any number of them."""
        events: list[Event] = []
        self._rest += pcm
        end = len(self._rest) - len(self._rest) % FRAME_BYTES
        for start in range(0, end, FRAME_BYTES):
            self._frame(bytes(self._rest[start : start + FRAME_BYTES]), events)
        del self._rest[:end]
        return events

    def flush(self) -> list[Event]:
        """Make final what was heard (for Finalize): always one transcript, perhaps an empty one."""
        return [self._finish_utterance(self.heard, from_finalize=True)]

    def finish(self, duration: float) -> list[Event]:
        """The audio is over, after `duration` seconds: the last transcript, which ends there."""
        if self._rest:
            # The last samples fill a frame with silence; `duration` says how much of it was real.
            self.feed(bytes(FRAME_BYTES - len(self._rest)))
        return [self._finish_utterance(duration, speech_final=self._endpointer.in_speech)]

    def close(self) -> None:
        """Give back what is borrowed; nothing is heard any more."""
        if self._decoder is not None:
            self._decoder.end_utt()
            self._decoders.give_back(self._decoder)
            self._decoder = None

    def _frame(self, frame: bytes, events: list[Event]) -> None:
        self._frames += 1
        was_speaking = self._endpointer.in_speech
        change = self._endpointer.push(self._vad.is_speech(frame))
        if self._decoder is None:
            self._preroll.append(frame)
        else:
            self._decoder.process_raw(frame)
        if change is Change.STARTED:
            self._start_utterance()
            if self._options.vad_events:
                events.append(SpeechStarted(channel=self._channel, channels=self._channels, at=_seconds(self._began)))
        elif change is not None:
            final = change is Change.ENDED and self._silence_is_final
            events.append(self._finish_utterance(self.heard, speech_final=final, keep_endpointer=True))
            if self._endpointer.in_speech:
                self._start_utterance()
        elif was_speaking:
            self._show_interim(events)
        else:
            self._account_for_silence(events)
        self._end_of_words(events)

    def _start_utterance(self) -> None:
        # The pre-roll never reaches back into audio that is accounted for: it was emptied then.
        self._began = self.heard - len(self._preroll) * FRAME_SECONDS
        self._decoder = self._decoders.borrow(self._cmn)
        if self._preroll:
            self._decoder.process_raw(b"".join(self._preroll))
        self._preroll.clear()
        self._shown = ()

    def _finish_utterance(
        self, end: float, *, speech_final: bool = False, from_finalize: bool = False, keep_endpointer: bool = False
    ) -> Transcript:
        words: tuple[Word, ...] = ()
        if self._decoder is not None:
            self._decoder.end_utt()
            words = self._words(self._decoder, end)
            self._cmn = self._decoder.get_cmn()
            self._decoders.give_back(self._decoder)
            self._decoder = None
        if words:
            self._last_word_end = words[-1].end
        self._preroll.clear()
        if not keep_endpointer:
            self._endpointer.reset()
        transcript = Transcript(
            channel=self._channel,
            channels=self._channels,
            start=_seconds(self._covered),
            end=_seconds(max(end, self._covered)),
            words=words,
            final=True,
            speech_final=speech_final,
            from_finalize=from_finalize,
        )
        self._covered = max(end, self._covered)
        return transcript

    def _show_interim(self, events: list[Event]) -> None:
        if self._decoder is None or not self._options.interim_results or self._frames % INTERIM_FRAMES:
            return
        words = self._words(self._decoder, self.heard)
        texts = tuple(word.text for word in words)
        if texts and texts != self._shown:
            self._shown = texts
            events.append(
                Transcript(
                    channel=self._channel,
                    channels=self._channels,
                    start=_seconds(self._covered),
                    end=_seconds(self.heard),
                    words=words,
                )
            )

    def _account_for_silence(self, events: list[Event]) -> None:
        # What the pre-roll holds may still turn out to be the beginning of speech.
        end = self.heard - len(self._preroll) * FRAME_SECONDS
        if end - self._covered >= SILENCE_SECONDS:
            events.append(
                Transcript(
                    channel=self._channel,
                    channels=self._channels,
                    start=_seconds(self._covered),
                    end=_seconds(end),
                    final=True,
                )
            )
            self._covered = end

    def _end_of_words(self, events: list[Event]) -> None:
        wanted, last = self._options.utterance_end_ms, self._last_word_end
        if wanted is None or last is None:
            return
        if self._endpointer.in_speech:
            # Somebody went on: the end of these words counts from the next ones.
            self._last_word_end = None
        elif self.heard - last >= wanted / 1000:
            events.append(UtteranceEnd(channel=self._channel, channels=self._channels, last_word_end=last))
            self._last_word_end = None

    def _words(self, decoder: Decoder, limit: float) -> tuple[Word, ...]:
        words = []
        for segment in decoder.seg() or ():
            text = segment.word.split("(", 1)[0]  # "the(2)" is the second pronunciation of "the"
            if not text or text[0] in "<[+":  # <s>, <sil>, [NOISE], ++BREATH++
                continue
            words.append(
                Word(
                    text,
                    _seconds(self._began + segment.start_frame * _DECODER_FRAME_SECONDS),
                    _seconds(min(limit, self._began + (segment.end_frame + 1) * _DECODER_FRAME_SECONDS)),
                    _confidence(segment.prob),
                )
            )
        return tuple(words)


def _silence(options: ListenOptions) -> tuple[int | None, bool]:
    """The silence (ms) that makes an utterance final, and whether that is `speech_final`."""
    wishes = [wish for wish in (options.endpointing_ms, options.utterance_end_ms) if wish is not None]
    silence = min(wishes) if wishes else None
    return silence, silence is not None and silence == options.endpointing_ms


def _confidence(probability: float) -> float:
    # Posteriors are computed in integer logarithms: a sure word may come out as 1.0002.
    return round(min(1.0, max(0.0, probability)), 4) if math.isfinite(probability) else 0.0


def _seconds(value: float) -> float:
    return round(value, 6)
