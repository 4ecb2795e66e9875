"""What the speech API sends and takes, as JSON Schema (2020-12), for the OpenAPI and the AsyncAPI document. Pure."""

from typing import Any, Final

from backend.reference.speech.parameters import Json

_SECONDS: Final[Json] = {"type": "number", "minimum": 0}
_CONFIDENCE: Final[Json] = {"type": "number", "minimum": 0, "maximum": 1}
_SPEAKER: Final[Json] = {"const": 0, "description": "With `diarize`; speakers are not distinguished"}
_ID: Final[Json] = {"type": "string", "format": "uuid"}


def _object(text: str, required: Json, optional: Json | None = None) -> Json:
    return {
        "type": "object",
        "description": text,
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def _list(of: Json, **more: Any) -> Json:
    return {"type": "array", "items": of, **more}


def _to(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _described(schema: Json, text: str) -> Json:
    return {**schema, "description": text}


_TEXT: Final[Json] = {"type": "string"}
_TEXT_OR_NULL: Final[Json] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_METADATA: Final[Json] = {
    "transaction_key": _described({"const": "deprecated"}, "Always this; kept for older clients"),
    "request_id": _described(_ID, "The id of the request, as in dg-request-id"),
    "sha256": _described({"type": "string", "pattern": "^[0-9a-f]{64}$"}, "Of the audio as it was received"),
    "created": {"type": "string", "format": "date-time"},
    "duration": _described(_SECONDS, "Seconds of audio, computed from its samples; the bill follows it"),
    "channels": {"type": "integer", "minimum": 1},
    "models": _list(_ID),
    "model_info": _described(
        {"type": "object", "additionalProperties": _to("ModelInfo")}, "By the ids that `models` lists"
    ),
}
_WARNINGS: Final[Json] = {
    "warnings": _described(_list(_to("Warning")), "What was requested and has no effect; absent if there is nothing")
}
_CHANNEL_INDEX: Final[Json] = _described(
    _list({"type": "integer", "minimum": 0}, minItems=2, maxItems=2), "The channel, and how many there are"
)

SCHEMAS: Final[Json] = {
    "Error": _object(
        "Every error but those below `/v1/audio/`",
        {
            "err_code": _described(_TEXT, "The kind of error, for programs"),
            "err_msg": _described(
                _TEXT, "What was got, what is allowed, what to do; it ends with its page, `/docs/errors#…`"
            ),
            "request_id": _described(_TEXT, "The id of this request; empty if the load balancer itself responded"),
        },
    ),
    "Warning": _object(
        "A parameter that had no effect",
        {
            "parameter": _TEXT,
            "type": {"enum": ["unsupported_model", "unsupported_language"]},
            "message": _TEXT,
        },
    ),
    "ModelInfo": _object("A model", {"name": _TEXT, "version": _TEXT, "arch": _TEXT}),
    "Word": _object(
        "A word; times in seconds from the beginning of the audio",
        {
            "word": _described(_TEXT, "In lower case, without punctuation"),
            "start": _SECONDS,
            "end": _SECONDS,
            "confidence": _CONFIDENCE,
        },
        {
            "punctuated_word": _described(_TEXT, "As in a text; with `punctuate` or `smart_format`"),
            "speaker": _SPEAKER,
        },
    ),
    "Alternative": _object(
        "What was understood of one channel",
        {
            "transcript": _TEXT,
            "confidence": _described(_CONFIDENCE, "The mean of its words'; 0 without words"),
            "words": _list(_to("Word")),
        },
        {"paragraphs": _described(_to("Paragraphs"), "With `paragraphs` or `smart_format`; absent without words")},
    ),
    "Paragraphs": _object(
        "The transcript in paragraphs",
        {
            "transcript": _TEXT,
            "paragraphs": _list(
                _object(
                    "Sentences without a long pause",
                    {
                        "sentences": _list(_object("A sentence", {"text": _TEXT, "start": _SECONDS, "end": _SECONDS})),
                        "num_words": {"type": "integer", "minimum": 1},
                        "start": _SECONDS,
                        "end": _SECONDS,
                    },
                    {"speaker": _SPEAKER},
                )
            ),
        },
    ),
    "Search": _object(
        "Where the words of one `search` are",
        {
            "query": _TEXT,
            "hits": _list(
                _object(
                    "One place",
                    {
                        "confidence": _described(_CONFIDENCE, "The mean of its words'"),
                        "start": _SECONDS,
                        "end": _SECONDS,
                        "snippet": _TEXT,
                    },
                )
            ),
        },
    ),
    "Utterance": _object(
        "What was said between two pauses",
        {
            "start": _SECONDS,
            "end": _SECONDS,
            "confidence": _CONFIDENCE,
            "channel": {"type": "integer", "minimum": 0},
            "transcript": _TEXT,
            "words": _list(_to("Word")),
            "id": _ID,
        },
        {"speaker": _SPEAKER},
    ),
    "Channel": _object(
        "One channel",
        {"alternatives": _described(_list(_to("Alternative"), minItems=1), "Exactly one")},
        {"search": _described(_list(_to("Search")), "With `search`")},
    ),
    "Metadata": _object("About the request and its audio", _METADATA, _WARNINGS),
    "Transcript": _object(
        "The response of `/v1/listen`",
        {
            "metadata": _to("Metadata"),
            "results": _object(
                "The words",
                {"channels": _list(_to("Channel"))},
                {"utterances": _described(_list(_to("Utterance")), "With `utterances`")},
            ),
        },
    ),
    "PlainTranscript": _object(
        "The response of `/transcribe`",
        {"text": _TEXT, "duration": _SECONDS, "request_id": _ID},
        {"words": _described(_list(_to("Word")), "With the header `timestamps: true`"), **_WARNINGS},
    ),
    "Accepted": _object("The response to a request with `callback`", {"request_id": _ID}),
    "AudioUrl": _object(
        "Audio that the STT server fetches: http or https, ports 80, 443, 8080 and 8443, a public address",
        {"url": {"type": "string", "format": "uri"}},
    ),
    "AudioForm": _object("A form with the audio", {"file": {"type": "string", "format": "binary"}}),
    "TranscriptionForm": _object(
        "OpenAI's form; fields that are not listed are taken, without effect",
        {"file": {"type": "string", "format": "binary"}},
        {
            "model": _described(_TEXT, "Any name, without effect"),
            "language": _described({"type": "string", "enum": ["en"]}, "Another one is refused"),
            "prompt": _described(_TEXT, "Without effect"),
            "response_format": {"enum": ["json", "text", "srt", "verbose_json", "vtt"], "default": "json"},
            "temperature": _described({"type": "number", "minimum": 0, "maximum": 1}, "Without effect"),
            "timestamp_granularities[]": _described(_list({"enum": ["word", "segment"]}), "With `verbose_json` alone"),
            "stream": _described({"type": "boolean"}, "Server-sent events; with `json` or `text`"),
        },
    ),
    "OpenAITranscript": _object("`json`", {"text": _TEXT, "usage": _to("OpenAIUsage")}),
    "OpenAIVerboseTranscript": _object(
        "`verbose_json`",
        {"task": _TEXT, "language": _TEXT, "duration": _SECONDS, "text": _TEXT, "usage": _to("OpenAIUsage")},
        {"words": _list({"type": "object"}), "segments": _list({"type": "object"})},
    ),
    "OpenAIUsage": _object("What it costs", {"type": {"const": "duration"}, "seconds": {"type": "integer"}}),
    "OpenAIError": _object(
        "Errors below `/v1/audio/`",
        {
            "error": _object(
                "The error",
                {
                    "message": _TEXT,
                    "type": _TEXT,
                    "param": _TEXT_OR_NULL,
                    "code": _TEXT_OR_NULL,
                },
            )
        },
    ),
}

# Messages of a turn-based stream (`/v2/listen`) from the server.
_NUMBERED: Final[Json] = {"sequence_id": _described({"type": "integer", "minimum": 0}, "Counts all messages")}
_OF_REQUEST: Final[Json] = {**_NUMBERED, "request_id": _ID}
_THRESHOLDS: Final[Json] = {
    "type": "object",
    "properties": {
        "eot_threshold": {"type": "number", "minimum": 0.5, "maximum": 1},
        "eager_eot_threshold": {"type": "number", "minimum": 0.3, "maximum": 0.9},
        "eot_timeout_ms": {"type": "integer", "minimum": 500, "maximum": 60_000},
    },
}
TURNS: Final[Json] = {
    "Connected": _object("The first message", {"type": {"const": "Connected"}, **_OF_REQUEST}),
    "TurnInfo": _object(
        "The state of a turn",
        {
            "type": {"const": "TurnInfo"},
            **_OF_REQUEST,
            "event": {"enum": ["StartOfTurn", "Update", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]},
            "turn_index": {"type": "integer", "minimum": 0},
            "audio_window_start": _SECONDS,
            "audio_window_end": _described(_SECONDS, "The bill follows the last one"),
            "transcript": _TEXT,
            "words": _list(_to("Word")),
            "end_of_turn_confidence": _CONFIDENCE,
        },
        {"trigger": _described({"enum": ["model", "manual", "timeout", "close"]}, "Of `EndOfTurn`: what ended it")},
    ),
    "ConfigureSuccess": _object(
        "What is in force now",
        {
            "type": {"const": "ConfigureSuccess"},
            **_OF_REQUEST,
            "thresholds": _THRESHOLDS,
            "keyterms": _list(_TEXT),
            "numerals": {"type": "boolean"},
        },
    ),
    "ConfigureFailure": _object(
        "A `Configure` that changed nothing",
        {"type": {"const": "ConfigureFailure"}, **_OF_REQUEST, "code": _TEXT, "description": _TEXT},
    ),
    "TurnWarning": _object(
        "What has no effect",
        {"type": {"const": "Warning"}, **_OF_REQUEST, "code": _TEXT, "description": _TEXT},
    ),
    "TurnError": _object(
        "Comes before a close with another code than 1000 or 1012",
        {"type": {"const": "Error"}, **_NUMBERED, "code": _TEXT, "description": _TEXT},
    ),
    "Configure": _object(
        "Changes the thresholds, and whether numbers are digits; what is left out stays",
        {"type": {"const": "Configure"}},
        {
            "thresholds": _THRESHOLDS,
            "numerals": {"type": "boolean"},
            "keyterms": _described(_list(_TEXT), "Without effect here"),
        },
    ),
    "ForceEndTurn": _object("Ends the turn now", {"type": {"const": "ForceEndTurn"}}),
}

# Messages of a live stream: those of the server first.
LIVE: Final[Json] = {
    "Results": _object(
        "Words. The final ones (`is_final`) of a channel cover its audio without a gap; others may still change",
        {
            "type": {"const": "Results"},
            "channel_index": _CHANNEL_INDEX,
            "duration": _described(_SECONDS, "Seconds that this message is about"),
            "start": _described(_SECONDS, "Where they begin"),
            "is_final": _described({"type": "boolean"}, "These words change no more"),
            "speech_final": _described({"type": "boolean"}, "The speaker paused: the end of an utterance"),
            "from_finalize": _described({"type": "boolean"}, "Made final by `Finalize`"),
            "channel": _to("Channel"),
            "metadata": _object(
                "The request and the model", {"request_id": _ID, "model_info": _to("ModelInfo"), "model_uuid": _ID}
            ),
        },
    ),
    "StreamMetadata": _object(
        "Sent when the stream opens (with a `duration` of 0) and as its last message",
        {"type": {"const": "Metadata"}, **_METADATA},
        _WARNINGS,
    ),
    "SpeechStarted": _object(
        "Somebody began to speak; with `vad_events`",
        {"type": {"const": "SpeechStarted"}, "channel": _CHANNEL_INDEX, "timestamp": _SECONDS},
    ),
    "UtteranceEnd": _object(
        "No word for `utterance_end_ms`",
        {"type": {"const": "UtteranceEnd"}, "channel": _CHANNEL_INDEX, "last_word_end": _SECONDS},
    ),
    **TURNS,
    "KeepAlive": _object("Holds the stream open through silence; there is no reply", {"type": {"const": "KeepAlive"}}),
    "Finalize": _object(
        "Makes the words of everything sent so far final; their Results have `from_finalize`",
        {"type": {"const": "Finalize"}},
    ),
    "CloseStream": _object(
        "No more audio: the last Results and a Metadata follow, then close code 1000",
        {"type": {"const": "CloseStream"}},
    ),
}
