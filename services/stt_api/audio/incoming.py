"""The bytes of a stream as a file for libav, which reads by blocking: fed from one thread, read from another."""

import re
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Final

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.slices import Budget

# An MP4 whose index is at its end is kept (on disk) until that has come; so much of one, and of all in this process.
MAX_SPOOL_BYTES: Final = 256 << 20
MAX_SPOOLED_BYTES: Final = 1 << 30
# Where another file begins behind the one at hand, as when a recorder was stopped and started again: libav's readers
# stop there, or go on with the first one's parameters. The second pattern is what may turn out to be such a place.
_NEXT_FILE: Final = {
    "ogg": (re.compile(rb"OggS\x00[\x02\x03\x06\x07]\x00{8}"), re.compile(rb"O(g(g(S.{0,9})?)?)?\Z", re.DOTALL)),
    "matroska": (
        re.compile(rb"\x1a\x45\xdf\xa3.{1,60}?\x42\x82.(?:webm|matroska)", re.DOTALL),
        re.compile(rb"\x1a(\x45(\xdf(\xa3.{0,70})?)?)?\Z", re.DOTALL),
    ),
    "mov": (
        re.compile(rb"\x00\x00\x00.ftyp", re.DOTALL),
        re.compile(rb"\x00(\x00(\x00(.(f(t(y)?)?)?)?)?)?\Z", re.DOTALL),
    ),
}
_LOOK_AHEAD_BYTES: Final = 80
_DROP_BYTES: Final = 64 * 1024
# A page of Ogg that does not begin a stream: several may begin at a file's beginning.
_PAGE_HEAD_BYTES: Final = 6
_LATER_PAGE: Final = re.compile(rb"OggS\x00[\x00\x01\x04\x05]")


class _Spooled:
    """Bytes that all streams of this process keep on disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._size = 0

    def add(self, size: int) -> None:
        """Count bytes that are kept, or (negative) no more. Raises UndecodableAudio if they would be too many."""
        with self._lock:
            if size > 0 and self._size + size > MAX_SPOOLED_BYTES:
                raise UndecodableAudio(Fault.INDEX_AT_END, MAX_SPOOLED_BYTES >> 20)
            self._size += size


_spooled: Final = _Spooled()


class Incoming:
    """Takes what comes; `read`, `seek` and `tell` are libav's. Files that follow each other are read one by one."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._spool: IO[bytes] | None = None
        self._patterns: tuple[re.Pattern[bytes], re.Pattern[bytes]] | None = None
        self._name = ""
        self._read_last = b""
        self._may_follow = True  # another file may follow the present one from here on
        self._holding = True  # what may be the beginning of another file waits for its rest
        self._spooled = 0
        self._position = 0  # in the present file
        self._received = self._reported = 0
        self._ended = self._closed = False
        self.starving = False  # a reader waits and there is nothing for it
        self.fault: UndecodableAudio | None = None  # why a reader finds the end before there is one

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises UndecodableAudio if more would be kept than is allowed."""
        with self._changed:
            if self._closed:
                return
            self._budget.received += len(data)
            self._received += len(data)
            self._holding = True
            if self._spool is None:
                self._waiting += data
            else:
                self._keep(data)
            self.starving = False
            self._changed.notify_all()

    def flush(self) -> None:
        """Hold nothing back for what may follow it."""
        with self._changed:
            self._holding = False
            self.starving = False
            self._changed.notify_all()

    def end(self) -> None:
        """No more bytes come."""
        with self._changed:
            self._ended = True
            self.starving = False
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing is wanted any more: a reader finds the end at once."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
        self.end()

    def waiting(self) -> int:
        """Bytes that came and were not read."""
        return len(self._waiting)

    def consumed(self, *, settled: bool) -> int:
        """Bytes done with since this was last called. `settled`: the reader waits, or is done, and so are its slices.

        What a waiting reader leaves (the beginning of something whole) is done with: its sender must not wait too.
        Before that one byte stays owed, so that what is decoded and not taken yet is never taken for nothing to do.
        """
        with self._changed:
            owed = 0 if settled else max(1, len(self._waiting))
            size = max(0, self._received - owed - self._reported)
            self._reported += size
            return size

    def head(self, size: int) -> bytes:
        """The first `size` bytes, fewer if there are no more; they stay."""
        with self._changed:
            self._wait(lambda: len(self._waiting) >= size)
            return bytes(self._waiting[:size])

    @property
    def at_end(self) -> bool:
        """Whether the present file was read to its end."""
        with self._changed:
            if self._spool is not None:
                return self._ended and self._position >= self._spooled
            return self._readable(1) < 0 or (self._ended and not self._waiting)

    def cut_files(self, name: str) -> None:
        """Look for where another file begins. `name`: of the format."""
        self._name, self._patterns = name, _NEXT_FILE.get(name)
        self._may_follow = name != "ogg"

    def next_file(self) -> bool:
        """Go on to the file behind the present one; what is left of that is left out. False if no other comes."""
        if self._patterns is None:
            return False
        while self.read(_DROP_BYTES):
            pass
        with self._changed:
            self._position, self._may_follow = 0, self._name != "ogg"
            return bool(self._waiting) and not self._closed

    def keep_all(self) -> None:
        """From now on the bytes are kept, so that `seek` works. Raises UndecodableAudio."""
        with self._changed:
            self._patterns = None
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close_file`
            self._keep(bytes(self._waiting))
            self._waiting.clear()

    def close_file(self) -> None:
        """Free what is kept; what still comes is dropped."""
        with self._changed:
            self._closed = True
            if self._spool is not None:
                self._spool.close()
                _spooled.add(-self._spooled)
                self._spooled = 0

    def read(self, size: int) -> bytes:
        """Libav's read: at least a byte, none at the file's end, or once there is a `fault`."""
        with self._changed:
            if self._spool is not None:
                self._wait(lambda: self._spooled > self._position)
                # A crafted index names places beyond any end.
                if self._closed or self._position >= self._spooled:
                    return b""
                self._spool.seek(self._position)
                data = self._spool.read(size)
            else:
                if self.fault is None:
                    self._check_header()
                if self.fault is not None:
                    return b""
                self._wait(lambda: self._readable(size) != 0)
                data = bytes(self._waiting[: max(0, self._readable(size))])
                del self._waiting[: len(data)]
                self._look_back(data)
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
                offset += self._spooled
            elif whence == 1:
                offset += self._position
            self._position = max(0, offset)
            return self._position

    def tell(self) -> int:
        """The position of the next read."""
        return self._position

    def _readable(self, size: int) -> int:
        """Bytes of the present file that can be read now, at most `size`; -1 at its end."""
        size = min(size, len(self._waiting))
        if self._patterns is None or not size:
            return size
        if not self._may_follow:
            later = _LATER_PAGE.search(self._waiting, 0, size)
            return size if later is None else later.end()
        beginning, perhaps = self._patterns
        # The file at hand begins with the same pattern.
        at = 1 if self._position == 0 else 0
        found = beginning.search(self._waiting, at, size + _LOOK_AHEAD_BYTES)
        if found is not None:
            return min(size, found.start()) or -1
        if self._holding and not self._ended:
            tail = perhaps.search(self._waiting, max(at, len(self._waiting) - _LOOK_AHEAD_BYTES))
            if tail is not None:
                size = min(size, tail.start())
        return size

    def _check_header(self) -> None:
        # Not raised here: libav may take what its read raises for the end of the file.
        try:
            self._budget.check_header()
        except UndecodableAudio as fault:
            self.fault = fault

    def _look_back(self, data: bytes) -> None:
        """Note whether another file may follow what was read now."""
        if not self._may_follow:
            self._read_last += data
            self._may_follow = _LATER_PAGE.search(self._read_last) is not None
            self._read_last = self._read_last[-_PAGE_HEAD_BYTES:]

    def _keep(self, data: bytes) -> None:
        assert self._spool is not None
        if self._spooled + len(data) > MAX_SPOOL_BYTES:
            raise UndecodableAudio(Fault.INDEX_AT_END, MAX_SPOOL_BYTES >> 20)
        _spooled.add(len(data))
        self._spool.seek(self._spooled)
        self._spool.write(data)
        self._spooled += len(data)

    def _wait(self, satisfied: Callable[[], bool]) -> None:
        while not satisfied() and not (self._ended or self._closed):
            self.starving = True
            self.on_starving()
            self._changed.wait()

    def on_starving(self) -> None:
        """Replaced by a caller that needs to be notified when a reader waits."""
