"""Audio in a container (Ogg, WebM, MP4, …), taken out of it and decoded by libav while it comes in.

libav reads by blocking, so each such stream has a thread that does nothing else; it decodes at most a few seconds
ahead. What libav may do with a stranger's bytes is bounded: one reader, the decoders of `stt_api.audio.decoding`, no
other file and no address.
"""

import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import av
from av.stream import Discard

from stt_api.audio.decoding import DECODERS, MAX_DAMAGED_PACKETS, FrameReader
from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.formats import MAX_BOXES_BYTES, index_comes_first
from stt_api.audio.incoming import Incoming
from stt_api.audio.slices import Slice, Slicer
from stt_api.options import ListenOptions

# Seconds of decoded audio that wait for the recognizer at most.
DECODED_AHEAD_SECONDS: Final = 4.0
# A phone's video has seven.
MAX_TRACKS: Final = 32
_READ_BYTES: Final = 4096
_OPTIONS: Final = {
    "codec_whitelist": ",".join(sorted(DECODERS)),
    "protocol_whitelist": "none",
    "max_streams": str(MAX_TRACKS),
    # libav would look through 5 MB for tracks; formats name them in their head, but for those of _PROBED.
    "probesize": "32",
    "analyzeduration": "0",
}
# Their index may be at the end.
_INDEXED: Final = frozenset({"caf"})
_PROBED: Final = {"mpegts": {"probesize": "65536", "analyzeduration": "500000"}}


class ContainerSource:
    """A stream of audio in a container; `wake` is called (from a thread) when there may be something to take."""

    def __init__(self, options: ListenOptions, name: str, wake: Callable[[], None]) -> None:
        """`name`: of libav's reader for the container."""
        self._name = name
        self._wake = wake
        self._slicer = Slicer(options)
        self._frames = FrameReader()
        self._incoming = Incoming(self._slicer.budget)
        self._slicer.budget.waiting = self._incoming.waiting
        self._incoming.on_starving = wake  # type: ignore[method-assign]
        self._changed = threading.Condition()
        self._decoded: deque[Slice] = deque()
        self._ahead = Fraction(0)  # seconds in _decoded
        self._taken = Fraction(0)
        self._damaged = 0
        self._failure: Exception | None = None
        self._done = self._closed = False
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    @property
    def channels(self) -> int:
        return self._slicer.channels

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

    def flush(self) -> None:
        """Libav itself holds nothing back but packets that have not come whole."""
        self._incoming.flush()

    def end(self) -> None:
        self._incoming.end()

    def take(self) -> Slice | None:
        with self._changed:
            if self._decoded:
                part = self._decoded.popleft()
                self._ahead -= part.seconds
                self._taken += part.seconds
                self._changed.notify_all()
                return part
            if self._failure is not None:
                raise self._failure
            return None

    def consumed(self) -> int:
        return self._incoming.consumed(settled=self.idle)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._incoming.close()

    def _run(self) -> None:
        try:
            self._decode()
            if self._incoming.fault is None:
                self._slicer.budget.check_any()
        except UndecodableAudio as failure:
            self._failure = failure
        except MemoryError:
            self._failure = UndecodableAudio(Fault.MEMORY)
        except (av.FFmpegError, ValueError, OSError):
            self._failure = UndecodableAudio(Fault.DAMAGED)
        except Exception as error:  # noqa: BLE001 - the reader of the slices gets it
            self._failure = error
        finally:
            self._failure = self._incoming.fault or self._failure
            self._slicer.flush()
            self._put_all()
            self._done = True
            self._incoming.close_file()
            self._wake()

    def _decode(self) -> None:
        if self._name in _INDEXED or (self._name == "mov" and not self._index_comes_first()):
            self._incoming.keep_all()
        else:
            self._incoming.cut_files(self._name)
        while True:
            try:
                self._decode_file()
            except (av.FFmpegError, ValueError, OSError):
                # A file that was cut gives what there is of it.
                if not self._slicer.budget.begun or not self._incoming.at_end:
                    raise
            if self._closed or not self._incoming.next_file():
                return

    def _index_comes_first(self) -> bool:
        size = 8
        while (found := index_comes_first(head := self._incoming.head(size))) is None:
            if len(head) < size:
                raise UndecodableAudio(Fault.DAMAGED)
            size = min(size + 8 if size < 1024 else 2 * size, 2 * MAX_BOXES_BYTES)
        return found

    def _decode_file(self) -> None:
        options = {**_OPTIONS, **_PROBED.get(self._name, {})}
        with av.open(self._incoming, format=self._name, options=options, buffer_size=_READ_BYTES) as container:
            if len(container.streams) > MAX_TRACKS:
                raise UndecodableAudio(Fault.TRACKS, len(container.streams), MAX_TRACKS)
            if not container.streams.audio:
                raise UndecodableAudio(Fault.NO_AUDIO_TRACK)
            track = container.streams.audio[0]
            for other in container.streams:
                if other.index != track.index:
                    other.discard = Discard.all
            if track.codec_context is None or track.codec_context.codec.name not in DECODERS:
                raise UndecodableAudio(Fault.CODEC)
            self._decode_packets(container, track)

    def _decode_packets(self, container: Any, track: Any) -> None:
        for packet in container.demux(track):
            if self._closed:
                return
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                self._damaged += 1
                if self._damaged > MAX_DAMAGED_PACKETS:
                    raise UndecodableAudio(Fault.DAMAGED) from None
                continue
            for frame in frames:
                self._damaged = 0
                self._slicer.push(self._frames.read(frame), frame.sample_rate)
                self._put_all()

    def _put_all(self) -> None:
        """Hand on what was decoded as there is room, or nothing if the reader has stopped."""
        while (part := self._slicer.take()) is not None:
            with self._changed:
                while self._ahead > DECODED_AHEAD_SECONDS and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                self._decoded.append(part)
                self._ahead += part.seconds
            self._wake()
