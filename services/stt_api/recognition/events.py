"""What passes between the serving process and a recognition process: frames of bytes, and events as JSON.

A frame is a header of nine bytes (payload length, kind, stream number; big-endian) and its payload.
"""

import json
import struct
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Final

# What a flush counts as, among the bytes that wait for a recognition process.
FLUSH_BYTES: Final = 1024
HEADER: Final = struct.Struct(">IBI")
# Where a recognition process reads what it is to load (stt_api.model) and its memory bound in MB.
ENGINE_VARIABLE: Final = "STT_ENGINE"
MODEL_PATH_VARIABLE: Final = "STT_MODEL_PATH"
MEMORY_VARIABLE: Final = "STT_WORKER_MEMORY_MB"


class Kind(IntEnum):
    """What a frame is. The first five go to a recognition process, the last two come from it."""

    OPEN = 1  # payload: ListenOptions as JSON
    AUDIO = 2
    FLUSH = 3
    END = 4
    ABORT = 5
    READY = 6
    EVENT = 7


def frame(kind: Kind, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame, ready to write."""
    return HEADER.pack(len(payload), kind, stream) + payload


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word; times in seconds of audio since the stream's beginning, confidence from 0 to 1.

    `text` is in lower case and without punctuation; `written` is as in a text, with both.
    """

    text: str
    start: float
    end: float
    confidence: float
    written: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was understood of `start` to `end` (seconds). The final ones of a channel cover its audio without a gap."""

    channel: int
    channels: int
    start: float
    end: float
    words: tuple[Word, ...] = ()
    final: bool = False
    speech_final: bool = False
    from_finalize: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Somebody began to speak at `at` seconds."""

    channel: int
    channels: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceEnd:
    """The requested silence has passed since the last word, which ended at `last_word_end` seconds."""

    channel: int
    channels: int
    last_word_end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The channel's audio is heard up to `at` seconds; the last speech in it was `silence` seconds before."""

    channel: int
    channels: int
    at: float
    silence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """So many bytes of the stream's input are done with (a flush counts as FLUSH_BYTES): as many more may be sent."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """All is recognised: `duration` in seconds, computed from samples, of each of `channels` channels."""

    duration: float
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """The bytes are no audio that can be decoded; the stream is over.

    What was heard before was reported as final, `duration` seconds of each of `channels` channels.
    """

    reason: str
    duration: float = 0.0
    channels: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The recogniser itself failed on this stream; the stream is over."""

    reason: str


Event = Transcript | SpeechStarted | UtteranceEnd | Progress | Consumed | Ended | Undecodable | Failed

_EVENTS: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (Transcript, SpeechStarted, UtteranceEnd, Progress, Consumed, Ended, Undecodable, Failed)
}


def to_json(event: Event) -> bytes:
    """An event as bytes."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}).encode()


def from_json(payload: bytes) -> Event:
    """What `to_json` wrote."""
    fields = json.loads(payload)
    kind = _EVENTS[fields.pop("event")]
    if kind is Transcript:
        fields["words"] = tuple(Word(**word) for word in fields["words"])
    event: Event = kind(**fields)
    return event
