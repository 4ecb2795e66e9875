"""The schemas fit what the STT server really makes, and refuse what it does not."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]
from multidict import MultiDict
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from aldea.errors import BadRequest
from aldea.ids import new_request_id
from backend.reference.speech.guide import FOLDER
from backend.reference.speech.schemas import LIVE, SCHEMAS
from stt_api import messages
from stt_api.closing import Closing
from stt_api.features import warnings
from stt_api.model import Model
from stt_api.recognition.events import SpeechStarted, Transcript, UtteranceEnd, Word
from stt_api.turn_based.thresholds import Thresholds
from stt_api.turn_based.turns import TurnWire
from stt_api.wire import Command, End
from stt_api.wording import wording

MODEL = Model("moonshine", "moonshine-tiny-en", "0.0.73")
ID = new_request_id()
WHOLE = {"components": {"schemas": {**SCHEMAS, **LIVE}}}


def fits(name: str, value: Any) -> None:
    """Raise ValidationError if a value is not of that schema."""
    resource = DRAFT202012.create_resource(WHOLE)
    schema = {"$ref": f"urn:speech#/components/schemas/{name}"}
    Draft202012Validator(schema, registry=Registry().with_resource("urn:speech", resource)).validate(value)


def spoken(**more: Any) -> Transcript:
    words = (Word("good", 0.4, 0.62, 0.97, "Good"), Word("morning", 0.62, 1.1, 0.99, "morning."))
    return Transcript(channel=0, channels=1, start=0.0, end=1.5, words=words, **more)


def metadata(**more: Any) -> Any:
    return messages.metadata_fields(
        model=MODEL, request_id=ID, sha256="0" * 64, created=messages.now(), duration=1.5, channels=1, **more
    )


def test_what_the_server_makes_fits() -> None:
    unmet = warnings(MultiDict({"diarize": "true", "language": "de"}), MODEL)
    fits("Transcript", messages.recorded([spoken(final=True)], metadata(warnings=unmet), 1, punctuate=True))
    fits("Transcript", messages.recorded([], metadata(), 2, punctuate=False))
    wanted = wording(MultiDict({"utterances": "1", "paragraphs": "1", "search": "good", "replace": "good:fine"}))
    shaped = messages.recorded([spoken(final=True)], metadata(), 1, punctuate=True, wording=wanted)
    fits("Transcript", shaped)
    assert shaped["results"]["utterances"][0]["transcript"] == "fine morning."
    [channel] = shaped["results"]["channels"]
    assert channel["search"][0]["hits"]
    assert channel["alternatives"][0]["paragraphs"]["paragraphs"]
    fits("StreamMetadata", {"type": "Metadata", **metadata()})
    fits("Results", messages.results(spoken(), ID, MODEL))
    fits("SpeechStarted", messages.speech_started(SpeechStarted(channel=0, channels=1, at=0.4)))
    fits("UtteranceEnd", messages.utterance_end(UtteranceEnd(channel=0, channels=1, last_word_end=1.1)))
    fits("Error", BadRequest("no").body(ID))
    for command in Command:
        fits(command.value, {"type": command.value})


def test_what_a_turn_based_stream_says_fits() -> None:
    wire = TurnWire(Thresholds(), ID, warnings=warnings(MultiDict({"keyterm": "x"}), MODEL))
    connected, warned = wire.opening()
    fits("Connected", connected)
    fits("TurnWarning", warned)
    [started] = wire.said(spoken())
    fits("TurnInfo", started)
    assert started.keys() <= LIVE["TurnInfo"]["properties"].keys()
    for text, name in (('{"eot_threshold": 0.8}', "ConfigureSuccess"), ('{"eot_threshold": 8}', "ConfigureFailure")):
        _, [reply] = wire.command(f'{{"type": "Configure", "thresholds": {text}}}')
        fits(name, reply)
    [ended, error] = wire.last(End(Closing.FAILED))
    fits("TurnInfo", ended)
    fits("TurnError", error)


@pytest.mark.parametrize(("name", "value"), [("Results", {"type": "Results"}), ("Error", {"err_msg": "x"})])
def test_what_lacks_something_does_not(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        fits(name, value)


def test_no_field_that_the_server_makes_is_missing() -> None:
    def check(name: str, value: Any) -> None:
        assert value.keys() <= {**SCHEMAS, **LIVE}[name]["properties"].keys(), name

    made = messages.recorded([spoken()], metadata(warnings=[{"parameter": "x"}]), 1, punctuate=True)
    check("Transcript", made)
    check("Metadata", made["metadata"])
    [channel] = made["results"]["channels"]
    check("Channel", channel)
    check("Alternative", channel["alternatives"][0])
    check("Word", channel["alternatives"][0]["words"][0])
    check("Results", messages.results(spoken(), ID, MODEL))


def test_every_close_code_of_the_server_is_in_the_guide() -> None:
    text = (FOLDER / "speech-api-live.md").read_text().partition("## Close codes")[2]
    for closing in Closing:
        assert f"| {closing.code} |" in text
        if "-0" in closing.value[1]:
            assert f"`{closing.value[1].partition(':')[0]}`" in text
