"""MP3, AAC in ADTS and FLAC without a container: streams of frames, each of which says how long it is, or nearly so.

Frames are cut here, not by libav's readers: those hold up to ten frames back, and stop where two files were joined.
"""

from typing import Final, NamedTuple, Protocol

from stt_api.audio.decoding import PacketDecoder
from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.flac import FlacScanner
from stt_api.audio.slices import Samples, Slicer
from stt_api.audio.sources import ByteSource
from stt_api.options import ListenOptions

# So much may lie between two frames that is none: beyond it, the stream is not what it is taken for.
MAX_GARBAGE_BYTES: Final = 256 * 1024
# So much of it is looked through at a time.
_RESYNC_BYTES: Final = 4096
# An ID3v2 tag's head (id3.org, ID3v2.4 section 3.1).
ID3_HEAD_BYTES: Final = 10

_KBPS: Final = {
    # (MPEG-1?, layer) → bit rates by index (ISO/IEC 11172-3, 2.4.2.3; ISO/IEC 13818-3, 2.4.2.3)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


class Head(NamedTuple):
    """What a frame's head says: bytes of the frame, and what stays the same from frame to frame."""

    length: int
    kind: tuple[int, ...]


class Trim(NamedTuple):
    """What an encoder's index says of its stream: samples to leave out first, samples in all after that."""

    start: int
    total: int | None


class Scanner(Protocol):
    """Finds frames at the beginning of a buffer."""

    codec: str
    extradata: bytes | None
    generation: int  # counts the streams: each takes a decoder of its own
    trim: "Trim | None"  # of the present one

    def next_frame(self, waiting: bytearray, *, ended: bool, flush: bool) -> bytes | None:
        """Cut the next frame off; an empty one: there is something to leave out. None: more bytes are needed.

        `flush`: do not wait for what would only confirm the frame. Raises UndecodableAudio.
        """


def id3_size(waiting: bytes | bytearray) -> int:
    """Bytes of the ID3v2 tag that begins here, its head and foot included; needs ten bytes."""
    size = 0
    for byte in waiting[6:10]:
        size = size << 7 | (byte & 0x7F)
    return size + ID3_HEAD_BYTES * (2 if waiting[5] & 0x10 else 1)


def mpeg_head(data: bytes | bytearray, at: int) -> Head | None:
    """The head of a frame of MPEG audio layers 1 to 3 (four bytes), None if there is none."""
    if data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    rates = _MPEG_RATES.get(version)
    bit_rate, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    # Reserved values; and bit rate 0, "free", of which the length is not stated.
    if rates is None or layer == 4 or bit_rate in {0, 15} or rate == 3 or data[at + 3] & 3 == 2:
        return None
    bits, padding = _KBPS[version == 3, layer][bit_rate] * 1000, data[at + 2] >> 1 & 1
    if layer == 1:
        length = (12 * bits // rates[rate] + padding) * 4
    else:
        length = (72 if layer == 3 and version != 3 else 144) * bits // rates[rate] + padding
    mono = data[at + 3] >> 6 == 3
    return Head(length, (version, layer, rate, mono))


def adts_head(data: bytes | bytearray, at: int) -> Head | None:
    """The head of a frame of AAC in ADTS (seven bytes; ISO/IEC 14496-3, 1.A.2.2), None if there is none."""
    if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    rate = data[at + 2] >> 2 & 0x0F
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    if rate > 12 or length < 7:
        return None
    channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
    return Head(length, (data[at + 2] >> 6, rate, channels))


class FrameScanner:
    """Frames that state their length (MP3, ADTS), between them tags and garbage."""

    extradata: bytes | None = None

    def __init__(self, codec: str) -> None:
        """`codec`: mp3 or aac."""
        self.codec = codec
        self._head, self._head_bytes = (mpeg_head, 4) if codec == "mp3" else (adts_head, 7)
        self._kind: tuple[int, ...] | None = None  # of the frame before, if this one must follow at once
        self._stream: tuple[int, ...] | None = None  # of the frame before
        self.generation = 0
        self.trim: Trim | None = None
        self._skip = 0  # bytes of a tag still to come
        self._garbage = 0

    def next_frame(self, waiting: bytearray, *, ended: bool, flush: bool) -> bytes | None:
        """See Scanner."""
        if self._skip:
            return self._skipped(waiting)
        if waiting[:3] == b"ID3":
            if len(waiting) < ID3_HEAD_BYTES:
                return self._rest(waiting) if ended else None
            self._skip, self._kind = id3_size(waiting), None
            return b""
        if len(waiting) < self._head_bytes:
            return self._rest(waiting) if ended else None
        head = self._head(waiting, 0)
        if head is None:
            return self._resync(waiting)
        if head.kind != self._kind:
            confirmed = self._confirmed(waiting, head, certain=ended or flush)
            if confirmed is None:
                return None
            if not confirmed:
                return self._resync(waiting, 1)
        if len(waiting) < head.length:
            # A frame that is cut at the end is no audio.
            return self._rest(waiting) if ended else None
        frame = bytes(waiting[: head.length])
        del waiting[: head.length]
        if head.kind != self._stream:
            self._begin(None)
        self._kind = self._stream = head.kind
        self._garbage = 0
        if self.codec == "mp3" and (index := _index_at(frame)) is not None:
            self._begin(_trim(frame, index, mpeg_samples(head)))
            return b""
        return frame

    def _begin(self, trim: Trim | None) -> None:
        self.generation += 1
        self.trim = trim

    def _confirmed(self, waiting: bytearray, head: Head, *, certain: bool) -> bool | None:
        """Whether what looks like a head is one: another one follows its frame. None if that has not come."""
        if len(waiting) < head.length + self._head_bytes:
            return True if certain else None
        following = self._head(waiting, head.length)
        tagged = bytes(waiting[head.length : head.length + 3]) in {b"ID3", b"TAG", b"APE"}
        return tagged or (following is not None and following.kind[:-1] == head.kind[:-1])

    def _resync(self, waiting: bytearray, start: int = 0) -> bytes:
        """Drop what is before the next place where a frame may begin."""
        self._kind = None
        # A bounded look, or the other streams of the process would wait.
        end = min(len(waiting), start + _RESYNC_BYTES)
        at = waiting.find(b"\xff", start, end)
        while 0 <= at <= len(waiting) - self._head_bytes and self._head(waiting, at) is None:
            at = waiting.find(b"\xff", at + 1, end)
        if at < 0:
            # The last bytes may be the beginning of a head or a tag.
            at = end if end < len(waiting) else max(start, end - self._head_bytes + 1)
        tag = waiting.find(b"ID3", start, at)
        size = max(1, tag if tag >= 0 else at)
        del waiting[:size]
        self._garbage += size
        if self._garbage > MAX_GARBAGE_BYTES:
            raise UndecodableAudio(Fault.DAMAGED)
        return b""

    def _skipped(self, waiting: bytearray) -> bytes | None:
        size = min(self._skip, len(waiting))
        del waiting[:size]
        self._skip -= size
        return b"" if size else None

    @staticmethod
    def _rest(waiting: bytearray) -> None:
        waiting.clear()


def mpeg_samples(head: Head) -> int:
    """Samples (of each channel) in a frame of MPEG audio."""
    version, layer = head.kind[0], head.kind[1]
    return 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152


def _index_at(frame: bytes) -> int | None:
    """Where in an MP3 frame the encoder's index is (Xing, Info, VBRI): such a frame holds no audio. None if none is."""
    mpeg1, mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    side = 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))
    if frame[side : side + 4] in {b"Xing", b"Info"}:
        return side
    return 36 if frame[36:40] == b"VBRI" else None


def _trim(frame: bytes, at: int, frame_samples: int) -> Trim | None:
    """What LAME's extension of the index says (gabriel.mp3-tech.org/mp3infotag.html)."""
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    if frame[at : at + 4] == b"VBRI":
        return None
    frames = int.from_bytes(frame[at + 8 : at + 12], "big") if flags & 1 else None
    lame = at + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    delays = frame[lame + 21 : lame + 24]
    if not any(frame[lame : lame + 9]) or len(delays) < 3:
        return None
    start, padding = delays[0] << 4 | delays[1] >> 4, (delays[1] & 0x0F) << 8 | delays[2]
    # The decoder itself is late by 529 samples.
    return Trim(start + 529, frames * frame_samples - start - padding if frames else None)


class ElementarySource(ByteSource):
    """A stream of frames of one codec."""

    def __init__(self, options: ListenOptions, codec: str) -> None:
        """`codec`: mp3, aac or flac."""
        super().__init__(options)
        self._scanner: FlacScanner | FrameScanner = FlacScanner() if codec == "flac" else FrameScanner(codec)
        self._decoder: PacketDecoder | None = None
        self._generation = 0
        self._late = 0  # samples of this stream still to be left out
        self._left: int | None = None  # samples of it still to come, None for all
        self._flush = False

    def feed(self, data: bytes) -> None:
        super().feed(data)
        self._flush = False

    def flush(self) -> None:
        super().flush()
        self._flush = True

    def decode(self, slicer: Slicer) -> bool:
        """Decode the next frame."""
        scanner = self._scanner
        frame = scanner.next_frame(self.waiting, ended=self.ended, flush=self._flush)
        if not frame:
            return frame is not None
        if self._decoder is None or self._generation != scanner.generation:
            self._decoder, self._generation = PacketDecoder(scanner.codec, scanner.extradata), scanner.generation
            self._late, self._left = scanner.trim or Trim(0, None)
        for samples, rate in self._decoder.decode(frame):
            slicer.push(self._trimmed(samples), rate)
        return True

    def _trimmed(self, samples: Samples) -> Samples:
        late = min(self._late, samples.shape[1])
        self._late -= late
        samples = samples[:, late:]
        if self._left is not None:
            samples = samples[:, : self._left]
            self._left -= samples.shape[1]
        return samples
