"""FLAC's frames, cut out of a stream of bytes. Performs no I/O.

A frame does not state its length (RFC 9639 section 9): it ends where the next one's head begins. libav's reader waits
for ten heads to be sure, which are seconds; here a head counts if its checksum fits and it has the next number.
"""

import re
from typing import Final

from stt_api.audio.faults import Fault, UndecodableAudio

MAGIC: Final = b"fLaC"
_STREAMINFO_BYTES: Final = 34
# Larger than any frame of eight channels of 65,535 samples of 32 bits is in practice.
MAX_FRAME_BYTES: Final = 4 << 20
# The longest head: four bytes, a number of seven, two sizes of two, a checksum.
_HEAD_BYTES: Final = 16
# Where a frame or a file may begin.
_BEGINNING: Final = re.compile(rb"\xff[\xf8\xf9]|fLaC")
_BLOCK_SIZES: Final = {
    1: 192,
    **{code: 144 << code for code in range(2, 6)},
    **{code: 1 << code for code in range(8, 16)},
}


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask, entries = 1 << (bits - 1), (1 << bits) - 1, []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = ((value << 1) ^ polynomial if value & top else value << 1) & mask
        entries.append(value)
    return tuple(entries)


_CRC8: Final = _table(0x07, 8)
_CRC16: Final = _table(0x8005, 16)


def crc8(data: bytes | bytearray) -> int:
    """The checksum of a frame's head (RFC 9639 section 9.1.8)."""
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def crc16(data: bytes | bytearray, value: int = 0) -> int:
    """The checksum of a frame (RFC 9639 section 9.3); 0 over a frame with its own. `value`: of what is before."""
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value


def parse_head(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A frame's number (of the frame, or of its first sample) and the one that follows it; None if there is no head.

    Needs _HEAD_BYTES from `at`, or all that there are.
    """
    head = bytes(data[at : at + _HEAD_BYTES])
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 0x0F
    if not size_code or rate_code == 15 or head[3] >> 4 > 10 or head[3] >> 1 & 7 == 3:
        return None
    number, position = _number(head)
    if number is None:
        return None
    if size_code in {6, 7}:
        width = size_code - 5
        samples = int.from_bytes(head[position : position + width], "big") + 1
        position += width
    else:
        samples = _BLOCK_SIZES[size_code]
    position += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if position >= len(head) or crc8(head[: position + 1]):
        return None
    return number, number + (samples if head[1] & 1 else 1)


def _number(head: bytes) -> tuple[int | None, int]:
    """The coded number, as UTF-8 would code it, of up to seven bytes; and the position behind it."""
    first = head[4]
    if first < 0x80:
        return first, 5
    more = 0
    while more < 7 and first << more & 0x40:
        more += 1
    if not 1 <= more <= 6 or len(head) < 5 + more:
        return None, 5
    number = first & (0x3F >> more)
    for byte in head[5 : 5 + more]:
        if byte & 0xC0 != 0x80:
            return None, 5
        number = number << 6 | (byte & 0x3F)
    return number, 5 + more


class FlacScanner:
    """Cuts frames; see stt_api.audio.elementary.Scanner. Files that follow each other are one stream."""

    codec = "flac"
    trim = None

    def __init__(self) -> None:
        self.extradata: bytes | None = None
        self.generation = 0
        self._in_metadata = self._last_block = False
        self._skip = 0  # bytes of a metadata block still to come
        self._garbage = 0
        self._begin()

    def next_frame(self, waiting: bytearray, *, ended: bool, flush: bool) -> bytes | None:
        """See Scanner."""
        if self._skip:
            size = min(self._skip, len(waiting))
            del waiting[:size]
            self._skip -= size
            return b"" if size else None
        if self._in_metadata:
            return self._block(waiting)
        if waiting[:4] == MAGIC:
            del waiting[:4]
            self._in_metadata, self._last_block = True, False
            return b""
        head = parse_head(waiting, 0)
        if head is None:
            if not waiting or (len(waiting) < _HEAD_BYTES and not ended):
                return None
            return self._resync(waiting, ended=ended)
        end = self._end(waiting, head[1], ended=ended)
        if end is None and (ended or (flush and not self._checksum(waiting, len(waiting)))):
            end = len(waiting)
        if end is None:
            if len(waiting) > MAX_FRAME_BYTES:
                raise UndecodableAudio(Fault.DAMAGED)
            return None
        frame = bytes(waiting[:end])
        del waiting[:end]
        self._begin()
        self._garbage = 0
        return frame

    def _block(self, waiting: bytearray) -> bytes | None:
        """A metadata block (RFC 9639 section 8): STREAMINFO is kept, pictures and tags are left out."""
        if self._last_block:
            self._in_metadata = False
            if self.extradata is None:
                raise UndecodableAudio(Fault.DAMAGED)
            return b""
        if len(waiting) < 4:
            return None
        kind, size = waiting[0] & 0x7F, int.from_bytes(waiting[1:4], "big")
        if kind == 0:
            if size != _STREAMINFO_BYTES:
                raise UndecodableAudio(Fault.DAMAGED)
            if len(waiting) < 4 + size:
                return None
            self.extradata = bytes(waiting[4 : 4 + size])
            self.generation += 1
        self._last_block = bool(waiting[0] & 0x80)
        self._skip = 0 if kind == 0 else size
        del waiting[: 4 + size - self._skip]
        return b""

    def _begin(self) -> None:
        """A frame begins here: nothing of it was looked at."""
        self._searched = 1  # there is no beginning of another one before
        self._summed = self._sum = 0  # bytes in the checksum, and the checksum

    def _checksum(self, waiting: bytearray, end: int) -> int:
        """The checksum up to `end`. Never looks at a byte twice, however many places look like an end."""
        self._sum = crc16(waiting[self._summed : end], self._sum)
        self._summed = end
        return self._sum

    def _end(self, waiting: bytearray, following: int, *, ended: bool) -> int | None:
        """Where the next frame, or the next file, begins. `following`: the next frame's number."""
        while (found := _BEGINNING.search(waiting, self._searched)) is not None:
            at = found.start()
            if at + _HEAD_BYTES > len(waiting) and not ended:
                return None
            # After a gap, and before another file, the frame's own checksum says whether it ends here.
            head = parse_head(waiting, at)
            if head is not None and head[0] == following:
                return at
            if (head is not None or waiting[at : at + 4] == MAGIC) and not self._checksum(waiting, at):
                return at
            self._searched = at + 1
        self._searched = max(self._searched, len(waiting) - len(MAGIC) + 1)
        return None

    def _resync(self, waiting: bytearray, *, ended: bool) -> bytes:
        """Drop what is before the next place where a frame or a file may begin."""
        found = _BEGINNING.search(waiting, 1)
        size = len(waiting) if ended else max(1, len(waiting) - len(MAGIC) + 1)
        if found is not None:
            size = found.start()
        del waiting[:size]
        self._begin()
        self._garbage += size
        if self._garbage > MAX_FRAME_BYTES:
            raise UndecodableAudio(Fault.DAMAGED)
        return b""
