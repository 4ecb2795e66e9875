"""`make accuracy`: how well and how fast the engines of the embedded STT server understand.

Each engine that is installed, with one recognition process: word error rates of each recording in each form (recorded,
and streamed live), computing per second of audio, memory of the process, when the first words of a stream come, and how
many streams one process serves in real time (`--streams` for that alone, 4 min).
"""

import argparse
import asyncio
import io
import json
import os
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import aiohttp
import av
import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from aldea.canary.accuracy import word_error_rate
from aldea.canary.client import stream_file
from benchmarks import accuracy_streams, machine
from onebox.demo import SAMPLE
from onebox.human_speech import RECORDINGS, recording
from onebox.ports import free_port
from onebox.process import Process, ProcessSpec
from onebox.stores import http_ok

Samples = NDArray[np.int16]

RATE: Final = 16_000
ENGINES: Final = ("moonshine", "pocketsphinx")
NOISE_DB: Final = 10.0
# Where somebody begins to speak in SAMPLE (tests/support/word_times.py).
SAMPLE_SPEECH_SECONDS: Final = 0.18


def forms() -> dict[str, Callable[[Samples], bytes]]:
    """How a recording is sent: name → from 16 kHz samples to the body."""
    return {
        "16 kHz WAV": (lambda samples: _encoded(samples, "wav", "pcm_s16le", RATE)),
        "8 kHz µ-law": (lambda samples: _encoded(samples, "wav", "pcm_mulaw", 8_000)),
        "44.1 kHz MP3": (lambda samples: _encoded(samples, "mp3", "libmp3lame", 44_100)),
        "WebM/Opus": (lambda samples: _encoded(samples, "webm", "libopus", 48_000)),
        f"{NOISE_DB:g} dB of noise": (lambda samples: _encoded(_noisy(samples), "wav", "pcm_s16le", RATE)),
    }


def _noisy(samples: Samples) -> Samples:
    """White noise, NOISE_DB below the mean power of what is not silence."""
    loud = samples[np.abs(samples) > 50].astype(float)
    noise = np.random.default_rng(0).normal(0, np.sqrt(np.mean(loud**2) / 10 ** (NOISE_DB / 10)), len(samples))
    return (samples + noise).clip(-32_768, 32_767).astype(np.int16)


def _encoded(samples: Samples, muxer: str, codec: str, rate: int) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=muxer) as container:
        stream = cast("Any", container.add_stream(codec, rate=rate, layout="mono"))
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return target.getvalue()


def samples_of(path: Path) -> Samples:
    """A recording at 16 kHz, mono."""
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(str(path)) as container:
        frames = [found for frame in container.decode(audio=0) for found in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in (*frames, *resampler.resample(None))])


@dataclass(frozen=True, slots=True)
class Spoken:
    """A recording and its true text."""

    name: str
    samples: Samples
    truth: str

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / RATE


def recordings(*, quick: bool) -> list[Spoken]:
    """The made-up voice, and the people where they are installed."""
    found = [Spoken("speech", samples_of(SAMPLE), SAMPLE.with_suffix(".txt").read_text())]
    for name, truth in RECORDINGS.items():
        if (path := recording(name)) is not None and not (quick and name != "beckett.wav"):
            found.append(Spoken(path.stem, samples_of(path), truth))
    return found


class Server:
    """An STT server with one engine and one recognition process."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def upload(self, session: aiohttp.ClientSession, body: bytes) -> str:
        """The words of a recording."""
        async with session.post(f"{self.url}/v1/listen", data=body) as response:
            found = await response.json()
            if response.status != 200:
                raise RuntimeError(f"the upload's response has status {response.status}: {found}")
            return str(found["results"]["channels"][0]["alternatives"][0]["transcript"])

    async def worker(self, session: aiohttp.ClientSession) -> psutil.Process:
        """Its recognition process."""
        async with session.get(f"{self.url}/stats") as response:
            return psutil.Process((await response.json())["workers"][0]["pid"])


@contextmanager
def serving(engine: str, folder: Path) -> Iterator[Server]:
    """A server that is ready."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    spec = ProcessSpec(
        name=engine,
        argv=(sys.executable, "-m", "stt_api"),
        env={
            **os.environ,
            "PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "STT_ENGINE": engine,
            "STT_WORKERS": "1",
            "STT_STREAMS_PER_WORKER": str(max(accuracy_streams.STREAMS)),
            "LOG_LEVEL": "ERROR",
        },
        ready=lambda: http_ok(f"{url}/readyz"),
    )
    process = Process(spec, log=folder / f"{engine}.log").start()
    try:
        yield Server(url)
    finally:
        process.stop()


async def measure(server: Server, spoken: list[Spoken], folder: Path, *, quick: bool) -> dict[str, Any]:
    """The figures of one engine."""
    rates: dict[str, dict[str, float]] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:
        worker = await server.worker(session)
        idle = worker.memory_info().rss
        computed = heard = behind = streamed = 0.0
        for one in spoken:
            rates[one.name] = {}
            for form, encode in forms().items():
                body = encode(one.samples)
                before = _computing(worker)
                text = await server.upload(session, body)
                computed, heard = computed + _computing(worker) - before, heard + one.seconds
                rates[one.name][form] = round(word_error_rate(one.truth, text), 3)
            path = _wav(folder / f"{one.name}.wav", one.samples)
            before = _computing(worker)
            # Faster than it was spoken, so the process is behind and interims are thinned.
            live = await stream_file(path, server.url, "none", fast=True)
            behind, streamed = behind + _computing(worker) - before, streamed + one.seconds
            rates[one.name]["16 kHz, live"] = round(word_error_rate(one.truth, live.transcript), 3)
        before = _computing(worker)
        first = await stream_file(SAMPLE, server.url, "none")
        in_time = _computing(worker) - before
        figures = {
            "word_error_rate": rates,
            "computing_per_second_of_audio": {
                "recorded": round(computed / heard, 3),
                "live": round(in_time / first.duration, 3),
                "live, behind": round(behind / streamed, 3),
            },
            "first_words_seconds": round((first.first_words_seconds or 0.0) - SAMPLE_SPEECH_SECONDS, 2),
            "last_words_seconds": round(first.last_words_seconds, 2),
        }
        if not quick:
            figures["streams"] = await streams(server, spoken, folder)
        return {**figures, "memory_mb": {"idle": idle >> 20, "most": _peak_mb(worker)}}


async def streams(server: Server, spoken: list[Spoken], folder: Path) -> dict[str, dict[str, float]]:
    """Streams at once → when their words came; of a person who reads, where that recording is installed."""
    one = spoken[min(1, len(spoken) - 1)]
    path = _wav(folder / "stream.wav", one.samples[: int(accuracy_streams.STREAM_SECONDS * RATE)])
    return await accuracy_streams.served(server.url, path, accuracy_streams.onset(one.samples, RATE))


def _computing(worker: psutil.Process) -> float:
    times = worker.cpu_times()
    return float(times.user + times.system)


def _peak_mb(worker: psutil.Process) -> int:
    for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) >> 10
    return 0


def _wav(path: Path, samples: Samples) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


def show(report: dict[str, Any]) -> None:
    """The figures as tables."""
    console = Console(width=120)
    engines = report["engines"]
    if all("word_error_rate" in found for found in engines.values()):
        _show_accuracy(console, engines)
    for engine, found in engines.items():
        if "streams" in found:
            _show_streams(console, engine, found["streams"])
    console.print(f"Others kept {report['others_cores']} cores busy meanwhile.")


def _show_accuracy(console: Console, engines: dict[str, dict[str, Any]]) -> None:
    rates = Table(title="word error rate", title_justify="left")
    for column in ("recording", "form", *engines):
        rates.add_column(column)
    first = next(iter(engines.values()))["word_error_rate"]
    for name, by_form in first.items():
        for form in by_form:
            rates.add_row(name, form, *(f"{found['word_error_rate'][name][form]:.3f}" for found in engines.values()))
    others = Table(title="one recognition process", title_justify="left")
    for column in ("figure", *engines):
        others.add_column(column)
    for key in ("computing_per_second_of_audio", "first_words_seconds", "last_words_seconds", "memory_mb"):
        others.add_row(key.replace("_", " "), *(str(found[key]) for found in engines.values()))
    console.print(rates, others)


def _show_streams(console: Console, engine: str, found: dict[str, dict[str, float]]) -> None:
    table = Table(
        title=f"{engine}: {accuracy_streams.in_time(found)} streams in time on one core (seconds)", title_justify="left"
    )
    for column in ("streams", *next(iter(found.values()))):
        table.add_column(column.replace("_", " "))
    for count, one in found.items():
        table.add_row(count, *(f"{value:.2f}" for value in one.values()))
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short recordings, no test of many streams")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="measure this engine alone")
    parser.add_argument("--streams", action="store_true", help="only how many streams a process serves in real time")
    options = parser.parse_args()
    spoken = recordings(quick=options.quick)
    company = machine.Company()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for engine in options.engine or (ENGINES if len(spoken) > 1 else ENGINES[1:]):
            with serving(engine, Path(name)) as server:
                if options.streams:
                    found[engine] = {"streams": asyncio.run(streams(server, spoken, Path(name)))}
                else:
                    found[engine] = asyncio.run(measure(server, spoken, Path(name), quick=options.quick))
    report = {"machine": machine.facts(), "others_cores": company.cores(), "engines": found}
    if options.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        show(report)


if __name__ == "__main__":
    main()
