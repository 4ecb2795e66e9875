"""One channel's recognition: 16 kHz samples in, events out. Runs in a recognition process.

Where speech begins and ends, and which events that makes, is found here and is the same for each engine.
"""

from collections import deque
from dataclasses import replace
from typing import Final

import pocketsphinx

from stt_api.options import ListenOptions
from stt_api.recognition.endpointing import FRAME_MS, Change, Endpointer
from stt_api.recognition.engine import SAMPLE_RATE, Engine
from stt_api.recognition.events import Event, Progress, SpeechStarted, Transcript, UtteranceEnd, Word

FRAME_SECONDS: Final = FRAME_MS / 1000
FRAME_BYTES: Final = SAMPLE_RATE * FRAME_MS // 1000 * 2
# How readily a frame counts as speech (0 to 3, 3 the least): 2 takes room noise for silence.
VAD_MODE: Final = 2
# The first interim of an utterance comes so long after its onset was seen (which itself takes 0.12 s of speech), and
# another attempt so long after one that understood nothing.
FIRST_INTERIM_SECONDS: Final = 0.12
RETRY_SECONDS: Final = 0.21
# Silence is reported as understood (an empty final result) this often, so that the audio is accounted for.
SILENCE_SECONDS: Final = 5.0
# Progress is reported this often, where it is requested.
PROGRESS_FRAMES: Final = 3


class ChannelRecognizer:
    """Recognises one channel. Its final transcripts follow each other without a gap from 0 to the audio's end."""

    def __init__(self, engine: Engine, options: ListenOptions, channel: int = 0, channels: int = 1) -> None:
        self._recognizer = engine.recognizer()
        self._options = options
        self._channel = channel
        self._channels = channels
        self._vad = pocketsphinx.Vad(VAD_MODE, SAMPLE_RATE, FRAME_SECONDS)
        # The silence that makes words final is the shorter of the two; only endpointing's makes speech final.
        self._silence_ms, self._silence_is_final = _silence(options, engine)
        self._endpointer = Endpointer(self._silence_ms)
        self._preroll: deque[tuple[bytes, bool]] = deque(maxlen=Endpointer.PREROLL_FRAMES)  # and whether it is speech
        self._rest = bytearray()
        self._frames = 0  # frames heard
        self._covered = 0.0  # seconds covered by final transcripts
        self._recognizing = False
        self._began = 0.0  # where the utterance being recognized begins
        self._next_interim = 0.0
        self._shown: tuple[str, ...] = ()  # the words last sent as interim
        self._behind = False
        self._spoke = 0  # the frame that was the last one with speech in it
        self._last_word_end: float | None = None  # of words whose UtteranceEnd is still to come

    @property
    def heard(self) -> float:
        """Seconds heard so far, in whole frames."""
        return self._frames * FRAME_SECONDS

    def feed(self, pcm: bytes, *, behind: bool = False) -> list[Event]:
        """Hear 16-bit little-endian samples at 16 kHz, any number of them. `behind`: there is no time for interims."""
        events: list[Event] = []
        self._behind = behind
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
        self._recognizer.close()
        self._recognizing = False

    def _frame(self, frame: bytes, events: list[Event]) -> None:
        self._frames += 1
        was_speaking = self._endpointer.in_speech
        is_speech = self._vad.is_speech(frame)
        change = self._endpointer.push(is_speech)
        if self._recognizing:
            self._recognizer.feed(frame, speech=is_speech)
        else:
            self._preroll.append((frame, is_speech))
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
        if self._options.progress:
            self._report_progress(events, is_speech=is_speech)

    def _report_progress(self, events: list[Event], *, is_speech: bool) -> None:
        # A single frame that sounds like speech is none before the endpointer says so.
        if is_speech and self._endpointer.in_speech:
            self._spoke = self._frames
        if self._frames % PROGRESS_FRAMES == 0:
            silence = (self._frames - self._spoke) * FRAME_SECONDS
            events.append(
                Progress(
                    channel=self._channel, channels=self._channels, at=_seconds(self.heard), silence=_seconds(silence)
                )
            )

    def _start_utterance(self) -> None:
        # The pre-roll never reaches back into audio that is accounted for: it was emptied then.
        self._began = self.heard - len(self._preroll) * FRAME_SECONDS
        self._recognizer.begin()
        self._recognizing = True
        for frame, is_speech in self._preroll:
            self._recognizer.feed(frame, speech=is_speech)
        self._preroll.clear()
        self._shown = ()
        self._next_interim = self.heard + FIRST_INTERIM_SECONDS

    def _finish_utterance(
        self, end: float, *, speech_final: bool = False, from_finalize: bool = False, keep_endpointer: bool = False
    ) -> Transcript:
        words: tuple[Word, ...] = ()
        if self._recognizing:
            words = self._placed(self._recognizer.final(), end)
            self._recognizing = False
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
        if not (self._options.interim_results and self._recognizing) or self.heard < self._next_interim:
            return
        words = self._placed(self._recognizer.interim(), self.heard)
        pause = self._recognizer.pause(self.heard - self._began, behind=self._behind) if words else RETRY_SECONDS
        self._next_interim = self.heard + pause
        texts = tuple(word.written for word in words)
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

    def _placed(self, words: tuple[Word, ...], limit: float) -> tuple[Word, ...]:
        """With times of the stream instead of the utterance: none beyond `limit`, none before the word before it."""
        placed: list[Word] = []
        least = self._began
        for word in words:
            start = min(limit, max(least, self._began + word.start))
            least = min(limit, max(start, self._began + word.end))
            placed.append(replace(word, start=_seconds(start), end=_seconds(least)))
        return tuple(placed)


def _silence(options: ListenOptions, engine: Engine) -> tuple[int | None, bool]:
    """The silence (ms) that makes an utterance final, and whether that is `speech_final`."""
    if options.recorded and engine.recorded_silence_ms is not None:
        return engine.recorded_silence_ms, True
    wishes = [wish for wish in (options.endpointing_ms, options.utterance_end_ms) if wish is not None]
    silence = min(wishes) if wishes else None
    return silence, silence is not None and silence == options.endpointing_ms


def _seconds(value: float) -> float:
    return round(value, 6)
