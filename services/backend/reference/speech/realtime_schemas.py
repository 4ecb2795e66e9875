"""The events of OpenAI's realtime transcription (`/v1/realtime`) as JSON schemas, and its query. Pure."""

from typing import Any, Final

from backend.reference.speech.parameters import Parameter

Json = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_NULL: Final[Json] = {"type": "null"}
_TEXT_OR_NULL: Final[Json] = {"anyOf": [_TEXT, _NULL]}
_MILLISECONDS: Final[Json] = {"type": "integer", "minimum": 0}
_OF_ITEM: Final[Json] = {"item_id": _TEXT, "content_index": {"const": 0}}
_BEFORE: Final[Json] = {"previous_item_id": _TEXT_OR_NULL}

PARAMETERS: Final = (
    Parameter("intent", "Must be `transcription`.", {"const": "transcription"}, recorded=False),
    Parameter("tag", "A tag of the request's usage; repeatable.", {"type": "array", "items": _TEXT}, recorded=False),
    Parameter("model", "Named in the usage; without effect.", _TEXT, recorded=False),
)

_INPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "format": {
            "type": "object",
            "properties": {"type": {"enum": ["audio/pcm", "audio/pcmu", "audio/pcma"]}, "rate": {"type": "integer"}},
        },
        "turn_detection": {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": "server_vad"},
                        "silence_duration_ms": {"type": "number", "minimum": 0, "maximum": 10_000},
                        "threshold": {"type": "number", "minimum": 0, "maximum": 1},
                        "prefix_padding_ms": {"type": "number", "minimum": 0, "maximum": 5_000},
                    },
                },
                _NULL,
            ]
        },
        "transcription": {
            "type": "object",
            "properties": {"model": _TEXT, "language": {"type": "string", "pattern": "^[eE][nN]"}, "prompt": _TEXT},
        },
        "noise_reduction": {"anyOf": [{"type": "object", "properties": {"type": _TEXT}}, _NULL]},
    },
}
_SESSION: Final[Json] = {
    "type": "object",
    "properties": {
        "type": {"const": "transcription"},
        "id": _TEXT,
        "object": _TEXT,
        "expires_at": {"type": "integer"},
        "audio": {"type": "object", "properties": {"input": _INPUT}},
    },
}
_ERROR: Final[Json] = {
    "type": "object",
    "properties": {"type": _TEXT, "code": _TEXT_OR_NULL, "message": _TEXT, "param": _TEXT_OR_NULL},
    "required": ["type", "code", "message", "param"],
}


def _event(kind: str, description: str, required: Json | None = None, *, sent: bool = False) -> Json:
    """One event. `sent`: by the client, which may leave its id out; the server's always has one."""
    fields = {"type": {"const": kind}, **(required or {})}
    return {
        "type": "object",
        "description": description,
        "properties": {**fields, "event_id": _TEXT},
        "required": [*fields] if sent else [*fields, "event_id"],
    }


_OF_BUFFER: Final = "input_audio_buffer"
_OF_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
BY_CLIENT: Final[Json] = {
    "SessionUpdate": _event(
        "session.update",
        "Changes the session. Audio format and turn detection are fixed by the first audio",
        {"session": _SESSION},
        sent=True,
    ),
    "BufferAppend": _event(
        f"{_OF_BUFFER}.append",
        "The next piece of the audio in base64, 1 MiB of it at most",
        {"audio": {"type": "string", "contentEncoding": "base64"}},
        sent=True,
    ),
    "BufferCommit": _event(
        f"{_OF_BUFFER}.commit", "Makes what was appended an item: 100 ms of audio at least", sent=True
    ),
    "BufferClear": _event(f"{_OF_BUFFER}.clear", "Drops what was not committed; it is billed all the same", sent=True),
}
BY_SERVER: Final[Json] = {
    "SessionCreated": _event("session.created", "The first event", {"session": _SESSION}),
    "SessionUpdated": _event("session.updated", "The reply to `session.update`", {"session": _SESSION}),
    "BufferSpeechStarted": _event(
        f"{_OF_BUFFER}.speech_started", "Somebody began to speak", {"audio_start_ms": _MILLISECONDS, "item_id": _TEXT}
    ),
    "BufferSpeechStopped": _event(
        f"{_OF_BUFFER}.speech_stopped", "The speaker paused", {"audio_end_ms": _MILLISECONDS, "item_id": _TEXT}
    ),
    "BufferCommitted": _event(f"{_OF_BUFFER}.committed", "What was said became an item", {**_BEFORE, "item_id": _TEXT}),
    "BufferCleared": _event(f"{_OF_BUFFER}.cleared", "The reply to `input_audio_buffer.clear`"),
    "ItemAdded": _event("conversation.item.added", "The item", {**_BEFORE, "item": {"type": "object"}}),
    "ItemDone": _event("conversation.item.done", "The item is complete", {**_BEFORE, "item": {"type": "object"}}),
    "TranscriptionDelta": _event(
        f"{_OF_TRANSCRIPTION}.delta", "Final words; those of an item are its transcript", {**_OF_ITEM, "delta": _TEXT}
    ),
    "TranscriptionCompleted": _event(
        f"{_OF_TRANSCRIPTION}.completed",
        "An item's transcript, and the seconds of audio that it took",
        {
            **_OF_ITEM,
            "transcript": _TEXT,
            "usage": {"type": "object", "properties": {"type": {"const": "duration"}, "seconds": {"type": "number"}}},
        },
    ),
    "TranscriptionFailed": _event(
        f"{_OF_TRANSCRIPTION}.failed", "The STT server was lost with the item", {**_OF_ITEM, "error": _ERROR}
    ),
    "RealtimeError": _event(
        "error", "What is wrong with an event, or why the session is about to be closed", {"error": _ERROR}
    ),
}
EVENTS: Final[Json] = {**BY_CLIENT, **BY_SERVER}
