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
# What else people send; recorded only, or rarely.
OTHER_FORMATS: Final = {
    "wav-u8": ("wav", "pcm_u8", 16_000),
    "wav-s24": ("wav", "pcm_s24le", 16_000),
    "wav-s32": ("wav", "pcm_s32le", 16_000),
    "wav-f32": ("wav", "pcm_f32le", 16_000),
    "wav-f64": ("wav", "pcm_f64le", 16_000),
    "wav-alaw": ("wav", "pcm_alaw", 8_000),
    "wav-mulaw": ("wav", "pcm_mulaw", 8_000),
    "wav-adpcm": ("wav", "adpcm_ima_wav", 16_000),
    "mp3-44k1": ("mp3", "libmp3lame", 44_100),
    "mp3-48k-stereo": ("mp3", "libmp3lame", 48_000),
    "aac-44k1-stereo": ("adts", "aac", 44_100),
    "flac-48k-stereo": ("flac", "flac", 48_000),
    "mp2": ("mp2", "mp2", 16_000),
    "mp4-fragmented": ("mp4", "aac", 16_000),
    "mp4-opus": ("mp4", "libopus", 48_000),
    "m4a-alac": ("ipod", "alac", 16_000),
    "caf": ("caf", "pcm_s16le", 16_000),
    "aiff": ("aiff", "pcm_s16be", 16_000),
    "au": ("au", "pcm_s16be", 16_000),
    "amr": ("amr", "libopencore_amrnb", 8_000),
    "mpegts": ("mpegts", "aac", 16_000),
}
_MUXER_OPTIONS: Final = {
    # As Safari's recorder does, with a fragment every 0.3 s.
    "mp4-fragmented": {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "300000"},
}


@cache
def speech(seconds: float | None = None) -> bytes:
    """The sample's 16-bit samples at 16 kHz, mono; all of it, or its beginning."""
    with wave.open(str(SAMPLES / "speech.wav")) as sample:
        pcm: bytes = sample.readframes(sample.getnframes())
    return pcm if seconds is None else pcm[: int(seconds * RATE) * 2]


@cache
def as_16k(path: Path) -> bytes:
    """A recording's 16-bit samples at 16 kHz, mono."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [found for frame in container.decode(audio=0) for found in resampler.resample(frame)]
    return b"".join(frame.to_ndarray().tobytes() for frame in (*frames, *resampler.resample(None)))


@cache
def encoded(name: str, seconds: float | None = None) -> bytes:
    """The sample in one of FORMATS or OTHER_FORMATS."""
    muxer, codec, rate = {**FORMATS, **OTHER_FORMATS}[name]
    layout = "stereo" if name.endswith("stereo") else "mono"
    target = io.BytesIO()
    with av.open(target, "w", format=muxer, options=_MUXER_OPTIONS.get(name, {})) as container:
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
