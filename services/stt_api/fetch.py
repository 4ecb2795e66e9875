"""Audio by URL: fetched by the STT server itself, from public addresses only, and recognised while it comes."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

from aiohttp import ClientError, ClientResponse, hdrs, web

from aldea.address_guard import GuardedClient
from aldea.errors import BadRequest
from aldea.service import payload
from stt_api.body import CHUNK_BYTES, in_time

# For fetching and recognising one recording, redirects included; a proxy in front waits as long for a response.
FETCH_SECONDS: Final = 300.0


@asynccontextmanager
async def fetched(request: web.Request, client: GuardedClient) -> AsyncIterator[AsyncIterator[bytes]]:
    """The recording that a `{"url": …}` body names, as it comes. Raises BadRequest, RefusedUrl, SlowUpload."""
    url = _named(await payload.read(request))
    try:
        async with client.open("GET", url, seconds=FETCH_SECONDS) as response:
            if response.status != 200:
                raise BadRequest(f"The URL responded with status {response.status}; 200 and the audio are wanted.")
            if response.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
                raise BadRequest(
                    "The URL's audio came with a Content-Encoding that was not requested; serve it as it is."
                )
            async with aclosing(_body(response)) as body:
                yield body
    except ClientError as error:
        raise BadRequest(
            f"The URL cannot be fetched ({type(error).__name__}). Check that its host responds."
        ) from error
    except TimeoutError:
        raise BadRequest(
            f"The URL's audio did not come and pass within {FETCH_SECONDS:g} s; send it in parts."
        ) from None


async def _body(response: ClientResponse) -> AsyncGenerator[bytes, None]:
    size = 0
    try:
        while chunk := await in_time(response.content.read(CHUNK_BYTES)):
            size += len(chunk)
            yield chunk
    except ClientError as error:
        raise BadRequest(f"The URL's audio broke off after {size} bytes ({type(error).__name__}).") from error


def _named(body: bytes) -> str:
    try:
        wanted: Any = json.loads(body)
    except (ValueError, RecursionError):
        wanted = None
    url = wanted.get("url") if isinstance(wanted, dict) else None
    if not isinstance(url, str) or not url:
        raise BadRequest(
            'A JSON body must be {"url": "https://…"}, the address of the audio; or send the audio\'s bytes as the '
            "body, with Content-Type audio/* or application/octet-stream."
        )
    return url
