import asyncio
import json
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from stt_api import live, wire
from stt_api.app import POOL, SESSIONS
from tests.recordings import encoded
from tests.unit.stt_api.decoded import flac_header, flac_silence, pieces

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient


in_the_engines_loop = pytest.mark.asyncio(loop_scope="module")


async def talk(
    engine: "TestClient[Any, Any]", query: str, *sent: bytes | str
) -> tuple[list[dict[str, Any]], int | None]:
    """Send these messages, then read to the end; the messages received, and the close code."""
    messages = []
    async with engine.ws_connect(f"/v1/listen?{query}") as socket:
        for message in sent:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        async for received in socket:
            assert received.type is WSMsgType.TEXT
            messages.append(json.loads(received.data))
        return messages, socket.close_code


@in_the_engines_loop
@pytest.mark.parametrize("closing", [b"", '{"type":"CloseStream"}'])
async def test_a_stream_is_served_from_the_opening_to_a_clean_close(
    engine: "TestClient[Any, Any]", sentence: bytes, closing: bytes | str
) -> None:
    messages, code = await talk(engine, "encoding=linear16&interim_results=true", sentence, closing)
    assert code == 1000
    assert (messages[0]["type"], messages[0]["duration"]) == ("Metadata", 0.0)
    assert (messages[-1]["type"], messages[-1]["duration"]) == ("Metadata", 5.3)
    assert messages[-2]["type"] == "Results"
    finals = [a["channel"]["alternatives"][0]["transcript"] for a in messages if a.get("is_final")]
    assert " ".join(finals).split()[:3] == ["the", "morning", "was"]
    assert any(not a["is_final"] for a in messages if a["type"] == "Results")


@in_the_engines_loop
async def test_finalize_is_honoured_and_the_stream_goes_on(engine: "TestClient[Any, Any]", sentence: bytes) -> None:
    query = "encoding=linear16"
    messages, code = await talk(engine, query, sentence[:64_000], '{"type":"Finalize"}', sentence[64_000:], b"")
    assert code == 1000
    assert sum(a["from_finalize"] for a in messages if a["type"] == "Results") == 1


@in_the_engines_loop
async def test_silence_of_both_audio_and_text_ends_with_metadata_and_1011(engine: "TestClient[Any, Any]") -> None:
    messages, code = await talk(engine, "encoding=linear16", bytes(32_000))
    assert code == 1011
    assert (messages[-1]["type"], messages[-1]["duration"]) == ("Metadata", 1.0)


@in_the_engines_loop
async def test_a_client_that_waits_for_its_words_is_not_taken_for_a_silent_one(
    engine: "TestClient[Any, Any]", sentence: bytes
) -> None:
    process = engine.app[POOL].workers[0].process
    assert process is not None
    async with engine.ws_connect("/v1/listen?encoding=linear16&interim_results=true") as socket:
        process.send_signal(signal.SIGSTOP)  # so busy that nothing comes of it
        try:
            await socket.send_bytes(sentence[:64_000])
            await asyncio.sleep(2.5)  # beyond the second of silence that is allowed
        finally:
            process.send_signal(signal.SIGCONT)
        await socket.send_str('{"type":"Finalize"}')
        message: dict[str, Any] = {}
        async with asyncio.timeout(60):
            while not message.get("from_finalize"):
                message = json.loads(await socket.receive_str())


@in_the_engines_loop
async def test_audio_that_cannot_be_decoded_is_1008(engine: "TestClient[Any, Any]") -> None:
    messages, code = await talk(engine, "", b"this is text and no audio")
    assert code == 1008
    assert len(messages) == 1


@in_the_engines_loop
async def test_channels_are_reported_one_by_one(engine: "TestClient[Any, Any]") -> None:
    messages, _ = await talk(engine, "encoding=linear16&channels=2&multichannel=true", bytes(64_000), b"")
    assert [a["channel_index"] for a in messages if a["type"] == "Results"] == [[0, 2], [1, 2]]
    assert (messages[-1]["channels"], messages[-1]["duration"]) == (2, 1.0)


def words(messages: list[dict[str, Any]]) -> list[str]:
    finals = [a["channel"]["alternatives"][0]["transcript"] for a in messages if a.get("is_final")]
    return " ".join(finals).split()


@in_the_engines_loop
@pytest.mark.parametrize("name", ["mp4-fragmented", "wav", "webm", "flac"])
async def test_a_recorders_words_come_while_it_runs(engine: "TestClient[Any, Any]", name: str) -> None:
    query = "interim_results=true"
    async with engine.ws_connect(f"/v1/listen?{query}") as socket:
        for piece in pieces(encoded(name, 2.5), 2000):
            await socket.send_bytes(piece)
        async with asyncio.timeout(60):
            # The stream is not at its end, and nothing more is sent.
            while not ((message := json.loads(await socket.receive_str())).get("channel") or {}).get("alternatives"):
                pass
        assert message["channel"]["alternatives"][0]["transcript"]
        await socket.send_str('{"type":"Finalize"}')
        async with asyncio.timeout(60):
            while not message.get("from_finalize"):
                message = json.loads(await socket.receive_str())
        assert message["start"] + message["duration"] == pytest.approx(2.5, abs=0.16)


@in_the_engines_loop
async def test_what_was_heard_before_a_fault_is_sent_and_measured_before_1008(engine: "TestClient[Any, Any]") -> None:
    messages, code = await talk(engine, "", encoded("flac", 3.0) + flac_header(1) + flac_silence(0), b"")
    assert code == 1008
    assert words(messages)[:3] == ["the", "morning", "was"]
    assert (messages[-1]["type"], messages[-1]["duration"]) == ("Metadata", 3.0)


@in_the_engines_loop
async def test_two_mp3s_of_different_rates_are_both_heard(engine: "TestClient[Any, Any]") -> None:
    data = encoded("mp3-44k1", 1.5) + encoded("mp3-48k-stereo", 1.5)
    messages, code = await talk(engine, "", data, b"")
    assert code == 1000
    assert words(messages).count("morning") == 2
    assert messages[-1]["duration"] == pytest.approx(3.0, abs=0.1)


@in_the_engines_loop
@pytest.mark.parametrize("sizes", [(1, 0), (3, 1)])
async def test_samples_may_be_cut_at_any_byte(
    engine: "TestClient[Any, Any]", sentence: bytes, sizes: tuple[int, int]
) -> None:
    odd, keep_alive = sizes
    sent: list[bytes | str] = [sentence[:odd], *(['{"type":"KeepAlive"}'] * keep_alive), sentence[odd:64_001], b""]
    messages, code = await talk(engine, "encoding=pcm", *sent)
    assert code == 1000
    assert messages[-1]["duration"] == 2.0
    assert words(messages)[:3] == ["the", "morning", "was"]


@in_the_engines_loop
async def test_what_the_engine_cannot_do_is_named_in_every_metadata(engine: "TestClient[Any, Any]") -> None:
    messages, _ = await talk(engine, "encoding=linear16&model=nova-3&diarize=true", bytes(3200), b"")
    for metadata in (messages[0], messages[-1]):
        assert metadata["type"] == "Metadata"
        assert [warning["parameter"] for warning in metadata["warnings"]] == ["model", "diarize"]


@in_the_engines_loop
async def test_redaction_is_refused_before_the_upgrade(engine: "TestClient[Any, Any]") -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await engine.ws_connect("/v1/listen?encoding=linear16&redact=true")
    assert refused.value.status == 400


@in_the_engines_loop
async def test_a_receiver_that_fails_in_an_unforeseen_way_ends_its_stream(
    engine: "TestClient[Any, Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_text: str) -> None:
        raise LookupError("not foreseen")

    monkeypatch.setattr(wire, "read_command", fail)
    messages, code = await talk(engine, "encoding=linear16", '{"type":"KeepAlive"}')
    assert code == 1011
    assert messages[-1]["type"] == "Metadata"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@in_the_engines_loop
async def test_before_a_restart_a_stream_is_closed_at_its_next_final_words(
    engine: "TestClient[Any, Any]", sentence: bytes
) -> None:
    await until(lambda: not engine.app[SESSIONS])
    async with engine.ws_connect("/v1/listen?encoding=linear16") as socket:
        await socket.send_bytes(sentence[:64_000])
        await until(lambda: bool(engine.app[SESSIONS]))
        (session,) = engine.app[SESSIONS]
        session.restart_at_final()
        await socket.send_str('{"type":"Finalize"}')
        messages = [json.loads(received.data) async for received in socket]
        assert socket.close_code == 1012
    assert words(messages)[:3] == ["the", "morning", "was"]
    assert (messages[-1]["type"], messages[-1]["duration"]) == ("Metadata", 2.0)


@in_the_engines_loop
@pytest.mark.parametrize("closing", [b"", '{"type":"CloseStream"}'])
async def test_a_stream_that_its_client_is_closing_keeps_its_close_code_in_a_restart(
    engine: "TestClient[Any, Any]", sentence: bytes, closing: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FINISH_SECONDS", 300.0)  # however busy the machine is
    process = engine.app[POOL].workers[0].process
    assert process is not None
    await until(lambda: not engine.app[SESSIONS])
    async with engine.ws_connect("/v1/listen?encoding=linear16") as socket:
        await until(lambda: bool(engine.app[SESSIONS]))
        (session,) = engine.app[SESSIONS]
        session.restart_at_final()
        process.send_signal(signal.SIGSTOP)  # its last words take their time
        try:
            await socket.send_bytes(sentence[:64_000])
            await (socket.send_bytes(closing) if isinstance(closing, bytes) else socket.send_str(closing))
            await until(lambda: session._ending)
            session.restart()
        finally:
            process.send_signal(signal.SIGCONT)
        messages = [json.loads(received.data) async for received in socket]
        assert socket.close_code == 1000
    assert words(messages)[:3] == ["the", "morning", "was"]
