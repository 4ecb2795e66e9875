"""Audio that describes itself (WAV, MP3, AAC, FLAC, OGG, WebM, M4A), decoded by libav while it comes in.

libav reads by blocking, so each such stream has a thread that does nothing else; it decodes at most a few seconds
ahead. The format is told by the first bytes and only these formats are ever opened: libav's guessing would also
accept playlists, which name files and addresses to be read.
"""

import tempfile
import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import IO, Any, Final

import av
import numpy as np

from stt_api.audio import Resampler, Slice, UndecodableAudio
from stt_api.options import MAX_CHANNELS, RAW_ENCODINGS, ListenOptions

# Seconds of decoded audio that wait for the recogniser at most.
DECODED_AHEAD_SECONDS: Final = 4.0
# M4A may have its index at the end, so all of it is kept (on disk) until it is read; at most this much.
MAX_SPOOL_BYTES: Final = 512 << 20
# The first bytes by which a format is told.
SNIFF_BYTES: Final = 12
# Damaged packets in a row after which a stream counts as undecodable; fewer are skipped, as players do.
MAX_DAMAGED_PACKETS: Final = 50
# libav looks this far for the streams of a container (its own default of 5 MB would delay a live stream's words).
_PROBE_OPTIONS: Final = {"probesize": "65536", "analyzeduration": "500000"}
_READ_BYTES: Final = 8192
_WANTED: Final = "wanted: WAV, MP3, AAC (ADTS), FLAC, OGG, WebM or M4A, or raw samples with encoding=linear16"


def sniff(head: bytes) -> str | None:
    """The name of libav's demuxer for audio that begins with these (at least SNIFF_BYTES) bytes; None if unknown."""
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return "wav"
    for magic, name in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"\x1a\x45\xdf\xa3", "matroska"), (b"ID3", "mp3")):
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "mov"
    if len(head) >= 3 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:  # ADTS: twelve sync bits, layer 0 (ISO/IEC 13818-7, 6.2)
            return "aac"
        # MPEG audio: eleven sync bits; version, layer and bit rate must not be the reserved values.
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08 and head[1] & 0x06 and head[2] & 0xF0 != 0xF0:
            return "mp3"
    return None


class Incoming:
    """The bytes of a stream as a file for libav: reading blocks until there are some or no more come."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._spool: IO[bytes] | None = None
        self._size = 0  # bytes received
        self._position = 0
        self._consumed = 0
        self._ended = False
        self.starving = False  # a reader waits and there is nothing for it

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises UndecodableAudio if more would be kept than is allowed."""
        with self._changed:
            self._size += len(data)
            if self._spool is None:
                self._waiting += data
            else:
                if self._size > MAX_SPOOL_BYTES:
                    raise UndecodableAudio(f"M4A audio of more than {MAX_SPOOL_BYTES >> 20} MiB is not taken")
                self._spool.seek(self._size - len(data))
                self._spool.write(data)
                self._consumed += len(data)
            self.starving = False
            self._changed.notify_all()

    def end(self) -> None:
        """No more bytes come."""
        with self._changed:
            self._ended = True
            self.starving = False
            self._changed.notify_all()

    def consumed(self) -> int:
        """Bytes done with since this was last asked."""
        with self._changed:
            size, self._consumed = self._consumed, 0
            return size

    def head(self, size: int) -> bytes:
        """The first `size` bytes, fewer if there are no more; they stay."""
        with self._changed:
            self._wait(lambda: len(self._waiting) >= size)
            return bytes(self._waiting[:size])

    def keep_all(self) -> None:
        """From now on the bytes are kept, so that `seek` works."""
        with self._changed:
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            self._spool.write(self._waiting)
            self._consumed += len(self._waiting)
            self._waiting.clear()

    def close_file(self) -> None:
        """Free what is kept."""
        with self._changed:
            if self._spool is not None:
                self._spool.close()

    def read(self, size: int) -> bytes:
        """Libav's read: at least a byte, none at the end."""
        with self._changed:
            if self._spool is not None:
                self._wait(lambda: self._size > self._position)
                self._spool.seek(self._position)
                data = self._spool.read(size)
            else:
                self._wait(lambda: bool(self._waiting))
                data = bytes(self._waiting[:size])
                del self._waiting[:size]
                self._consumed += len(data)
            self._position += len(data)
            return data

    def seekable(self) -> bool:
        """Whether libav may seek."""
        return self._spool is not None

    def seek(self, offset: int, whence: int = 0) -> int:
        """Libav's seek; one from the end waits for the end."""
        with self._changed:
            if whence == 2:
                self._wait(lambda: False)
                offset += self._size
            elif whence == 1:
                offset += self._position
            self._position = offset
            return offset

    def tell(self) -> int:
        """The position of the next read."""
        return self._position

    def _wait(self, satisfied: Callable[[], bool]) -> None:
        while not satisfied() and not self._ended:
            self.starving = True
            self.on_starving()
            self._changed.wait()

    def on_starving(self) -> None:
        """Replaced by whoever wants to know that a reader waits."""


class ContainerSource:
    """A stream of audio in a container; `wake` is called (from a thread) when there may be something to take."""

    def __init__(self, options: ListenOptions, wake: Callable[[], None]) -> None:
        self._options = options
        self._wake = wake
        self._incoming = Incoming()
        self._incoming.on_starving = wake  # type: ignore[method-assign]
        self._changed = threading.Condition()
        self._decoded: deque[tuple[Slice, Fraction]] = deque()
        self._ahead = Fraction(0)  # seconds in _decoded
        self._taken = Fraction(0)
        self._channels = 1
        self._failure: UndecodableAudio | None = None
        self._done = self._closed = False
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    @property
    def channels(self) -> int:
        return self._channels

    @property
    def duration(self) -> float:
        return float(self._taken)

    @property
    def idle(self) -> bool:
        return (self._incoming.starving or self._done) and not self._decoded

    @property
    def finished(self) -> bool:
        return self._done and not self._decoded and self._failure is None

    def feed(self, data: bytes) -> None:
        self._incoming.feed(data)

    def end(self) -> None:
        self._incoming.end()

    def take(self) -> Slice | None:
        with self._changed:
            if self._decoded:
                part, seconds = self._decoded.popleft()
                self._ahead -= seconds
                self._taken += seconds
                self._changed.notify_all()
                return part
            if self._failure is not None:
                raise self._failure
            return None

    def consumed(self) -> int:
        return self._incoming.consumed()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._incoming.end()

    def _run(self) -> None:
        try:
            self._decode()
        except UndecodableAudio as failure:
            self._failure = failure
        except (av.FFmpegError, ValueError, OSError) as error:
            self._failure = UndecodableAudio(f"the audio cannot be decoded ({error}); {_WANTED}")
        finally:
            self._done = True
            self._incoming.close_file()
            self._wake()

    def _decode(self) -> None:
        raw = RAW_ENCODINGS.get(self._options.encoding or "")
        if raw is not None:
            options = {"sample_rate": str(self._options.sample_rate), "ch_layout": f"{self._options.channels}c"}
            name: str | None = raw
        else:
            head = self._incoming.head(SNIFF_BYTES)
            if not head:
                return  # closed before anything was sent: no audio is no fault
            name = sniff(head)
            options = dict(_PROBE_OPTIONS)
        if name is None:
            raise UndecodableAudio(f"the audio's format is not recognised; {_WANTED}")
        if name == "mov":
            self._incoming.keep_all()
        with av.open(self._incoming, format=name, options=options, buffer_size=_READ_BYTES) as container:
            if not container.streams.audio:
                raise UndecodableAudio(f"the {name} container has no audio in it; {_WANTED}")
            self._decode_packets(container)

    def _decode_packets(self, container: Any) -> None:
        resampler: Resampler | None = None
        planar: Any = None
        damaged = 0
        for packet in container.demux(container.streams.audio[0]):
            try:
                frames = packet.decode()
            except av.InvalidDataError as error:
                damaged += 1
                if damaged > MAX_DAMAGED_PACKETS:
                    raise UndecodableAudio(f"the audio is damaged ({error}); {_WANTED}") from None
                continue
            for frame in frames:
                damaged = 0
                if resampler is None:
                    resampler = self._resampler(frame)
                    planar = av.AudioResampler(format="s16p", layout=frame.layout, rate=frame.sample_rate)
                seconds = Fraction(frame.samples, frame.sample_rate)
                samples = np.concatenate([part.to_ndarray() for part in planar.resample(frame)], axis=1)
                if not self._put(Slice(resampler.push(samples)), seconds):
                    return
        if resampler is None:
            raise UndecodableAudio(f"there is no audio in what was sent; {_WANTED}")
        self._put(Slice(resampler.flush()), Fraction(0))

    def _resampler(self, frame: Any) -> Resampler:
        channels = len(frame.layout.channels)
        allowed = self._options.recognized_channels if self._options.multichannel else MAX_CHANNELS
        if channels > allowed:
            raise UndecodableAudio(
                f"the audio has {channels} channels, at most {allowed} are taken here; with multichannel=true say "
                f"channels={channels} (up to {MAX_CHANNELS})"
            )
        resampler = Resampler(frame.sample_rate, channels, separate=self._options.multichannel)
        self._channels = resampler.outputs
        return resampler

    def _put(self, part: Slice, seconds: Fraction) -> bool:
        """Hand on a slice when there is room; False if nobody wants it any more."""
        with self._changed:
            while self._ahead > DECODED_AHEAD_SECONDS and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._decoded.append((part, seconds))
            self._ahead += seconds
        self._wake()
        return True
