import io
from typing import Any

import av
import numpy as np
import pytest

from stt_api.audio import containers
from stt_api.audio.containers import MAX_TRACKS, ContainerSource
from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.options import ListenOptions
from tests.recordings import encoded
from tests.unit.stt_api.decoded import decode


def with_tracks(*, audio: int, video: int) -> bytes:
    """A second of silence in MPEG-TS, with so many tracks of each kind."""
    target = io.BytesIO()
    with av.open(target, "w", format="mpegts") as container:
        videos = [container.add_stream("mpeg2video", rate=25, width=64, height=64) for _ in range(video)]
        audios: list[Any] = [container.add_stream("mp2", rate=16_000, layout="mono") for _ in range(audio)]
        for stream in videos:
            stream.pix_fmt = "yuv420p"
        for index in range(25):
            for stream in videos:
                frame = av.VideoFrame.from_ndarray(np.zeros((96, 64), dtype=np.uint8), format="yuv420p")
                frame.pts = index
                container.mux(stream.encode(frame))
        for stream in audios:
            for index in range(14):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1152), dtype=np.int16), format="s16", layout="mono")
                silence.sample_rate, silence.pts = 16_000, index * 1152
                container.mux(stream.encode(silence))
        for stream in (*videos, *audios):
            container.mux(stream.encode(None))
    return target.getvalue()


def test_video_is_left_out() -> None:
    assert decode(with_tracks(audio=1, video=1)).seconds == pytest.approx(1.0, abs=0.1)


def test_a_video_alone_has_no_audio() -> None:
    with pytest.raises(UndecodableAudio) as refused:
        decode(with_tracks(audio=0, video=1))
    assert refused.value.fault is Fault.NO_AUDIO_TRACK


def test_a_file_of_many_tracks_is_refused() -> None:
    with pytest.raises(UndecodableAudio):
        decode(with_tracks(audio=MAX_TRACKS + 1, video=0))


def test_a_closed_source_ends_its_thread_at_once() -> None:
    source = ContainerSource(ListenOptions(), "matroska", lambda: None)
    source.feed(encoded("webm", 18.0))
    source.close()
    source._thread.join(60)
    assert not source._thread.is_alive()


def test_what_nobody_foresaw_in_the_thread_reaches_whoever_takes_the_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise AttributeError("not foreseen")

    data = encoded("webm", 1.0)
    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(AttributeError, match="not foreseen"):
        decode(data)


def test_memory_that_is_not_there_is_a_fault_of_the_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise MemoryError

    data = encoded("webm", 1.0)
    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(UndecodableAudio) as refused:
        decode(data)
    assert refused.value.fault is Fault.MEMORY


def test_libav_may_open_no_address_and_no_other_file() -> None:
    assert containers._OPTIONS["protocol_whitelist"] == "none"
    assert "h264" not in containers._OPTIONS["codec_whitelist"].split(",")
