"""Recorded audio through the whole platform, with clients that people use: words, and a bill to the millisecond."""

import asyncio
import io
import json
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import ClientSession, FormData, web
from aiohttp.test_utils import TestServer
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError

from aldea.canary.accuracy import word_error_rate
from onebox.usage_row import final_usage_row
from tests.e2e.box import SAMPLE, Box
from tests.e2e.test_sdk import SENTENCE_MS, environment
from tests.recordings import RATE, encoded, speech

SENTENCE = SAMPLE.with_suffix(".txt").read_text().splitlines()[0]
REQUEST_ID = "dg-request-id"


def wav(milliseconds: int = SENTENCE_MS, channels: int = 1) -> bytes:
    """The sample's beginning; with several channels the same words on each."""
    samples = speech(milliseconds / 1000)
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"".join(samples[n : n + 2] * channels for n in range(0, len(samples), 2)))
    return target.getvalue()


def is_right(response: Any) -> bool:
    transcript = response["results"]["channels"][0]["alternatives"][0]["transcript"]
    return word_error_rate(SENTENCE, transcript) <= 0.15


async def is_billed(box: Box, request_id: str, response: Any) -> None:
    row = await final_usage_row(box.state["database_url"], request_id)
    metadata = response["metadata"]
    assert metadata["request_id"] == request_id
    assert row["audio_ms"] == round(metadata["duration"] * 1000) * metadata["channels"]
    assert (row["service"], row["audio_source"], row["status"]) == ("prerecorded", "stt", 200)


@asynccontextmanager
async def serving(body: bytes) -> AsyncIterator[tuple[str, list[Any]]]:
    """A customer's server: hands out `body` at `/audio.wav`, collects what is sent to `/callback`."""
    received: list[Any] = []

    async def audio(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="audio/wav")

    async def callback(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_get("/audio.wav", audio)
    app.router.add_post("/callback", callback)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), received


@pytest.fixture
async def async_http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def curl(box: Box, path: Path, *arguments: str) -> tuple[str, bytes]:
    """The request id and the body of what curl got; aiohttp is used where there is no curl."""
    url = f"{box.http}/v1/listen"
    if shutil.which("curl") is None:
        async with (
            ClientSession() as session,
            session.post(url, data=path.read_bytes(), headers={"Authorization": f"Token {box.key}"}) as response,
        ):
            return response.headers[REQUEST_ID], await response.read()
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--include", "--data-binary", f"@{path}", *arguments,
        "-H", f"Authorization: Token {box.key}", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err
    *_, head, body = out.split(b"\r\n\r\n", out.count(b"HTTP/1.1 "))
    [request_id] = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"dg-request-id")]
    return request_id.decode(), body


@pytest.mark.parametrize("arguments", [(), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")])
async def test_curl_gets_words_and_a_bill(platform: Box, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = tmp_path / "sample.wav"
    path.write_bytes(wav())
    request_id, body = await curl(platform, path, *arguments)
    response = json.loads(body)
    assert is_right(response)
    assert response["metadata"]["duration"] == SENTENCE_MS / 1000
    await is_billed(platform, request_id, response)


async def test_the_sdk_transcribes_a_file(platform: Box) -> None:
    def transcribe() -> Any:
        with httpx.Client() as http:
            client = DeepgramClient(api_key=platform.key, environment=environment(platform.http), httpx_client=http)
            return client.listen.v1.media.transcribe_file(request=wav(), model="nova-3", smart_format=True)

    found = (await asyncio.to_thread(transcribe)).model_dump()
    assert is_right(found)
    await is_billed(platform, found["metadata"]["request_id"], found)


async def test_a_short_lived_token_of_the_sdk_transcribes_and_is_billed_to_its_key(
    platform: Box, async_http: httpx.AsyncClient
) -> None:
    where = environment(platform.http)
    client = AsyncDeepgramClient(api_key=platform.key, environment=where, httpx_client=async_http)
    granted: Any = await client.auth.v1.tokens.grant(ttl_seconds=60)
    holder = AsyncDeepgramClient(access_token=granted.access_token, environment=where, httpx_client=async_http)
    found: Any = await holder.listen.v1.media.transcribe_file(request=wav())
    response = found.model_dump()
    assert is_right(response)
    await is_billed(platform, response["metadata"]["request_id"], response)


async def test_a_browser_may_send_requests_through_the_balancer_and_read_the_responses(platform: Box) -> None:
    async with ClientSession(platform.http) as session:
        preflight = {
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        async with session.options("/v1/listen", headers=preflight) as reply:
            assert reply.status == 204
            assert reply.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
        bearer = {"Origin": "https://app.example", "Authorization": f"Bearer {platform.key}"}
        for headers, status in ((bearer, 200), ({**bearer, "Authorization": "Bearer org_wrong"}, 401)):
            async with session.post("/v1/listen", data=wav(500), headers=headers) as reply:
                assert reply.status == status
                assert reply.headers["Access-Control-Allow-Origin"] == "*"
                assert REQUEST_ID in reply.headers["Access-Control-Expose-Headers"]
                assert reply.headers[REQUEST_ID]


async def test_the_sdk_transcribes_a_url(platform: Box, async_http: httpx.AsyncClient) -> None:
    client = AsyncDeepgramClient(api_key=platform.key, environment=environment(platform.http), httpx_client=async_http)
    async with serving(wav()) as (base, _):
        found: Any = await client.listen.v1.media.transcribe_url(url=f"{base}audio.wav", model="nova-3")
    response = found.model_dump()
    assert is_right(response)
    await is_billed(platform, response["metadata"]["request_id"], response)


async def test_the_sdk_gets_its_result_by_callback(platform: Box, async_http: httpx.AsyncClient) -> None:
    client = AsyncDeepgramClient(api_key=platform.key, environment=environment(platform.http), httpx_client=async_http)
    async with serving(b"") as (base, received):
        accepted: Any = await client.listen.v1.media.transcribe_file(request=wav(), callback=f"{base}callback")
        async with asyncio.timeout(60):
            while not received:
                await asyncio.sleep(0.01)
    assert is_right(received[0])
    await is_billed(platform, accepted.request_id, received[0])


async def test_every_channel_is_billed(platform: Box) -> None:
    async with ClientSession(platform.http, headers={"Authorization": f"Token {platform.key}"}) as session:
        async with session.post("/v1/listen?multichannel=true", data=wav(1000, channels=2)) as reply:
            response = await reply.json()
        await is_billed(platform, reply.headers[REQUEST_ID], response)


async def test_a_form_is_transcribed_plainly(platform: Box) -> None:
    form = FormData()
    form.add_field("file", encoded("mp3", SENTENCE_MS / 1000), filename="a.mp3", content_type="audio/mpeg")
    headers = {"Authorization": f"Bearer {platform.key}"}
    async with (
        ClientSession(platform.http, headers=headers) as session,
        session.post("/transcribe", data=form) as reply,
    ):
        response = await reply.json()
        assert reply.status == 200
    assert word_error_rate(SENTENCE, response["text"]) <= 0.15
    assert response["request_id"] == reply.headers[REQUEST_ID]
    row = await final_usage_row(platform.state["database_url"], response["request_id"])
    assert (row["audio_ms"], row["path"]) == (round(response["duration"] * 1000), "/transcribe")


async def test_what_is_no_audio_is_the_servers_400_and_costs_nothing(
    platform: Box, async_http: httpx.AsyncClient
) -> None:
    client = AsyncDeepgramClient(api_key=platform.key, environment=environment(platform.http), httpx_client=async_http)
    with pytest.raises(ApiError) as refused:
        await client.listen.v1.media.transcribe_file(request=b"this is no audio" * 100)
    assert refused.value.status_code == 400
    body: Any = refused.value.body
    row = await final_usage_row(platform.state["database_url"], body["request_id"])
    assert (row["audio_ms"], row["status"]) == (0, 400)
