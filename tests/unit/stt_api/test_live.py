import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType

from stt_api.live import Command, read_command

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient


in_the_engines_loop = pytest.mark.asyncio(loop_scope="module")


async def talk(
    engine: "TestClient[Any, Any]", query: str, *sent: bytes | str
) -> tuple[list[dict[str, Any]], int | None]:
    """Send these messages, then read to the end; what was answered, and the close code."""
    answers = []
    async with engine.ws_connect(f"/v1/listen?{query}") as socket:
        for message in sent:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        async for received in socket:
            assert received.type is WSMsgType.TEXT
            answers.append(json.loads(received.data))
        return answers, socket.close_code


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"type":"KeepAlive"}', Command.KEEP_ALIVE),
        ('{"type":"Finalize"}', Command.FINALIZE),
        ('{"type":"CloseStream"}', Command.CLOSE_STREAM),
        ('{"type":"Configure"}', None),
        ('{"type":["CloseStream"]}', None),
        ("[1]", None),
        ("not json", None),
        ("[" * 100_000, None),
    ],
)
def test_a_text_message_is_a_known_command_or_none(text: str, command: Command | None) -> None:
    assert read_command(text) is command


@in_the_engines_loop
@pytest.mark.parametrize("closing", [b"", '{"type":"CloseStream"}'])
async def test_a_stream_is_answered_from_the_opening_to_a_clean_close(
    engine: "TestClient[Any, Any]", sentence: bytes, closing: bytes | str
) -> None:
    answers, code = await talk(engine, "encoding=linear16&interim_results=true", sentence, closing)
    assert code == 1000
    assert (answers[0]["type"], answers[0]["duration"]) == ("Metadata", 0.0)
    assert (answers[-1]["type"], answers[-1]["duration"]) == ("Metadata", 5.3)
    assert answers[-2]["type"] == "Results"
    finals = [a["channel"]["alternatives"][0]["transcript"] for a in answers if a.get("is_final")]
    assert " ".join(finals).split()[:3] == ["the", "morning", "was"]
    assert any(not a["is_final"] for a in answers if a["type"] == "Results")


@in_the_engines_loop
async def test_finalize_is_answered_and_the_stream_goes_on(engine: "TestClient[Any, Any]", sentence: bytes) -> None:
    query = "encoding=linear16"
    answers, code = await talk(engine, query, sentence[:64_000], '{"type":"Finalize"}', sentence[64_000:], b"")
    assert code == 1000
    assert sum(a["from_finalize"] for a in answers if a["type"] == "Results") == 1


@in_the_engines_loop
async def test_silence_of_both_audio_and_text_ends_with_metadata_and_1011(engine: "TestClient[Any, Any]") -> None:
    answers, code = await talk(engine, "encoding=linear16", bytes(32_000))
    assert code == 1011
    assert (answers[-1]["type"], answers[-1]["duration"]) == ("Metadata", 1.0)


@in_the_engines_loop
async def test_audio_that_cannot_be_decoded_is_1008(engine: "TestClient[Any, Any]") -> None:
    answers, code = await talk(engine, "", b"this is text and no audio")
    assert code == 1008
    assert len(answers) == 1


@in_the_engines_loop
async def test_channels_are_answered_one_by_one(engine: "TestClient[Any, Any]") -> None:
    answers, _ = await talk(engine, "encoding=linear16&channels=2&multichannel=true", bytes(64_000), b"")
    assert [a["channel_index"] for a in answers if a["type"] == "Results"] == [[0, 2], [1, 2]]
    assert (answers[-1]["channels"], answers[-1]["duration"]) == (2, 1.0)
