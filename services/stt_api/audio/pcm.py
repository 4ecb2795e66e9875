"""Samples that need no decoder: raw audio, and what WAV files mostly hold."""

from collections.abc import Callable
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aldea.raw_audio import SAMPLE_BYTES
from stt_api.audio.slices import SLICE_SECONDS, Samples, Slice, Slicer, check_shape
from stt_api.options import ListenOptions

Bytes = NDArray[np.uint8]


def _expand_mulaw() -> NDArray[np.int16]:
    """All 256 codes of µ-law (ITU-T G.711)."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _expand_alaw() -> NDArray[np.int16]:
    """All 256 codes of A-law (ITU-T G.711)."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = np.where(exponent > 0, (mantissa + 0x108) << np.maximum(exponent - 1, 0), mantissa + 8)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_MULAW: Final = _expand_mulaw()
_ALAW: Final = _expand_alaw()


def _float(values: NDArray[np.floating]) -> NDArray[np.int16]:
    loudness = np.clip(np.nan_to_num(values, posinf=0, neginf=0), -1.0, 1.0) * 32767.0
    found: NDArray[np.int16] = loudness.astype(np.int16)
    return found


def _upper(raw: Bytes, size: int) -> NDArray[np.int16]:
    """The upper 16 bits of little-endian integers of `size` bytes."""
    parts = raw.reshape(-1, size)[:, -2:].astype(np.uint16)
    return (parts[:, 0] | (parts[:, 1] << 8)).view(np.int16)


# (what the samples are, bytes of each) → how they become 16-bit ones
_READERS: Final[dict[tuple[str, int], Callable[[Bytes], NDArray[np.int16]]]] = {
    ("int", 1): lambda raw: ((raw.astype(np.int16) - 128) << 8).astype(np.int16),
    ("int", 2): lambda raw: raw.view("<i2").astype(np.int16, copy=False),
    ("int", 3): lambda raw: _upper(raw, 3),
    ("int", 4): lambda raw: _upper(raw, 4),
    ("float", 4): lambda raw: _float(raw.view("<f4")),
    ("float", 8): lambda raw: _float(raw.view("<f8")),
    ("mulaw", 1): lambda raw: _MULAW[raw],
    ("alaw", 1): lambda raw: _ALAW[raw],
}


class SampleReader:
    """Interleaved samples of one kind. Performs no I/O."""

    # (what samples are, bytes of each) that can be read
    KINDS: Final = frozenset(_READERS)

    def __init__(self, kind: str, size: int, channels: int) -> None:
        """`kind`: int, float, mulaw or alaw; `size`: bytes per sample. Raises KeyError for what does not exist."""
        self._read = _READERS[kind, size]
        self._channels = channels
        self.frame_bytes = size * channels

    def read(self, data: bytes) -> Samples:
        """Whole frames as samples of shape (channels, n)."""
        return self._read(np.frombuffer(data, dtype=np.uint8)).reshape(-1, self._channels).T


class PcmSource:
    """Raw interleaved samples, as the caller describes them."""

    def __init__(self, options: ListenOptions) -> None:
        encoding = options.encoding or "linear16"
        kind = encoding if encoding in {"mulaw", "alaw"} else "int"
        check_shape(options.channels, options.sample_rate)
        self._reader = SampleReader(kind, SAMPLE_BYTES[encoding], options.channels)
        self._rate = options.sample_rate
        self._slicer = Slicer(options)
        self._slice = max(1, int(SLICE_SECONDS * options.sample_rate)) * self._reader.frame_bytes
        self._waiting = bytearray()
        self._taken = Fraction(0)
        self._received = self._counted = 0
        self._ended = self._flushed = False
        self._channels = options.recognized_channels

    @property
    def channels(self) -> int:
        return self._channels

    @property
    def duration(self) -> float:
        return float(self._taken)

    @property
    def idle(self) -> bool:
        return len(self._waiting) < self._reader.frame_bytes

    @property
    def finished(self) -> bool:
        return self._flushed

    def feed(self, data: bytes) -> None:
        self._waiting += data
        self._received += len(data)
        self._slicer.budget.received += len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def end(self) -> None:
        self._ended = True

    def take(self) -> Slice | None:
        size = min(len(self._waiting), self._slice)
        size -= size % self._reader.frame_bytes
        if size:
            self._slicer.push(self._reader.read(bytes(self._waiting[:size])), self._rate)
            del self._waiting[:size]
        elif self._ended and not self._flushed:
            # A last broken sample (an odd byte) is no audio.
            self._flushed = True
            self._waiting.clear()
            self._slicer.flush()
        part = self._slicer.take()
        if part is not None:
            self._taken += part.seconds
        return part

    def consumed(self) -> int:
        # A broken sample at the end of what came waits for its other bytes, but is done with for the sender.
        waiting = len(self._waiting) if len(self._waiting) >= self._reader.frame_bytes else 0
        size = max(0, self._received - waiting - self._counted)
        self._counted += size
        return size

    def close(self) -> None:
        self._waiting.clear()
