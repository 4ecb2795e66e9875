"""OpenAI's transcriptions through the http-proxy, by the official SDK and by hand: formats, bills and refusals."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
import redis.asyncio as redis

from http_proxy.upload import REPLAY_BYTES
from tests.support.proxied import KEY, Proxy, call, final, leases, plays, post, proxying
from tests.unit.http_proxy.servers import raw_server, response

WORDS = [
    {"word": "hello", "punctuated_word": "Hello", "start": 0.0, "end": 0.4, "confidence": 0.9},
    {"word": "world", "punctuated_word": "world.", "start": 0.5, "end": 0.9, "confidence": 0.8},
]
# What the staged server returns.
RESULT = json.dumps(
    {
        "metadata": {"request_id": "x", "duration": 2.5, "channels": 1},
        "results": {"channels": [{"alternatives": [{"transcript": "Hello world.", "words": WORDS}]}]},
    }
).encode()
AUDIO = b"RIFF" + bytes(range(256)) * 40
FORM = "Content-Type: multipart/form-data; boundary=xyz"


@asynccontextmanager
async def sdk(proxy: Proxy) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=KEY.text, base_url=f"{proxy.url}/v1", max_retries=0) as client:
        yield client


def form(*fields: tuple[str, str], file: bytes | None = AUDIO, end: bytes = b"--xyz--\r\n") -> bytes:
    body = b"".join(
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields
    )
    if file is not None:
        body += b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + file + b"\r\n"
    return body + end


def sent(body: bytes, *lines: str) -> bytes:
    return post(body, "/v1/audio/transcriptions", *(lines or (FORM,)))


async def test_the_official_sdk_gets_every_format_and_each_is_billed_alike(
    redis_url: str, redis_client: redis.Redis
) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with (
        raw_server(plays(response(RESULT), seen)) as stt,
        proxying(redis_url, stt) as proxy,
        sdk(proxy) as client,
    ):
        transcriptions: Any = client.audio.transcriptions
        file = ("a.wav", AUDIO)
        assert (await transcriptions.create(file=file, model="whisper-1")).text == "Hello world."
        reading = await final(redis_client)
        assert (reading.audio_ms, reading.status, reading.path) == (2500, 200, "/v1/audio/transcriptions")
        assert await transcriptions.create(file=file, model="whisper-1", response_format="text") == "Hello world.\n"
        srt = await transcriptions.create(file=file, model="whisper-1", response_format="srt", language="en")
        assert srt == "1\n00:00:00,000 --> 00:00:00,900\nHello world.\n\n"
        vtt = await transcriptions.create(file=file, model="whisper-1", response_format="vtt", temperature=0.2)
        assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> ")
        verbose = await transcriptions.create(
            file=file, model="whisper-1", response_format="verbose_json", prompt="A greeting.",
            timestamp_granularities=["word", "segment"],
        )  # fmt: skip
        assert (verbose.text, verbose.duration, verbose.language) == ("Hello world.", 2.5, "english")
        assert [(word.word, word.start, word.end) for word in verbose.words] == [
            ("Hello", 0.0, 0.4), ("world.", 0.5, 0.9),
        ]  # fmt: skip
        assert [segment.text for segment in verbose.segments] == [" Hello world."]
        stream = await transcriptions.create(file=file, model="gpt-4o-transcribe", stream=True)
        events = [event async for event in stream]
        assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
        assert events[-1].text == "Hello world."
    for head, body in seen:
        assert body == AUDIO
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /v1/listen?punctuate=true HTTP/1.1"
        assert "Content-Type: application/octet-stream" in lines
        assert KEY.text not in head.decode()
    assert await leases(redis_client) == 0


async def test_a_file_may_come_before_the_fields_and_in_chunks(redis_url: str, redis_client: redis.Redis) -> None:
    seen: list[tuple[bytes, bytes]] = []
    large = bytes(range(256)) * (REPLAY_BYTES // 64)
    body = form(file=large, end=b"") + form(("response_format", "text"), file=None)
    async with raw_server(plays(response(RESULT), seen)) as stt, proxying(redis_url, stt) as proxy:
        reply = await call(proxy, sent(body))
        assert (reply.status, reply.body) == (200, b"Hello world.\n")
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["dg-request-id"]
        assert seen[-1][1] == large
        assert (await final(redis_client)).bytes_in == len(body)


async def test_a_short_form_goes_to_a_second_server(redis_url: str, redis_client: redis.Redis) -> None:
    seen: list[tuple[bytes, bytes]] = []
    busy = plays(response(b"{}", status="503 Service Unavailable"))
    async with (
        raw_server(busy) as one,
        raw_server(plays(response(RESULT), seen)) as two,
        proxying(redis_url, one, two) as proxy,
    ):
        reply = await call(proxy, sent(form()))
        assert reply.status == 200
    assert [body for _, body in seen] == [AUDIO]
    assert (await final(redis_client)).status == 200


@pytest.mark.parametrize(
    ("request_", "status", "parameter"),
    [
        (sent(form(("response_format", "xml"))), 400, "response_format"),
        (sent(form(("language", "de"))), 400, "language"),
        (sent(form(file=None)), 400, "file"),
        (sent(form(file=AUDIO, end=b"") + form()), 400, "file"),
        (sent(form(("prompt", "x" * 70_000))), 400, None),
        (sent(form(end=b"")), 422, None),
        (sent(AUDIO, "Content-Type: audio/wav"), 400, None),
        (sent(form(), FORM, "Content-Encoding: gzip"), 400, None),
        (sent(form()).replace(KEY.text.encode(), b"org_wrong"), 401, None),
        (post(form(), "/v1/audio/translations", FORM), 404, None),
        (sent(form()).replace(b"POST", b"PUT", 1), 405, None),
    ],
)  # fmt: skip
async def test_a_refusal_has_openais_shape_and_costs_nothing(
    redis_url: str, redis_client: redis.Redis, request_: bytes, status: int, parameter: str | None
) -> None:
    async with raw_server(plays(response(RESULT))) as stt, proxying(redis_url, stt) as proxy:
        reply = await call(proxy, request_)
        assert reply.status == status, reply.body
        error = reply.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["param"] == parameter
        assert reply.headers["dg-request-id"]
    assert await leases(redis_client) == 0


async def test_the_servers_own_refusal_is_passed_on_in_openais_shape(redis_url: str, redis_client: redis.Redis) -> None:
    refusal = b'{"err_code": "Bad Request", "err_msg": "The body cannot be used: no audio.", "request_id": "x"}'
    async with (
        raw_server(plays(response(refusal, status="400 Bad Request"))) as stt,
        proxying(redis_url, stt) as proxy,
        sdk(proxy) as client,
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.audio.transcriptions.create(file=("a.wav", b"noise"), model="whisper-1")
    assert "no audio" in refused.value.message
    assert refused.value.param == "file"
    reading = await final(redis_client)
    assert (reading.status, reading.audio_ms) == (400, 0)
