"""The AsyncAPI 3 document of the live wires: channels, messages of both directions, close codes. Pure."""

from typing import Final

from backend.reference.document import KEY
from backend.reference.speech.parameters import PARAMETERS, TURN_PARAMETERS, Json, asyncapi_query
from backend.reference.speech.realtime_schemas import BY_CLIENT, BY_SERVER, EVENTS
from backend.reference.speech.realtime_schemas import PARAMETERS as REALTIME_PARAMETERS
from backend.reference.speech.schemas import LIVE, SCHEMAS

ASYNCAPI: Final = "3.0.0"
TITLE: Final = "Aldea live transcription"
VERSION: Final = "1"
INTRODUCTION: Final = """\
A WebSocket: audio goes in as binary messages, words come back as JSON while they are spoken.

Send `Authorization: Token <API key>`; browsers, which cannot set that header, offer the subprotocols `token` and the
key. A refused upgrade is an HTTP response with the error in its body and in the header `dg-error`.

A message has at most 1 MiB. Ten seconds with neither audio nor text end the stream with 1011 `NET-0001`; `KeepAlive`
prevents that. The guide, `/docs/live`, says what to do about every close code.
"""
# What each path of live audio is for.
CHANNELS: Final[Json] = {
    "listen": ("/v1/listen", "Audio in any format that is recognized, or raw samples that the query describes"),
    "listenAlias": ("/listen/v1", "The same as /v1/listen"),
    "listenPcm": ("/v1/listen/pcm", "Raw 16-bit little-endian samples (`linear16`) alone"),
    "listenPcmAlias": ("/listen/v1/pcm", "The same as /v1/listen/pcm"),
    "turns": ("/v2/listen", "Turn-based streams, for voice agents"),
    "realtime": ("/v1/realtime", "Transcription by the events of OpenAI's realtime wire: audio in base64, all in JSON"),
}
SENT_BY_SERVER: Final = ("Results", "StreamMetadata", "SpeechStarted", "UtteranceEnd")
SENT_BY_CLIENT: Final = ("Audio", "KeepAlive", "Finalize", "CloseStream")
TURNS_BY_SERVER: Final = ("Connected", "TurnInfo", "ConfigureSuccess", "ConfigureFailure", "TurnWarning", "TurnError")
TURNS_BY_CLIENT: Final = ("Audio", "KeepAlive", "Configure", "ForceEndTurn", "CloseStream")
MESSAGES: Final = tuple(
    dict.fromkeys((*SENT_BY_CLIENT, *TURNS_BY_CLIENT, *SENT_BY_SERVER, *TURNS_BY_SERVER, *BY_CLIENT, *BY_SERVER))
)
# Of the messages, but for the audio.
_SCHEMAS: Final[Json] = {**LIVE, **EVENTS}
# The query and the messages of the channels whose ones are not those of /v1/listen.
_QUERIES: Final = {"turns": TURN_PARAMETERS, "realtime": REALTIME_PARAMETERS}
_WIRES: Final = {"turns": (TURNS_BY_CLIENT, TURNS_BY_SERVER), "realtime": (tuple(BY_CLIENT), tuple(BY_SERVER))}


def messages_of(channel: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The messages of a channel: those of the client, those of the server."""
    return _WIRES.get(channel, (SENT_BY_CLIENT, SENT_BY_SERVER))


def document(host: str = "api.aldea.ai") -> Json:
    """The whole document. `host`: of the server that it names; clients put their own deployment's there."""
    return {
        "asyncapi": ASYNCAPI,
        "info": {"title": TITLE, "version": VERSION, "description": INTRODUCTION},
        "defaultContentType": "application/json",
        "servers": {
            "api": {
                "host": host,
                "protocol": "wss",
                "description": "The API's address",
                "security": [{"$ref": f"#/components/securitySchemes/{KEY}"}],
            }
        },
        "channels": {name: _channel(name, path, text) for name, (path, text) in CHANNELS.items()},
        "operations": {
            f"{action}{name[0].upper()}{name[1:]}": {
                "action": verb,
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": summary,
                "messages": [{"$ref": f"#/channels/{name}/messages/{message}"} for message in messages],
            }
            for name in CHANNELS
            # From the application that the document describes, which is the server.
            for action, verb, summary, messages in (
                ("transcribe", "receive", "What a client sends", messages_of(name)[0]),
                ("report", "send", "What comes back", messages_of(name)[1]),
            )
        },
        "components": {
            "messages": {name: _message(name) for name in MESSAGES},
            "schemas": {**_SCHEMAS, **{name: SCHEMAS[name] for name in _SHARED}},
            "securitySchemes": {
                KEY: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "org_…",
                    "description": "An API key with the scope usage:write, or a short-lived token; "
                    "`Authorization: Token <key>` does the same.",
                }
            },
        },
    }


# What messages are made of.
_SHARED: Final = ("Warning", "ModelInfo", "Word", "Alternative", "Paragraphs", "Search", "Channel")


def _channel(name: str, path: str, text: str) -> Json:
    sent, received = messages_of(name)
    return {
        "address": path,
        "description": text,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in (*received, *sent)},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": asyncapi_query(_QUERIES.get(name, PARAMETERS)),
                "bindingVersion": "0.1.0",
            }
        },
    }


def _message(name: str) -> Json:
    if name == "Audio":
        return {
            "name": name,
            "summary": "The next piece of the audio, of any length up to 1 MiB; a tenth of a second is usual",
            "contentType": "application/octet-stream",
            "payload": {"type": "string", "format": "binary"},
        }
    return {
        "name": name,
        "summary": _SCHEMAS[name]["description"],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }
