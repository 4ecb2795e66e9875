"""What a live address speaks: its messages for what the recognizer says, and the commands that it takes. No I/O.

`ListenWire` is `/v1/listen`; turn-based streaming (`/v2/listen`) is in `stt_api.turn_based`.
"""

import hashlib
import json
from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

from stt_api import messages
from stt_api.closing import Closing
from stt_api.model import Model
from stt_api.options import ListenOptions
from stt_api.recognition.events import Ended, Event, SpeechStarted, Transcript, Undecodable, UtteranceEnd
from stt_api.wording import Wording


class Command(Enum):
    """What a client's text message requests."""

    KEEP_ALIVE = "KeepAlive"
    FINALIZE = "Finalize"
    CLOSE_STREAM = "CloseStream"


def read_command(text: str) -> Command | None:
    """The command in a text message; None for one that is not known (it only holds the stream open)."""
    try:
        message: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = message.get("type") if isinstance(message, dict) else None
    return next((command for command in Command if command.value == kind), None)


class End(Exception):
    """The stream is over: how it is to be closed, and whether a report of the audio is sent before."""

    def __init__(self, closing: Closing, *figures: object, report: bool = True) -> None:
        """`figures`: what the closing's reason leaves room for."""
        self.closing = closing
        self.code = closing.code
        self.reason = closing.reason(*figures)
        self.report = report
        super().__init__(self.reason)


class Wire(Protocol):
    """One stream's. `duration`: seconds of audio that the client was notified of."""

    duration: float

    def opening(self) -> list[messages.Json]:
        """The first messages."""

    def audio(self, data: bytes) -> None:
        """The client sent this audio."""

    def command(self, text: str) -> tuple[Command | None, list[messages.Json]]:
        """What a text message requests, and what is to be sent at once. Raises End if the stream cannot go on."""

    def said(self, event: Event) -> list[messages.Json]:
        """The messages for what the recognizer says."""

    def complete(self, event: Event) -> bool:
        """Whether nothing is under way behind this event that another server could not begin with."""

    def last(self, end: End) -> list[messages.Json]:
        """The last messages before the close."""


class ListenWire:
    """Results, Metadata, SpeechStarted, UtteranceEnd."""

    def __init__(
        self,
        options: ListenOptions,
        model: Model,
        request_id: str,
        warnings: Sequence[messages.Json] = (),
        wording: Wording = messages.PLAIN,
    ) -> None:
        """`warnings`: for the Metadata. `wording`: what becomes of the words."""
        self._options = options
        self._model = model
        self._request_id = request_id
        self._warnings = warnings
        self._wording = wording
        self._created = messages.now()
        self._hash = hashlib.sha256()
        self._channels = options.recognized_channels
        self.duration = 0.0

    def opening(self) -> list[messages.Json]:
        return [self._metadata()]

    def audio(self, data: bytes) -> None:
        self._hash.update(data)

    def command(self, text: str) -> tuple[Command | None, list[messages.Json]]:
        return read_command(text), []

    def said(self, event: Event) -> list[messages.Json]:
        if isinstance(event, Transcript):
            self.duration = max(self.duration, event.end)
            self._channels = event.channels
            if event.final or self._options.interim_results:
                punctuate = self._options.punctuate
                return [
                    messages.results(event, self._request_id, self._model, punctuate=punctuate, wording=self._wording)
                ]
        elif isinstance(event, SpeechStarted):
            return [messages.speech_started(event)]
        elif isinstance(event, UtteranceEnd):
            return [messages.utterance_end(event)]
        elif isinstance(event, Undecodable):
            self.duration, self._channels = max(self.duration, event.duration), event.channels
        elif isinstance(event, Ended):
            self.duration, self._channels = event.duration, event.channels
        return []

    def complete(self, event: Event) -> bool:
        return isinstance(event, Transcript) and event.final

    def last(self, end: End) -> list[messages.Json]:
        return [self._metadata()] if end.report else []

    def _metadata(self) -> messages.Json:
        fields = messages.metadata_fields(
            model=self._model,
            request_id=self._request_id,
            sha256=self._hash.hexdigest(),
            created=self._created,
            duration=self.duration,
            channels=self._channels,
            warnings=self._warnings,
        )
        return {"type": "Metadata", **fields}
