"""The schemas of the realtime events fit what ws_proxy really sends, and what it takes."""

import base64
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

from aldea.ids import new_request_id
from backend.reference.speech.realtime_schemas import BY_CLIENT, BY_SERVER
from ws_proxy.realtime.translator import Translator

NAMES = {schema["properties"]["type"]["const"]: name for name, schema in BY_SERVER.items()}


def results(**flags: bool) -> bytes:
    message = {"type": "Results", "is_final": True, "start": 0.0, "duration": 1.5, **flags}
    return json.dumps({**message, "channel": {"alternatives": [{"transcript": "good"}]}}).encode()


def test_every_event_of_the_server_is_described_as_it_is_sent() -> None:
    translator = Translator(new_request_id())
    append = {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(48_000)).decode()}
    commit, clear = {"type": "input_audio_buffer.commit"}, {"type": "input_audio_buffer.clear"}
    update: dict[str, Any] = {"type": "session.update", "session": {"type": "transcription"}}
    for event, name in ((update, "SessionUpdate"), (append, "BufferAppend"), (commit, "BufferCommit")):
        Draft202012Validator(BY_CLIENT[name]).validate(event)
    sent = translator.opening()
    for step in (update, append, results(speech_final=True), append, commit, results(from_finalize=True), clear, {}):
        sent += translator.said(step) if isinstance(step, bytes) else translator.received(json.dumps(step))[0]
    translator.said(results(from_finalize=True))
    translator.received(json.dumps(append))
    translator.received(json.dumps(commit))
    sent += translator.closed(1011, "NET-0000: lost")
    for event in sent:
        Draft202012Validator(BY_SERVER[NAMES[event["type"]]]).validate(event)
    assert {NAMES[event["type"]] for event in sent} == set(BY_SERVER)


def test_an_event_that_is_refused_is_none_by_its_schema() -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(BY_CLIENT["BufferAppend"]).validate({"type": "input_audio_buffer.append", "audio": 7})
