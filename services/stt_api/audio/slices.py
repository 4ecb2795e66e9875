"""From decoded samples to slices of 16 kHz: what every source of audio does, and the bounds of what it takes.

Durations are counted in samples of the input, never in time. What a stranger chooses is bounded here: sample rate,
channels, seconds for the bytes that were sent.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.options import MAX_CHANNELS, ListenOptions
from stt_api.recognition.engine import SAMPLE_RATE

Samples = NDArray[np.int16]  # shape (channels, samples)

# A source hands out at most this much at a time, so that streams of one process take turns.
SLICE_SECONDS: Final = 0.1
# Sample rates of audio in a container (Hz). Lower ones would make hours of a few bytes.
SAMPLE_RATES: Final = (4_000, 192_000)
# The sparsest honest audio (FLAC of silence, Opus with discontinuous transmission) takes 20 bytes a second. So many
# seconds may come without it, for the first packets.
MIN_BYTES_PER_SECOND: Final = 10
FREE_SECONDS: Final = 60
# Tags, pictures and indexes may take so much before the first audio.
MAX_HEADER_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Slice:
    """Some audio: per recognized channel 16-bit little-endian samples at 16 kHz (few or none while a filter fills).

    `seconds`: how much of the input it is.
    """

    channels: tuple[bytes, ...]
    seconds: Fraction = Fraction(0)


class Source(Protocol):
    """A stream of audio: bytes are fed, slices are taken."""

    @property
    def channels(self) -> int:
        """How many channels are recognized separately; known once a slice was taken."""

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
        """Take input. Raises UndecodableAudio."""

    def flush(self) -> None:
        """Have all that can be decoded of what was fed come, without waiting for more."""

    def end(self) -> None:
        """No more input comes."""

    def take(self) -> Slice | None:
        """The next slice, or None if there is none now. Raises UndecodableAudio, after the slices before the fault."""

    def consumed(self) -> int:
        """Bytes of input consumed since the last call."""

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


class Budget:
    """How many seconds the bytes that came may amount to."""

    def __init__(self, max_seconds: float | None) -> None:
        """`max_seconds`: of the whole stream, None for no such bound."""
        self._max_seconds = max_seconds
        self._seconds = Fraction(0)
        self.received = 0  # bytes
        # Bytes of it that were not decoded yet: they pay for nothing.
        self.waiting: Callable[[], int] = int

    @property
    def begun(self) -> bool:
        """Whether there was any audio."""
        return self._seconds > 0

    def spend(self, seconds: Fraction) -> None:
        """Count decoded audio. Raises UndecodableAudio."""
        self._seconds += seconds
        if self._max_seconds is not None and self._seconds > self._max_seconds:
            raise UndecodableAudio(Fault.TOO_LONG, int(self._max_seconds))
        if self._seconds > FREE_SECONDS + (self.received - self.waiting()) / MIN_BYTES_PER_SECOND:
            raise UndecodableAudio(Fault.TOO_DENSE)

    def check_any(self) -> None:
        """Raises UndecodableAudio if what came amounted to nothing."""
        if self.received and not self.begun:
            raise UndecodableAudio(Fault.NO_AUDIO)

    def check_header(self) -> None:
        """Raises UndecodableAudio if too much came without any audio."""
        if not self.begun and self.received > MAX_HEADER_BYTES:
            raise UndecodableAudio(Fault.HEADER, MAX_HEADER_BYTES >> 20)


class Slicer:
    """Decoded samples in, slices out. Sample rate and channels may change on the way, as in files that were joined."""

    def __init__(self, options: ListenOptions) -> None:
        """`options`: how many channels are recognized, and how much audio at most."""
        self._separate = options.multichannel
        self._allowed = options.recognized_channels if options.multichannel else MAX_CHANNELS
        self._resampler: Resampler | None = None
        self._shape = (0, 0)
        self._slices: deque[Slice] = deque()
        self.budget = Budget(options.max_seconds)
        self.channels = 1  # recognized; known with the first samples

    def push(self, samples: Samples, rate: int) -> None:
        """Take samples of shape (channels, n). Raises UndecodableAudio."""
        self._adapt(samples.shape[0], rate)
        assert self._resampler is not None
        step = max(1, int(rate * SLICE_SECONDS))
        for begin in range(0, samples.shape[1], step):
            part = samples[:, begin : begin + step]
            seconds = Fraction(part.shape[1], rate)
            self.budget.spend(seconds)
            self._put(self._resampler.push(part), seconds)

    def flush(self) -> None:
        """The audio is over: what filters hold comes too."""
        if self._resampler is not None:
            self._put(self._resampler.flush(), Fraction(0))
            self._resampler, self._shape = None, (0, 0)

    def take(self) -> Slice | None:
        """The next slice, if there is one."""
        return self._slices.popleft() if self._slices else None

    def _adapt(self, channels: int, rate: int) -> None:
        if (channels, rate) == self._shape:
            return
        check_shape(channels, rate)
        if channels > self._allowed:
            raise UndecodableAudio(Fault.CHANNELS_APART, channels, channels)
        first = not self.budget.begun
        self.flush()
        self._resampler, self._shape = Resampler(rate, channels, separate=self._separate), (channels, rate)
        if first:
            self.channels = self._resampler.outputs

    def _put(self, channels: tuple[bytes, ...], seconds: Fraction) -> None:
        # Where fewer channels follow, the others fall silent; where more follow, they were not there before.
        silence = bytes(len(channels[0]))
        padded = (*channels, *(silence for _ in range(self.channels - len(channels))))
        self._slices.append(Slice(padded[: self.channels], seconds))


def check_shape(channels: int, rate: int) -> None:
    """Raises UndecodableAudio for a channel count or a sample rate that is not taken."""
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
        raise UndecodableAudio(Fault.SAMPLE_RATE, rate, *SAMPLE_RATES)
    if not 1 <= channels <= MAX_CHANNELS:
        raise UndecodableAudio(Fault.CHANNELS, channels, MAX_CHANNELS)
