import json

import pytest
from multidict import MultiDict

from ws_proxy.meter import TURN_REPORT_MARK, Audio, Meter, RawAudio, parse_report, raw_audio


def report(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_results_are_billed_to_their_end_and_metadata_by_its_duration() -> None:
    assert parse_report(report(type="Results", start=1.5, duration=2.25)) == Audio(3750, "stt", 1)
    assert parse_report(report(type="Metadata", duration=7.001)) == Audio(7001, "stt", 1)


def test_turns_are_billed_to_the_end_of_their_audio() -> None:
    message = report(type="TurnInfo", event="Update", audio_window_start=1.0, audio_window_end=2.25)
    assert parse_report(message) == Audio(2250, "stt", 1)
    assert TURN_REPORT_MARK in message
    assert parse_report(report(type="TurnInfo", audio_window_end="2")) is None


def test_multichannel_audio_is_billed_per_channel() -> None:
    assert parse_report(report(type="Results", start=0, duration=1, channel_index=[1, 2])) == Audio(2000, "stt", 2)
    assert parse_report(report(type="Metadata", duration=1.5, channels=3)) == Audio(4500, "stt", 3)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"not json",
        b"[]",
        report(type="SpeechStarted", duration=3),
        report(type="Metadata", duration=0),
        report(type="Metadata", duration=-1),
        report(type="Metadata", duration="3"),
        report(type="Metadata", duration=True),
        b'{"type":"Metadata","duration":NaN}',
        b'{"type":"Metadata","duration":1e300}',
    ],
)
def test_what_reports_no_audio_is_no_report(message: bytes) -> None:
    assert parse_report(message) is None


def test_nonsense_channels_count_as_one() -> None:
    assert parse_report(report(type="Metadata", duration=1, channels=10**9)) == Audio(1000, "stt", 1)


def test_bytes_decide_until_the_server_reports_and_the_last_good_report_is_kept() -> None:
    meter = Meter(RawAudio(bytes_per_second=32_000, billed_channels=1))
    assert meter.audio(None, 16_000) == Audio(500, "pcm", 1)
    assert meter.audio(report(type="Metadata", duration=0), 32_000) == Audio(1000, "pcm", 1)
    assert meter.audio(report(type="Results", start=0, duration=0.9), 64_000) == Audio(900, "stt", 1)
    assert meter.audio(b"garbage", 96_000) == Audio(900, "stt", 1)
    assert meter.audio(report(type="Metadata", duration=0.8), 96_000) == Audio(800, "stt", 1)


def test_a_bill_never_falls_while_another_server_hears_again_what_the_last_one_had_heard() -> None:
    meter = Meter(RawAudio(bytes_per_second=32_000, billed_channels=1))
    interim = report(type="Results", start=10, duration=2.5)
    meter.failed_over(None, 0)  # nothing was reported yet: bytes decide as before
    assert meter.audio(None, 16_000) == Audio(500, "pcm", 1)
    meter.failed_over(interim, 64_000)
    assert meter.audio(report(type="Results", start=10, duration=0.5), 96_000) == Audio(12_500, "stt", 1)
    assert meter.audio(report(type="Results", start=10, duration=3), 96_000) == Audio(13_000, "stt", 1)


def test_without_a_report_a_container_is_not_billed() -> None:
    assert Meter(None).audio(None, 10**6) == Audio(0, "pcm", 1)


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("/v1/listen", {"encoding": "linear16", "sample_rate": "8000"}, RawAudio(16_000, 1)),
        ("/v1/listen", {"encoding": "linear16", "channels": "2"}, RawAudio(64_000, 1, 4)),
        ("/v1/listen", {"encoding": "mulaw", "channels": "2", "multichannel": "true"}, RawAudio(32_000, 2)),
        ("/v1/listen/pcm", {}, RawAudio(32_000, 1)),
        ("/v1/listen", {}, None),
        ("/v1/listen", {"encoding": "opus"}, None),
        ("/v1/listen/pcm", {"sample_rate": "0"}, None),
        ("/v1/listen/pcm", {"sample_rate": "many"}, None),
        ("/v1/listen/pcm", {"sample_rate": "9" * 5000}, None),
        ("/v1/listen/pcm", {"channels": "9" * 5000}, None),
        ("/v1/listen/pcm", {"channels": "999"}, None),
    ],
)
def test_raw_audio_is_what_the_query_declares(path: str, query: dict[str, str], found: RawAudio | None) -> None:
    assert raw_audio(path, MultiDict(query)) == found


@pytest.mark.parametrize("name", ["pcm", "PCM", "s16le", "linear16", "LINEAR16"])
def test_linear16_is_metered_by_any_of_its_names(name: str) -> None:
    assert raw_audio("/v1/listen", MultiDict(encoding=name)) == RawAudio(32_000, 1)
    assert raw_audio("/v1/listen/pcm", MultiDict(format=name)) == RawAudio(32_000, 1)


def test_a_sample_rate_without_an_encoding_means_raw_samples_as_for_the_server() -> None:
    assert raw_audio("/v1/listen", MultiDict(sample_rate="8000")) == RawAudio(16_000, 1)
    assert raw_audio("/v1/listen", MultiDict(encoding="mp3", sample_rate="8000")) is None
