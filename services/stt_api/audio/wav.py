"""WAV files as they come in: their samples are there as soon as their bytes are. Performs no I/O.

libav's reader would first wait for 64 KiB, which are two seconds of a live stream. RIFF, RF64 and BW64; files of which
the length is not known yet; several files one after the other.
"""

import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.pcm import SampleReader
from stt_api.audio.slices import MAX_HEADER_BYTES, SLICE_SECONDS, Slicer, check_shape
from stt_api.audio.sources import ByteSource
from stt_api.options import ListenOptions

# wFormatTag of what is read here; others (ADPCM, GSM, MP3 in WAV) are libav's.
_KINDS: Final = {1: "int", 3: "float", 6: "alaw", 7: "mulaw"}
_EXTENSIBLE: Final = 0xFFFE
# A fmt chunk has 16, 18 or 40 bytes, a little more with some codecs.
_MAX_FMT_BYTES: Final = 4096
_MAX_CHUNKS_BEFORE_FMT: Final = 64
# Who writes a stream puts one of these, or something beyond any file, for the length that is not known yet.
_UNKNOWN_SIZE: Final = 0x7FFF_0000
_NEXT_FILE: Final = re.compile(rb"RIFF....WAVEfmt ", re.DOTALL)
_NEXT_FILE_BYTES: Final = 16
# What may turn out to be the beginning of one.
_PERHAPS_NEXT_FILE: Final = re.compile(rb"R(I(F(F.{0,11})?)?)?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Format:
    """A fmt chunk: `kind` None if its samples need libav."""

    kind: str | None
    sample_bytes: int
    channels: int
    rate: int


def parse_format(chunk: bytes) -> Format:
    """Read a fmt chunk (WAVEFORMATEX, WAVEFORMATEXTENSIBLE). Raises UndecodableAudio."""
    if len(chunk) < 16:
        raise UndecodableAudio(Fault.DAMAGED)
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack_from("<H", chunk, 24)  # the sub-format's GUID begins with the tag that it represents
    check_shape(channels, rate)
    size = align // channels if align and align % channels == 0 else (bits + 7) // 8
    kind = _KINDS.get(tag)
    if kind is not None and (kind, size) not in SampleReader.KINDS:
        raise UndecodableAudio(Fault.CODEC)
    return Format(kind, size, channels, rate)


class _State(Enum):
    """Where in the file the next byte is."""

    FILE = "file"  # at "RIFF"
    CHUNK = "chunk"  # at a chunk's head
    SKIP = "skip"  # in a chunk of no interest
    DATA = "data"


class WavSource(ByteSource):
    """A WAV file's samples."""

    def __init__(self, options: ListenOptions) -> None:
        super().__init__(options)
        self._state = _State.FILE
        self._format: Format | None = None
        self._reader: SampleReader | None = None
        self._left: int | None = 0  # bytes left of the chunk, None for all that comes
        self._padding = 0
        self._large_size = 0  # of the data chunk, from RF64's ds64

        self._holding = True  # what may be the beginning of another file waits for its rest

    def feed(self, data: bytes) -> None:
        super().feed(data)
        self._holding = True

    def flush(self) -> None:
        super().flush()
        self._holding = False

    def decode(self, slicer: Slicer) -> bool:
        """Work on the next piece of the file. Returns False if more bytes are needed."""
        if self._state is _State.DATA:
            return self._samples(slicer)
        if self._state is _State.SKIP:
            return self._skip()
        if self._state is _State.FILE:
            return self._file()
        return self._chunk()

    def _file(self) -> bool:
        if len(self.waiting) < 12:
            return False
        if bytes(self.waiting[:4]) not in {b"RIFF", b"RF64", b"BW64"} or self.waiting[8:12] != b"WAVE":
            raise UndecodableAudio(Fault.UNKNOWN_FORMAT)
        del self.waiting[:12]
        self._format, self._reader, self._large_size = None, None, 0
        self._state = _State.CHUNK
        return True

    def _chunk(self) -> bool:
        if len(self.waiting) < 8:
            return False
        name, size = bytes(self.waiting[:4]), int.from_bytes(self.waiting[4:8], "little")
        if name in {b"RIFF", b"RF64", b"BW64"}:
            self._state = _State.FILE
            return True
        if name == b"data":
            del self.waiting[:8]
            return self._begin_data(size)
        if name in {b"fmt ", b"ds64"}:
            if size > _MAX_FMT_BYTES:
                raise UndecodableAudio(Fault.DAMAGED)
            if len(self.waiting) < 8 + size + size % 2 and not (self.ended and len(self.waiting) >= 8 + size):
                return False
            self._describe(name, bytes(self.waiting[8 : 8 + size]))
            del self.waiting[: 8 + size + size % 2]
            return True
        del self.waiting[:8]
        self._left, self._state = size + size % 2, _State.SKIP
        return True

    def _describe(self, name: bytes, chunk: bytes) -> None:
        if name == b"ds64":
            self._large_size = int.from_bytes(chunk[8:16], "little")
            return
        self._format = parse_format(chunk)
        if self._format.kind is None:
            raise UndecodableAudio(Fault.CODEC)
        self._reader = SampleReader(self._format.kind, self._format.sample_bytes, self._format.channels)

    def _begin_data(self, size: int) -> bool:
        if self._reader is None:
            raise UndecodableAudio(Fault.DAMAGED)
        if size == 0xFFFF_FFFF and self._large_size:
            size = self._large_size
        elif size == 0 or size >= _UNKNOWN_SIZE:
            size = 0
        self._left, self._padding = size or None, size % 2
        self._state = _State.DATA
        return True

    def _samples(self, slicer: Slicer) -> bool:
        assert self._format is not None
        assert self._reader is not None
        frame = self._reader.frame_bytes
        limit = max(1, int(SLICE_SECONDS * self._format.rate)) * frame
        size, next_file = self._before_next_file(min(len(self.waiting), limit))
        if self._left is not None:
            size = min(size, self._left)
        whole = size - size % frame
        if whole:
            slicer.push(self._reader.read(bytes(self.waiting[:whole])), self._format.rate)
            del self.waiting[:whole]
            if self._left is not None:
                self._left -= whole
        elif next_file:
            del self.waiting[:size]
            self._state = _State.FILE
            return True
        if self._left is not None and self._left < frame:
            # The rest of the chunk is a broken sample and its padding.
            self._left, self._state = self._left + self._padding, _State.SKIP
            return True
        return bool(whole)

    def _before_next_file(self, size: int) -> tuple[int, bool]:
        """How many of the next `size` bytes are this file's, where its length is not known; whether another follows."""
        if self._left is not None or self._reader is None:
            return size, False
        found = _NEXT_FILE.search(self.waiting, 0, size + _NEXT_FILE_BYTES)
        if found is not None and found.start() <= size:
            return found.start(), found.start() < self._reader.frame_bytes
        perhaps = _PERHAPS_NEXT_FILE.search(self.waiting, max(0, len(self.waiting) - _NEXT_FILE_BYTES + 1))
        if perhaps is not None and self._holding and not self.ended:
            return min(size, perhaps.start()), False
        return size, False

    def _skip(self) -> bool:
        assert self._left is not None
        size = min(self._left, len(self.waiting))
        del self.waiting[:size]
        self._left -= size
        if not self._left:
            self._state = _State.CHUNK
            return True
        return False


def is_libavs(head: bytearray) -> bool | None:
    """Whether a WAV file that begins so holds samples that need libav; None if its fmt chunk has not come yet.

    Raises UndecodableAudio for a file without one.
    """
    at = 12
    for _ in range(_MAX_CHUNKS_BEFORE_FMT):
        if len(head) < at + 8:
            return None
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"fmt ":
            if len(head) < at + 8 + min(size, _MAX_FMT_BYTES):
                return None
            return parse_format(bytes(head[at + 8 : at + 8 + size])).kind is None
        if name == b"data" or size > MAX_HEADER_BYTES:
            break
        at += 8 + size + size % 2
    raise UndecodableAudio(Fault.DAMAGED)
