"""TurnWire: the recognizer's events as the turns of `/v2/listen`. Performs no I/O.

The recognizer has no model of turns. The confidence that a turn is over is the silence since its last word in seconds,
at most 1: a threshold of 0.7 is 0.7 s of silence, and so the same on every machine.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from stt_api.closing import Closing
from stt_api.messages import PLAIN, Json
from stt_api.recognition.events import Ended, Event, Progress, Transcript, Undecodable, Word
from stt_api.turn_based.thresholds import Thresholds
from stt_api.wire import Command, End
from stt_api.wording import Wording, text_of

# The public API's own figure: an Update comes for each so many seconds of audio if no other event does.
UPDATE_SECONDS: Final = 0.25
# All keyterms of a stream, in characters; they have no effect here, and are sent back.
MAX_KEYTERM_CHARACTERS: Final = 8_000

_FATAL: Final = {
    Closing.UNDECODABLE: "UNDECODABLE_AUDIO",
    Closing.UNPARSABLE: "UNPARSABLE_CLIENT_MESSAGE",
    Closing.SILENCE: "CLIENT_SILENT",
    Closing.FAILED: "INTERNAL_SERVER_ERROR",
    Closing.WORKER_LOST: "INTERNAL_SERVER_ERROR",
}

# What ends a turn. `close`: the stream ended before the turn did.
Trigger = Literal["model", "manual", "timeout", "close"]


def confidence(silence: float) -> float:
    """How sure it is that a turn is over, 0 to 1, after so many seconds of silence."""
    return round(min(1.0, max(0.0, silence)), 3)


class TurnWire:
    """Connected, TurnInfo, ConfigureSuccess, ConfigureFailure, Warning, Error. A `Wire`."""

    def __init__(
        self,
        thresholds: Thresholds,
        request_id: str,
        *,
        keyterms: Sequence[str] = (),
        wording: Wording = PLAIN,
        warnings: Sequence[Json] = (),
    ) -> None:
        """`wording`: what becomes of the words. `warnings`: of `stt_api.features`, each a message behind the first."""
        self._thresholds = thresholds
        self._request_id = request_id
        self._keyterms = list(keyterms)
        self._wording = wording
        self._warnings = warnings
        self._sequence = 0
        self._turn = 0
        self._words: tuple[Word, ...] = ()  # of the turn, those that are final
        self._interim: tuple[Word, ...] = ()
        self._shown: tuple[Word, ...] = ()  # as the last message had them
        self._started = False
        self._eager = False  # an EagerEndOfTurn was the last change of the turn's state
        self._forced = False  # a ForceEndTurn waits for the last words
        self._begin = 0.0  # where the turn's audio begins
        self._heard = 0.0
        self._silence = 0.0
        self.duration = 0.0

    def opening(self) -> list[Json]:
        unmet = [self._warning(found["type"].upper(), found["message"]) for found in self._warnings]
        connected = self._message("Connected", request_id=self._request_id)
        return [connected, *(self._message(**warning) for warning in unmet)]

    def audio(self, data: bytes) -> None:
        pass

    # From the client.

    def command(self, text: str) -> tuple[Command | None, list[Json]]:
        try:
            message: Any = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        if not isinstance(kind, str):
            raise End(Closing.UNPARSABLE)
        if kind == "CloseStream":
            return Command.CLOSE_STREAM, []
        if kind == "KeepAlive":
            return Command.KEEP_ALIVE, []
        if kind == "ForceEndTurn":
            self._forced = True
            return Command.FINALIZE, []
        if kind == "Configure":
            return None, [self._configured(message), *self._without_effect(message)]
        text = f"{kind:.40}: no such message; allowed: Configure, ForceEndTurn, CloseStream, KeepAlive."
        return None, [self._message(**self._warning("UNKNOWN_MESSAGE", text))]

    def _configured(self, message: dict[str, Any]) -> Json:
        try:
            given, keyterms = message.get("thresholds"), message.get("keyterms")
            if given is not None and not isinstance(given, dict):
                raise ValueError("thresholds: allowed: an object.")  # noqa: TRY301 - one shape for all of them
            thresholds = self._thresholds.changed(given or {})
            keyterms = self._keyterms if keyterms is None else _keyterms(keyterms)
            digits = self._wording.digits if message.get("numerals") is None else message["numerals"]
            if not isinstance(digits, bool):
                raise ValueError(f"numerals: got {str(digits)[:40]!r}; allowed: true or false.")  # noqa: TRY301, TRY004
        except ValueError as error:
            return self._message(
                "ConfigureFailure", request_id=self._request_id, code="INVALID_CONFIGURATION", description=str(error)
            )
        self._thresholds, self._keyterms = thresholds, keyterms
        self._wording = replace(self._wording, digits=digits)
        return self._message(
            "ConfigureSuccess",
            request_id=self._request_id,
            thresholds=thresholds.to_wire(),
            keyterms=keyterms,
            numerals=digits,
        )

    def _without_effect(self, message: dict[str, Any]) -> list[Json]:
        named = [name for name in ("keyterms", "language_hints") if message.get(name)]
        text = "{}: the recognizer does not know it; it had no effect."
        return [self._message(**self._warning("UNSUPPORTED_PARAMETER", text.format(name))) for name in named]

    # From the recognizer.

    def said(self, event: Event) -> list[Json]:
        if isinstance(event, Transcript):
            return self._transcript(event)
        if isinstance(event, Progress):
            return self._progress(event)
        if isinstance(event, Ended | Undecodable):
            self._heard = max(self._heard, event.duration)
        return []

    def _transcript(self, event: Transcript) -> list[Json]:
        self._heard = max(self._heard, event.end)
        if event.final:
            self._words, self._interim = (*self._words, *event.words), ()
        else:
            self._interim = event.words
        sent = []
        if not self._started:
            if self._words or self._interim:
                self._started = True
                sent.append(self._turn_info("StartOfTurn"))
        elif self._eager and self._said != self._shown:
            self._eager = False
            sent.append(self._turn_info("TurnResumed"))
        if event.from_finalize and self._forced:
            self._forced = False
            if self._started:
                sent.append(self._end_turn("manual"))
        return sent

    def _progress(self, event: Progress) -> list[Json]:
        self._heard, self._silence = max(self._heard, event.at), event.silence
        limits, sure = self._thresholds, confidence(event.silence)
        if self._started and not self._interim:
            if event.silence * 1000 >= limits.timeout_ms:
                return [self._end_turn("timeout")]
            if sure >= limits.eot and limits.eot < 1:
                return [self._end_turn("model")]
            if limits.eager is not None and sure >= limits.eager and self._words and not self._eager:
                self._eager = True
                return [self._turn_info("EagerEndOfTurn")]
        # Where words were changed behind an EagerEndOfTurn, TurnResumed has said so.
        if self._heard - self.duration >= UPDATE_SECONDS:
            return [self._turn_info("Update")]
        return []

    def complete(self, event: Event) -> bool:
        return isinstance(event, Transcript | Progress) and not self._started

    def last(self, end: End) -> list[Json]:
        sent = []
        if end.report and self._started:
            sent.append(self._end_turn("close"))
        elif end.report and self._heard > self.duration:
            sent.append(self._turn_info("Update"))
        if end.closing in _FATAL:
            sent.append(self._message("Error", code=_FATAL[end.closing], description=end.reason))
        return sent

    @property
    def _said(self) -> tuple[Word, ...]:
        return (*self._words, *self._interim)

    def _end_turn(self, trigger: Trigger) -> Json:
        message = self._turn_info("EndOfTurn") | {"trigger": trigger}
        self._turn += 1
        self._words = self._interim = self._shown = ()
        self._started = self._eager = False
        self._begin = self._heard
        return message

    def _turn_info(self, event: str) -> Json:
        self._shown = self._said
        said = self._wording.applied(self._shown)
        self.duration = self._heard
        return self._message(
            "TurnInfo",
            request_id=self._request_id,
            event=event,
            turn_index=self._turn,
            audio_window_start=self._begin,
            audio_window_end=self._heard,
            transcript=text_of(said, punctuate=True),
            words=[_word(word) for word in said],
            end_of_turn_confidence=confidence(self._silence) if self._started else 0.0,
        )

    def _warning(self, code: str, description: str) -> Json:
        return {"kind": "Warning", "request_id": self._request_id, "code": code, "description": description}

    def _message(self, kind: str, **fields: Any) -> Json:
        message = {"type": kind, "sequence_id": self._sequence, **fields}
        self._sequence += 1
        return message


def _keyterms(given: Any) -> list[str]:
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not all(isinstance(term, str) for term in found):
        raise ValueError("keyterms: allowed: a list of texts.")
    if sum(map(len, found)) > MAX_KEYTERM_CHARACTERS:
        raise ValueError(f"keyterms: got more than {MAX_KEYTERM_CHARACTERS} characters. Send fewer.")
    return found


def _word(word: Word) -> Json:
    return {
        "word": word.written or word.text,
        "confidence": word.confidence,
        "start": word.start,
        "end": word.end,
    }
