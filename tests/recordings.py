"""The recorded sample in any of the formats that the engine takes, encoded on the spot."""

import io
import wave
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import av
import numpy as np

SAMPLES: Final = Path(__file__).resolve().parents[1] / "onebox" / "samples"
RATE: Final = 16_000

# name → (libav's muxer, codec, sample rate of the encoded audio)
FORMATS: Final = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "wav-8k": ("wav", "pcm_s16le", 8_000),
    "wav-44k1-stereo": ("wav", "pcm_s16le", 44_100),
    "mp3": ("mp3", "libmp3lame", 16_000),
    "aac": ("adts", "aac", 16_000),
    "flac": ("flac", "flac", 16_000),
    "ogg-opus": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "m4a": ("ipod", "aac", 44_100),
}


@cache
def speech(seconds: float | None = None) -> bytes:
    """The sample's 16-bit samples at 16 kHz, mono; all of it, or its beginning."""
    with wave.open(str(SAMPLES / "speech.wav")) as sample:
        pcm: bytes = sample.readframes(sample.getnframes())
    return pcm if seconds is None else pcm[: int(seconds * RATE) * 2]


@cache
def encoded(name: str, seconds: float | None = None) -> bytes:
    """The sample in one of FORMATS."""
    muxer, codec, rate = FORMATS[name]
    layout = "stereo" if name.endswith("stereo") else "mono"
    target = io.BytesIO()
    with av.open(target, "w", format=muxer) as container:
        stream = cast("Any", container.add_stream(codec, rate=rate, layout=layout))
        resampler = av.AudioResampler(
            format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(
            np.frombuffer(speech(seconds), dtype="<i2")[np.newaxis], format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return target.getvalue()
