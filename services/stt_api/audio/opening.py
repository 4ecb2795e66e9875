"""Which source of audio a request needs: chosen by its query for raw audio, else by its first bytes."""

from collections.abc import Callable
from typing import Final

from stt_api.audio.containers import ContainerSource
from stt_api.audio.elementary import ID3_HEAD_BYTES, ElementarySource, id3_size
from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.formats import SNIFF_BYTES, sniff
from stt_api.audio.pcm import PcmSource
from stt_api.audio.slices import Budget, Slice, Source
from stt_api.audio.wav import WavSource, is_libavs
from stt_api.options import ListenOptions

_ELEMENTARY: Final = frozenset({"mp3", "aac", "flac"})


def open_source(options: ListenOptions, wake: Callable[[], None]) -> Source:
    """A source for a request; `wake` is called (perhaps from a thread) when there may be something to take."""
    return PcmSource(options) if options.encoding is not None else SniffedSource(options, wake)


class SniffedSource:
    """Audio that describes itself: waits for the bytes that show its format, then hands over to the source for it."""

    def __init__(self, options: ListenOptions, wake: Callable[[], None]) -> None:
        self._options = options
        self._wake = wake
        self._budget = Budget(None)
        self._head = bytearray()
        self._skip = 0  # bytes of a tag before the audio still to come
        self._counted = 0
        self._ended = False
        self._source: Source | None = None

    @property
    def channels(self) -> int:
        return self._source.channels if self._source is not None else 1

    @property
    def duration(self) -> float:
        return self._source.duration if self._source is not None else 0.0

    @property
    def idle(self) -> bool:
        return self._source is None or self._source.idle

    @property
    def finished(self) -> bool:
        return self._ended if self._source is None else self._source.finished

    def feed(self, data: bytes) -> None:
        if self._source is not None:
            self._source.feed(data)
            return
        self._budget.received += len(data)
        self._budget.check_header()
        self._head += data
        self._open()

    def flush(self) -> None:
        """Have all come that can be decoded."""
        if self._source is not None:
            self._source.flush()

    def end(self) -> None:
        self._ended = True
        if self._source is None:
            self._open()
        if self._source is not None:
            self._source.end()
        elif self._budget.received:
            raise UndecodableAudio(Fault.NO_AUDIO if not self._head else Fault.UNKNOWN_FORMAT)

    def take(self) -> Slice | None:
        return self._source.take() if self._source is not None else None

    def consumed(self) -> int:
        if self._source is not None:
            size = self._source.consumed() - self._counted
            # What was reported while the format was not known yet is not reported again.
            self._counted = max(0, -size)
            return max(0, size)
        size = self._budget.received - self._counted
        self._counted += size
        return size

    def close(self) -> None:
        self._head.clear()
        if self._source is not None:
            self._source.close()

    def _open(self) -> None:
        """Open the source if it is clear which one. Raises UndecodableAudio."""
        if not self._skip_tags():
            return
        if len(self._head) < SNIFF_BYTES and not self._ended:
            return
        name = sniff(self._head) if self._head else None
        if name is None:
            name = self._options.codec
        if name is None:
            if self._head:
                raise UndecodableAudio(Fault.UNKNOWN_FORMAT)
            return
        libavs = True
        if name == "wav":
            known = is_libavs(self._head)
            if known is None:
                return
            libavs = known
        if name in _ELEMENTARY:
            self._source = ElementarySource(self._options, name)
        elif libavs:
            self._source = ContainerSource(self._options, name, self._wake)
        else:
            self._source = WavSource(self._options)
        # Tags that were left out here belong to what was sent.
        skipped = self._budget.received - len(self._head)
        self._counted -= skipped
        self._source.feed(bytes(self._head))
        self._head.clear()

    def _skip_tags(self) -> bool:
        """Leave out the ID3 tags before the audio. Returns False if there may be more of them."""
        while True:
            size = min(self._skip, len(self._head))
            del self._head[:size]
            self._skip -= size
            if self._skip:
                return False
            if self._head[:3] != b"ID3":
                return True
            if len(self._head) < ID3_HEAD_BYTES:
                return self._ended
            self._skip = id3_size(self._head)
