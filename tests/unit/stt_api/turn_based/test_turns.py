import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType
from deepgram.listen.v2.types import (
    ListenV2ConfigureFailure,
    ListenV2ConfigureSuccess,
    ListenV2Connected,
    ListenV2FatalError,
    ListenV2TurnInfo,
    ListenV2Warning,
)

from aldea.canary.accuracy import word_error_rate
from onebox.home import ROOT
from stt_api.closing import Closing
from stt_api.recognition.events import Ended, Event, Progress, Transcript, Word
from stt_api.turn_based.thresholds import Thresholds
from stt_api.turn_based.turns import MAX_KEYTERM_CHARACTERS, TurnWire, confidence
from stt_api.wire import Command, End
from stt_api.wording import Wording

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient

SENTENCE = (ROOT / "onebox" / "samples" / "speech.txt").read_text().splitlines()[0]
MESSAGES: dict[str, Any] = {
    "Connected": ListenV2Connected,
    "TurnInfo": ListenV2TurnInfo,
    "ConfigureSuccess": ListenV2ConfigureSuccess,
    "ConfigureFailure": ListenV2ConfigureFailure,
    "Warning": ListenV2Warning,
    "Error": ListenV2FatalError,
}


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(word.lower().strip(".,"), 0.0, 0.1, 0.9, written=word) for word in text.split())


def heard(end: float, text: str = "", *, final: bool = True, finalize: bool = False) -> Transcript:
    return Transcript(channel=0, channels=1, start=0.0, end=end, words=words(text), final=final, from_finalize=finalize)


def quiet(at: float, silence: float) -> Progress:
    return Progress(channel=0, channels=1, at=at, silence=silence)


def wire(**thresholds: Any) -> TurnWire:
    return TurnWire(Thresholds(**thresholds), "an-id")


def said(spoken: TurnWire, *events: Event) -> list[tuple[str, int, str]]:
    """Event, turn and transcript of each message."""
    return [
        (message["event"], message["turn_index"], message["transcript"])
        for event in events
        for message in spoken.said(event)
    ]


def test_a_turn_begins_with_words_and_ends_after_the_silence_of_its_threshold() -> None:
    spoken = wire()
    assert said(spoken, quiet(0.27, 0.27)) == [("Update", 0, "")]
    assert said(spoken, heard(0.9, "Good", final=False)) == [("StartOfTurn", 0, "Good")]
    assert said(spoken, quiet(1.17, 0.0)) == [("Update", 0, "Good")]
    assert said(spoken, heard(1.5, "Good morning.")) == []
    assert said(spoken, quiet(1.8, 0.69)) == [("Update", 0, "Good morning.")]
    assert said(spoken, quiet(1.89, 0.72)) == [("EndOfTurn", 0, "Good morning.")]
    assert said(spoken, quiet(2.16, 0.99)) == [("Update", 1, "")]


def test_an_eager_end_is_followed_by_the_same_words_or_by_turn_resumed() -> None:
    spoken = wire(eager=0.3)
    assert said(spoken, heard(1.0, "Good"), quiet(1.35, 0.33), quiet(1.44, 0.42)) == [
        ("StartOfTurn", 0, "Good"),
        ("EagerEndOfTurn", 0, "Good"),
    ]
    assert said(spoken, heard(2.0, "morning", final=False)) == [("TurnResumed", 0, "Good morning")]
    assert said(spoken, quiet(2.3, 0.8)) == [("Update", 0, "Good morning")]  # its last words are not final
    assert said(spoken, heard(2.4, "morning."), quiet(2.43, 0.36)) == [("EagerEndOfTurn", 0, "Good morning.")]
    assert said(spoken, heard(7.0), quiet(7.02, 0.72)) == [("EndOfTurn", 0, "Good morning.")]


def test_only_the_timeout_ends_a_turn_whose_threshold_is_one() -> None:
    spoken = wire(eot=1.0, timeout_ms=2000)
    assert said(spoken, heard(1.0, "Good"), quiet(2.5, 1.5)) == [("StartOfTurn", 0, "Good"), ("Update", 0, "Good")]
    (ended,) = spoken.said(quiet(3.0, 2.01))
    assert (ended["event"], ended["trigger"], ended["end_of_turn_confidence"]) == ("EndOfTurn", "timeout", 1.0)


def test_a_turn_is_ended_by_the_client_once_its_words_are_final() -> None:
    spoken = wire()
    assert spoken.command('{"type":"ForceEndTurn"}') == (Command.FINALIZE, [])
    assert said(spoken, heard(0.5, finalize=True)) == []  # nothing was said yet
    said(spoken, heard(1.0, "Good", final=False))
    spoken.command('{"type":"ForceEndTurn"}')
    (ended,) = spoken.said(heard(1.2, "Good.", finalize=True))
    assert (ended["event"], ended["trigger"], ended["transcript"]) == ("EndOfTurn", "manual", "Good.")


def test_the_last_message_reports_all_of_the_audio() -> None:
    spoken = wire()
    said(spoken, heard(1.0, "Good"), Ended(duration=1.4, channels=1))
    (last,) = spoken.last(End(Closing.FINISHED))
    assert (last["event"], last["trigger"], last["audio_window_end"]) == ("EndOfTurn", "close", 1.4)
    said(spoken, Ended(duration=1.6, channels=1))
    assert [message["event"] for message in spoken.last(End(Closing.FINISHED))] == ["Update"]
    assert spoken.last(End(Closing.FINISHED)) == []


def test_a_server_may_stop_between_two_turns() -> None:
    spoken = wire()
    assert spoken.complete(quiet(1.0, 1.0))
    said(spoken, heard(1.0, "Good"))
    assert not spoken.complete(quiet(1.0, 0.1))


def test_thresholds_are_changed_while_the_stream_runs() -> None:
    spoken = wire()
    none, (done,) = spoken.command('{"type":"Configure","thresholds":{"eager_eot_threshold":0.4},"keyterms":null}')
    assert none is None
    assert (done["type"], done["thresholds"]["eager_eot_threshold"], done["keyterms"]) == ("ConfigureSuccess", 0.4, [])
    assert said(spoken, heard(1.0, "Good"), quiet(1.45, 0.45))[-1] == ("EagerEndOfTurn", 0, "Good")


@pytest.mark.parametrize(
    "fields",
    [
        {"thresholds": []},
        {"thresholds": {"eot_threshold": "high"}},
        {"thresholds": {"eager_eot_threshold": 0.9}},
        {"numerals": "yes"},
        {"numerals": 1, "thresholds": {"eot_threshold": 0.6}},
        {"keyterms": [1]},
        {"keyterms": {"a": 1}},
        {"keyterms": ["x" * (MAX_KEYTERM_CHARACTERS + 1)]},
    ],
)
def test_a_configuration_that_is_refused_changes_nothing(fields: dict[str, Any]) -> None:
    spoken = wire()
    _, (refused, *_) = spoken.command(json.dumps({"type": "Configure", **fields}))
    assert (refused["type"], refused["code"]) == ("ConfigureFailure", "INVALID_CONFIGURATION")
    _, (after,) = spoken.command('{"type":"Configure"}')
    assert (after["thresholds"], after["keyterms"], after["numerals"]) == (Thresholds().to_wire(), [], False)


def test_numbers_and_swear_words_are_written_as_requested_and_a_configuration_changes_the_first() -> None:
    spoken = TurnWire(Thresholds(), "an-id", wording=Wording(digits=True, masked=True))
    assert said(spoken, heard(1.0, "Nine hundred, bullshit.", final=False)) == [("StartOfTurn", 0, "900, ********.")]
    _, (done,) = spoken.command('{"type":"Configure","numerals":false}')
    assert (done["type"], done["numerals"]) == ("ConfigureSuccess", False)
    assert said(spoken, quiet(1.4, 0.1)) == [("Update", 0, "Nine hundred, ********.")]
    _, (done,) = spoken.command('{"type":"Configure","numerals":true,"thresholds":{"eot_threshold":0.6}}')
    assert done["numerals"]
    [ended] = [
        message for event in (heard(2.0, "Nine hundred, bullshit."), quiet(2.7, 0.7)) for message in spoken.said(event)
    ]
    assert (ended["event"], [word["word"] for word in ended["words"]]) == ("EndOfTurn", ["900,", "********."])


@pytest.mark.parametrize("text", ["", "hello", "[1]", '"CloseStream"', '{"type":7}', "{}", "[" * 100_000])
def test_text_that_is_no_message_ends_the_stream_with_an_error(text: str) -> None:
    spoken = wire()
    with pytest.raises(End) as ended:
        spoken.command(text)
    (error,) = spoken.last(ended.value)
    assert (error["type"], error["code"], ended.value.code) == ("Error", "UNPARSABLE_CLIENT_MESSAGE", 1008)


def test_a_message_of_another_wire_gets_a_warning() -> None:
    _, (warning,) = wire().command('{"type":"Finalize"}')
    assert (warning["type"], warning["code"]) == ("Warning", "UNKNOWN_MESSAGE")
    assert wire().command('{"type":"KeepAlive"}') == (Command.KEEP_ALIVE, [])


def test_confidence_is_the_silence_up_to_one_second() -> None:
    assert [confidence(seconds) for seconds in (-1.0, 0.0, 0.42, 1.0, 7.0)] == [0.0, 0.0, 0.42, 1.0, 1.0]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_server_speaks_every_message_in_the_public_shape(
    engine: "TestClient[Any, Any]", sentence: bytes
) -> None:
    query = "model=flux-general-en&encoding=linear16&sample_rate=16000&eager_eot_threshold=0.3"
    messages = []
    async with engine.ws_connect(f"/v2/listen?{query}") as socket:
        await socket.send_str('{"type":"Configure","thresholds":{"eot_threshold":0.2}}')
        await socket.send_str('{"type":"Configure","thresholds":{"eot_threshold":0.6}}')
        for audio in (sentence, bytes(32_000), sentence[:64_000]):
            await socket.send_bytes(audio)
        await socket.send_str('{"type":"ForceEndTurn"}')
        await socket.send_str('{"type":"CloseStream"}')
        async for received in socket:
            assert received.type is WSMsgType.TEXT
            messages.append(json.loads(received.data))
        assert socket.close_code == 1000
    for message in messages:
        MESSAGES[message["type"]].model_validate(message, strict=True)
    assert [message["sequence_id"] for message in messages] == list(range(len(messages)))
    turns = [message for message in messages if message["type"] == "TurnInfo"]
    changes = [(turn["turn_index"], turn["event"]) for turn in turns if turn["event"] != "Update"]
    assert changes[0] == (0, "StartOfTurn")
    assert (0, "EagerEndOfTurn") in changes
    ends = [turn for turn in turns if turn["event"] == "EndOfTurn"]
    assert [(end["turn_index"], end["trigger"]) for end in ends] == [(0, "model"), (1, "manual")]
    assert word_error_rate(SENTENCE, ends[0]["transcript"]) <= 0.15
    assert turns[-1]["audio_window_end"] == 8.3
    assert {"ConfigureSuccess", "ConfigureFailure"} <= {message["type"] for message in messages}
