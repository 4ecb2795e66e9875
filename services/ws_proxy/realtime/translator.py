"""Translator: a realtime session's events on one side, the messages of `/v1/listen` on the other. Performs no I/O.

Audio that was sent on cannot be taken back, so a buffer's end is a Finalize: what the server says up to its reply is
what was in the buffer. That is the item of a commit, and is dropped after a clear.
"""

import binascii
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aldea import openai_wire
from aldea.admission import Verdict
from ws_proxy.realtime.session_config import InvalidEvent, SessionConfig
from ws_proxy.websocket.frames import CloseCode

Json = dict[str, Any]
# What goes to the STT server: audio, or the text of a message.
ToServer = bytes | str

FINALIZE: Final = '{"type":"Finalize"}'
# OpenAI's own figure: a commit needs so much audio.
MIN_COMMIT_MS: Final = 100
# Commits and clears that wait for the server. A server replies within seconds, however fast a client commits.
MAX_PENDING: Final = 64
# Pieces in which audio goes on: one message of the other wire is far below its own bound.
PIECE_BYTES: Final = 32 * 1024
# A session is this old at most by OpenAI's wire; here the longest stream decides, which the proxy says at its end.
SESSION_SECONDS: Final = 12 * 3600
_MAX_EVENT_ID: Final = 512
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
_CLIENT_EVENTS: Final = (
    "session.update",
    "transcription_session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
)
# By what a stream's end says of the cause: a status of the contract, and OpenAI's code where that has none.
_ENDINGS: Final[dict[int, tuple[int, str]]] = {
    CloseCode.POLICY_VIOLATION: (400, "session_ended"),
    CloseCode.TOO_BIG: (400, "message_too_large"),
    CloseCode.PROTOCOL_ERROR: (400, "protocol_error"),
}
_REFUSED: Final = {
    Verdict.REVOKED.close_reason: (401, ""),
    Verdict.EXPIRED.close_reason: (401, ""),
    Verdict.SUSPENDED.close_reason: (403, ""),
    **{verdict.close_reason: (402, "") for verdict in Verdict if verdict.used_up},
}
_IN_ORDER: Final = (CloseCode.NORMAL, CloseCode.SERVICE_RESTART, CloseCode.GOING_AWAY, CloseCode.NO_STATUS)


@dataclass(slots=True)
class _Item:
    """A stretch of audio that becomes one transcript. `id` None: audio that was cleared. Times in seconds of audio."""

    id: str | None
    begin: float
    parts: list[str] = field(default_factory=list)
    shown: int = 0  # parts that the client was sent
    end: float = 0.0


class Translator:
    """One session's."""

    def __init__(self, request_id: str, *, beta: bool = False, now: Callable[[], float] = time.time) -> None:
        """`beta`: the client speaks the flat generation of the wire. `now`: seconds since 1970."""
        self.config = SessionConfig()
        self._beta = beta
        self._name = request_id.replace("-", "")
        self._expires = round(now()) + SESSION_SECONDS
        self._numbers = {"event": 0, "item": 0}
        self._streaming = False  # audio was sent on: the server has its query
        self._rest = b""  # of a sample whose other half is still to come
        self._uncommitted = 0  # bytes since the last commit or clear, of either side
        self._pending: deque[_Item] = deque()  # each waits for the reply to its Finalize
        self._open: _Item | None = None  # what is being said now
        self._speaking = False
        self._previous: str | None = None  # the last item that was added
        self._covered = 0.0  # seconds of audio that items have

    def opening(self) -> list[Json]:
        """The first event."""
        return [self._session("transcription_session.created" if self._beta else "session.created")]

    # From the client.

    def received(self, text: str) -> tuple[list[Json], list[ToServer]]:
        """What a client's event gives: events for it, and what goes to the STT server."""
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            return [self.fault(InvalidEvent("The message is no JSON object.", code="invalid_json"))], []
        try:
            return self._obey(event)
        except InvalidEvent as fault:
            return [self.fault(fault, event.get("event_id"))], []

    def binary(self) -> Json:
        """The event for a binary frame."""
        return self.fault(
            InvalidEvent(
                "Got a binary frame; events are JSON in text frames, with audio as base64.", code="invalid_json"
            )
        )

    def fault(self, fault: InvalidEvent, event_id: Any = None) -> Json:
        """An error event. `event_id`: of the client's event."""
        named = event_id if isinstance(event_id, str) and len(event_id) <= _MAX_EVENT_ID else None
        found = {"type": "invalid_request_error", "code": fault.code, "message": fault.message, "param": fault.param}
        return self._event("error", error={**found, "event_id": named})

    def refused(self, status: int, err_code: str, message: str) -> Json:
        """An error event for an error of the contract."""
        return self._event("error", error={**openai_wire.error(status, err_code, message), "event_id": None})

    def _obey(self, event: Json) -> tuple[list[Json], list[ToServer]]:
        match event.get("type"):
            case "session.update":
                return self._update(self.config.updated(event.get("session")), "session.updated"), []
            case "transcription_session.update":
                changed = self.config.updated_flat(event.get("session"))
                return self._update(changed, "transcription_session.updated"), []
            case "input_audio_buffer.append":
                return [], list(self._append(event.get("audio")))
            case "input_audio_buffer.commit":
                return self._commit()
            case "input_audio_buffer.clear":
                return self._clear()
        raise InvalidEvent(f"type: got {event.get('type')!r:.60}; allowed: {', '.join(_CLIENT_EVENTS)}.", param="type")

    def _update(self, changed: SessionConfig, name: str) -> list[Json]:
        if self._streaming and changed.server_query != self.config.server_query:
            raise InvalidEvent(
                "The audio format and turn detection cannot be changed once audio was sent. Open another session.",
                param="session",
                code="session_started",
            )
        self.config = changed
        return [self._session(name)]

    def _append(self, given: Any) -> list[bytes]:
        if not isinstance(given, str):
            raise InvalidEvent("audio: allowed: a text, the audio in base64.", param="audio", code="invalid_type")
        try:
            audio = binascii.a2b_base64(given, strict_mode=True)
        except ValueError:
            raise InvalidEvent("audio: got no valid base64 (RFC 4648 section 4).", param="audio") from None
        self._uncommitted += len(audio)
        audio = self._rest + audio
        size = len(audio) - len(audio) % self.config.format.sample_bytes
        self._rest = audio[size:]
        self._streaming = self._streaming or size > 0
        return [audio[at : min(at + PIECE_BYTES, size)] for at in range(0, size, PIECE_BYTES)]

    def _commit(self) -> tuple[list[Json], list[ToServer]]:
        milliseconds = self._uncommitted * 1000 / self.config.format.bytes_per_second
        if milliseconds < MIN_COMMIT_MS:
            raise InvalidEvent(
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS} ms of audio, but buffer only has {milliseconds:.2f} ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        item, self._open = self._open or self._new_item(), None
        self._flush(item)
        return [*self._added(item), *self._deltas(item)], [FINALIZE]

    def _clear(self) -> tuple[list[Json], list[ToServer]]:
        cleared = self._event("input_audio_buffer.cleared")
        if not self._streaming:
            self._rest, self._uncommitted = b"", 0
            return [cleared], []
        self._open = None
        self._flush(_Item(None, self._covered))
        return [cleared], [FINALIZE]

    def _flush(self, item: _Item) -> None:
        if len(self._pending) >= MAX_PENDING:
            raise InvalidEvent(
                f"{MAX_PENDING} commits wait for their transcripts. Wait for some of them.", code="rate_limit_exceeded"
            )
        self._pending.append(item)
        self._rest, self._uncommitted, self._speaking = b"", 0, False

    # From the STT server.

    def said(self, text: bytes) -> list[Json]:
        """The events for one of its messages."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return []
        if not isinstance(message, dict):
            return []
        if message.get("type") == "SpeechStarted":
            at = message.get("timestamp")
            return self._speech_started(float(at)) if isinstance(at, int | float) else []
        if message.get("type") == "Results" and message.get("is_final") is True:
            return self._result(message)
        return []

    def _speech_started(self, at: float) -> list[Json]:
        # Behind a commit it may still be speech from before it, which is that item's.
        if self._speaking or self._pending or self.config.silence_ms is None:
            return []
        self._speaking = True
        item = self._open = self._open or self._new_item()
        return [self._event("input_audio_buffer.speech_started", audio_start_ms=round(at * 1000), item_id=item.id)]

    def _result(self, message: Json) -> list[Json]:
        text, begin, end = _read(message)
        events: list[Json] = []
        item = self._pending[0] if self._pending else self._open
        if text:
            if item is None:
                if self.config.silence_ms is not None:
                    events += self._speech_started(begin)
                item = self._open = self._open or self._new_item()
            item.parts.append(text)
        if self._pending and item is not None:
            item.end = end
            events += self._deltas(item)
            if message.get("from_finalize") is True:
                self._pending.popleft()
                events += self._completed(item)
        elif item is not None and self.config.silence_ms is not None:
            item.end = end
            events += self._deltas(item)
            if message.get("speech_final") is True:
                self._open, self._uncommitted = None, 0
                events += [*self._speech_stopped(item), *self._added(item), *self._completed(item)]
        return events

    def closed(self, code: int, reason: str) -> list[Json]:
        """The last events: the server has said all it will, or is lost. `code`, `reason`: of the stream's close."""
        events: list[Json] = []
        in_order = code in _IN_ORDER
        for item in self._pending:
            if item.id is not None:
                events += self._completed(item) if in_order else [self._failed(item, reason)]
        self._pending.clear()
        said, self._open = self._open, None
        if said is not None and said.parts and self.config.silence_ms is not None:
            events += [*self._speech_stopped(said), *self._added(said), *self._deltas(said), *self._completed(said)]
        if not in_order:
            status, err_code = _REFUSED.get(reason) or _ENDINGS.get(code, (500, "stt_server_lost"))
            if reason.startswith("NET-0001"):
                status, err_code = 408, "session_idle"
            events.append(self.refused(status, err_code, reason or "The session ended."))
        return events

    # Events.

    def _speech_stopped(self, item: _Item) -> list[Json]:
        if not self._speaking:
            return []
        self._speaking = False
        return [self._event("input_audio_buffer.speech_stopped", audio_end_ms=round(item.end * 1000), item_id=item.id)]

    def _added(self, item: _Item) -> list[Json]:
        before, self._previous = self._previous, item.id
        place: Json = {"previous_item_id": before}
        content = [{"type": "input_audio", "transcript": None}]
        described = {
            "id": item.id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user",
            "content": content,
        }  # fmt: skip
        names = ("conversation.item.created",) if self._beta else ("conversation.item.added", "conversation.item.done")
        return [
            self._event("input_audio_buffer.committed", **place, item_id=item.id),
            *(self._event(name, **place, item=described) for name in names),
        ]

    def _deltas(self, item: _Item) -> list[Json]:
        if item.id is None:
            return []
        shown, item.shown = item.shown, len(item.parts)
        return [
            self._event(
                f"{_TRANSCRIPTION}.delta",
                item_id=item.id,
                content_index=0,
                delta=" " * (number > 0) + item.parts[number],
            )
            for number in range(shown, len(item.parts))
        ]

    def _completed(self, item: _Item) -> list[Json]:
        begin, self._covered = max(item.begin, self._covered), max(item.end, self._covered)
        if item.id is None:
            return []
        usage = {"type": "duration", "seconds": round(max(0.0, item.end - begin), 3)}
        return [
            self._event(
                f"{_TRANSCRIPTION}.completed",
                item_id=item.id,
                content_index=0,
                transcript=" ".join(item.parts),
                usage=usage,
            )
        ]

    def _failed(self, item: _Item, reason: str) -> Json:
        fault = openai_wire.error(500, "transcription_failed", reason or "The STT server was lost.")
        return self._event(f"{_TRANSCRIPTION}.failed", item_id=item.id, content_index=0, error=fault)

    def _session(self, name: str) -> Json:
        about: Json = {
            "id": f"sess_{self._name}",
            "object": "realtime.transcription_session",
            "expires_at": self._expires,
        }
        if name.startswith("transcription_session"):
            return self._event(name, session={**about, **self.config.to_flat()})
        return self._event(name, session={"type": "transcription", **about, **self.config.to_wire()})

    def _event(self, kind: str, **fields: Any) -> Json:
        return {"type": kind, "event_id": self._numbered("event"), **fields}

    def _new_item(self) -> _Item:
        return _Item(self._numbered("item"), self._covered)

    def _numbered(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind}_{self._name}_{self._numbers[kind]}"


def _read(message: Json) -> tuple[str, float, float]:
    """A Results message's transcript, and where its audio begins and ends in seconds."""
    channel = message.get("channel")
    alternatives = channel.get("alternatives") if isinstance(channel, dict) else None
    best = alternatives[0] if isinstance(alternatives, list) and alternatives else None
    text = best.get("transcript") if isinstance(best, dict) else None
    start, duration = message.get("start"), message.get("duration")
    begin = float(start) if isinstance(start, int | float) else 0.0
    end = begin + float(duration) if isinstance(duration, int | float) else begin
    return (text if isinstance(text, str) else ""), begin, end
