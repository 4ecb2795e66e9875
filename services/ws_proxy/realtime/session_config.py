"""What a client configures of a realtime session, checked, and what it means to the STT server. No I/O.

Two generations of the wire are in use: nested below `audio.input` (session.update), and flat (the beta's
transcription_session.update).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aldea.errors import BadRequest
from aldea.openai_wire import check_language

Json = dict[str, Any]

# A silence that ends an utterance (ms): OpenAI's own figure, and what an STT server takes.
SILENCE_MS: Final = 500
MAX_SILENCE_MS: Final = 10_000
MAX_PADDING_MS: Final = 5_000
MAX_TEXT: Final = 4_000  # characters of a prompt; it has no effect here, and is sent back
# OpenAI's own examples request it. STT servers have no such figures, so that the events do not have them.
INCLUDED: Final = ("item.input_audio_transcription.logprobs",)


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An audio format by both names, and as `/v1/listen` names it."""

    name: str
    beta_name: str
    encoding: str
    rate: int
    sample_bytes: int

    @property
    def bytes_per_second(self) -> int:
        """Of one channel, which is all there is."""
        return self.rate * self.sample_bytes

    def to_wire(self) -> Json:
        """As a session reports it."""
        return {"type": self.name, "rate": self.rate} if self.encoding == "linear16" else {"type": self.name}


FORMATS: Final = (
    AudioFormat("audio/pcm", "pcm16", "linear16", 24_000, 2),
    AudioFormat("audio/pcmu", "g711_ulaw", "mulaw", 8_000, 1),
    AudioFormat("audio/pcma", "g711_alaw", "alaw", 8_000, 1),
)


_SERVER_VAD: Final[Json] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": SILENCE_MS,
}


class InvalidEvent(Exception):
    """A client's event that cannot be obeyed, as an error event has it. The session goes on."""

    def __init__(self, message: str, *, param: str | None = None, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """`detection`: of utterances, None: only the client ends them, by committing. All but its silence has no effect.

    `transcription`, `noise_reduction`: have none either, and are sent back.
    """

    format: AudioFormat = FORMATS[0]
    detection: Json | None = field(default_factory=lambda: dict(_SERVER_VAD))
    transcription: Json = field(default_factory=dict)
    noise_reduction: Json | None = None

    @property
    def silence_ms(self) -> int | None:
        """The silence that ends an utterance; None: none does."""
        return None if self.detection is None else round(self.detection["silence_duration_ms"])

    @property
    def server_query(self) -> dict[str, str]:
        """The query for the STT server. It takes no more than that from the client."""
        endpointing = "false" if self.silence_ms is None else str(self.silence_ms)
        vad = {} if self.silence_ms is None else {"vad_events": "true"}
        return {
            "encoding": self.format.encoding,
            "sample_rate": str(self.format.rate),
            "channels": "1",
            "punctuate": "true",
            "endpointing": endpointing,
            **vad,
        }

    def updated(self, session: Any) -> "SessionConfig":
        """As a session.update changes it. Raises InvalidEvent."""
        given = _object(session, "session")
        if given.get("type", "transcription") != "transcription":
            raise InvalidEvent(
                f"session.type: got {_shown(given['type'])}; allowed: transcription. Speech is only transcribed here.",
                param="session.type",
            )
        _known(given, "session", "type", "audio", "include", "id", "object", "expires_at")
        _check_included(given)
        audio = _object(given.get("audio") or {}, "session.audio")
        _known(audio, "session.audio", "input")
        name = "session.audio.input"
        found = _object(audio.get("input") or {}, name)
        _known(found, name, "format", "transcription", "turn_detection", "noise_reduction")
        wanted = self.format if found.get("format") is None else _format(found["format"], f"{name}.format")
        return self._changed(wanted, found, name, "turn_detection", "transcription", "noise_reduction")

    def updated_flat(self, session: Any) -> "SessionConfig":
        """As a transcription_session.update changes it. Raises InvalidEvent."""
        given = _object(session, "session")
        names = ("turn_detection", "input_audio_transcription", "input_audio_noise_reduction")
        _known(given, "session", "input_audio_format", "include", "modalities", *names)
        _check_included(given)
        named = given.get("input_audio_format")
        return self._changed(self.format if named is None else _flat_format(named), given, "session", *names)

    def _changed(
        self, audio: AudioFormat, given: Json, at: str, detection: str, transcription: str, noise: str
    ) -> "SessionConfig":
        changed = replace(self, format=audio)
        if detection in given:
            changed = replace(changed, detection=_detection(given[detection], f"{at}.{detection}"))
        if given.get(transcription) is not None:
            wanted = _transcription(given[transcription], f"{at}.{transcription}")
            changed = replace(changed, transcription={**changed.transcription, **wanted})
        if noise in given:
            changed = replace(changed, noise_reduction=_noise_reduction(given[noise], f"{at}.{noise}"))
        return changed

    def to_wire(self) -> Json:
        """As a session reports it, nested."""
        return {
            "audio": {
                "input": {
                    "format": self.format.to_wire(),
                    "transcription": self.transcription,
                    "noise_reduction": self.noise_reduction,
                    "turn_detection": self.detection,
                }
            }
        }

    def to_flat(self) -> Json:
        """As a session reports it, flat."""
        return {
            "input_audio_format": self.format.beta_name,
            "input_audio_transcription": self.transcription,
            "input_audio_noise_reduction": self.noise_reduction,
            "turn_detection": self.detection,
        }


def _shown(value: Any) -> str:
    return f"{value!r:.40}"


def _object(value: Any, at: str) -> Json:
    if not isinstance(value, dict):
        raise InvalidEvent(f"{at}: got {_shown(value)}; allowed: an object.", param=at, code="invalid_type")
    return value


def _known(given: Mapping[str, Any], at: str, *names: str) -> None:
    for name in given:
        if name not in names:
            raise InvalidEvent(
                f"{at}.{name:.40}: no such parameter; allowed: {', '.join(names)}.",
                param=f"{at}.{name:.40}",
                code="unknown_parameter",
            )


def _check_included(given: Json) -> None:
    wanted = given.get("include") or []
    if not isinstance(wanted, list) or any(name not in INCLUDED for name in wanted):
        raise InvalidEvent(
            f"session.include: got {_shown(wanted)}; allowed: {', '.join(INCLUDED)}. It has no effect here.",
            param="session.include",
        )


def _format(given: Any, at: str) -> AudioFormat:
    wanted = _object(given, at)
    _known(wanted, at, "type", "rate")
    for found in FORMATS:
        if wanted.get("type") == found.name:
            if wanted.get("rate") not in (None, found.rate):
                raise InvalidEvent(
                    f"{at}.rate: got {_shown(wanted['rate'])}; allowed: {found.rate} with {found.name}.",
                    param=f"{at}.rate",
                )
            return found
    names = ", ".join(found.name for found in FORMATS)
    raise InvalidEvent(f"{at}.type: got {_shown(wanted.get('type'))}; allowed: {names}.", param=f"{at}.type")


def _flat_format(given: Any) -> AudioFormat:
    for found in FORMATS:
        if given == found.beta_name:
            return found
    names = ", ".join(found.beta_name for found in FORMATS)
    raise InvalidEvent(
        f"session.input_audio_format: got {_shown(given)}; allowed: {names}.", param="session.input_audio_format"
    )


def _detection(given: Any, at: str) -> Json | None:
    if given is None:
        return None
    wanted = _object(given, at)
    if wanted.get("type") != _SERVER_VAD["type"]:
        raise InvalidEvent(
            f"{at}.type: got {_shown(wanted.get('type'))}; allowed: server_vad, or null instead of the object.",
            param=f"{at}.type",
        )
    _known(wanted, at, *_SERVER_VAD, "create_response", "interrupt_response", "idle_timeout_ms")
    found = dict(_SERVER_VAD)
    for name, most in (
        ("threshold", 1),
        ("prefix_padding_ms", MAX_PADDING_MS),
        ("silence_duration_ms", MAX_SILENCE_MS),
    ):
        got = wanted.get(name)
        if got is None:
            continue
        if not isinstance(got, int | float) or isinstance(got, bool) or not 0 <= got <= most:
            raise InvalidEvent(
                f"{at}.{name}: got {_shown(got)}; allowed: a number from 0 to {most}.", param=f"{at}.{name}"
            )
        found[name] = got
    return found


def _transcription(given: Any, at: str) -> Json:
    wanted = _object(given, at)
    _known(wanted, at, "model", "language", "prompt", "delay", "keywords", "languages")
    for name in ("model", "language", "prompt"):
        got = wanted.get(name)
        if got is not None and not (isinstance(got, str) and len(got) <= MAX_TEXT):
            raise InvalidEvent(
                f"{at}.{name}: got {_shown(got)}; allowed: a text of at most {MAX_TEXT} characters.",
                param=f"{at}.{name}",
            )
    try:
        check_language(wanted.get("language") or "")
    except BadRequest as error:
        raise InvalidEvent(error.message, param=f"{at}.language") from None
    return {name: wanted[name] for name in ("model", "language", "prompt") if wanted.get(name) is not None}


def _noise_reduction(given: Any, at: str) -> Json | None:
    if given is None:
        return None
    wanted = _object(given, at)
    if wanted.get("type") not in (None, "near_field", "far_field"):
        raise InvalidEvent(
            f"{at}.type: got {_shown(wanted['type'])}; allowed: near_field, far_field.", param=f"{at}.type"
        )
    return {"type": wanted["type"]} if wanted.get("type") else None
