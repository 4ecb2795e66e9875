"""A source of audio that works on bytes as they come, in steps: what the ones of this kind share."""

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Final

import av

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.slices import Slice, Slicer
from stt_api.options import ListenOptions

# Bytes may hold no audio for long (tags, garbage): after so many steps the process's other streams have their turn.
STEPS_A_TURN: Final = 200


class ByteSource(ABC):
    """Bytes are kept in `waiting`; a step of `decode` turns some of them into samples. Performs no I/O."""

    def __init__(self, options: ListenOptions) -> None:
        self.waiting = bytearray()
        self.ended = False
        self._slicer = Slicer(options)
        self._slicer.budget.waiting = self.waiting.__len__
        self._taken = Fraction(0)
        self._counted = 0
        self._starved = self._over = False
        self._failure: UndecodableAudio | None = None

    @abstractmethod
    def decode(self, slicer: Slicer) -> bool:
        """Take a step. False: more bytes are needed, or at the end nothing is left. Raises UndecodableAudio."""

    @property
    def channels(self) -> int:
        return self._slicer.channels

    @property
    def duration(self) -> float:
        return float(self._taken)

    @property
    def idle(self) -> bool:
        return (self._starved or self._over) and self._failure is None

    @property
    def finished(self) -> bool:
        return self._over and self._failure is None

    def feed(self, data: bytes) -> None:
        self.waiting += data
        self._slicer.budget.received += len(data)
        self._starved = False

    def flush(self) -> None:
        """Have `decode` look again at what waits."""
        self._starved = False

    def end(self) -> None:
        self.ended = True
        self._starved = False

    def take(self) -> Slice | None:
        for _ in range(STEPS_A_TURN):
            part = self._slicer.take()
            if part is not None:
                self._taken += part.seconds
                return part
            if self._failure is not None:
                raise self._failure
            if self._over or self._starved:
                return None
            self._step()
        # Nothing yet, but more to do: other streams come first.
        return Slice((b"",) * self.channels)

    def consumed(self) -> int:
        # What waits for more bytes is done with for the sender: it must not wait too. Before that one byte stays owed:
        # samples may be left of the others.
        waiting = 0 if self._starved or self._over else max(1, len(self.waiting))
        size = max(0, self._slicer.budget.received - waiting - self._counted)
        self._counted += size
        return size

    def close(self) -> None:
        self.waiting.clear()
        self._over = True

    def _step(self) -> None:
        try:
            self._slicer.budget.check_header()
            if self.decode(self._slicer):
                return
            if not self.ended:
                self._starved = True
                return
            self._slicer.budget.check_any()
        except UndecodableAudio as failure:
            self._failure = failure
        except MemoryError:
            self._failure = UndecodableAudio(Fault.MEMORY)
        except (av.FFmpegError, ValueError):
            self._failure = UndecodableAudio(Fault.DAMAGED)
        self._slicer.flush()
        self._over = True
