import pytest
from multidict import MultiDict

from aldea.errors import BadRequest
from stt_api.model import chosen
from stt_api.turn_based.query import ENDPOINTING_MS, parse
from stt_api.turn_based.thresholds import Thresholds


def test_a_query_of_the_public_sdk_is_read() -> None:
    query = MultiDict(
        [
            *(("model", "flux-general-en"), ("encoding", "mulaw"), ("sample_rate", "8000"), ("eot_threshold", "0.6")),
            *(("eager_eot_threshold", "0.4"), ("eot_timeout_ms", "3000"), ("keyterm", "aldea"), ("keyterm", "oak")),
            *(("tag", "a"), ("mip_opt_out", "true"), ("language_hint", "en"), ("interim_results", "true")),
            *(("numerals", "true"), ("profanity_filter", "true")),
        ]
    )
    found = parse(query, chosen())
    assert (found.options.encoding, found.options.sample_rate) == ("mulaw", 8000)
    assert found.options.progress
    assert found.options.endpointing_ms == ENDPOINTING_MS
    assert found.thresholds == Thresholds(0.6, 0.4, 3000)
    assert found.keyterms == ("aldea", "oak")
    assert (found.wording.digits, found.wording.masked) == (True, True)
    assert [warning["parameter"] for warning in found.warnings] == [
        "model", "keyterm", "language_hint", "interim_results",
    ]  # fmt: skip


def test_audio_in_a_container_needs_no_encoding() -> None:
    assert parse(MultiDict({"model": "flux-general-en"}), chosen()).options.encoding is None


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ({}, "model: got '', allowed: a name that begins with flux-"),
        ({"model": "nova-3"}, "model: got 'nova-3'"),
        ({"model": "flux-general-en", "encoding": "speex"}, "encoding"),
        ({"model": "flux-general-en", "sample_rate": "7"}, "sample_rate"),
        ({"model": "flux-general-en", "eot_threshold": "2"}, "eot_threshold"),
        ({"model": "flux-general-en", "eager_eot_threshold": "0.9"}, "eager_eot_threshold"),
        ({"model": "flux-general-en", "redact": "numbers"}, "redact"),
        ({"model": "flux-general-en", "numerals": "maybe"}, "numerals: got 'maybe'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(query: dict[str, str], fault: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(MultiDict(query), chosen())
    assert refused.value.message.startswith(fault)
