"""From a caller's bytes to 16 kHz samples per channel: what every source of audio does, and raw PCM.

Audio in a container is `stt_api.containers`. Durations are counted in samples of the input, never in time.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from stt_api.options import ListenOptions
from stt_api.recognizer import SAMPLE_RATE

Samples = NDArray[np.int16]  # shape (channels, samples)

# A source hands out at most this much at a time, so that streams of one process take turns.
SLICE_SECONDS: Final = 0.1
_BYTES: Final = 2


class UndecodableAudio(Exception):
    """The bytes cannot be decoded; the message says what was got and what is allowed."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some audio: per recognised channel 16-bit little-endian samples at 16 kHz (few or none while a filter fills)."""

    channels: tuple[bytes, ...]


class Source(Protocol):
    """A stream of audio: bytes are fed, slices are taken."""

    @property
    def channels(self) -> int:
        """How many channels are recognised separately; known once a slice was taken."""

    @property
    def duration(self) -> float:
        """Seconds of audio taken so far, from the input's own samples."""

    @property
    def idle(self) -> bool:
        """Whether nothing more comes without more input."""

    @property
    def finished(self) -> bool:
        """Whether nothing more comes at all."""

    def feed(self, data: bytes) -> None:
        """Take input."""

    def end(self) -> None:
        """No more input comes."""

    def take(self) -> Slice | None:
        """The next slice, or None if there is none now. Raises UndecodableAudio."""

    def consumed(self) -> int:
        """Bytes of input done with since this was last asked."""

    def close(self) -> None:
        """Let go of everything; the rest is not wanted."""


class Resampler:
    """Brings samples of one rate and channel count to 16 kHz, one or all channels."""

    def __init__(self, rate: int, channels: int, *, separate: bool) -> None:
        """`separate`: keep the channels apart; else their mean is one."""
        self.outputs = channels if separate else 1
        self._mix = channels > 1 and not separate
        self._rate = rate
        # A filter of its own for each channel: they are never mixed, whatever a layout would say they are.
        self._filters = [
            av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            for _ in range(self.outputs if rate != SAMPLE_RATE else 0)
        ]

    def push(self, samples: Samples) -> tuple[bytes, ...]:
        """Samples of shape (channels, n) in, bytes per output channel out."""
        if self._mix:
            samples = samples.mean(axis=0, dtype=np.float32).astype(np.int16)[np.newaxis]
        if not self._filters:
            return tuple(channel.tobytes() for channel in samples)
        if not samples.shape[1]:
            return (b"",) * self.outputs
        return tuple(
            _joined(filter_.resample(self._frame(channel)))
            for filter_, channel in zip(self._filters, samples, strict=True)
        )

    def flush(self) -> tuple[bytes, ...]:
        """What the filters still hold at the end."""
        if not self._filters:
            return (b"",) * self.outputs
        return tuple(_joined(filter_.resample(None)) for filter_ in self._filters)

    def _frame(self, channel: Samples) -> av.AudioFrame:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channel)[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = self._rate
        return frame


def _joined(frames: list[av.AudioFrame]) -> bytes:
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)


class PcmSource:
    """Raw interleaved 16-bit little-endian samples."""

    def __init__(self, options: ListenOptions) -> None:
        self._rate = options.sample_rate
        self._inputs = options.channels
        self._resampler = Resampler(options.sample_rate, options.channels, separate=options.multichannel)
        self._frame = _BYTES * options.channels
        self._slice = max(1, int(SLICE_SECONDS * options.sample_rate)) * self._frame
        self._waiting = bytearray()
        self._samples = 0  # taken, per channel
        self._received = self._counted = 0
        self._ended = self._flushed = False

    @property
    def channels(self) -> int:
        return self._resampler.outputs

    @property
    def duration(self) -> float:
        return float(Fraction(self._samples, self._rate))

    @property
    def idle(self) -> bool:
        return len(self._waiting) < self._frame

    @property
    def finished(self) -> bool:
        return self._flushed

    def feed(self, data: bytes) -> None:
        self._waiting += data
        self._received += len(data)

    def end(self) -> None:
        self._ended = True

    def take(self) -> Slice | None:
        size = min(len(self._waiting), self._slice)
        size -= size % self._frame
        if size:
            samples = np.frombuffer(bytes(self._waiting[:size]), dtype="<i2").reshape(-1, self._inputs).T
            del self._waiting[:size]
            self._samples += samples.shape[1]
            return Slice(self._resampler.push(samples.astype(np.int16, copy=False)))
        if self._ended and not self._flushed:
            # A last broken sample (an odd byte) is no audio.
            self._flushed = True
            self._waiting.clear()
            return Slice(self._resampler.flush())
        return None

    def consumed(self) -> int:
        # A broken sample at the end of what came waits for its other bytes, but is done with for the sender.
        waiting = len(self._waiting) if len(self._waiting) >= self._frame else 0
        size = max(0, self._received - waiting - self._counted)
        self._counted += size
        return size

    def close(self) -> None:
        self._waiting.clear()
