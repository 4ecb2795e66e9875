from typing import Any

import pytest

from ws_proxy.realtime.session_config import FORMATS, InvalidEvent, SessionConfig


def nested(**audio: Any) -> dict[str, Any]:
    return {"type": "transcription", "audio": {"input": audio}}


def test_the_defaults_are_openais_and_what_the_server_gets_follows_from_them() -> None:
    config = SessionConfig()
    assert config.server_query == {
        "encoding": "linear16", "sample_rate": "24000", "channels": "1", "punctuate": "true", "endpointing": "500",
        "vad_events": "true",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "beta_name", "encoding", "rate"),
    [
        ("audio/pcm", "pcm16", "linear16", "24000"),
        ("audio/pcmu", "g711_ulaw", "mulaw", "8000"),
        ("audio/pcma", "g711_alaw", "alaw", "8000"),
    ],
)
def test_each_format_is_known_by_both_of_its_names(name: str, beta_name: str, encoding: str, rate: str) -> None:
    for config in (
        SessionConfig().updated(nested(format={"type": name})),
        SessionConfig().updated_flat({"input_audio_format": beta_name}),
    ):
        assert (config.server_query["encoding"], config.server_query["sample_rate"]) == (encoding, rate)
        assert config.to_wire()["audio"]["input"]["format"]["type"] == name
        assert config.to_flat()["input_audio_format"] == beta_name


def test_what_is_not_given_stays_and_null_turns_detection_off() -> None:
    config = SessionConfig().updated(
        nested(
            turn_detection={"type": "server_vad", "silence_duration_ms": 700},
            transcription={"model": "whisper-1", "language": "en", "prompt": "words"},
            noise_reduction={"type": "near_field"},
        )
    )
    assert config.server_query["endpointing"] == "700"
    assert config.transcription == {"model": "whisper-1", "language": "en", "prompt": "words"}
    off = config.updated(nested(turn_detection=None, noise_reduction=None))
    assert (off.silence_ms, off.noise_reduction, off.transcription) == (None, None, config.transcription)
    assert off.server_query["endpointing"] == "false"
    assert "vad_events" not in off.server_query
    assert config.updated({"type": "transcription"}) == config
    assert config.updated_flat({}) == config


@pytest.mark.parametrize(
    ("session", "param"),
    [
        (None, "session"),
        ([], "session"),
        ("x", "session"),
        ({"type": "realtime"}, "session.type"),
        ({"type": ["transcription"]}, "session.type"),
        ({"instructions": "be kind"}, "session.instructions"),
        ({"include": ["item.input_audio_transcription.logprobs", "usage"]}, "session.include"),
        ({"include": "item.input_audio_transcription.logprobs"}, "session.include"),
        ({"include": [["logprobs"]]}, "session.include"),
        ({"type": "realtime", "instructions": "be kind"}, "session.type"),
        ({"audio": 7}, "session.audio"),
        ({"audio": {"output": {}}}, "session.audio.output"),
        ({"audio": {"input": []}}, None),
        ({"audio": {"input": "x"}}, "session.audio.input"),
        (nested(voice="alloy"), "session.audio.input.voice"),
        (nested(format="pcm16"), "session.audio.input.format"),
        (nested(format={"type": "audio/mp3"}), "session.audio.input.format.type"),
        (nested(format={"type": "audio/pcm", "rate": 16000}), "session.audio.input.format.rate"),
        (nested(format={"type": "audio/pcmu", "rate": 24000}), "session.audio.input.format.rate"),
        (nested(format={"type": "audio/pcm", "channels": 2}), "session.audio.input.format.channels"),
        (nested(turn_detection="server_vad"), "session.audio.input.turn_detection"),
        (nested(turn_detection={"type": "semantic_vad"}), "session.audio.input.turn_detection.type"),
        (
            nested(turn_detection={"type": "semantic_vad", "eagerness": "high"}),
            "session.audio.input.turn_detection.type",
        ),
        (nested(turn_detection={}), "session.audio.input.turn_detection.type"),
        (
            nested(turn_detection={"type": "server_vad", "silence_duration_ms": -1}),
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        (
            nested(turn_detection={"type": "server_vad", "silence_duration_ms": 10**9}),
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        (
            nested(turn_detection={"type": "server_vad", "silence_duration_ms": float("nan")}),
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        (
            nested(turn_detection={"type": "server_vad", "threshold": "0.5"}),
            "session.audio.input.turn_detection.threshold",
        ),
        (nested(transcription={"language": "de"}), "session.audio.input.transcription.language"),
        (nested(transcription={"model": 7}), "session.audio.input.transcription.model"),
        (nested(transcription={"prompt": "x" * 5000}), "session.audio.input.transcription.prompt"),
        (nested(noise_reduction={"type": "loud"}), "session.audio.input.noise_reduction.type"),
        ({"x" * 5000: 1}, f"session.{'x' * 40}"),
    ],
)
def test_what_cannot_be_done_is_named(session: Any, param: str | None) -> None:
    if param is None:
        assert SessionConfig().updated(session) == SessionConfig()  # an empty list says nothing
        return
    with pytest.raises(InvalidEvent) as refused:
        SessionConfig().updated(session)
    assert refused.value.param == param
    assert len(refused.value.message) < 300


def test_what_openais_examples_include_is_taken() -> None:
    include = {"include": ["item.input_audio_transcription.logprobs"]}
    assert SessionConfig().updated(include) == SessionConfig().updated_flat(include) == SessionConfig()


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"input_audio_format": "mp3"}, "session.input_audio_format"),
        ({"input_audio_format": ["pcm16"]}, "session.input_audio_format"),
        ({"turn_detection": {"type": "semantic_vad"}}, "session.turn_detection.type"),
        ({"voice": "alloy"}, "session.voice"),
    ],
)
def test_the_flat_generation_is_checked_in_the_same_way(session: Any, param: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        SessionConfig().updated_flat(session)
    assert refused.value.param == param


def test_formats_know_how_many_bytes_are_a_second() -> None:
    assert [found.bytes_per_second for found in FORMATS] == [48_000, 8_000, 8_000]
