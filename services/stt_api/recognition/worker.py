"""A recognition process: many streams, recognised in turns of a tenth of a second; frames in on stdin, out on stdout.

It ends when its stdin does, so it never outlives the process that it serves.
"""

import faulthandler
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.opening import open_source
from stt_api.options import ListenOptions
from stt_api.recognition.channel import ChannelRecognizer
from stt_api.recognition.engine import Engine, load
from stt_api.recognition.events import (
    ENGINE_VARIABLE,
    FLUSH_BYTES,
    HEADER,
    MEMORY_VARIABLE,
    MODEL_PATH_VARIABLE,
    Consumed,
    Ended,
    Event,
    Failed,
    Kind,
    Undecodable,
    frame,
    to_json,
)

Emit = Callable[[Event], None]
Command = tuple[Kind, int, bytes]

# A stream is behind its sender once so many slices (of a tenth of a second) were taken without ever having it all.
BEHIND_SLICES: Final = 10
# Wakes the main loop without saying anything else.
_WAKE: Final[Command] = (Kind.READY, 0, b"")


class Stream:
    """One stream: its source of audio and a recogniser for each channel of it."""

    def __init__(self, options: ListenOptions, engine: Engine, emit: Emit, wake: Callable[[], None]) -> None:
        self._options = options
        self._engine = engine
        self._emit = emit
        self._source = open_source(options, wake)
        self._recognizers: list[ChannelRecognizer] = []
        self._commands: deque[tuple[Kind, bytes]] = deque()
        self._flushing = False
        self._slices = 0  # taken since the last time that nothing waited
        self.over = False

    def command(self, kind: Kind, payload: bytes) -> None:
        """Queue what the caller sent; it takes effect in order."""
        self._commands.append((kind, payload))

    def step(self) -> bool:
        """Do a little work. Returns whether there was any."""
        try:
            return self._step()
        except UndecodableAudio as error:
            self._give_up(error)
        except MemoryError:
            self._end(Undecodable(reason=Fault.MEMORY.value))
        except Exception as error:  # noqa: BLE001 - one stream's trouble must not end the others
            self._end(Failed(reason=f"{type(error).__name__}: {error}"))
        return True

    def close(self) -> None:
        """Drop everything."""
        self.over = True
        self._source.close()
        for recognizer in self._recognizers:
            recognizer.close()

    def _step(self) -> bool:
        worked = self._obey()
        part = self._source.take()
        if part is not None:
            recognizers = self._prepared()
            self._slices = 0 if self._source.idle else self._slices + 1
            for recognizer, pcm in zip(recognizers, part.channels, strict=True):
                self._emit_all(recognizer.feed(pcm, behind=self._slices >= BEHIND_SLICES))
            worked = True
        elif self._source.finished:
            for recognizer in self._prepared():
                self._emit_all(recognizer.finish(self._source.duration))
            self._end(Ended(duration=round(self._source.duration, 6), channels=self._source.channels))
            return True
        if (size := self._source.consumed()) > 0:
            self._emit(Consumed(size=size))
        # A flush may have waited for just this.
        return worked or bool(self._commands and self._source.idle)

    def _obey(self) -> bool:
        obeyed = False
        while self._commands:
            kind, payload = self._commands[0]
            if kind is Kind.FLUSH:
                # Everything sent before it is recognised first, nothing sent after it.
                if not self._flushing:
                    self._flushing = True
                    self._source.flush()
                if not self._source.idle:
                    break
                self._flushing = False
                for recognizer in self._prepared():
                    self._emit_all(recognizer.flush())
                self._emit(Consumed(size=FLUSH_BYTES))
            elif kind is Kind.AUDIO:
                self._source.feed(payload)
            else:
                self._source.end()
            self._commands.popleft()
            obeyed = True
        return obeyed

    def _prepared(self) -> list[ChannelRecognizer]:
        count = self._source.channels
        # Their number is known with the first audio; until then nothing was heard by the one that is there.
        if len(self._recognizers) != count:
            for recognizer in self._recognizers:
                recognizer.close()
            self._recognizers = [
                ChannelRecognizer(self._engine, self._options, channel, count) for channel in range(count)
            ]
        return self._recognizers

    def _emit_all(self, events: list[Event]) -> None:
        for event in events:
            self._emit(event)

    def _give_up(self, fault: UndecodableAudio) -> None:
        """What was heard before the fault is reported, as it is billed."""
        duration = round(self._source.duration, 6)
        if duration:
            for recognizer in self._prepared():
                self._emit_all(recognizer.finish(duration))
        self._end(Undecodable(reason=str(fault), duration=duration, channels=self._source.channels))

    def _end(self, last: Event) -> None:
        self._emit(last)
        self.close()


class Worker:
    """The process's main loop."""

    def __init__(self, commands: BinaryIO, responses: BinaryIO, engine: Engine) -> None:
        self._commands = commands
        self._responses = responses
        self._inbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._streams: dict[int, Stream] = {}
        self._engine = engine
        self._reading_failed: Exception | None = None
        self._obeyed = False  # a command since the last round of work began

    def run(self) -> None:
        """Serve until the commands end. Raises what else ended the reading of them."""
        threading.Thread(target=self._read, name="commands", daemon=True).start()
        self._write(frame(Kind.READY))
        while self._receive(block=not self._work()):
            pass
        if self._reading_failed is not None:
            raise self._reading_failed

    def _read(self) -> None:
        try:
            while len(header := self._commands.read(HEADER.size)) == HEADER.size:
                length, kind, stream = HEADER.unpack(header)
                self._inbox.put((Kind(kind), stream, self._commands.read(length)))
        except Exception as error:  # noqa: BLE001 - the main loop raises it: this thread's own report might come too late
            self._reading_failed = error
        finally:
            # Whatever ended the reading: the main loop must not wait for it.
            self._inbox.put(None)

    def _receive(self, *, block: bool) -> bool:
        """Take all commands that came, waiting for one if `block`. False once no more can come."""
        try:
            while True:
                command = self._inbox.get(block=block)
                if command is None:
                    return False
                self._obey(*command)
                block = False
        except queue.Empty:
            return True

    def _obey(self, kind: Kind, number: int, payload: bytes) -> None:
        self._obeyed = True
        if kind is Kind.OPEN:
            self._open(number, payload)
        elif kind is Kind.ABORT:
            if (stream := self._streams.pop(number, None)) is not None:
                stream.close()
        elif kind is not Kind.READY and (stream := self._streams.get(number)) is not None:
            stream.command(kind, payload)

    def _open(self, number: int, payload: bytes) -> None:
        def emit(event: Event) -> None:
            self._write(frame(Kind.EVENT, number, to_json(event)))

        def wake() -> None:
            self._inbox.put(_WAKE)

        try:
            self._streams[number] = Stream(ListenOptions.from_json(payload), self._engine, emit, wake)
        except UndecodableAudio as fault:
            emit(Undecodable(reason=str(fault)))
        except MemoryError:
            emit(Undecodable(reason=Fault.MEMORY.value))
        except Exception as error:  # noqa: BLE001 - one stream's trouble must not end the others
            emit(Failed(reason=f"{type(error).__name__}: {error}"))

    def _work(self) -> bool:
        """Give each stream a step. Returns whether there may be more to do."""
        worked = self._obeyed = False
        for number, stream in list(self._streams.items()):
            if number not in self._streams:
                continue
            worked |= stream.step()
            if stream.over:
                self._streams.pop(number, None)
            # A step may take a second: who has left meanwhile gets no other one.
            if not self._receive(block=False):
                self._inbox.put(None)
                return True
        # What was received here may be for a stream that had its step, and nothing else may come to wake it.
        return worked or self._obeyed

    def _write(self, data: bytes) -> None:
        self._responses.write(data)
        self._responses.flush()


def limit_memory(megabytes: str | None) -> None:
    """Have allocations beyond the bound fail, so that no audio takes the machine's memory. None or empty: no bound.

    RLIMIT_DATA counts what is written to; RLIMIT_AS would count the address space that threads merely reserve.
    """
    if megabytes:
        size, (_, most) = int(megabytes) << 20, resource.getrlimit(resource.RLIMIT_DATA)
        # The service may have been started with a tighter bound, which cannot be raised.
        size = size if most == resource.RLIM_INFINITY else min(size, most)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def leave_traces() -> None:
    """Have a fault of a library print the stacks of all threads, and SIGUSR1 print them at any time."""
    faulthandler.enable()
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1)


def main() -> None:
    """Serve the process's own stdin and stdout."""
    leave_traces()
    # The serving process decides when this one ends, after its drain; a terminal or a supervisor may signal both.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    limit_memory(os.environ.get(MEMORY_VARIABLE))
    # Whatever prints to stdout must not get between the frames.
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    status = 1
    try:
        folder = os.environ.get(MODEL_PATH_VARIABLE)
        engine = load(os.environ[ENGINE_VARIABLE], Path(folder) if folder else None)
        Worker(sys.stdin.buffer, responses, engine).run()
        status = 0
    except BrokenPipeError:
        print("recognition: the serving process reads no more", file=sys.stderr)  # noqa: T201 - it may have ended
    except BaseException:  # noqa: BLE001 - printed here, since nothing runs after os._exit
        traceback.print_exc()
    finally:
        # Decoding threads may still be waiting for input that never comes.
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
