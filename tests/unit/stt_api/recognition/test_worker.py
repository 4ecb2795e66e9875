import io
import os
import subprocess
import sys
import threading
import time

import pytest

from stt_api.options import ListenOptions
from stt_api.recognition.engine import Engine
from stt_api.recognition.events import (
    FLUSH_BYTES,
    HEADER,
    Consumed,
    Ended,
    Event,
    Failed,
    Kind,
    Transcript,
    Undecodable,
    Word,
    frame,
    from_json,
)
from stt_api.recognition.worker import Stream, Worker
from tests.recordings import encoded, speech
from tests.unit.stt_api.decoded import flac_header, flac_silence


def run(stream: Stream) -> None:
    deadline = time.monotonic() + 60
    while not stream.over:
        assert time.monotonic() < deadline, "the stream did not end within 60 s"
        stream.step()


@pytest.mark.parametrize("container", [False, True])
def test_a_stream_is_recognised_to_its_end(recognition: Engine, sentence: bytes, *, container: bool) -> None:
    events: list[Event] = []
    options = ListenOptions(encoding=None if container else "linear16")
    stream = Stream(options, recognition, events.append, lambda: None)
    data = encoded("wav", 5.3) if container else sentence
    stream.command(Kind.AUDIO, data)
    stream.command(Kind.END, b"")
    run(stream)
    assert events[-1] == Ended(duration=5.3, channels=1)
    words = [word.text for event in events if isinstance(event, Transcript) for word in event.words]
    assert words[-2:] == ["old", "bridge"]


def test_finalize_takes_effect_between_the_audio_before_and_after_it(recognition: Engine, sentence: bytes) -> None:
    events: list[Event] = []
    stream = Stream(ListenOptions(encoding="linear16"), recognition, events.append, lambda: None)
    stream.command(Kind.AUDIO, sentence[:64_000])
    stream.command(Kind.FLUSH, b"")
    stream.command(Kind.AUDIO, sentence[64_000:])
    stream.command(Kind.END, b"")
    run(stream)
    found = [event for event in events if isinstance(event, Transcript)]
    assert found[0].from_finalize
    assert sum(event.from_finalize for event in found) == 1
    assert sum(event.size for event in events if isinstance(event, Consumed)) <= len(sentence) + FLUSH_BYTES


def test_bytes_that_are_no_audio_end_their_stream_alone(recognition: Engine) -> None:
    events: list[Event] = []
    stream = Stream(ListenOptions(), recognition, events.append, lambda: None)
    stream.command(Kind.AUDIO, b"this is text, not audio")
    run(stream)
    assert isinstance(events[-1], Undecodable)


def test_what_was_heard_before_a_fault_is_reported_with_its_duration(recognition: Engine) -> None:
    events: list[Event] = []
    stream = Stream(ListenOptions(), recognition, events.append, lambda: None)
    # Speech, and behind it a file of a sample rate that is not allowed.
    stream.command(Kind.AUDIO, encoded("flac", 3.0) + flac_header(1) + flac_silence(0))
    stream.command(Kind.END, b"")
    run(stream)
    assert events[-1] == Undecodable(
        reason="the sample rate is 1 Hz; allowed are 4000 to 192000 Hz", duration=3.0, channels=1
    )
    finals = [event for event in events if isinstance(event, Transcript) and event.final]
    assert [word.text for event in finals for word in event.words][:3] == ["the", "morning", "was"]
    assert finals[-1].end == 3.0


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "webm", "mp4-fragmented"])
def test_finalize_on_a_container_makes_all_that_was_sent_final(recognition: Engine, name: str) -> None:
    events: list[Event] = []
    woken = threading.Event()
    stream = Stream(ListenOptions(endpointing_ms=None), recognition, events.append, woken.set)
    stream.command(Kind.AUDIO, encoded(name, 2.0))
    stream.command(Kind.FLUSH, b"")
    deadline = time.monotonic() + 60
    while not any(isinstance(event, Transcript) and event.from_finalize for event in events):
        assert time.monotonic() < deadline, "nothing followed the flush within 60 s"
        if not stream.step():
            woken.wait(0.05)
            woken.clear()
    (final,) = [event for event in events if isinstance(event, Transcript)]
    assert final.end == pytest.approx(2.0, abs=0.16)
    assert [word.text for word in final.words][:3] == ["the", "morning", "was"]
    stream.close()


def test_finalize_before_the_first_audio_does_not_settle_the_channels(recognition: Engine) -> None:
    events: list[Event] = []
    stream = Stream(ListenOptions(multichannel=True, channels=2), recognition, events.append, lambda: None)
    stream.command(Kind.FLUSH, b"")
    stream.command(Kind.AUDIO, encoded("wav-44k1-stereo", 0.5))
    stream.command(Kind.END, b"")
    run(stream)
    assert events[-1] == Ended(duration=0.5, channels=2)


class Counting:
    """An engine that understands nothing and counts its interims; each interim's pause is 0.1 s, or 2 s if behind."""

    recorded_silence_ms: int | None = None

    def __init__(self) -> None:
        self.interims = 0

    def recognizer(self) -> "Counting":
        return self

    def begin(self) -> None: ...

    def feed(self, audio: bytes, *, speech: bool) -> None: ...

    def interim(self) -> tuple[Word, ...]:
        self.interims += 1
        return (Word("word", 0.0, 0.1, 1.0, f"word {self.interims}"),)

    def final(self) -> tuple[Word, ...]:
        return (Word("final", 0.0, 0.1, 1.0),)

    def close(self) -> None: ...

    def pause(self, seconds: float, *, behind: bool) -> float:
        return 2.0 if behind else 0.1


LIVE = ListenOptions(encoding="linear16", interim_results=True)


def test_interims_are_thinned_when_a_stream_is_behind_and_finals_are_not() -> None:
    pcm = speech(10.0)
    in_time, behind = Counting(), Counting()
    events: dict[Counting, list[Event]] = {in_time: [], behind: []}
    for engine, size in ((in_time, 3200), (behind, len(pcm))):
        stream = Stream(LIVE, engine, events[engine].append, lambda: None)
        for at in range(0, len(pcm), size):
            stream.command(Kind.AUDIO, pcm[at : at + size])
            while stream.step():
                pass
        stream.command(Kind.END, b"")
        run(stream)
    finals = {
        engine: [event.end for event in found if isinstance(event, Transcript) and event.final]
        for engine, found in events.items()
    }
    assert finals[in_time] == finals[behind]
    assert behind.interims < in_time.interims / 4


def test_who_leaves_gets_no_further_step() -> None:
    """A step may take a second, so the commands are read between the streams' steps."""
    incoming, sending = os.pipe()
    engine = Counting()
    with os.fdopen(incoming, "rb") as commands, os.fdopen(sending, "wb") as sender:
        worker = Worker(commands, io.BytesIO(), engine)
        for number in (1, 2):
            worker._obey(Kind.OPEN, number, LIVE.to_json().encode())
            worker._obey(Kind.AUDIO, number, bytes(64_000))
        left = worker._streams[2]
        worker._inbox.put((Kind.ABORT, 2, b""))
        assert worker._work()
        assert left.over
        assert list(worker._streams) == [1]
        assert left._source.duration == 0.0
        worker._inbox.put(None)
        assert worker._work()
        assert not worker._receive(block=False)
        del sender


@pytest.mark.parametrize("kind", [Kind.AUDIO, Kind.FLUSH, Kind.END, Kind.READY])
def test_a_command_that_comes_behind_its_streams_step_is_work_to_do(kind: Kind) -> None:
    """Its sender may wait for just this one to be done, and send nothing else that would wake the process."""
    worker = Worker(io.BytesIO(), io.BytesIO(), Counting())
    worker._obey(Kind.OPEN, 1, LIVE.to_json().encode())
    assert not worker._work()
    # It is received after the step of a stream that had nothing to do.
    worker._inbox.put((kind, 1, bytes(3200) if kind is Kind.AUDIO else b""))
    assert worker._work()


def test_a_command_that_cannot_be_read_ends_the_process_with_its_reason() -> None:
    """Its reader is a thread, whose own report could come after the process's end."""
    with pytest.raises(ValueError, match="99"):
        Worker(io.BytesIO(HEADER.pack(0, 99, 1)), io.BytesIO(), Counting()).run()


@pytest.mark.parametrize(
    ("error", "event"), [(MemoryError(), Undecodable), (RuntimeError("can't start new thread"), Failed)]
)
def test_a_stream_that_cannot_be_opened_ends_alone(
    monkeypatch: pytest.MonkeyPatch, error: Exception, event: type[Event]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("stt_api.recognition.worker.open_source", fail)
    output = io.BytesIO()
    worker = Worker(io.BytesIO(), output, Counting())
    worker._obey(Kind.OPEN, 1, LIVE.to_json().encode())
    assert isinstance(from_json(output.getvalue()[HEADER.size :]), event)
    assert not worker._streams


def test_memory_beyond_the_bound_is_a_failed_allocation() -> None:
    code = (
        "from stt_api.recognition.worker import limit_memory\n"
        "limit_memory('300')\n"
        "limit_memory('600')\n"  # a tighter bound stays
        "try:\n    bytearray(400 << 20)\nexcept MemoryError:\n    print('refused')"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "refused"


def test_a_process_serves_frames_until_its_commands_end(recognition: Engine, sentence: bytes) -> None:
    incoming, sending = os.pipe()
    output = io.BytesIO()
    with os.fdopen(incoming, "rb") as commands, os.fdopen(sending, "wb") as sender:
        sender.write(frame(Kind.OPEN, 3, ListenOptions(encoding="linear16").to_json().encode()))
        sender.write(frame(Kind.AUDIO, 3, sentence[:32_000]) + frame(Kind.END, 3) + frame(Kind.ABORT, 99))
        sender.flush()
        sender.close()
        worker = Worker(commands, output, recognition)
        worker.run()
        while worker._work():
            pass
    data, kinds = output.getvalue(), []
    while data:
        length, kind, _ = HEADER.unpack(data[: HEADER.size])
        kinds.append((Kind(kind), data[HEADER.size : HEADER.size + length]))
        data = data[HEADER.size + length :]
    assert kinds[0][0] is Kind.READY
    assert from_json(kinds[-1][1]) == Ended(duration=1.0, channels=1)


def test_a_process_loads_nothing_of_http() -> None:
    """It would be two thirds of the time that a process takes to load, and memory of each one."""
    loaded = (
        "import sys, stt_api.recognition.worker, stt_api.recognition.sphinx, stt_api.recognition.moonshine\n"
        "print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60)
    assert not {"aiohttp", "aldea.errors", "pydantic", "requests"} & set(said.stdout.split())
