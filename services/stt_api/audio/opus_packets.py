"""Opus packets that come one in each message, without a container, put into Ogg as they come. Performs no I/O.

libav takes Opus by its containers alone. Ogg is the simplest: a page for each packet (RFC 3533 section 6), whose time
is the sum of the packets' durations (RFC 7845 section 4).
"""

import struct
from typing import Final

from stt_api.audio.faults import Fault, UndecodableAudio

# Containers' first bytes: Ogg, and Matroska with WebM. A client may say opus and mean Opus in one of them.
_CONTAINERS: Final = (b"OggS", b"\x1aE\xdf\xa3")
# RFC 6716 section 3.4: a packet is 120 ms at most, of at most 48 frames of 1,275 bytes.
MAX_PACKET_BYTES: Final = 48 * 1275 + 100
MAX_PACKET_SAMPLES: Final = 5760  # at 48 kHz
_RATE: Final = 48_000
# RFC 6716 table 2: samples of a frame by the configuration's place among its mode's (SILK, hybrid, CELT).
_SILK: Final = (480, 960, 1920, 2880)
_HYBRID: Final = (480, 960)
_CELT: Final = (120, 240, 480, 960)
_SERIAL: Final = 1
_FIRST, _LAST_SEGMENT = 0x02, 255
_VENDOR: Final = b"aldea"


def packet_samples(packet: bytes) -> int | None:
    """How many samples (at 48 kHz) a packet holds; None if it is none (RFC 6716 section 3.1)."""
    if not packet or len(packet) > MAX_PACKET_BYTES:
        return None
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        size = _SILK[config % 4]
    elif config < 16:
        size = _HYBRID[config % 2]
    else:
        size = _CELT[config % 4]
    frames = (1, 2, 2)[code] if code < 3 else (packet[1] & 0x3F if len(packet) > 1 else 0)
    samples = frames * size
    return samples if 0 < samples <= MAX_PACKET_SAMPLES else None


class OpusPackets:
    """One stream's. `wrap` returns what libav takes, for audio in a container just that."""

    def __init__(self, channels: int = 1) -> None:
        """`channels`: 1 or 2; the decoder mixes a packet's to as many."""
        self._channels = 2 if channels == 2 else 1
        self._raw: bool | None = None  # not known before the first message
        self._pages = 0
        self._samples = 0

    def wrap(self, message: bytes) -> bytes:
        """The audio of a message. Raises UndecodableAudio for one that is no packet."""
        if self._raw is None:
            # A container may be cut anywhere, also within its first four bytes.
            self._raw = not (message.startswith(_CONTAINERS) or any(each.startswith(message) for each in _CONTAINERS))
        if not self._raw:
            return message
        samples = packet_samples(message)
        if samples is None:
            raise UndecodableAudio(Fault.NO_OPUS_PACKET)
        head = b"" if self._pages else self._head()
        self._samples += samples
        return head + self._page(message)

    def _head(self) -> bytes:
        # RFC 7845 section 5: version, channels, pre-skip, the input's rate, gain, mapping family; then the comments.
        head = b"OpusHead" + struct.pack("<BBHIhB", 1, self._channels, 0, _RATE, 0, 0)
        tags = b"OpusTags" + struct.pack("<I", len(_VENDOR)) + _VENDOR + struct.pack("<I", 0)
        return self._page(head, _FIRST) + self._page(tags)

    def _page(self, packet: bytes, flags: int = 0) -> bytes:
        table = bytes([_LAST_SEGMENT] * (len(packet) // _LAST_SEGMENT) + [len(packet) % _LAST_SEGMENT])
        head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, self._samples, _SERIAL, self._pages, 0, len(table))
        self._pages += 1
        page = head + table + packet
        return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _table() -> tuple[int, ...]:
    found = []
    for first in range(256):
        value = first << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        found.append(value & 0xFFFFFFFF)
    return tuple(found)


_CRC: Final = _table()


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: not reflected, begins with zero (RFC 3533 section 6)."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _CRC[value >> 24 ^ byte]
    return value
