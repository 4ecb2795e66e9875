"""What a client gets of a stream that had several STT servers: commands, events, channels, windows that lack a part."""

import asyncio
from typing import Any

import pytest

from aldea.standstill import lived
from tests.fakes.words import RATE, WORD_MS
from tests.unit.ws_proxy.estate import CLOSE_STREAM, FINALIZE, estate, until
from ws_proxy import metrics
from ws_proxy.websocket.frames import BINARY, frame


@pytest.mark.parametrize("command", [FINALIZE, CLOSE_STREAM], ids=["Finalize", "CloseStream"])
async def test_a_command_that_a_lost_server_had_not_obeyed_is_sent_to_the_next_one(command: bytes) -> None:
    async with estate() as on:
        on.servers[0].silent = "commands"
        stream = await on.stream()
        stream.speak(6)
        stream.text(command)
        await until(lambda: on.servers[0].texts)
        await stream.said(6)
        await on.servers[0].faulty("reset")
        if command is FINALIZE:
            await until(lambda: any(one.get("from_finalize") for one in stream.messages), stream)
            stream.speak(3)
            stream.text(CLOSE_STREAM)
        await stream.is_exact()
        assert sum(one.get("from_finalize", False) for one in stream.messages) == (command is FINALIZE)


async def test_a_command_that_was_obeyed_is_not_repeated() -> None:
    async with estate() as on:
        stream = await on.stream()
        stream.speak(6)
        stream.text(FINALIZE)
        await until(lambda: any(one.get("from_finalize") for one in stream.messages), stream)
        stream.text(b'{"type":"Configure","x":1}')
        await until(lambda: on.servers[0].texts[1:])
        await on.servers[0].faulty("reset")
        stream.speak(3)
        stream.text(CLOSE_STREAM)
        await stream.is_exact()
        assert on.servers[1].texts == ["Configure", "CloseStream"]


async def test_where_speech_begins_and_ends_is_said_at_its_time_when_a_server_was_lost_in_between() -> None:
    async with estate() as on:
        stream = await on.stream("encoding=linear16&vad_events=true&utterance_end_ms=1000")
        stream.speak(6)
        await stream.said(6)
        await on.servers[0].faulty("reset")
        stream.peer.send(frame(BINARY, bytes(RATE * 2 * 3 // 2), masked=True))
        await until(lambda: any(one["type"] == "UtteranceEnd" for one in stream.messages), stream)
        stream.speak(2)
        stream.text(CLOSE_STREAM)
        await stream.ended()
        events = [one for one in stream.messages if one["type"] in {"SpeechStarted", "UtteranceEnd"}]
        spoken = {"type": "SpeechStarted", "channel": [0, 1]}
        # The second is of words that were not final yet.
        assert events == [
            spoken | {"timestamp": 0.0},
            spoken | {"timestamp": 0.2},
            {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.3},
            spoken | {"timestamp": 1.8},
        ]
        starts = [word["start"] for word in stream.final_words()]
        assert [round(start, 6) for start in starts] == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 1.8, 1.85]


async def test_the_end_of_an_utterance_whose_words_were_final_comes_although_its_server_was_lost() -> None:
    async with estate() as on:
        stream = await on.stream("encoding=linear16&utterance_end_ms=1000")
        stream.speak(4)
        await stream.said(4, final=True)
        await on.servers[0].faulty("reset")
        stream.peer.send(frame(BINARY, bytes(RATE * 2 * 4), masked=True))
        now = lived(asyncio.get_running_loop())

        def ended() -> list[dict[str, Any]]:
            stream.relay.tick(now)
            return [one for one in stream.messages if one["type"] == "UtteranceEnd"]

        await until(ended, stream)
        stream.speak(4)
        await stream.said(8, final=True)
        stream.peer.send(frame(BINARY, bytes(RATE * 2 * 4), masked=True))
        await until(lambda: len(ended()) == 2, stream)
        stream.text(CLOSE_STREAM)
        _, reading = await stream.ended()
        assert [one["last_word_end"] for one in ended()] == [0.2, 4.4]
        assert all(one["channel"] == [0, 1] for one in ended())
        assert (reading.failovers, reading.audio_ms) == (1, 8_400)


async def test_frames_of_a_byte_and_commands_and_settings_between_them_are_sent_again_in_their_places() -> None:
    async with estate() as on:
        stream = await on.stream()
        for _ in range(3):
            stream.speak(2, pieces=2 * 1600)
            stream.text(b'{"type":"KeepAlive"}')
            stream.text(b'{"type":"Configure","x":1}')
        await stream.said(6)
        await on.servers[0].faulty("reset")
        stream.speak(1, pieces=1600)
        stream.peer.send(frame(BINARY, b"", masked=True))  # a CloseStream
        assert (await stream.is_exact()).failovers == 1
        # The first setting, and all texts from behind the last final word.
        assert on.servers[1].texts == ["Configure", *["KeepAlive", "Configure"] * 2, "CloseStream"]


async def test_channels_that_are_final_up_to_different_places_get_no_word_twice() -> None:
    async with estate() as on:
        stream = await on.stream("encoding=linear16&channels=2&multichannel=true", channels=2, multichannel=True)
        stream.speak(6)
        await stream.said(4, final=True)  # the second channel's words are final at the seventh
        await stream.said(6)
        await on.servers[0].faulty("reset")
        stream.speak(7, pieces=3)
        await stream.said(13)
        await on.servers[1].faulty("reset")
        stream.speak(2)
        stream.text(CLOSE_STREAM)
        reading = await stream.is_exact()
        assert (reading.channels, reading.failovers) == (2, 2)
        assert {one["channel_index"][0] for one in stream.results(0) + stream.results(1)} == {0, 1}


async def test_a_stream_that_is_silent_for_longer_than_its_window_cannot_be_continued_until_its_next_final() -> None:
    async with estate(replay_seconds=0.1) as on:
        torn, whole = await on.stream(), await on.stream()
        for stream in (torn, whole):
            stream.speak(4)
            await stream.said(4, final=True)
            for _ in range(100):
                stream.peer.send(frame(BINARY, bytes(3200), masked=True))
            scanner = stream.relay.client.scanner
            while scanner.binary_bytes < 4 * 1600 + 320_000:
                await asyncio.sleep(0.005)
            assert not stream.relay.continuable
        assert on.budget.torn == 2
        whole.speak(8)
        await whole.said(8, final=True)
        await whole.said(12, final=True)
        assert whole.relay.continuable
        assert on.budget.torn == 1
        failed = metrics.FAILED_FAILOVERS.labels("unrecoverable")
        before = failed._value.get()
        await on.servers[0].faulty("reset")
        ending, _ = await torn.ended()
        assert ending.client_code == 1011
        assert failed._value.get() == before + 1
        whole.text(CLOSE_STREAM)
        _, reading = await whole.ended()
        assert [int(word["word"]) for word in whole.final_words()] == list(range(1, 13))
        assert (reading.failovers, reading.audio_ms) == (1, 12 * WORD_MS + 10_000)


async def test_a_file_that_is_sent_as_raw_samples_is_not_continued_from_its_middle() -> None:
    async with estate() as on:
        stream = await on.stream()
        stream.peer.send(frame(BINARY, b"RIFF", masked=True))
        await until(lambda: on.servers[0].requests)
        assert stream.relay.continuable  # from its beginning it can be
        stream.speak(8)
        await stream.said(8, final=True)
        assert not stream.relay.continuable
