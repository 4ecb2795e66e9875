"""The OpenAPI 3.1 document of recorded audio: `/v1/listen`, `/transcribe`, OpenAI's transcriptions. Pure."""

import inspect
from collections.abc import Sequence
from typing import Final

from aldea.errors import (
    ApiError,
    BadGateway,
    BadRequest,
    GatewayTimeout,
    InsufficientPermissions,
    InvalidAuth,
    LengthRequired,
    NotFound,
    PayloadTooLarge,
    PaymentRequired,
    ServiceUnavailable,
    SlowUpload,
    TooManyRequests,
    UnprocessableEntity,
)
from aldea.headers import REQUEST_ID_HEADER
from backend.reference.document import KEY, OPENAPI
from backend.reference.speech.parameters import PARAMETERS, Json, openapi
from backend.reference.speech.schemas import SCHEMAS

TITLE: Final = "Aldea Speech API"
VERSION: Final = "1"
INTRODUCTION: Final = """\
Recorded audio in, words out. Live streams are a WebSocket on the same address, `/v1/listen`; they are described in
the AsyncAPI document, `/docs/asyncapi.json`. The guide with examples is at `/docs`.

Send `Authorization: Token <API key>` or `Authorization: Bearer <API key or short-lived token>`.

Every response carries `dg-request-id`. Every error has one shape, `{"err_code", "err_msg", "request_id"}`, except below
`/v1/audio/`, where it is OpenAI's. 429 and 503 say in `Retry-After` when to try again.
"""
# What a request for recorded audio can be refused with, in the order of the statuses.
REFUSALS: Final[tuple[type[ApiError], ...]] = (
    BadRequest,
    InvalidAuth,
    PaymentRequired,
    InsufficientPermissions,
    SlowUpload,
    LengthRequired,
    PayloadTooLarge,
    UnprocessableEntity,
    TooManyRequests,
    ApiError,
    BadGateway,
    ServiceUnavailable,
    GatewayTimeout,
)
_RETRIES: Final = (TooManyRequests, ServiceUnavailable)
_AUDIO: Final[Json] = {"schema": {"type": "string", "format": "binary", "description": "The audio's bytes"}}
_QUERY: Final = [openapi(parameter) for parameter in PARAMETERS if parameter.recorded]
# The form of OpenAI's wire; of the query it takes what concerns the usage.
_USAGE: Final = [parameter for parameter in _QUERY if parameter["name"] in {"model", "tag"}]
_HEADERS: Final[Json] = {
    REQUEST_ID_HEADER: {
        "description": "The id of this request; quote it when you report a problem",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    },
    "Retry-After": {
        "description": "Seconds until a retry makes sense",
        "required": False,
        "schema": {"type": "integer", "minimum": 1},
    },
}


def document() -> Json:
    """The whole document."""
    return {
        "openapi": OPENAPI,
        "info": {"title": TITLE, "version": VERSION, "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": "Recorded audio"}, {"name": "OpenAI's wire"}],
        "paths": {
            "/v1/listen": {"post": _listen("listen")},
            "/listen/v1": {"post": _listen("listen_alias")},
            "/transcribe": {"post": _transcribe("transcribe", [])},
            "/transcribe/{rest}": {"post": _transcribe("transcribe_below", [_REST])},
            "/v1/audio/transcriptions": {"post": _audio_transcription()},
        },
        "components": {
            "schemas": SCHEMAS,
            "headers": _HEADERS,
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


_REST: Final[Json] = {
    "name": "rest",
    "in": "path",
    "required": True,
    "description": "Anything: the path below `/transcribe` has no meaning",
    "schema": {"type": "string", "minLength": 1},
}
_TIMESTAMPS: Final[Json] = {
    "name": "timestamps",
    "in": "header",
    "required": False,
    "description": "`true`: the response has `words` with their times.",
    "schema": {"enum": ["true", "false"]},
}


def _listen(operation_id: str) -> Json:
    return _operation(
        operation_id,
        "Transcribe recorded audio",
        "The audio as the body, or its address as JSON. With `callback` the response is `Accepted`, and the transcript "
        "is sent to that URL.",
        _QUERY,
        {
            "audio/*": _AUDIO,
            "application/octet-stream": _AUDIO,
            "application/json": {"schema": _reference("AudioUrl")},
        },
        {"application/json": {"schema": {"anyOf": [_reference("Transcript"), _reference("Accepted")]}}},
    )


def _transcribe(operation_id: str, more: Sequence[Json]) -> Json:
    return _operation(
        operation_id,
        "Transcribe recorded audio into plain text",
        "The same audio, as the body, as JSON or as the field `file` of a form; the response is its text alone.",
        [*more, _TIMESTAMPS, *_QUERY],
        {
            "audio/*": _AUDIO,
            "application/octet-stream": _AUDIO,
            "application/json": {"schema": _reference("AudioUrl")},
            "multipart/form-data": {"schema": _reference("AudioForm")},
        },
        {"application/json": {"schema": {"anyOf": [_reference("PlainTranscript"), _reference("Accepted")]}}},
        # A path that has to be decoded to be understood is none of ours.
        refusals=(*REFUSALS, NotFound) if more else REFUSALS,
    )


def _audio_transcription() -> Json:
    return _operation(
        "create_transcription",
        "Transcribe a form in OpenAI's shape",
        "For OpenAI's own clients: their base URL is this address and `/v1`. The response is of the `response_format`.",
        _USAGE,
        {"multipart/form-data": {"schema": _reference("TranscriptionForm")}},
        {
            "application/json": {
                "schema": {"anyOf": [_reference("OpenAITranscript"), _reference("OpenAIVerboseTranscript")]}
            },
            **{kind: {"schema": {"type": "string"}} for kind in ("text/plain", "text/vtt", "text/event-stream")},
        },
        error="OpenAIError",
        tag="OpenAI's wire",
    )


def _operation(
    operation_id: str,
    summary: str,
    description: str,
    parameters: Sequence[Json],
    taken: Json,
    given: Json,
    *,
    error: str = "Error",
    refusals: Sequence[type[ApiError]] = REFUSALS,
    tag: str = "Recorded audio",
) -> Json:
    good = {"description": "What was understood", "headers": _headers(), "content": given}
    return {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "parameters": list(parameters),
        "requestBody": {"required": True, "content": taken},
        "responses": {"200": good} | {str(kind.status): _refusal(kind, error) for kind in refusals},
        "security": [{KEY: ["usage:write"]}],
    }


def _refusal(kind: type[ApiError], error: str) -> Json:
    schema = _reference(error)
    if error == "Error":
        schema = {**schema, "properties": {"err_code": {"enum": [kind.err_code]}}}
    return {
        "description": " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split()),
        "headers": _headers(retry=kind in _RETRIES),
        "content": {"application/json": {"schema": schema}},
    }


def _headers(*, retry: bool = False) -> Json:
    names = [REQUEST_ID_HEADER, "Retry-After"] if retry else [REQUEST_ID_HEADER]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
