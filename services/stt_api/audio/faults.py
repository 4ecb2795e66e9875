"""Why audio cannot be used: every text of it in one place, short enough for a close frame. Loads nothing of HTTP."""

from enum import Enum
from typing import Final

# What a text may at most need: a close frame's reason has 123 bytes (RFC 6455 section 5.5), "DATA-0000: " included.
MAX_FAULT_BYTES: Final = 112
# For the responses that have room for it.
FORMATS_TAKEN: Final = (
    "Taken are WAV, MP3, AAC, FLAC, Ogg, WebM, MP4/M4A, AIFF, CAF, AMR and MPEG-TS, or raw samples with "
    "encoding=linear16, linear32, mulaw or alaw"
)


class Fault(Enum):
    """One cause; `{}` is where its figures go."""

    UNKNOWN_FORMAT = "the audio's format is not recognized; raw samples need encoding=linear16"
    NO_AUDIO_TRACK = "the file has no audio track"
    NO_AUDIO = "there is no audio in what was sent"
    DAMAGED = "the audio is damaged or cut and cannot be decoded"
    NO_OPUS_PACKET = "encoding=opus takes one Opus packet a message, or Ogg or WebM; this message is neither"
    CODEC = "the audio's codec is not supported; use AAC, MP3, FLAC, Opus, Vorbis or PCM"
    CHANNELS = "the audio has {} channels, at most {} are allowed"
    CHANNELS_APART = "the audio has {} channels; multichannel=true needs channels={} for it"
    SAMPLE_RATE = "the sample rate is {} Hz; allowed are {} to {} Hz"
    TRACKS = "the file has {} tracks, at most {} are allowed"
    TOO_DENSE = "the audio unfolds to far more seconds than its bytes can hold"
    TOO_LONG = "the audio is longer than {} s; send it in parts"
    HEADER = "no audio in the first {} MiB; remove pictures and tags"
    INDEX_AT_END = "the MP4's index is at its end; only {} MiB of such are allowed (use faststart)"
    MEMORY = "decoding the audio needs more memory than is allowed"


class UndecodableAudio(Exception):
    """The audio cannot be used; the text is a Fault's."""

    def __init__(self, fault: Fault, *figures: int) -> None:
        """`figures`: what the fault's text leaves room for."""
        super().__init__(fault.value.format(*figures))
        self.fault = fault
