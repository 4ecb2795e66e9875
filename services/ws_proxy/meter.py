"""How much audio a stream is billed for: what the STT server reported last, else what raw PCM amounts to."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from multidict import MultiMapping

from aldea.numbers import whole_number
from aldea.raw_audio import SAMPLE_BYTES, raw_encoding
from ws_proxy.websocket.continuation import AudioShape

# What marks a message of turn-based streaming that carries billed time.
TURN_REPORT_MARK: Final = b'"audio_window_end"'
_PCM_SAMPLE_RATE: Final = 16_000
# No stream lasts longer; a report beyond it is nonsense, and must not become a bill.
_MAX_SECONDS: Final = 7 * 86_400.0
_MAX_CHANNELS: Final = 64


@dataclass(frozen=True, slots=True)
class Audio:
    """Billed audio in milliseconds (duration times channels) and who says so."""

    ms: int
    source: Literal["stt", "pcm"]
    channels: int


@dataclass(frozen=True, slots=True)
class RawAudio:
    """Raw audio as the query declares it: how many bytes make a second, and how many channels are billed."""

    bytes_per_second: int
    billed_channels: int
    sample_bytes: int = 2  # of all channels
    utterance_end_ms: int = 0  # 0: the client gets no UtteranceEnd

    @property
    def shape(self) -> AudioShape:
        """How its bytes become times."""
        return _shape(self)


@lru_cache(maxsize=64)
def _shape(raw: RawAudio) -> AudioShape:
    rate = raw.bytes_per_second // raw.sample_bytes
    return AudioShape(raw.sample_bytes, rate, raw.billed_channels, raw.utterance_end_ms)


def raw_audio(path: str, query: MultiMapping[str]) -> RawAudio | None:
    """What the request declares of raw audio, None for containers; the server judges the parameters, not we."""
    named = query.get("encoding") or query.get("format") or query.get("codec") or ""
    # As the STT servers understand it: a sample rate without an encoding can only mean raw samples.
    implied = not named and (path.endswith("/pcm") or bool(query.get("sample_rate")))
    encoding = "linear16" if implied else raw_encoding(named)
    sample_bytes = SAMPLE_BYTES.get(encoding or "")
    rate = _number(query.get("sample_rate"), _PCM_SAMPLE_RATE)
    channels = _number(query.get("channels"), 1)
    if sample_bytes is None or rate is None or channels is None or channels > _MAX_CHANNELS:
        return None
    multichannel = query.get("multichannel", "").lower() == "true"
    return _shared(
        RawAudio(
            bytes_per_second=sample_bytes * rate * channels,
            billed_channels=channels if multichannel else 1,
            sample_bytes=sample_bytes * channels,
            utterance_end_ms=_number(query.get("utterance_end_ms"), 0) or 0,
        )
    )


@lru_cache(maxsize=64)
def _shared(raw: RawAudio) -> RawAudio:
    """One for all streams that declare the same, as nearly all do."""
    return raw


def _number(text: str | None, default: int) -> int | None:
    if text is None:
        return default
    return whole_number(text, most=999_999) or None


class Meter:
    """Follows one stream. The last report is parsed when it is read, not when it passes."""

    __slots__ = ("_least", "_raw", "_report", "_reported")

    def __init__(self, raw: RawAudio | None) -> None:
        self._raw = raw
        self._report: bytes | None = None
        self._reported: Audio | None = None
        self._least: Audio | None = None

    def failed_over(self, report: bytes | None, binary_bytes: int) -> None:
        """Another server hears again what the last one had heard and not finished: the bill does not fall meanwhile."""
        audio = self.audio(report, binary_bytes)
        if audio.source == "stt":
            self._least = audio

    def audio(self, report: bytes | None, binary_bytes: int) -> Audio:
        """The bill now. `report`: the server's last message with a duration; `binary_bytes`: audio bytes it was sent.

        A report of nothing (the Metadata of the opening) does not count as one.
        """
        if report is not self._report:
            self._report = report
            self._reported = parse_report(report or b"") or self._reported
        if self._reported is not None:
            least = self._least
            return self._reported if least is None or self._reported.ms >= least.ms else least
        if self._raw is None:
            return Audio(0, "pcm", 1)
        channels = self._raw.billed_channels
        return Audio(binary_bytes * 1000 // self._raw.bytes_per_second * channels, "pcm", channels)


def parse_report(report: bytes) -> Audio | None:
    """The audio that a message reports, if it reports any.

    Results: `start + duration`; Metadata: `duration`; TurnInfo of `/v2/listen`: `audio_window_end`.
    """
    try:
        message = json.loads(report.decode())  # bytes would be searched for their encoding
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    if message.get("type") == "Results":
        seconds = _seconds(message.get("start")) + _seconds(message.get("duration"))
        index = message.get("channel_index")
        channels = index[1] if isinstance(index, list) and len(index) == 2 else 1
    elif message.get("type") == "Metadata":
        seconds = _seconds(message.get("duration"))
        channels = message.get("channels", 1)
    elif message.get("type") == "TurnInfo":
        seconds, channels = _seconds(message.get("audio_window_end")), 1
    else:
        return None
    if not isinstance(channels, int) or isinstance(channels, bool) or not 1 <= channels <= _MAX_CHANNELS:
        channels = 1
    return Audio(round(seconds * 1000) * channels, "stt", channels) if 0 < seconds <= _MAX_SECONDS else None


def _seconds(value: Any) -> float:
    # NaN fails the comparison, infinities the bound.
    valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_SECONDS
    return float(value) if valid else 0.0
