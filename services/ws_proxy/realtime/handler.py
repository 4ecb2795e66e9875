"""The address `/v1/realtime`: from the request to a session. Refusals before the upgrade are in OpenAI's shape."""

from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import web

from aldea import credentials, errors
from aldea.admission import rate_limits
from aldea.headers import ERROR_HEADER, REQUEST_ID_HEADER, request_id
from aldea.openai_wire import reshaped
from aldea.tracing.incoming import trace_of
from ws_proxy import metrics
from ws_proxy.realtime.connection import Connection, Socket
from ws_proxy.realtime.translator import Translator
from ws_proxy.resources import RESOURCES, Resources, begin_trace, book, check_origin, refuse_in_a_drain
from ws_proxy.websocket import handshake

log = structlog.get_logger("ws_proxy.realtime")

PATH: Final = "/v1/realtime"
INTENT: Final = "transcription"
# In the names of models that do nothing else; a client may name one in the address in place of the intent.
TRANSCRIBING: Final = ("transcribe", "whisper")
# How a client requests the beta's events: by a header, or among the subprotocols.
_BETA_HEADER: Final = "OpenAI-Beta"
_BETA: Final = "realtime=v1"
_BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
# The status booked for a request whose client left before its 101 (nginx's convention).
_CLIENT_GONE: Final = 499
# Base64 takes four letters for three bytes; the rest of an event is small.
_EVENT_BYTES: Final = 4096


async def realtime(request: web.Request) -> web.StreamResponse:
    """A realtime session, to its end."""
    resources = request.app[RESOURCES]
    status = 500
    trace = begin_trace(request)
    started = False
    try:
        with resources.streams.handshake():
            connection = await _accepted(request, resources)
            status = 101
            started = await connection.open()
    except errors.ApiError as error:
        status = error.status
        log.info("session refused", request_id=request_id(request), status=status, reason=error.message)
        headers = {ERROR_HEADER: f"{error.err_code}: {error.err_msg}"}
        return reshaped(error.response(request_id(request), headers))
    finally:
        metrics.HANDSHAKES.labels(str(status)).inc()
        if trace is not None and not started:
            trace.end(status)
    if started:
        await connection.run()
    return connection.socket


def check_intent(query: Mapping[str, str]) -> None:
    """Raise BadRequest for a session that is no transcription: by its intent, or without one by its model."""
    intent, model = query.get("intent", ""), query.get("model", "").lower()
    if intent != INTENT and (intent or not any(part in model for part in TRANSCRIBING)):
        raise errors.BadRequest(
            f"intent: got {intent!r:.40}; allowed: {INTENT}. Conversations are not offered here: connect to "
            f"{PATH}?intent={INTENT}."
        )


async def _accepted(request: web.Request, resources: Resources) -> Connection:
    """Admitted and upgraded. Raises errors.ApiError before the upgrade."""
    refuse_in_a_drain(request)
    handshake.check_request(request.method, request.version, request.headers)
    check_intent(request.query)
    check_origin(request, resources.settings)
    credential = credentials.from_realtime_request(request)
    grant = await resources.admission.admit(
        credential,
        request_id=request_id(request),
        service="streaming",
        path=PATH,
        tags=request.query.getall("tag", []),
        query=[("punctuate", "true"), *(("model", found) for found in request.query.getall("model", []))],
        trace=trace_of(request),
    )
    rate_limits.note(request, grant)
    beta = _BETA in request.headers.get(_BETA_HEADER, "") or _BETA_SUBPROTOCOL in credentials.subprotocols(request)
    translator = Translator(grant.request_id, beta=beta)
    socket = Socket(
        translator,
        protocol=credential.subprotocol,
        most=resources.settings.max_message_bytes * 4 // 3 + _EVENT_BYTES,
        close_seconds=resources.settings.close_seconds,
    )
    socket.headers[REQUEST_ID_HEADER] = grant.request_id
    try:
        refuse_in_a_drain(request)  # which may have begun during admission
        await socket.prepare(request)
    except errors.ApiError as error:
        await book(resources, grant, error.status)
        raise
    except BaseException:
        await book(resources, grant, _CLIENT_GONE)
        raise
    return Connection(request, resources, grant, socket, translator)
