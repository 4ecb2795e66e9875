"""The table of parameters is what the embedded STT server does: nothing more, nothing less, with the same bounds."""

from collections.abc import Iterator, Mapping

import pytest
from multidict import MultiDict

from aldea.errors import BadRequest
from aldea.usage.features import FEATURES
from backend.reference.speech.guide import FOLDER
from backend.reference.speech.parameters import HONOURED, PARAMETERS, TURN_PARAMETERS, WITHOUT_EFFECT, Json
from stt_api.features import EFFECTIVE, warnings
from stt_api.model import Model
from stt_api.query import parse
from stt_api.turn_based.query import EFFECTIVE as TURNS_EFFECTIVE
from stt_api.turn_based.query import parse as parse_turns

MODEL = Model("moonshine", "moonshine-tiny-en", "1")
# What is checked by itself, and warned of only if it is something else than what is here.
CHECKED = {"model", "version", "language", "lang"}
# The proxies', which the STT server never reads.
OF_THE_PROXIES = {"callback", "callback_method", "metadata", "tag"}
# Of the usage's features, those that are no parameter of a request.
NOT_SENT = {"ner", "numbers", "analyze_sentiment"}


class Recorder(Mapping[str, str]):
    """A query that notes which parameters are looked for."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_every_parameter_that_the_server_reads_is_described() -> None:
    query = Recorder()
    parse(query)
    described = {parameter.name for parameter in HONOURED}
    assert query.read <= described
    assert described == EFFECTIVE | CHECKED
    assert described >= OF_THE_PROXIES


def test_what_is_described_as_honoured_gives_no_warning_and_the_rest_does() -> None:
    for parameter in PARAMETERS:
        if parameter.name not in CHECKED | {"redact"}:
            assert bool(warnings(MultiDict({parameter.name: "9"}), MODEL)) != parameter.honoured, parameter.name
    with pytest.raises(BadRequest):
        warnings(MultiDict({"redact": "pci"}), MODEL)


def test_all_that_the_usage_can_be_filtered_by_is_described() -> None:
    assert {parameter.name for parameter in PARAMETERS} >= FEATURES - NOT_SENT


def bounds(schema: Json) -> Iterator[Json]:
    yield from (choice for choice in schema.get("anyOf", [schema]) if choice.get("type") == "integer")


def test_the_bounds_are_the_servers() -> None:
    seen = 0
    for parameter in HONOURED:
        for found in bounds(parameter.schema):
            seen += 1
            for value in (found["minimum"], found["maximum"]):
                parse(MultiDict({parameter.name: str(value), "multichannel": "true"}))
            for value in (found["minimum"] - 1, found["maximum"] + 1):
                with pytest.raises(BadRequest, match=parameter.name):
                    parse(MultiDict({parameter.name: str(value)}))
    assert seen == 4


def test_the_guide_has_every_parameter_and_no_other() -> None:
    text = (FOLDER / "speech-api-parameters.md").read_text()
    for parameter in PARAMETERS:
        assert f"`{parameter.name}`" in text, parameter.name
    without = text.partition("## What has no effect")[2].partition("```")[0]
    assert all(f"`{name}`" in without for name in WITHOUT_EFFECT)
    assert without.count("`") == 2 * (len(WITHOUT_EFFECT) + 0)


def test_the_parameters_of_turn_based_streams_are_the_servers() -> None:
    assert {parameter.name for parameter in TURN_PARAMETERS} == TURNS_EFFECTIVE | {"model"}
    text = (FOLDER / "speech-api-live.md").read_text().partition("## Turn-based streams")[2]
    for parameter in TURN_PARAMETERS:
        assert f"`{parameter.name}`" in text or parameter.name == "extra"
        for value in (parameter.schema.get("minimum"), parameter.schema.get("maximum")):
            if value is not None:
                parse_turns(
                    MultiDict({"model": "flux-general-en", "eot_threshold": "0.9", parameter.name: str(value)}), MODEL
                )
