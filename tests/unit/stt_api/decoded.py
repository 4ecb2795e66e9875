"""What the tests of the STT server's sources share: audio passed whole through one, and FLAC frames built here."""

import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stt_api.audio.flac import crc8, crc16
from stt_api.audio.opening import open_source
from stt_api.audio.slices import Source
from stt_api.options import ListenOptions


@dataclass(frozen=True)
class Decoded:
    """Seconds by the input's samples, seconds of what came out, and the recognized channels."""

    seconds: float
    out: float
    channels: int


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    """`data` cut into pieces."""
    return (data[at : at + size] for at in range(0, len(data), size))


def take_all(source: Source, woken: threading.Event, *, until_idle: bool = False) -> int:
    """Take what comes until the end, or until nothing more comes without more input; bytes of the first channel."""
    size, deadline = 0, time.monotonic() + 60
    while not source.finished:
        assert time.monotonic() < deadline, "the source did not come to its end within 60 s"
        part = source.take()
        if part is not None:
            size += len(part.channels[0])
        elif until_idle and source.idle:
            break
        else:
            woken.wait(0.05)
            woken.clear()
    return size


def decode(data: bytes, options: ListenOptions | None = None, *, chunk: int = 1000) -> Decoded:
    """All of `data` through the source for it. Raises UndecodableAudio."""
    woken = threading.Event()
    source = open_source(options or ListenOptions(), woken.set)
    try:
        for piece in pieces(data, chunk):
            source.feed(piece)
        source.end()
        size = take_all(source, woken)
        return Decoded(source.duration, size / 32_000, source.channels)
    finally:
        source.close()


def flushed(data: bytes, options: ListenOptions | None = None) -> float:
    """Seconds that a flush brings out of a stream that goes on."""
    woken = threading.Event()
    source = open_source(options or ListenOptions(), woken.set)
    try:
        for piece in pieces(data, 1000):
            source.feed(piece)
        source.flush()
        take_all(source, woken, until_idle=True)
        return source.duration
    finally:
        source.close()


# Samples of each frame below.
SILENCE_SAMPLES: Final = 65_535


def flac_header(rate: int) -> bytes:
    """The beginning of a FLAC file: mono, 16 bits."""
    sizes = struct.pack(">HH", SILENCE_SAMPLES, SILENCE_SAMPLES) + bytes(6)
    return b"fLaC\x80\x00\x00\x22" + sizes + (rate << 44 | 15 << 36).to_bytes(8, "big") + bytes(16)


def flac_silence(number: int) -> bytes:
    """A frame of 13 bytes that holds as much silence as a frame can."""
    head = b"\xff\xf8\x70\x08" + bytes([number]) + struct.pack(">H", SILENCE_SAMPLES - 1)
    frame = head + bytes([crc8(head)]) + b"\x00\x00\x00"
    return frame + struct.pack(">H", crc16(frame))
