"""Audio in, words out, the bill written: through the balancer, with clients that people really use."""

import asyncio
import json
import sys

import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError
from websockets.typing import Subprotocol

from aldea.canary.accuracy import word_error_rate
from aldea.canary.client import StreamFailed, stream_file
from onebox.usage_row import final_usage_row
from tests.e2e.box import SAMPLE, SAMPLE_MS, Box, environment
from tests.recordings import encoded

TRUTH = SAMPLE.with_suffix(".txt").read_text()


async def test_two_streams_at_once_come_out_as_words_and_as_two_bills(platform: Box) -> None:
    streams = await asyncio.gather(*(stream_file(SAMPLE, platform.http, platform.key, fast=True) for _ in range(2)))
    assert len({stream.request_id for stream in streams}) == 2
    for stream in streams:
        assert word_error_rate(TRUTH, stream.transcript) <= 0.15
        row = await final_usage_row(platform.state["database_url"], stream.request_id)
        assert (row["audio_ms"], row["audio_source"], row["close_code"]) == (SAMPLE_MS, "stt", 1000)
        # The proxy's clock starts behind the client's first audio and stops before its first words.
        assert stream.first_words_seconds is not None
        assert 0 < row["first_word_ms"] <= stream.first_words_seconds * 1000 + 1


@pytest.mark.parametrize("who", ["the client vanishes", "the engine is killed"])
async def test_a_stream_that_is_cut_off_is_billed_for_what_was_heard(platform: Box, who: str) -> None:
    # A file: a stream of raw audio would go on at the STT server that is started again.
    sent = encoded("wav", 4.0)
    async with connect(
        f"{platform.ws}/v1/listen?interim_results=true",
        additional_headers={"Authorization": f"Token {platform.key}"},
        ping_interval=None,
    ) as socket:
        assert socket.response is not None
        request_id = socket.response.headers["dg-request-id"]
        for start in range(0, len(sent), 3_200):
            await socket.send(sent[start : start + 3_200])
        while json.loads(await socket.recv())["type"] != "Results":
            pass
        if who == "the client vanishes":
            socket.transport.abort()
        else:
            platform.kill("stt_api")
            with pytest.raises(ConnectionClosedError):
                while True:
                    await socket.recv()
            assert socket.close_code == 1011
            assert socket.close_reason
    row = await final_usage_row(platform.state["database_url"], request_id)
    assert 0 < row["audio_ms"] <= 4_000
    assert row["close_code"] == (1006 if who == "the client vanishes" else 1011)
    if who == "the engine is killed":
        await asyncio.to_thread(platform.wait_back, "stt_api")


async def test_a_browser_style_client_is_served_by_subprotocol(platform: Box) -> None:
    offered = [Subprotocol("token"), Subprotocol(platform.key)]
    async with connect(f"{platform.ws}/v1/listen/pcm?sample_rate=16000", subprotocols=offered) as socket:
        assert socket.subprotocol == "token"
        await socket.send('{"type":"CloseStream"}')
        types = [json.loads(message)["type"] async for message in socket]
    assert types[-1] == "Metadata"
    assert socket.close_code == 1000


async def test_a_wrong_key_is_refused_before_the_upgrade(platform: Box) -> None:
    async with ClientSession() as session:
        with pytest.raises(WSServerHandshakeError) as refused:
            await session.ws_connect(f"{platform.http}/v1/listen", headers={"Authorization": "Token org_wrong-key"})
    assert refused.value.status == 401
    assert refused.value.headers is not None
    assert "dg-request-id" in refused.value.headers
    with pytest.raises(StreamFailed, match="401"):
        await stream_file(SAMPLE, platform.http, "org_wrong-key", fast=True)


async def test_the_small_client_says_in_one_line_what_is_wrong(platform: Box) -> None:
    for arguments, words in (
        (["no-such-file.wav", "--url", platform.http, "--key-file", str(platform.data / "demo.key")], "cannot be read"),
        (
            [str(SAMPLE), "--url", "http://127.0.0.1:1", "--key-file", str(platform.data / "demo.key")],
            "No connection to",
        ),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "onebox.stream", *arguments, env=environment(), stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode == 1
        assert len(said.splitlines()) == 1
        assert words in said.decode()


async def test_a_key_that_is_revoked_over_the_api_is_refused_from_then_on(platform: Box) -> None:
    headers = {"Authorization": f"Token {platform.key}"}
    async with ClientSession(platform.http, headers=headers) as session:
        async with session.get("/v1/projects") as response:
            project = (await response.json())["projects"][0]["project_id"]
        wanted = {"comment": "to be revoked", "scopes": ["usage:write"]}
        async with session.post(f"/v1/projects/{project}/keys", json=wanted) as response:
            made = await response.json()
        async with session.ws_connect("/v1/listen", headers={"Authorization": f"Token {made['key']}"}) as socket:
            await socket.send_str('{"type":"CloseStream"}')
            assert (await socket.receive_json())["type"] == "Metadata"
        async with session.delete(f"/v1/projects/{project}/keys/{made['api_key_id']}") as response:
            assert response.status == 200
        with pytest.raises(WSServerHandshakeError) as refused:
            await session.ws_connect("/v1/listen", headers={"Authorization": f"Token {made['key']}"})
    assert refused.value.status == 401
    assert refused.value.headers is not None
    assert refused.value.headers["dg-error"].startswith("INVALID_AUTH")
