"""A transcript of `/v1/listen` in OpenAI's response formats. Pure."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from http_proxy.openai.options import Options

CONTENT_TYPES: Final = {
    "json": "application/json",
    "verbose_json": "application/json",
    "text": "text/plain",
    "srt": "text/plain",
    "vtt": "text/plain",
}
EVENT_STREAM: Final = "text/event-stream"
# A segment ends with a sentence, before a pause, or when it has grown to what fits two lines of a caption.
PAUSE_SECONDS: Final = 1.0
MAX_SEGMENT_CHARACTERS: Final = 84
_ENDS: Final = (".", "?", "!")


class Unreadable(ValueError):
    """The STT server's response is none of `/v1/listen`."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is written, with its times in seconds."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood. `words`: of all channels, in the order of time."""

    text: str
    duration: float
    words: tuple[Word, ...]


def read_transcript(body: bytes) -> Transcript:
    """The transcript in a response of `/v1/listen`. Raises Unreadable."""
    try:
        found = json.loads(body)
        texts, words = [], []
        for channel in found["results"]["channels"]:
            best = channel["alternatives"][0]
            texts.append(str(best["transcript"]))
            for word in best.get("words", ()):
                text = str(word.get("punctuated_word", word["word"]))
                words.append(Word(text, float(word["start"]), float(word["end"]), float(word["confidence"])))
        duration = float(found["metadata"]["duration"])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None
    return Transcript("\n".join(filter(None, texts)), duration, tuple(sorted(words, key=lambda word: word.start)))


def segments(transcript: Transcript) -> list[list[Word]]:
    """The words by segments."""
    found: list[list[Word]] = []
    length = 0
    for word in transcript.words:
        last = found[-1] if found else []
        if (
            not last
            or last[-1].text.endswith(_ENDS)
            or word.start - last[-1].end > PAUSE_SECONDS
            or length + len(word.text) >= MAX_SEGMENT_CHARACTERS
        ):
            found.append([])
            length = 0
        found[-1].append(word)
        length += len(word.text) + 1
    return found


def written(transcript: Transcript, options: Options) -> str:
    """The response's body."""
    match options.response_format:
        case "text":
            return f"{transcript.text}\n"
        case "srt":
            return "".join(_srt(transcript))
        case "vtt":
            return "WEBVTT\n\n" + "".join(_vtt(transcript))
        case "verbose_json":
            return json.dumps(_verbose(transcript, options))
    return json.dumps({"text": transcript.text, "usage": _usage(transcript)})


def events(transcript: Transcript) -> Iterator[str]:
    """The server-sent events of a response that is streamed: a delta for each segment, then the whole."""
    for number, words in enumerate(segments(transcript)):
        delta = " " * (number > 0) + _text(words)
        yield _event({"type": "transcript.text.delta", "delta": delta})
    yield _event({"type": "transcript.text.done", "text": transcript.text, "usage": _usage(transcript)})


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(transcript.duration)}


def _verbose(transcript: Transcript, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {
        "task": "transcribe",
        "language": "english",
        "duration": transcript.duration,
        "text": transcript.text,
        "usage": _usage(transcript),
    }
    if options.words:
        found["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in transcript.words]
    if options.segments:
        found["segments"] = [_segment(number, words) for number, words in enumerate(segments(transcript))]
    return found


def _segment(number: int, words: Sequence[Word]) -> dict[str, Any]:
    logs = [math.log(min(1.0, max(word.confidence, 1e-4))) for word in words]
    return {
        "id": number,
        "seek": 0,
        "start": words[0].start,
        "end": words[-1].end,
        "text": f" {_text(words)}",
        # Of another recognizer's making: there are none here.
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": sum(logs) / len(logs),
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


def _srt(transcript: Transcript) -> Iterator[str]:
    for number, words in enumerate(segments(transcript), 1):
        yield f"{number}\n{_clock(words[0].start, ',')} --> {_clock(words[-1].end, ',')}\n{_text(words)}\n\n"


def _vtt(transcript: Transcript) -> Iterator[str]:
    for words in segments(transcript):
        yield f"{_clock(words[0].start, '.')} --> {_clock(words[-1].end, '.')}\n{_text(words)}\n\n"


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _clock(seconds: float, point: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{milliseconds:03}"
