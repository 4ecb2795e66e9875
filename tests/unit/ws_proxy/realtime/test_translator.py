import base64
import json
from typing import Any

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from aldea.admission import Verdict
from ws_proxy.realtime.translator import FINALIZE, MAX_PENDING, PIECE_BYTES, Translator

REQUEST = "0192f0c1-0000-7000-8000-000000000001"
SECOND = 48_000
SHAPES: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def append(audio: bytes) -> str:
    return event("input_audio_buffer.append", audio=base64.b64encode(audio).decode())


def results(text: str, start: float, duration: float, **flags: bool) -> bytes:
    message = {"type": "Results", "is_final": True, "start": start, "duration": duration, **flags}
    return json.dumps({**message, "channel": {"alternatives": [{"transcript": text}]}}).encode()


def started(at: float) -> bytes:
    return json.dumps({"type": "SpeechStarted", "channel": [0, 1], "timestamp": at}).encode()


def manual() -> Translator:
    """A session whose client ends its utterances itself."""
    translator = Translator(REQUEST)
    update = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
    (updated,), _ = translator.received(event("session.update", session=update))
    assert updated["type"] == "session.updated"
    return translator


def named(events: list[dict[str, Any]]) -> list[str]:
    for found in events:
        SHAPES.validate_python(found, strict=True)
    return [found["type"].removeprefix("conversation.item.").removeprefix("input_audio_") for found in events]


def test_the_first_event_describes_the_session() -> None:
    (created,) = Translator(REQUEST, now=lambda: 1000.0).opening()
    assert named([created]) == ["session.created"]
    assert created["session"]["type"] == "transcription"
    assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    (flat,) = Translator(REQUEST, beta=True).opening()
    assert (flat["type"], flat["session"]["input_audio_format"]) == ("transcription_session.created", "pcm16")


def test_audio_goes_on_in_whole_samples_and_bounded_pieces() -> None:
    translator = Translator(REQUEST)
    assert translator.received(append(b"abc")) == ([], [b"ab"])
    assert translator.received(append(b"d")) == ([], [b"cd"])
    assert translator.received(append(b"")) == ([], [])
    _, pieces = translator.received(append(bytes(2 * PIECE_BYTES + 3)))
    assert [len(piece) for piece in pieces] == [PIECE_BYTES, PIECE_BYTES, 2]


def test_an_utterance_becomes_an_item_when_the_server_hears_its_end() -> None:
    translator = Translator(REQUEST)
    translator.received(append(bytes(3 * SECOND)))
    begun = translator.said(started(0.4))
    assert named(begun) == ["buffer.speech_started"]
    assert begun[0]["audio_start_ms"] == 400
    ended = translator.said(results("Good morning.", 0.0, 1.5, speech_final=True))
    assert named(ended) == [
        "transcription.delta", "buffer.speech_stopped", "buffer.committed", "added", "done", "transcription.completed",
    ]  # fmt: skip
    assert {found["item_id"] for found in ended if "item_id" in found} == {begun[0]["item_id"]}
    assert ended[1]["audio_end_ms"] == 1500
    assert ended[2]["previous_item_id"] is None
    assert (ended[-1]["transcript"], ended[-1]["usage"]["seconds"]) == ("Good morning.", 1.5)
    translator.said(started(2.0))
    again = translator.said(results("Good night.", 1.5, 1.25, speech_final=True))
    assert again[2]["previous_item_id"] == begun[0]["item_id"]
    assert again[-1]["usage"]["seconds"] == 1.25


def test_long_speech_shows_its_words_before_its_end() -> None:
    translator = Translator(REQUEST)
    translator.received(append(bytes(SECOND)))
    translator.said(started(0.0))
    (first,) = translator.said(results("A long", 0, 12, speech_final=False))
    ended = translator.said(results("story.", 12, 3, speech_final=True))
    assert [first["delta"], ended[0]["delta"]] == ["A long", " story."]
    assert ended[-1]["transcript"] == "A long story."


def test_words_without_a_speech_started_bring_their_own() -> None:
    translator = Translator(REQUEST)
    translator.received(append(bytes(SECOND)))
    assert named(translator.said(results("Hello.", 0.5, 1.0, speech_final=True)))[:2] == [
        "buffer.speech_started", "transcription.delta",
    ]  # fmt: skip


def test_silence_and_interim_results_give_nothing() -> None:
    translator = Translator(REQUEST)
    translator.received(append(bytes(SECOND)))
    assert translator.said(results("", 0, 5, speech_final=False)) == []
    assert translator.said(b'{"type":"Results","is_final":false}') == []
    for message in (
        b"",
        b"no",
        b"[]",
        b'{"type":"Metadata"}',
        b'{"type":"SpeechStarted","timestamp":null}',
        b"[" * 9999,
    ):
        assert translator.said(message) == []


def test_a_commit_is_an_item_at_once_and_its_words_follow() -> None:
    translator = manual()
    translator.received(append(bytes(SECOND)))
    assert translator.said(results("One", 0, 0.4, speech_final=False)) == []
    events, to_server = translator.received(event("input_audio_buffer.commit"))
    assert to_server == [FINALIZE]
    assert named(events) == ["buffer.committed", "added", "done", "transcription.delta"]
    done = translator.said(results("two.", 0.4, 0.6, from_finalize=True))
    assert named(done) == ["transcription.delta", "transcription.completed"]
    assert done[-1]["transcript"] == "One two."
    assert done[-1]["usage"] == {"type": "duration", "seconds": 1.0}


def test_commits_in_a_row_get_their_own_words() -> None:
    translator = manual()
    for _ in range(2):
        translator.received(append(bytes(SECOND)))
        translator.received(event("input_audio_buffer.commit"))
    first = translator.said(results("One.", 0, 1, from_finalize=True))
    second = translator.said(results("Two.", 1, 1, from_finalize=True))
    assert [first[-1]["transcript"], second[-1]["transcript"]] == ["One.", "Two."]
    assert first[-1]["item_id"] != second[-1]["item_id"]


def test_what_was_cleared_is_not_transcribed() -> None:
    translator = manual()
    translator.received(append(bytes(SECOND)))
    events, to_server = translator.received(event("input_audio_buffer.clear"))
    assert (named(events), to_server) == (["buffer.cleared"], [FINALIZE])
    translator.received(append(bytes(SECOND)))
    translator.received(event("input_audio_buffer.commit"))
    assert translator.said(results("Dropped.", 0, 1, from_finalize=True)) == []
    kept = translator.said(results("Kept.", 1, 1, from_finalize=True))
    assert (kept[-1]["transcript"], kept[-1]["usage"]["seconds"]) == ("Kept.", 1.0)


def test_a_clear_before_any_audio_needs_no_server() -> None:
    translator = Translator(REQUEST)
    translator.received(append(b"a"))
    events, to_server = translator.received(event("input_audio_buffer.clear"))
    assert (named(events), to_server) == (["buffer.cleared"], [])
    assert translator.received(append(b"bc")) == ([], [b"bc"])


def test_the_format_is_fixed_by_the_first_audio_and_the_rest_is_not() -> None:
    translator = Translator(REQUEST)
    translator.received(append(bytes(2)))
    pcmu = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    (refused,), _ = translator.received(event("session.update", session=pcmu))
    assert refused["error"]["code"] == "session_started"
    prompt = {"audio": {"input": {"transcription": {"prompt": "names"}}}}
    (updated,), _ = translator.received(event("session.update", session=prompt))
    assert updated["type"] == "session.updated"


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("", "invalid_json", None),
        ("hello", "invalid_json", None),
        ("[]", "invalid_json", None),
        ("[" * 100_000, "invalid_json", None),
        ("{}", "invalid_value", "type"),
        (event("response.create"), "invalid_value", "type"),
        (event("conversation.item.create", item={}), "invalid_value", "type"),
        ('{"type":["session.update"]}', "invalid_value", "type"),
        (event("session.update"), "invalid_type", "session"),
        (event("session.update", session={"type": "realtime"}), "invalid_value", "session.type"),
        (event("input_audio_buffer.append"), "invalid_type", "audio"),
        (event("input_audio_buffer.append", audio=7), "invalid_type", "audio"),
        (event("input_audio_buffer.append", audio="abc"), "invalid_value", "audio"),
        (event("input_audio_buffer.append", audio="ab\ncd"), "invalid_value", "audio"),
        (event("input_audio_buffer.append", audio="àbcd"), "invalid_value", "audio"),
        (event("input_audio_buffer.append", audio="ab-_"), "invalid_value", "audio"),
        (event("input_audio_buffer.commit"), "input_audio_buffer_commit_empty", None),
    ],
)
def test_a_bad_event_is_an_error_event_and_goes_nowhere(text: str, code: str, param: str | None) -> None:
    translator = Translator(REQUEST)
    (error,), to_server = translator.received(text)
    assert named([error]) == ["error"]
    found = error["error"]
    assert (found["type"], found["code"], found["param"]) == ("invalid_request_error", code, param)
    assert to_server == []
    assert translator.received(append(bytes(4))) == ([], [bytes(4)])


def test_an_error_names_the_event_that_it_is_about() -> None:
    translator = Translator(REQUEST)
    for given, back in (("mine", "mine"), (7, None), ("x" * 600, None)):
        (error,), _ = translator.received(event("nothing", event_id=given))
        assert error["error"]["event_id"] == back
    assert translator.binary()["error"]["code"] == "invalid_json"


def test_commits_that_wait_are_bounded() -> None:
    translator = manual()
    for _ in range(MAX_PENDING):
        translator.received(append(bytes(SECOND)))
        assert translator.received(event("input_audio_buffer.commit"))[1] == [FINALIZE]
    translator.received(append(bytes(SECOND)))
    (error,), to_server = translator.received(event("input_audio_buffer.commit"))
    assert (error["error"]["code"], to_server) == ("rate_limit_exceeded", [])


def test_a_stream_that_is_closed_in_order_gives_all_its_words() -> None:
    translator = Translator(REQUEST)
    translator.received(append(bytes(SECOND)))
    translator.said(started(0.0))
    translator.said(results("Almost", 0, 1, speech_final=False))
    assert named(translator.closed(1012, "the service restarts")) == [
        "buffer.speech_stopped", "buffer.committed", "added", "done", "transcription.completed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("close", "reason", "kind", "code"),
    [
        (1011, "NET-0000: connection to the STT server lost", "server_error", "stt_server_lost"),
        (1011, "NET-0001: no message", "invalid_request_error", "session_idle"),
        (1008, Verdict.REVOKED.close_reason, "invalid_request_error", "invalid_api_key"),
        (1008, Verdict.BALANCE.close_reason, "insufficient_quota", "insufficient_quota"),
        (1008, Verdict.QUOTA.close_reason, "insufficient_quota", "insufficient_quota"),
        (1008, Verdict.SUSPENDED.close_reason, "invalid_request_error", "insufficient_permissions"),
        (4711, "", "server_error", "stt_server_lost"),
    ],
)
def test_an_end_that_is_no_success_is_an_error_event(close: int, reason: str, kind: str, code: str) -> None:
    translator = manual()
    translator.received(append(bytes(SECOND)))
    translator.received(event("input_audio_buffer.commit"))
    failed, error = translator.closed(close, reason)
    assert named([failed, error]) == ["transcription.failed", "error"]
    assert (error["error"]["type"], error["error"]["code"]) == (kind, code)
    assert translator.closed(1000, "") == []


def test_a_refusal_of_the_contract_is_an_error_event() -> None:
    found = Translator(REQUEST).refused(503, "SERVICE_UNAVAILABLE", "All STT servers are busy.")
    assert named([found]) == ["error"]
    assert (found["error"]["type"], found["error"]["message"]) == ("server_error", "All STT servers are busy.")


def test_the_betas_events_have_its_names() -> None:
    translator = Translator(REQUEST, beta=True)
    (updated,), _ = translator.received(
        event("transcription_session.update", session={"input_audio_format": "g711_ulaw", "turn_detection": None})
    )
    assert (updated["type"], updated["session"]["input_audio_format"]) == ("transcription_session.updated", "g711_ulaw")
    translator.received(append(bytes(8000)))
    events, _ = translator.received(event("input_audio_buffer.commit"))
    assert named(events) == ["buffer.committed", "created"]
