import pytest
from multidict import MultiDict

from aldea.errors import BadRequest
from stt_api.features import MAX_WARNINGS, warnings
from stt_api.model import Model

MODEL = Model("moonshine", "moonshine-tiny-en", "0.0.73")


def names(query: dict[str, str]) -> list[str]:
    return [warning["parameter"] for warning in warnings(MultiDict(query), MODEL)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("model", "nova-3"), ("language", "es"), ("lang", "multi"), ("diarize", "true")),
        *(("keywords", "river:2"), ("keyterm", "river"), ("dictation", "true"), ("diarize_model", "latest")),
        *(("detect_language", "true"), ("summarize", "v2"), ("alternatives", "3"), ("unheard_of", "x")),
    ],
)
def test_what_the_engine_cannot_do_is_named(name: str, value: str) -> None:
    (warning,) = warnings(MultiDict({name: value, "punctuate": "true"}), MODEL)
    assert warning["parameter"] == name
    assert set(warning) == {"parameter", "type", "message"}
    assert name in warning["message"]


@pytest.mark.parametrize(
    "query",
    [
        {"model": MODEL.name, "language": "en-US", "lang": "EN", "alternatives": "1", "version": "latest"},
        {
            "diarize": "false",
            "profanity_filter": "true",
            "numerals": "0",
            "search": "",
            "redact": "false",
            "detect_language": "False",
        },
        {"encoding": "linear16", "sample_rate": "16000", "channels": "1", "multichannel": "true", "punctuate": "true"},
        {
            "callback": "https://example.com",
            "callback_method": "put",
            "metadata": "x",
            "tag": "a",
            "timestamps": "true",
        },
    ],
)
def test_what_is_done_or_not_wanted_is_not_named(query: dict[str, str]) -> None:
    assert names(query) == []


@pytest.mark.parametrize("name", ["redact", "REDACT", "redact[]", "redaction"])
@pytest.mark.parametrize("value", ["true", "pci", "ssn", "numbers"])
def test_redaction_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadRequest, match="unredacted"):
        warnings(MultiDict([("redact", "false"), (name, value)]), MODEL)


def test_warnings_are_bounded_and_quote_no_unknown_value() -> None:
    found = warnings(MultiDict({f"unknown-{index}{'x' * 1000}": "org_secret" for index in range(1000)}), MODEL)
    assert len(found) == MAX_WARNINGS
    assert "org_secret" not in str(found)
    assert len(str(found)) < 10_000
