"""One request of `POST /v1/audio/transcriptions`: the form's file goes to `/v1/listen`, its transcript comes back."""

import json
from typing import Final

from aiohttp import web

from aldea import errors
from aldea.credentials import from_request
from aldea.tasks import Deadline
from http_proxy.heads import RawHeaders, parameters
from http_proxy.openai import transcript
from http_proxy.openai.options import Options
from http_proxy.openai.upload import FormUpload
from http_proxy.refusal import read_refusal
from http_proxy.resources import Resources
from http_proxy.response import scanner_for
from http_proxy.transcription import Transcription, shutting_down
from http_proxy.upstream_connection import UpstreamResponse

PATH: Final = "/v1/audio/transcriptions"
# What OpenAI's transcripts are like; the rest of a form concerns the response.
SERVER_QUERY: Final = "punctuate=true"


# What of OpenAI's audio is not offered.
ABSENT: Final = {
    "/v1/audio/translations": f"Translation is not offered here. POST {PATH} writes English speech down.",
    "/v1/audio/speech": f"Text to speech is not offered here. POST {PATH} writes speech down.",
}


async def absent(request: web.Request) -> web.StreamResponse:
    """What OpenAI's SDKs offer at these addresses, and this platform does not."""
    raise errors.NotFound(ABSENT[request.path])


def of_the_file(message: str) -> str:
    """An STT server's message about a body, which is the form's file on this wire."""
    if message.startswith("The body is empty"):
        return "file: got an empty one; send the audio's bytes in it."
    return f"file: it {message.removeprefix('The body ')}" if message.startswith("The body ") else message


class AudioTranscription(Transcription):
    """Admitted, metered and tried again as any; the response is collected, since each format is made of the whole."""

    def __init__(self, resources: Resources, request: web.Request) -> None:
        self._form = FormUpload(request, resources.limits)
        super().__init__(resources, request, self._form)

    async def _admit(self) -> None:
        resources, query = self._resources, self._request.rel_url.raw_query_string
        self._path, self._query = "/v1/listen", SERVER_QUERY
        if resources.lifecycle.draining:
            raise shutting_down()
        credential = from_request(self._request)
        self._upload.check()
        self._metering.grant = await resources.admission.admit(
            credential,
            request_id=self._id,
            service="prerecorded",
            path=PATH,
            tags=parameters(query, "tag"),
            query=[("punctuate", "true"), *(("model", found) for found in parameters(query, "model"))],
            trace=self._trace,
        )
        self._admitted()

    def _headers_for_server(self) -> RawHeaders:
        kept = [(name, value) for name, value in self._request.raw_headers if name.lower() != b"content-type"]
        return [*kept, (b"Content-Type", b"application/octet-stream")]

    async def _transcribe(self) -> web.StreamResponse:
        seconds = self._resources.settings.total_seconds
        try:
            with Deadline(seconds):
                response = await self._upstream_response()
                if not 200 <= response.head.code < 300:
                    raise await self._refusal(response)
                scanner = scanner_for(response)
                assert scanner is not None
                body = await self._collect(response, scanner)
        except TimeoutError:
            raise errors.GatewayTimeout(
                f"The request took longer than {seconds:g} s as a whole. Send less audio at a time."
            ) from None
        options = self._form.options
        if options is None:
            raise errors.BadGateway("The STT server responded before it had all of the audio. Try again.")
        try:
            found = transcript.read_transcript(body)
        except transcript.Unreadable as error:
            raise errors.BadGateway(f"The STT server's response was not usable ({error}).") from None
        self._metering.meter(scanner)
        return await self._respond(found, options)

    async def _respond(self, found: transcript.Transcript, options: Options) -> web.StreamResponse:
        if options.stream:
            text, content_type = "".join(transcript.events(found)), transcript.EVENT_STREAM
        else:
            text, content_type = transcript.written(found, options), transcript.CONTENT_TYPES[options.response_format]
        response = web.Response(text=text, content_type=content_type, charset="utf-8")
        self._metering.status, self._metering.bytes_out = 200, len(text.encode())
        self._resources.renewals.discard(self)
        await self._metering.settle()
        return response

    async def _refusal(self, response: UpstreamResponse) -> errors.ApiError:
        """The server's error as one of ours."""
        body = await read_refusal(response, self._resources.settings.answer_stall_seconds)
        try:
            found = json.loads(body)
            message, code = str(found["err_msg"]), str(found["err_code"])
        except (ValueError, TypeError, KeyError):
            message, code = "The STT server could not transcribe this.", "Bad Request"
        error = errors.ApiError(of_the_file(message))
        error.status, error.err_code = response.head.code, code
        return error
